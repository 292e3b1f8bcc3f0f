//! What an evaluation found, in the form in which it is printed and kept.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::engine::items::Config;
use crate::evaluate::tally::CUTOFFS;

/// The settings of an evaluation and what its runs found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The settings.
    pub settings: Settings,
    /// Two a ranker: one a rule.
    pub runs: Vec<Run>,
}

/// Everything needed to do it again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Version of the program.
    pub version: &'static str,
    /// File that is only learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<String>,
    /// File that is predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// File that is learned and predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
    /// Layout of the files.
    pub format: &'static str,
    /// Whether predicted events are learned.
    pub learn: bool,
    /// Share of `events` that is only learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<f64>,
    /// Events of the session this recent are not known when the next is predicted.
    pub session_lag_ms: i64,
    /// Settings of the item rows behind `ddco` and `transitions`; `null` is infinite.
    pub items: Config,
}

/// Whether the current item may be recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// It may.
    RepeatsAllowed,
    /// It may not; where it comes again, the point is a miss.
    CurrentExcluded,
}

/// What one ranker reached by one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// The ranker.
    pub ranker: &'static str,
    /// `split`, `split_learning` or `prequential`.
    pub protocol: &'static str,
    /// The rule.
    pub rule: Rule,
    /// The measures.
    #[serde(flatten)]
    pub measures: Measures,
    /// Time of a query, in microseconds.
    pub latency_us: Percentiles,
    /// Time to learn an event, in microseconds.
    pub update_us: Percentiles,
}

/// Quality of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// Predictions made.
    pub points: u64,
    /// Hit rate: share of the points whose next item is among the first so many.
    pub hr: AtCutoff,
    /// Mean reciprocal rank; 0 beyond the cutoff.
    pub mrr: AtCutoff,
    /// Normalised discounted cumulative gain.
    pub ndcg: AtCutoff,
    /// Hit rate among the points whose next item the visitor had not seen before.
    pub novel_hr: AtCutoff,
    /// Share of the learned items that are in any list of 20.
    pub coverage: f64,
    /// Mean over all lists of 20 of the events of an item, as a share of the most popular item's.
    pub mean_popularity: f64,
}

/// A value at each cutoff.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AtCutoff {
    /// At 1.
    #[serde(rename = "1")]
    pub at_1: f64,
    /// At 5.
    #[serde(rename = "5")]
    pub at_5: f64,
    /// At 10.
    #[serde(rename = "10")]
    pub at_10: f64,
    /// At 20.
    #[serde(rename = "20")]
    pub at_20: f64,
}

impl From<[f64; 4]> for AtCutoff {
    fn from([at_1, at_5, at_10, at_20]: [f64; 4]) -> Self {
        Self {
            at_1,
            at_5,
            at_10,
            at_20,
        }
    }
}

impl AtCutoff {
    /// In the order of the cutoffs 1, 5, 10, 20.
    pub fn values(&self) -> [f64; 4] {
        [self.at_1, self.at_5, self.at_10, self.at_20]
    }
}

/// Percentiles of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half took at most this.
    pub p50: f64,
    /// 99 of 100 took at most this.
    pub p99: f64,
}

impl Rule {
    /// Its name in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RepeatsAllowed => "repeats allowed",
            Self::CurrentExcluded => "current excluded",
        }
    }
}

impl Report {
    /// The report without the times, which differ from run to run; everything else is the same for the same files.
    #[must_use]
    pub fn without_times(mut self) -> Self {
        for run in &mut self.runs {
            (run.latency_us, run.update_us) = (Percentiles::default(), Percentiles::default());
        }
        self
    }
}

impl fmt::Display for Report {
    /// A table for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)?;
        for rule in [Rule::RepeatsAllowed, Rule::CurrentExcluded] {
            let runs: Vec<&Run> = self.runs.iter().filter(|run| run.rule == rule).collect();
            let Some(first) = runs.first() else { continue };
            writeln!(
                f,
                "\n{}, {}: {} points",
                first.protocol,
                rule.name(),
                first.measures.points
            )?;
            writeln!(f, "{}", HEADER.trim_end())?;
            for run in runs {
                writeln!(f, "{}", line(run).trim_end())?;
            }
        }
        Ok(())
    }
}

const HEADER: &str = "ranker        HR@1   @5     @10    @20    MRR@10 @20    NDCG@20 novel HR@20 coverage popularity query us p50/p99 update us p50/p99";

fn line(run: &Run) -> String {
    let measures = &run.measures;
    let mut line = format!("{:<14}", run.ranker);
    for value in measures.hr.values() {
        // Writing to a string cannot fail.
        write!(line, "{value:.4} ").unwrap_or_default();
    }
    let latency = format!("{:.1}/{:.1}", run.latency_us.p50, run.latency_us.p99);
    let update = format!("{:.2}/{:.2}", run.update_us.p50, run.update_us.p99);
    write!(
        line,
        "{:.4} {:.4} {:<7.4} {:<11.4} {:<8.4} {:<10.4} {latency:<16} {update}",
        measures.mrr.at_10,
        measures.mrr.at_20,
        measures.ndcg.at_20,
        measures.novel_hr.at_20,
        measures.coverage,
        measures.mean_popularity,
    )
    .unwrap_or_default();
    line
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, file) in [
            ("train", &self.train),
            ("test", &self.test),
            ("events", &self.events),
        ] {
            if let Some(file) = file {
                write!(f, "{name} {file}, ")?;
            }
        }
        write!(
            f,
            "format {}, learn {}",
            self.format,
            if self.learn { "on" } else { "off" }
        )?;
        if let Some(warmup) = self.warmup {
            write!(f, ", warmup {warmup}")?;
        }
        writeln!(
            f,
            ", session lag {} ms, cutoffs {CUTOFFS:?}, version {}",
            self.session_lag_ms, self.version
        )?;
        writeln!(f, "{:?}", self.items)
    }
}
