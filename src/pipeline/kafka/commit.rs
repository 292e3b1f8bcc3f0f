//! Makes transactions of what was applied. While one is ended the partition goes on; what it applies meanwhile is for
//! the next.

use std::time::Duration;

use crate::clock::Deadline;
use crate::domain::{Millis, TriggerKind};
use crate::stream::kafka::{
    CommitRecord, Output, OutputTopic, Placed, Producer, Transaction, Trouble,
};

use super::batch::Batch;
use super::committer::{Committer, Ended};
use super::fold::Decided;
use super::live::Live;
use super::shard::{Order, Shard};
use super::snapshots::Added;
use super::takeover::Standing;

/// How long the last snapshot may take when the partition is given up.
const LAST_SNAPSHOT: Duration = Duration::from_secs(2);
/// How long the shard waits for the next chunk of that snapshot.
const CHUNK_WAIT: Duration = Duration::from_millis(2);

/// What a transaction under way stands for.
#[derive(Debug)]
pub(super) struct UnderWay {
    batch: Batch,
    decided: Vec<Decided>,
    /// Outputs that the log holds already.
    torn: Vec<Output>,
    added: Added,
}

/// A transaction that was asked for, with what it stands for.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) transaction: Transaction,
    under_way: UnderWay,
}

impl Attempt {
    /// Whether it makes a snapshot complete.
    pub(super) fn completes_snapshot(&self) -> bool {
        self.under_way.added == Added::Manifest
    }
}

impl Live<'_> {
    /// Begins to commit everything applied since the last time. No transaction may be under way.
    pub(super) fn begin_commit(&mut self) -> Result<(), Trouble> {
        if self.shard.control.order() == Order::Drop {
            return Err(Trouble::GivenUp);
        }
        let record = self.record(self.shard.common.clock.now());
        let outputs = std::mem::take(&mut self.fold.outputs).into_iter();
        let (torn, outputs) = outputs.partition(|output| self.standing.is_torn(output));
        let mut parts = Vec::new();
        let added = self.snapshots.add(&mut parts);
        let next = Batch::new(&self.fold, self.batch.newest);
        self.under_way = Some(UnderWay {
            batch: std::mem::replace(&mut self.batch, next),
            decided: std::mem::take(&mut self.fold.decided),
            torn,
            added,
        });
        self.committer.write(Transaction {
            record,
            repaired: std::mem::take(&mut self.standing.lost),
            outputs,
            parts,
        });
        if self.snapshots.is_wanted(&self.fold, &self.standing) {
            self.end_commit()?;
        }
        Ok(())
    }

    /// Waits for the transaction under way, if there is one.
    pub(super) fn end_commit(&mut self) -> Result<(), Trouble> {
        match self.under_way.take() {
            Some(under_way) => self.ended(under_way, self.committer.wait()),
            None => Ok(()),
        }
    }

    /// Commits everything applied.
    pub(super) fn commit(&mut self) -> Result<(), Trouble> {
        self.end_commit()?;
        if self.batch.is_empty() && self.standing.lost.is_empty() {
            return Ok(());
        }
        self.begin_commit()?;
        self.end_commit()
    }

    /// Takes note of the transaction under way, if it has ended.
    pub(super) fn look_for_end(&mut self) -> Result<(), Trouble> {
        match (self.committer.ended(), self.under_way.take()) {
            (Some(ended), Some(under_way)) => self.ended(under_way, ended),
            (_, under_way) => {
                self.under_way = under_way;
                Ok(())
            }
        }
    }

    fn ended(&mut self, under_way: UnderWay, ended: Ended) -> Result<(), Trouble> {
        let Ended {
            transaction,
            placed,
            took_seconds,
        } = ended;
        let attempt = Attempt {
            transaction,
            under_way,
        };
        match placed {
            Ok(placed) => {
                let metrics = &self.shard.common.metrics;
                metrics.kafka_transaction_seconds.observe(took_seconds);
                self.settle(attempt, &placed);
                Ok(())
            }
            Err(trouble) => {
                self.failed = Some(attempt);
                Err(trouble)
            }
        }
    }

    /// What the transaction is, in its own words.
    fn record(&self, now: Millis) -> CommitRecord {
        let common = &self.shard.common;
        let sent = |topic: OutputTopic| {
            let outputs = self.fold.outputs.iter();
            let count = outputs
                .filter(|output| output.topic == topic && !self.standing.is_torn(output))
                .count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let torn = self.fold.outputs.iter();
        let torn = torn.filter(|output| self.standing.is_torn(output)).count();
        let mut record = CommitRecord {
            epoch: self.fold.epoch,
            txn: self.standing.txn + 1,
            from: self.batch.from,
            to: self.fold.next,
            ticks: self.batch.ticks.clone(),
            seq_before: self.batch.seq_before,
            seq: self.fold.seq,
            triggers: sent(OutputTopic::Triggers),
            suppressions: sent(OutputTopic::Suppressions),
            dead_letters: sent(OutputTopic::DeadLetters),
            late: sent(OutputTopic::Late),
            repaired: u32::try_from(self.standing.lost.len()).unwrap_or(u32::MAX),
            torn: u32::try_from(torn).unwrap_or(u32::MAX),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            rules: common.rules.to_string(),
            partitions: self.shard.partitions,
            snapshot: self.standing.snapshot,
            time: now,
            ..CommitRecord::default()
        };
        let decisions = self.fold.outputs.iter();
        record.seal(
            &self.standing.digest,
            decisions.map(|output| (output.identity.as_str(), output.seq)),
        );
        record
    }

    /// The transaction is in the log.
    pub(super) fn settle(&mut self, attempt: Attempt, placed: &Placed) {
        let Attempt {
            transaction,
            under_way,
        } = attempt;
        let common = &self.shard.common;
        self.committed = true;
        self.standing.committed(&transaction.record, placed);
        let took = self
            .snapshots
            .committed(under_way.added, placed, &mut self.standing);
        if let Some(took) = took {
            common.metrics.snapshot_seconds.observe(took.seconds());
        }
        for output in &transaction.outputs {
            self.shard.count(output);
        }
        for output in under_way.torn {
            self.shard.count(&output);
            self.standing.torn.remove(&(output.topic, output.identity));
        }
        for decided in &under_way.decided {
            self.shard.count_decided(decided);
        }
        for event in under_way.batch.shown {
            // Whoever listened may be gone.
            drop(common.events.send(event));
        }
        if self.batch.is_empty() && self.snapshots.is_wanted(&self.fold, &self.standing) {
            let now = common.clock.now();
            self.snapshots.begin(&mut self.fold, &self.standing, now);
        }
    }

    /// The transaction is not in the log: what it stood for is still to be committed.
    pub(super) fn take_back(&mut self, attempt: Attempt) {
        let Attempt {
            transaction,
            under_way,
        } = attempt;
        let next = std::mem::replace(&mut self.batch, under_way.batch);
        self.batch.add(next);
        prepend(transaction.outputs, &mut self.fold.outputs);
        prepend(under_way.decided, &mut self.fold.decided);
        self.standing.lost = transaction.repaired;
    }

    /// Goes on with a new producer; the last one has ended what it had begun.
    pub(super) fn write_with(&mut self, producer: Producer) {
        self.committer = Committer::start(producer, &self.shard.member);
    }

    /// Finishes what is begun and writes a last snapshot, if that is quick.
    pub(super) fn release(&mut self) -> Result<(), Trouble> {
        self.commit()?;
        let end = Deadline::after(LAST_SNAPSHOT);
        let now = self.shard.common.clock.now();
        self.snapshots.begin(&mut self.fold, &self.standing, now);
        while self.snapshots.under_way() && !end.has_passed() {
            self.begin_commit()?;
            self.end_commit()?;
            std::thread::sleep(CHUNK_WAIT);
        }
        Ok(())
    }
}

