//! What is read back of a partition, and from where on.

use crate::domain::Seq;
use crate::stream::kafka::{OutputTopic, Topics};

/// What is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// What transactions wrote.
    Output(OutputTopic),
    /// What they say of it.
    Commits,
}

impl Source {
    pub(super) const ALL: [Self; OutputTopic::ALL.len() + 1] = [
        Self::Output(OutputTopic::Triggers),
        Self::Output(OutputTopic::Suppressions),
        Self::Output(OutputTopic::DeadLetters),
        Self::Output(OutputTopic::Late),
        Self::Commits,
    ];

    /// The topic's name.
    pub(super) fn name(self, topics: &Topics) -> &str {
        match self {
            Self::Output(topic) => topic.name(topics),
            Self::Commits => &topics.commits,
        }
    }
}

/// Where the log stands when reading back begins: everything before is known to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pipeline::kafka) struct Since {
    /// Last transaction.
    pub(in crate::pipeline::kafka) txn: u64,
    /// Number of the last trigger record.
    pub(in crate::pipeline::kafka) seq: Seq,
    /// First offset of the events topic that is not applied.
    pub(in crate::pipeline::kafka) next: i64,
    /// End of the commits topic.
    pub(in crate::pipeline::kafka) commits: i64,
    /// Ends of the output topics.
    pub(in crate::pipeline::kafka) outputs: [i64; OutputTopic::ALL.len()],
}

impl Since {
    /// Where reading back begins.
    pub(super) fn offset(&self, source: Source) -> i64 {
        match source {
            Source::Output(topic) => self.outputs.get(topic as usize).copied().unwrap_or(0),
            Source::Commits => self.commits,
        }
    }
}
