//! What was done to a deployment and what came of it, as one table, however the run ends.

use std::fmt;

use impulse::clock::Stopwatch;

use super::checker::Judged;
use super::rig::get;
use crate::process::Process;

/// What engines count, and how the table calls it.
const COUNTERS: [(&str, &str); 10] = [
    ("partitions taken over", "impulse_kafka_take_overs_total"),
    (
        "stops after which a partition kept its state",
        "impulse_kafka_renewals_total",
    ),
    (
        "stops of a partition or the group",
        "impulse_kafka_troubles_total",
    ),
    (
        "outputs lost and written again",
        "impulse_txn_lost_repaired_total",
    ),
    (
        "outputs without their transaction",
        "impulse_txn_torn_total",
    ),
    ("outputs found twice", "impulse_txn_repeated_total"),
    (
        "records that expired unread",
        "impulse_kafka_skipped_records_total",
    ),
    (
        "transactions read back whole",
        "impulse_kafka_audited_transactions_total",
    ),
    (
        "findings when reading back",
        "impulse_kafka_audit_findings_total",
    ),
    ("differences of replay", "impulse_replay_divergence_total"),
];

/// A run of faults. It is printed when this value goes.
pub(crate) struct Report {
    title: String,
    watch: Stopwatch,
    faults: Vec<(String, u32)>,
    engines: u32,
    counted: [f64; COUNTERS.len()],
    verdict: Option<Result<Judged, Vec<String>>>,
}

impl Report {
    pub(crate) fn new(title: String) -> Self {
        Self {
            title,
            watch: Stopwatch::start(),
            faults: Vec::new(),
            engines: 0,
            counted: [0.0; COUNTERS.len()],
            verdict: None,
        }
    }

    /// A fault was suffered.
    pub(crate) fn fault(&mut self, name: String) {
        match self.faults.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => self.faults.push((name, 1)),
        }
    }

    /// Adds what an engine counted, just before it ends. What it counts after that is lost with it.
    pub(crate) fn last_words(&mut self, engine: &Process) {
        let text = get(engine, "/metrics").1;
        self.engines += 1;
        for (sum, (_, metric)) in self.counted.iter_mut().zip(COUNTERS) {
            *sum += total(&text, metric);
        }
    }

    /// How often replay differed from the log, over all engines.
    pub(crate) fn divergences(&self) -> f64 {
        self.counted[COUNTERS.len() - 1]
    }

    pub(crate) fn judged(&mut self, verdict: Result<Judged, Vec<String>>) {
        self.verdict = Some(verdict);
    }
}

/// The sum of all series of a metric.
fn total(text: &str, metric: &str) -> f64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(metric))
        .filter(|rest| rest.starts_with([' ', '{']))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: f64| writeln!(f, "  {name:<38} {value:>10}");
        let mut all = vec![("seconds", self.watch.seconds().round())];
        let loops: u32 = self.faults.iter().map(|(_, count)| count).sum();
        all.push(("faults", f64::from(loops)));
        for (name, value) in all {
            line(name, value)?;
        }
        for (name, count) in &self.faults {
            line(&format!("  {name}"), f64::from(*count))?;
        }
        line("engines", f64::from(self.engines))?;
        for ((name, _), sum) in COUNTERS.iter().zip(self.counted) {
            line(&format!("  {name}"), sum)?;
        }
        match &self.verdict {
            Some(Ok(judged)) => {
                for (name, count) in [
                    ("events", judged.events),
                    ("  of these once more in the topic", judged.repeated),
                    ("triggers", judged.triggers),
                    ("suppressions", judged.suppressions),
                    ("dead letters", judged.dead_letters),
                    ("transactions", judged.transactions),
                ] {
                    line(name, count as f64)?;
                }
                writeln!(f, "  verdict: nothing lost, repeated or invented")
            }
            Some(Err(wrong)) => {
                writeln!(f, "  verdict: WRONG")?;
                wrong.iter().try_for_each(|one| writeln!(f, "    {one}"))
            }
            None => writeln!(f, "  verdict: NONE, the run broke off"),
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        println!("{}\n{self}", self.title);
    }
}
