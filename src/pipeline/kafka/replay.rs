//! Applies again, in silence, what the commit records say was applied, and compares what comes out.

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message as _};

use crate::stream::kafka::{CommitRecord, Output, Reader, Trouble, chain};

use super::fold::Fold;
use super::takeover::{Base, Findings, TakeOver};

/// Records after which the progress is told.
const PROGRESS_RECORDS: u64 = 4_096;

/// An output that replay made.
#[derive(Debug)]
pub(super) struct Computed {
    pub(super) output: Output,
    /// Its transaction decided exactly what the commit record says.
    pub(super) as_logged: bool,
}

/// A replay under way.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    take_over: &'a TakeOver<'a>,
    fold: Fold,
    commits: VecDeque<CommitRecord>,
    digest: String,
    findings: Findings,
    computed: Vec<Computed>,
    /// Ticks of the transaction under way that are applied already.
    ticks: usize,
    /// Said once that the rules were others.
    warned: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        take_over: &'a TakeOver<'a>,
        base: Base,
        commits: VecDeque<CommitRecord>,
        epoch: u64,
        from: i64,
    ) -> Self {
        let config = Arc::clone(take_over.config);
        let mut fold = Fold::new(base.engine, config, epoch, base.manifest.seq, from);
        fold.last_tick = base.manifest.last_tick;
        Self {
            take_over,
            fold,
            commits,
            digest: base.manifest.digest,
            findings: Findings::default(),
            computed: Vec::new(),
            ticks: 0,
            warned: false,
        }
    }

    /// Replays up to the end of the last transaction.
    ///
    /// # Errors
    ///
    /// If the events cannot be read, or the partition is to be given up.
    pub(super) fn run(&mut self, reader: &mut Reader, from: i64) -> Result<(), Trouble> {
        let end = self.commits.back().map_or(from, |last| last.to);
        let topic = self.take_over.config.topics.events.clone();
        reader.range(&topic, from, end, |message| self.record(message))?;
        while !self.commits.is_empty() {
            self.close();
        }
        // What retention removed unread is behind the last transaction, and cannot be read on from there.
        self.fold.next = self.fold.next.max(from);
        Ok(())
    }

    pub(super) fn finish(self) -> (Fold, Findings, Vec<Computed>) {
        (self.fold, self.findings, self.computed)
    }

    fn record(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Trouble> {
        let offset = message.offset();
        while self
            .commits
            .front()
            .is_some_and(|record| record.to <= offset)
        {
            self.close();
        }
        self.apply_ticks(offset);
        self.fold.apply(message);
        self.findings.replayed += 1;
        if self.findings.replayed.is_multiple_of(PROGRESS_RECORDS) {
            (self.take_over.progress)("replaying events")?;
        }
        Ok(())
    }

    /// Applies the ticks of the transaction under way that come before the record at `offset`.
    fn apply_ticks(&mut self, offset: i64) {
        let Some(record) = self.commits.front() else {
            return;
        };
        for tick in record.ticks.iter().skip(self.ticks) {
            if tick.at > offset {
                return;
            }
            self.fold.tick(*tick);
            self.ticks += 1;
        }
    }

    /// Ends the transaction under way and compares it with its record.
    fn close(&mut self) {
        self.apply_ticks(i64::MAX);
        self.ticks = 0;
        let Some(record) = self.commits.pop_front() else {
            return;
        };
        self.fold.next = record.to;
        let outputs = std::mem::take(&mut self.fold.outputs);
        self.fold.decided.clear();
        let mut again = record.clone();
        let decisions = outputs.iter();
        again.seal(
            &self.digest,
            decisions.map(|output| (output.identity.as_str(), output.seq)),
        );
        let as_logged = again.decided == record.decided
            && self.fold.seq == record.seq
            && chain(&self.digest, &record) == record.digest;
        if !as_logged {
            self.diverged(&record);
        }
        self.digest.clone_from(&record.digest);
        // The log's numbers count.
        self.fold.seq = record.seq;
        let computed = outputs.into_iter();
        self.computed
            .extend(computed.map(|output| Computed { output, as_logged }));
    }

    fn diverged(&mut self, record: &CommitRecord) {
        self.findings.divergences += 1;
        if self.warned {
            return;
        }
        self.warned = true;
        let same_rules = record.rules == self.take_over.rules;
        tracing::warn!(
            partition = self.take_over.partition,
            transaction = record.txn,
            same_rules,
            program = record.program,
            "replay decides differently from the log; the log counts"
        );
    }
}
