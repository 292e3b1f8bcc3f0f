//! What reading back finds: in words for people, in numbers for metrics.

use std::collections::BTreeMap;

/// What is wrong with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// A transaction without some of its records.
    Missing,
    /// Records of no transaction, or more than a transaction says.
    Extra,
    /// A transaction whose trigger records have numbers that are not its own, or one number twice.
    Misnumbered,
    /// A commit record that cannot be read or does not follow on the one before it.
    Gap,
    /// A transaction that was not judged: after a gap, or because too many waited.
    Unaudited,
}

impl Finding {
    pub(super) const ALL: [Self; 5] = [
        Self::Missing,
        Self::Extra,
        Self::Misnumbered,
        Self::Gap,
        Self::Unaudited,
    ];

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Misnumbered => "misnumbered",
            Self::Gap => "gap",
            Self::Unaudited => "unaudited",
        }
    }

    /// Whether taking the partition over again helps: it compares the outputs with what replay makes of the events.
    /// Replay needs every commit record, so after a gap it could not be done; the next snapshot closes the gap.
    pub(super) const fn is_doubtful(self) -> bool {
        match self {
            Self::Missing | Self::Extra | Self::Misnumbered => true,
            Self::Gap | Self::Unaudited => false,
        }
    }
}

/// Findings of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) count: u64,
    /// Transaction of the first.
    pub(super) txn: u64,
    /// The first in words.
    pub(super) words: String,
}

/// What came out since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Transactions found whole.
    pub(super) whole: u64,
    pub(super) findings: BTreeMap<Finding, Found>,
}

impl Tally {
    pub(super) fn found(&mut self, finding: Finding, txn: u64, words: impl FnOnce() -> String) {
        let found = self.findings.entry(finding).or_insert_with(|| Found {
            count: 0,
            txn,
            words: words(),
        });
        found.count += 1;
    }

    /// Why the partition is to be taken over again, if it is.
    pub(super) fn doubt(&self) -> Option<&str> {
        let mut findings = self.findings.iter();
        let doubtful = findings.find(|(finding, _)| finding.is_doubtful());
        doubtful.map(|(_, found)| found.words.as_str())
    }
}
