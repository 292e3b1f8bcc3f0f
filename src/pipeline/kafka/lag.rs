//! How far a partition is behind, also while it is being taken over or cannot go on: then above all somebody wants to
//! know.

use std::cell::RefCell;
use std::time::Duration;

use prometheus::{Gauge, IntGauge};

use crate::clock::Stopwatch;
use crate::domain::{Millis, SECOND_MS};
use crate::stream::kafka::{Reader, Start};

use super::shard::Common;

/// How often the broker is asked while the partition is not followed.
const LOOK: Duration = Duration::from_secs(1);
/// How long a question may take: the partition's thread waits for it.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// The lag of one partition. Its series end with it: others may export them by then.
#[derive(Debug)]
pub(super) struct Lag {
    common: Common,
    partition: u32,
    records: IntGauge,
    seconds: Gauge,
    seen: RefCell<Seen>,
    /// Asks while the partition is not followed.
    reader: RefCell<Option<Reader>>,
}

/// What is known of the lag.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Millis,
    /// When the last record that was applied was sent.
    newest: Option<Millis>,
    /// When nothing was left to read.
    current: Option<Millis>,
    ms: i64,
    /// When that was told.
    told: Millis,
    looked: Stopwatch,
}

impl Seen {
    fn new(now: Millis) -> Self {
        Self {
            since: now,
            newest: None,
            current: None,
            ms: 0,
            told: now,
            looked: Stopwatch::start(),
        }
    }

    /// There are so many records left.
    fn behind(&mut self, records: i64, now: Millis) {
        if records == 0 {
            self.current = Some(now);
            self.ms = 0;
        } else {
            // What is left came after the moment when nothing was, however old the record before it is.
            let known = [self.newest, self.current].into_iter().flatten();
            let from = known.max().unwrap_or(self.since);
            self.ms = now.since(from).max(0);
        }
        self.told = now;
    }

    /// Nobody says how many are left, so it may be all that came since.
    fn unknown(&mut self, now: Millis) {
        self.ms = self.ms.saturating_add(now.since(self.told).max(0));
        self.told = now;
    }
}

impl Lag {
    pub(super) fn new(common: &Common, partition: u32) -> Self {
        let number = partition.to_string();
        let labels = [common.config.topics.events.as_str(), number.as_str()];
        let metrics = &common.metrics;
        Self {
            records: metrics.consumer_lag_records.with_label_values(&labels),
            seconds: metrics.consumer_lag_seconds.with_label_values(&labels),
            common: common.clone(),
            partition,
            seen: RefCell::new(Seen::new(common.clock.now())),
            reader: RefCell::new(None),
        }
    }

    /// The partition is followed, and so many records are left; `newest` is when the last one applied was sent.
    pub(super) fn behind(&self, records: i64, newest: Millis) {
        let now = self.common.clock.now();
        *self.reader.borrow_mut() = None;
        let mut seen = self.seen.borrow_mut();
        seen.looked = Stopwatch::start();
        if newest != Millis::default() {
            seen.newest = Some(newest);
        }
        seen.behind(records, now);
        self.records.set(records);
        self.tell(&seen);
        let left = records.unsigned_abs();
        self.common.board.lag(self.partition, left, seen.ms);
    }

    /// The partition is followed, and the broker does not say how many records are left. Readiness does not hang on
    /// that: what was read can be answered from.
    pub(super) fn unknown(&self) {
        let mut seen = self.seen.borrow_mut();
        seen.looked = Stopwatch::start();
        seen.unknown(self.common.clock.now());
        self.tell(&seen);
    }

    /// The partition is not followed: asks, once a second, for what the group has not committed.
    pub(super) fn look(&self) {
        if self.seen.borrow().looked.elapsed() < LOOK {
            return;
        }
        let behind = self.ask();
        let now = self.common.clock.now();
        let mut seen = self.seen.borrow_mut();
        seen.looked = Stopwatch::start();
        match behind {
            Some(records) => {
                seen.behind(records, now);
                self.records.set(records);
            }
            None => seen.unknown(now),
        }
        self.tell(&seen);
    }

    fn ask(&self) -> Option<i64> {
        let mut reader = self.reader.borrow_mut();
        if reader.is_none() {
            *reader = Reader::open(&self.common.config, self.partition).ok();
        }
        let reader = reader.as_ref()?;
        let events = &self.common.config.topics.events;
        let extent = reader.extent_within(events, LOOK_TIMEOUT).ok()?;
        let committed = reader.committed_within(LOOK_TIMEOUT).ok()?;
        let from = committed.unwrap_or(match self.common.config.start {
            Start::Earliest => extent.begin,
            Start::Latest => extent.end,
        });
        Some(extent.end.saturating_sub(from).max(0))
    }

    fn tell(&self, seen: &Seen) {
        self.seconds.set(seen.ms as f64 / SECOND_MS as f64);
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        let number = self.partition.to_string();
        let labels = [self.common.config.topics.events.as_str(), number.as_str()];
        let metrics = &self.common.metrics;
        // They are there: nobody else removes them.
        drop(metrics.consumer_lag_records.remove_label_values(&labels));
        drop(metrics.consumer_lag_seconds.remove_label_values(&labels));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_as_old_as_the_last_record_applied() {
        let mut seen = Seen::new(Millis(1_000_000));
        seen.newest = Some(Millis(400_000));
        seen.behind(7, Millis(1_001_000));
        assert_eq!(seen.ms, 601_000);
    }

    #[test]
    fn what_comes_after_silence_is_no_older_than_the_silence() {
        let mut seen = Seen::new(Millis(0));
        seen.newest = Some(Millis(5_000));
        seen.behind(0, Millis(900_000));
        assert_eq!(seen.ms, 0);
        seen.behind(3, Millis(902_000));
        assert_eq!(seen.ms, 2_000);
    }

    #[test]
    fn it_grows_while_nobody_says() {
        let mut seen = Seen::new(Millis(0));
        seen.behind(0, Millis(10_000));
        seen.unknown(Millis(11_000));
        seen.unknown(Millis(12_500));
        assert_eq!(seen.ms, 2_500);
        seen.behind(0, Millis(13_000));
        assert_eq!(seen.ms, 0);
    }

    #[test]
    fn without_any_record_it_counts_from_the_beginning() {
        let mut seen = Seen::new(Millis(50_000));
        seen.behind(3, Millis(54_000));
        assert_eq!(seen.ms, 4_000);
    }
}
