//! One transaction while it is read back: what is there of it, and what its commit record says.

use std::collections::BTreeSet;

use crate::domain::Seq;
use crate::stream::kafka::{CommitRecord, OutputTopic};

use super::finding::Finding;
use super::source::Source;

/// How long the rest of a transaction may take to appear, in milliseconds.
pub(super) const GRACE_MS: u64 = 10_000;

/// What a commit record says, as far as it is looked at.
#[derive(Clone, Copy, Debug)]
struct Said {
    outputs: [u32; OutputTopic::ALL.len()],
    repaired: u32,
    torn: u32,
    seq_before: Seq,
    seq: Seq,
}

impl From<&CommitRecord> for Said {
    fn from(record: &CommitRecord) -> Self {
        Self {
            outputs: [
                record.triggers,
                record.suppressions,
                record.dead_letters,
                record.late,
            ],
            repaired: record.repaired,
            torn: record.torn,
            seq_before: record.seq_before,
            seq: record.seq,
        }
    }
}

/// A transaction of which something is still to come.
#[derive(Debug)]
pub(super) struct Transaction {
    /// When what is known of it began to lack the rest.
    since_ms: u64,
    said: Option<Said>,
    outputs: [u32; OutputTopic::ALL.len()],
    numbers: BTreeSet<Seq>,
    /// A number came twice.
    is_repeated: bool,
}

/// How a transaction looks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Waits,
    Whole,
    Wrong(Finding),
}

impl Transaction {
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            since_ms: now_ms,
            said: None,
            outputs: [0; OutputTopic::ALL.len()],
            numbers: BTreeSet::new(),
            is_repeated: false,
        }
    }

    /// Adds a record; tells whether its number is one more to keep.
    pub(super) fn output(&mut self, topic: OutputTopic, seq: Option<Seq>) -> bool {
        if let Some(count) = self.outputs.get_mut(topic as usize) {
            *count = count.saturating_add(1);
        }
        let Some(seq) = seq else {
            return false;
        };
        let is_new = self.numbers.insert(seq);
        self.is_repeated |= !is_new;
        is_new
    }

    /// It is committed, and should hold this.
    pub(super) fn commit(&mut self, record: &CommitRecord, now_ms: u64) {
        self.said = Some(Said::from(record));
        self.since_ms = now_ms;
    }

    pub(super) fn is_committed(&self) -> bool {
        self.said.is_some()
    }

    /// How many numbers of trigger records it keeps.
    pub(super) fn numbers(&self) -> usize {
        self.numbers.len()
    }

    /// From then on the rest of it is overdue.
    pub(super) fn due_ms(&self) -> u64 {
        self.since_ms.saturating_add(GRACE_MS)
    }

    /// Records that are there, and that should be.
    pub(super) fn counts(&self) -> (u64, u64) {
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let said = self
            .said
            .map_or(0, |said| sum(&said.outputs) + u64::from(said.repaired));
        (sum(&self.outputs), said)
    }

    /// What is to be said of it for now.
    pub(super) fn look(&self) -> Look {
        let Some(said) = self.said else {
            return Look::Waits;
        };
        let pairs = || self.outputs.iter().zip(&said.outputs);
        let (found, wanted) = self.counts();
        // Of what is repaired nobody says in which topics it is.
        let is_over = found > wanted || said.repaired == 0 && pairs().any(|(is, says)| is > says);
        if is_over {
            return Look::Wrong(Finding::Extra);
        }
        if found < wanted || pairs().any(|(is, says)| is < says) {
            return Look::Waits;
        }
        if self.are_numbers_right(said) {
            Look::Whole
        } else {
            Look::Wrong(Finding::Misnumbered)
        }
    }

    fn are_numbers_right(&self, said: Said) -> bool {
        // What is repaired has the numbers of earlier transactions.
        let first = if said.repaired == 0 {
            said.seq_before.saturating_add(1)
        } else {
            1
        };
        let is_within = self
            .numbers
            .iter()
            .all(|seq| (first..=said.seq).contains(seq));
        let wanted = said.seq.saturating_sub(said.seq_before);
        let is_complete = said.repaired > 0 || said.torn > 0 || self.numbers.len() as u64 == wanted;
        is_within && is_complete && !self.is_repeated
    }

    /// Whether the rest of it can only be there.
    pub(super) fn waits_for(&self, source: Source) -> bool {
        match (self.said, source) {
            (None, Source::Commits) => true,
            (None, Source::Output(_)) | (Some(_), Source::Commits) => false,
            (Some(said), Source::Output(topic)) => {
                let count = |counts: &[u32]| counts.get(topic as usize).copied();
                said.repaired > 0 || count(&self.outputs) < count(&said.outputs)
            }
        }
    }
}
