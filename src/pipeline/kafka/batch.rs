//! What was applied and is to be committed together.

use std::sync::Arc;

use crate::clock::Stopwatch;
use crate::domain::{Event, Millis, Seq};
use crate::stream::kafka::Tick;

use super::fold::Fold;

/// What the next transaction stands for.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) since: Stopwatch,
    pub(super) from: i64,
    pub(super) seq_before: Seq,
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) ticks: Vec<Tick>,
    /// Events that somebody wants to see.
    pub(super) shown: Vec<Arc<Event>>,
    /// When the last record was sent.
    pub(super) newest: Millis,
}

impl Batch {
    /// A batch that begins behind everything applied; `newest` is when the last record of that was sent.
    pub(super) fn new(fold: &Fold, newest: Millis) -> Self {
        Self {
            since: Stopwatch::start(),
            from: fold.next,
            seq_before: fold.seq,
            records: 0,
            bytes: 0,
            ticks: Vec::new(),
            shown: Vec::new(),
            newest,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0 && self.ticks.is_empty()
    }

    /// The first content starts the clock.
    pub(super) fn touch(&mut self) {
        if self.is_empty() {
            self.since = Stopwatch::start();
        }
    }

    /// Adds the batch after this one.
    pub(super) fn add(&mut self, next: Self) {
        self.records += next.records;
        self.bytes += next.bytes;
        self.ticks.extend(next.ticks);
        self.shown.extend(next.shown);
        self.newest = next.newest;
    }
}
