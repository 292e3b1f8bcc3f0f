//! What the demo's visitors did and what they were answered, counted from their side.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use crate::pipeline::Status;
use crate::wire::proto;

/// The longest answer that is told apart, in microseconds.
const TOOK_US_MAX: u64 = 60_000_000;

/// Counts that grow while the demo runs.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    events: Events,
    answers: u64,
    answers_failed: u64,
    took_us: Option<Histogram<u64>>,
    round_trip_us: Option<Histogram<u64>>,
    impressions: u64,
    clicks: u64,
    triggers: Triggers,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Events {
    /// Part of the state.
    pub(super) accepted: u64,
    /// Known before.
    pub(super) duplicates: u64,
    /// In the dead-letter log.
    pub(super) rejected: u64,
}

/// What the trigger log said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Triggers {
    /// Messages to send.
    pub(super) fired: u64,
    /// Episodes that ended without one.
    pub(super) suppressed: u64,
    /// The same by their reason.
    pub(super) suppressed_by: BTreeMap<String, u64>,
    /// Messages taken back.
    pub(super) cancelled: u64,
    /// Too old to be of use.
    pub(super) expired: u64,
}

/// Median and 99th percentile, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Quantiles {
    /// Median.
    pub(super) p50: u64,
    /// 99th percentile.
    pub(super) p99: u64,
}

/// Everything, at one moment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// Seed of the shop and its visitors.
    pub(super) seed: u64,
    /// How long the visitors were in the shop, in seconds.
    pub(super) wall_seconds: f64,
    /// The same in shop time.
    pub(super) shop_seconds: f64,
    /// What became of the events.
    pub(super) events: Events,
    /// Answers that visitors were shown.
    pub(super) answers: u64,
    /// Questions without an answer.
    pub(super) answers_failed: u64,
    /// Time in the server for an answer.
    pub(super) took_us: Quantiles,
    /// From asking to having the answer, over gRPC.
    pub(super) round_trip_us: Quantiles,
    /// Items that visitors were shown.
    pub(super) impressions: u64,
    /// Items that they clicked.
    pub(super) clicks: u64,
    /// What the trigger log said.
    pub(super) triggers: Triggers,
}

impl Default for Counts {
    fn default() -> Self {
        let empty = Histogram::new_with_bounds(1, TOOK_US_MAX, 3).ok();
        Self {
            events: Events::default(),
            answers: 0,
            answers_failed: 0,
            took_us: empty.clone(),
            round_trip_us: empty,
            impressions: 0,
            clicks: 0,
            triggers: Triggers::default(),
        }
    }
}

impl Tally {
    pub(super) fn recorded(&self, statuses: &[Status]) {
        let mut counts = self.0.lock();
        for status in statuses {
            *match status {
                Status::Accepted => &mut counts.events.accepted,
                Status::Duplicate => &mut counts.events.duplicates,
                Status::Rejected(_) => &mut counts.events.rejected,
            } += 1;
        }
    }

    pub(super) fn answered(&self, took_us: u64, round_trip: Duration) {
        let mut counts = self.0.lock();
        counts.answers += 1;
        let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(TOOK_US_MAX);
        if let Some(histogram) = &mut counts.took_us {
            histogram.saturating_record(took_us);
        }
        if let Some(histogram) = &mut counts.round_trip_us {
            histogram.saturating_record(round_trip_us);
        }
    }

    pub(super) fn not_answered(&self) {
        self.0.lock().answers_failed += 1;
    }

    pub(super) fn shown(&self, impressions: u64, clicks: u64) {
        let mut counts = self.0.lock();
        counts.impressions += impressions;
        counts.clicks += clicks;
    }

    pub(super) fn triggered(&self, kind: proto::TriggerKind, reason: &str) {
        let triggers = &mut self.0.lock().triggers;
        match kind {
            proto::TriggerKind::Fire => triggers.fired += 1,
            proto::TriggerKind::Suppressed => {
                triggers.suppressed += 1;
                *triggers.suppressed_by.entry(reason.to_owned()).or_default() += 1;
            }
            proto::TriggerKind::Cancel => triggers.cancelled += 1,
            proto::TriggerKind::Expired => triggers.expired += 1,
            proto::TriggerKind::Unspecified => {}
        }
    }

