//! Tells how far the guarantee goes: in a metric always, in the log when that changes.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::stream::kafka::{Config, Level, Safeguards, Trouble, Verdict, judge, safeguards};

/// How often the brokers are asked for the settings of the topics.
const INTERVAL: Duration = Duration::from_mins(1);

/// What was last found and told.
#[derive(Debug, Default)]
pub(super) struct Assurance {
    safeguards: Safeguards,
    asked: Option<Stopwatch>,
    told: Option<Verdict>,
}

impl Assurance {
    /// Judges what the cluster does to keep records, of which the topic with the fewest has so many copies.
    ///
    /// # Errors
    ///
    /// If the brokers are too old. That they do not answer is no error: what was known goes on to count.
    pub(super) fn check(
        &mut self,
        config: &Arc<Config>,
        copies: u32,
        metrics: &Metrics,
    ) -> Result<(), Trouble> {
        if self.asked.is_none_or(|since| since.elapsed() >= INTERVAL) {
            match safeguards(config) {
                Ok(found) => {
                    self.safeguards = found;
                    self.asked = Some(Stopwatch::start());
                }
                Err(trouble) => {
                    tracing::debug!(%trouble, "the settings of the topics are not known");
                }
            }
        }
        let verdict = judge(copies, &self.safeguards, config.guarantee)?;
        if self.told != Some(verdict) {
            self.tell(verdict, metrics);
        }
        Ok(())
    }

    fn tell(&mut self, verdict: Verdict, metrics: &Metrics) {
        let gauge = |of: Verdict| {
            metrics
                .guarantee_info
                .with_label_values(&[of.level.name(), of.reason.name()])
        };
        if let Some(before) = self.told.replace(verdict) {
            gauge(before).set(0);
        }
        gauge(verdict).set(1);
        let (level, reason) = (verdict.level.name(), verdict.reason.advice());
        if verdict.level == Level::Weakened {
            tracing::warn!(level, reason, "the guarantee is weaker than it could be");
        } else {
            tracing::info!(level, reason, "the guarantee is in force");
        }
    }
}