fn prepend<T>(mut first: Vec<T>, then: &mut Vec<T>) {
    first.append(then);
    *then = first;
}

impl Standing {
    fn is_torn(&self, output: &Output) -> bool {
        !self.torn.is_empty() && self.torn.contains(&(output.topic, output.identity.clone()))
    }

    fn committed(&mut self, record: &CommitRecord, placed: &Placed) {
        self.txn = record.txn;
        self.digest.clone_from(&record.digest);
        if let Some(commit) = placed.commit {
            self.commits = commit + 1;
        }
        // What is torn must be found again by whoever comes next, so the places stay.
        if self.torn.is_empty() {
            for (place, behind) in self.outputs.iter_mut().zip(placed.outputs) {
                *place = behind.unwrap_or(*place);
            }
        }
    }
}

impl Shard {
    /// Counts an output that is committed.
    fn count(&self, output: &Output) {
        let metrics = &self.common.metrics;
        let topic = match output.topic {
            OutputTopic::Triggers => "triggers",
            OutputTopic::Suppressions => "suppressions",
            OutputTopic::DeadLetters => "dead_letters",
            OutputTopic::Late => "late",
        };
        metrics.kafka_outputs.with_label_values(&[topic]).inc();
    }

    /// Counts a trigger record that is committed.
    fn count_decided(&self, decided: &Decided) {
        let metrics = &self.common.metrics;
        let Decided {
            rule,
            kind,
            reason,
            since,
        } = decided;
        metrics.count_trigger(rule, *kind, *reason);
        if *kind == TriggerKind::Fire {
            let delay = metrics.trigger_delay.with_label_values(&[rule]);
            delay.observe(since.seconds());
        }
    }
}