    pub(super) fn summary(&self, seed: u64, wall: Duration, shop_ms: i64) -> Summary {
        let counts = self.0.lock();
        Summary {
            seed,
            wall_seconds: thousandths(wall.as_millis()),
            shop_seconds: thousandths(u128::from(shop_ms.unsigned_abs())),
            events: counts.events,
            answers: counts.answers,
            answers_failed: counts.answers_failed,
            took_us: quantiles(counts.took_us.as_ref()),
            round_trip_us: quantiles(counts.round_trip_us.as_ref()),
            impressions: counts.impressions,
            clicks: counts.clicks,
            triggers: counts.triggers.clone(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        row(
            "time",
            format!(
                "{:.0} s, {:.1} h in the shop",
                self.wall_seconds,
                self.shop_seconds / 3_600.0
            ),
        )?;
        row(
            "events",
            format!(
                "{} accepted, {} duplicates, {} rejected",
                self.events.accepted, self.events.duplicates, self.events.rejected
            ),
        )?;
        row(
            "answers",
            format!("{}, {} failed", self.answers, self.answers_failed),
        )?;
        row("  in the server", self.took_us.to_string())?;
        row("  over gRPC", self.round_trip_us.to_string())?;
        row(
            "recommended items",
            format!("{} shown, {} clicked", self.impressions, self.clicks),
        )?;
        row("triggers fired", self.triggers.fired.to_string())?;
        let by: Vec<String> = self
            .triggers
            .suppressed_by
            .iter()
            .map(|(reason, count)| format!("{count} {}", reason.replace('_', " ")))
            .collect();
        let suppressed = self.triggers.suppressed.to_string();
        row(
            "  suppressed",
            if by.is_empty() {
                suppressed
            } else {
                format!("{suppressed}: {}", by.join(", "))
            },
        )?;
        row("  cancelled", self.triggers.cancelled.to_string())?;
        row("  expired", self.triggers.expired.to_string())
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (
            thousandths(u128::from(self.p50)),
            thousandths(u128::from(self.p99)),
        );
        write!(f, "p50 {p50:.2} ms, p99 {p99:.2} ms")
    }
}

fn quantiles(histogram: Option<&Histogram<u64>>) -> Quantiles {
    histogram.map_or_else(Quantiles::default, |histogram| Quantiles {
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a duration for people; three digits would do"
)]
fn thousandths(count: u128) -> f64 {
    count as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_adds_up_and_reads_well() {
        let tally = Tally::default();
        tally.recorded(&[Status::Accepted, Status::Accepted, Status::Duplicate]);
        for took in 1..=100 {
            tally.answered(took * 10, Duration::from_micros(took * 20));
        }
        tally.not_answered();
        tally.shown(8, 1);
        tally.triggered(proto::TriggerKind::Fire, "inactivity");
        for _ in 0..3 {
            tally.triggered(proto::TriggerKind::Suppressed, "purchased");
        }
        tally.triggered(proto::TriggerKind::Suppressed, "cart_emptied");
        let summary = tally.summary(7, Duration::from_millis(2_500), 7_200_000);
        assert_eq!(summary.events.accepted, 2);
        assert_eq!(summary.took_us, Quantiles { p50: 500, p99: 990 });
        assert_eq!(summary.triggers.suppressed, 4);
        let text = summary.to_string();
        assert!(
            text.contains("2 accepted, 1 duplicates, 0 rejected"),
            "{text}"
        );
        assert!(text.contains("4: 1 cart emptied, 3 purchased"), "{text}");
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["triggers"]["suppressed_by"]["purchased"], 3);
        assert_eq!(json["took_us"]["p99"], 990);
    }
}
