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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::stream::kafka::Config;

    #[test]
    fn a_batch_taken_back_begins_where_it_began_and_holds_all_that_followed() {
        let mut fold = Fold::new(
            Engine::new(crate::engine::Config::default()),
            Arc::new(Config::default()),
            1,
            7,
            10,
        );
        let tick = |at| Tick {
            at,
            wall: Millis(at),
            caught_up: true,
        };
        let mut first = Batch::new(&fold, Millis(1));
        (first.records, first.bytes, first.newest) = (2, 200, Millis(5));
        first.ticks.push(tick(11));
        (fold.next, fold.seq) = (12, 9);
        let mut next = Batch::new(&fold, first.newest);
        assert!(next.is_empty());
        (next.records, next.bytes, next.newest) = (1, 50, Millis(6));
        next.ticks.push(tick(12));

        first.add(next);
        assert_eq!((first.from, first.seq_before), (10, 7));
        assert_eq!((first.records, first.bytes), (3, 250));
        assert_eq!(first.ticks, [tick(11), tick(12)]);
        assert_eq!(first.newest, Millis(6));
    }
}
