//! Becomes the owner of a partition: ends what the last owner left open, restores the state from snapshot, commit
//! records and events, and compares what replay computes with what the log says was written.
//!
//! What was written is what the log says, never what replay computes. The order of the steps is part of the protocol:
//! first the transactional id, so that nobody else can write; only then the ends of the topics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message as _};

use crate::domain::Position;
use crate::engine::{self, Engine, Restore};
use crate::stream::kafka::{
    CommitRecord, Config, Extent, Guarantee, IDENTITY_HEADER, Manifest, Output, OutputTopic,
    Producer, Reader, Start, Stored, TRANSACTION_HEADER, Trouble, text_header,
};

use super::audit::Since;
use super::fold::Fold;
use super::replay::{Computed, Replay};

/// Records before the end of the commits topic that are looked at first: the last record, its marker, and what aborted
/// transactions left.
const TAIL: i64 = 64;

/// A partition that is ours.
#[derive(Debug)]
pub(super) struct TakenOver {
    pub(super) producer: Producer,
    pub(super) reader: Reader,
    pub(super) fold: Fold,
    pub(super) standing: Standing,
    pub(super) findings: Findings,
    /// From here on it is to be read back.
    pub(super) since: Since,
}

/// Where the log stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Last committed transaction.
    pub(super) txn: u64,
    /// Chain of hashes up to it.
    pub(super) digest: String,
    /// Offset in the commits topic behind its record.
    pub(super) commits: i64,
    /// Offsets behind the last known outputs.
    pub(super) outputs: [i64; OutputTopic::ALL.len()],
    /// Generation of the newest complete snapshot; 0 if there is none.
    pub(super) generation: u64,
    /// Where it begins in the snapshots topic.
    pub(super) snapshot: Option<i64>,
    /// The transaction it ends with.
    pub(super) snapshot_txn: u64,
    /// How much was applied when it was taken.
    pub(super) snapshot_position: Position,
    /// Outputs that the log holds although their transaction did not end.
    pub(super) torn: BTreeSet<(OutputTopic, String)>,
    /// Outputs that the log lost although their transaction ended.
    pub(super) lost: Vec<Output>,
}

/// What a take-over found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Records of the events topic that were replayed.
    pub(super) replayed: u64,
    /// Transactions that replay decided differently, and outputs that it did not make.
    pub(super) divergences: u64,
    /// Outputs written twice.
    pub(super) repeated: u64,
    /// Outputs without their transaction.
    pub(super) torn: u64,
    /// Transactions without some of their outputs, which are written again.
    pub(super) lost: u64,
    /// Records that retention removed before anybody read them.
    pub(super) skipped: u64,
    /// The group's position is not that of the last commit record.
    pub(super) position_differs: bool,
}

/// What a take-over works with.
pub(super) struct TakeOver<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) engine: &'a engine::Config,
    pub(super) rules: &'a str,
    pub(super) partition: u32,
    pub(super) partitions: u32,
    /// Told now and then how far it is; an error ends the take-over.
    pub(super) progress: &'a dyn Fn(&str) -> Result<(), Trouble>,
}

impl std::fmt::Debug for TakeOver<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakeOver")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// Ends of the topics, looked up after everybody else was fenced.
#[derive(Debug)]
struct Ends {
    events: Extent,
    commits: Extent,
    snapshots: Extent,
    outputs: [Extent; OutputTopic::ALL.len()],
}

/// The state to begin with, and what it stands for.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) engine: Engine,
    pub(super) manifest: Manifest,
    /// Where its snapshot begins; `None` without one.
    pub(super) snapshot: Option<i64>,
}

/// An output that was read back.
#[derive(Debug)]
struct Written {
    txn: u64,
    times: u32,
}

type Emitted = BTreeMap<(OutputTopic, String), Written>;

impl TakeOver<'_> {
    /// Takes the partition over.
    ///
    /// # Errors
    ///
    /// If the broker is away or refuses, or what is needed is no longer in the log.
    pub(super) fn run(&self) -> Result<TakenOver, Trouble> {
        (self.progress)("taking the transactional id")?;
        let producer = Producer::open(self.config, self.partition)?;
        (self.progress)("asking for the ends of the topics")?;
        let mut reader = Reader::open(self.config, self.partition)?;
        let ends = self.ends(&reader)?;
        (self.progress)("asking for the position of the group")?;
        let position = reader.committed()?;
        (self.progress)("reading the last commit record and the snapshot")?;
        let last = self.last_commit(&mut reader, ends.commits)?;
        self.check_partitions(last.as_ref())?;
        let base = self.base(&mut reader, &ends, last.as_ref())?;
        let commits = self.commits(&mut reader, ends.commits, &base.manifest)?;
        let emitted = self.emitted(&mut reader, &ends, &base.manifest)?;
        (self.progress)("replaying events")?;
        let (from, skipped) = self.begin(&ends, &base, last.as_ref(), &commits)?;
        let mut standing = standing(&base, last.as_ref(), &ends);
        let snapshot_outputs = base.manifest.outputs;
        let epoch = last.as_ref().map_or(0, |(record, _)| record.epoch) + 1;
        let mut replay = Replay::new(self, base, commits, epoch, from);
        replay.run(&mut reader, from)?;
        let (fold, mut findings, computed) = replay.finish();
        findings.skipped = skipped;
        verify(&mut standing, &mut findings, computed, emitted);
        if !standing.torn.is_empty() {
            // Whoever comes next must find them again.
            standing.outputs = snapshot_outputs;
        }
        findings.position_differs = self.config.guarantee == Guarantee::ExactlyOnce
            && position != last.as_ref().map(|(last, _)| last.to);
        reader.start(&self.config.topics.events, fold.next)?;
        let since = Since {
            txn: standing.txn,
            seq: fold.seq,
            next: fold.next,
            commits: ends.commits.end,
            outputs: ends.outputs.map(|extent| extent.end),
        };
        Ok(TakenOver {
            producer,
            reader,
            fold,
            standing,
            findings,
            since,
        })
    }

    fn ends(&self, reader: &Reader) -> Result<Ends, Trouble> {
        let topics = &self.config.topics;
        let mut outputs = [Extent::default(); OutputTopic::ALL.len()];
        for (extent, topic) in outputs.iter_mut().zip(OutputTopic::ALL) {
            *extent = reader.extent(topic.name(topics))?;
        }
        Ok(Ends {
            events: reader.extent(&topics.events)?,
            commits: reader.extent(&topics.commits)?,
            snapshots: reader.extent(&topics.snapshots)?,
            outputs,
        })
    }

    /// The last commit record: near the end, unless many transactions were aborted.
    fn last_commit(
        &self,
        reader: &mut Reader,
        extent: Extent,
    ) -> Result<Option<(CommitRecord, i64)>, Trouble> {
        let mut back = TAIL;
        loop {
            let from = extent.end.saturating_sub(back).max(extent.begin);
            let mut last = None;
            reader.range(&self.config.topics.commits, from, extent.end, |message| {
                last = Some((self.commit_record(message)?, message.offset()));
                Ok(())
            })?;
            if last.is_some() || from <= extent.begin {
                return Ok(last.map(|(record, offset)| (record, offset + 1)));
            }
            back = back.saturating_mul(8);
        }
    }

    fn commit_record(&self, message: &BorrowedMessage<'_>) -> Result<CommitRecord, Trouble> {
        CommitRecord::decode(message.payload().unwrap_or_default()).map_err(|error| {
            self.damaged(
                &self.config.topics.commits,
                &format!(
                    "the record at offset {} is no commit record: {error}",
                    message.offset()
                ),
            )
        })
    }

    fn check_partitions(&self, last: Option<&(CommitRecord, i64)>) -> Result<(), Trouble> {
        match last {
            Some((record, _)) if record.partitions != self.partitions => Err(Trouble::Partitions {
                topic: self.config.topics.events.clone(),
                found: self.partitions,
                expected: record.partitions,
            }),
            _ => Ok(()),
        }
    }

    /// The newest snapshot, or an engine that knows nothing.
    fn base(
        &self,
        reader: &mut Reader,
        ends: &Ends,
        last: Option<&(CommitRecord, i64)>,
    ) -> Result<Base, Trouble> {
        let topic = &self.config.topics.snapshots;
        let hint = last.and_then(|(record, _)| record.snapshot);
        let from = hint
            .unwrap_or(ends.snapshots.begin)
            .max(ends.snapshots.begin);
        let mut stored = Stored::default();
        reader.range(topic, from, ends.snapshots.end, |message| {
            if let (Some(key), Some(value)) = (message.key(), message.payload()) {
                stored.take(message.offset(), key, value);
            }
            Ok(())
        })?;
        let restored = match stored.newest() {
            Ok(None) => return Ok(self.nothing(ends)),
            Ok(Some((manifest, first, bytes))) => restore(self.engine, &bytes).map(|engine| Base {
                engine,
                manifest,
                snapshot: Some(first),
            }),
            Err(error) => Err(error),
        };
        restored.or_else(|error| {
            let partition = self.partition;
            tracing::warn!(
                partition,
                error,
                "the snapshot cannot be used; everything is replayed"
            );
            Ok(self.nothing(ends))
        })
    }

    fn nothing(&self, ends: &Ends) -> Base {
        Base {
            engine: Engine::new(self.engine.clone()),
            manifest: Manifest {
                commits: ends.commits.begin,
                outputs: ends.outputs.map(|extent| extent.begin),
                ..Manifest::default()
            },
            snapshot: None,
        }
    }

    /// The commit records after the snapshot, without a gap.
    fn commits(
        &self,
        reader: &mut Reader,
        extent: Extent,
        manifest: &Manifest,
    ) -> Result<VecDeque<CommitRecord>, Trouble> {
        let topic = &self.config.topics.commits;
        let from = manifest.commits.max(extent.begin);
        let mut commits = VecDeque::new();
        let mut expected = manifest.txn + 1;
        reader.range(topic, from, extent.end, |message| {
            let record = self.commit_record(message)?;
            if record.txn < expected {
                return Ok(());
            }
            if record.txn > expected {
                return Err(self.damaged(
                    topic,
                    &format!(
                        "there is transaction {} where {expected} belongs; commit records since the last snapshot must be \
                         kept: raise the topic's retention",
                        record.txn
                    ),
                ));
            }
            expected += 1;
            commits.push_back(record);
            Ok(())
        })?;
        Ok(commits)
    }

    /// What the output topics hold since the snapshot.
    fn emitted(
        &self,
        reader: &mut Reader,
        ends: &Ends,
        manifest: &Manifest,
    ) -> Result<Emitted, Trouble> {
        let mut emitted = Emitted::new();
        for ((topic, extent), since) in OutputTopic::ALL
            .into_iter()
            .zip(ends.outputs)
            .zip(manifest.outputs)
        {
            let name = topic.name(&self.config.topics);
            reader.range(name, since.max(extent.begin), extent.end, |message| {
                let Some(identity) = text_header(message, IDENTITY_HEADER) else {
                    // A dead letter of the door, which is in no transaction.
                    return Ok(());
                };
                let txn = text_header(message, TRANSACTION_HEADER)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0);
                emitted
                    .entry((topic, identity.to_owned()))
                    .or_insert(Written { txn, times: 0 })
                    .times += 1;
                Ok(())
            })?;
        }
        Ok(emitted)
    }

    /// Where replay begins, and how many records nobody read before retention removed them.
    fn begin(
        &self,
        ends: &Ends,
        base: &Base,
        last: Option<&(CommitRecord, i64)>,
        commits: &VecDeque<CommitRecord>,
    ) -> Result<(i64, u64), Trouble> {
        let events = &self.config.topics.events;
        let wanted = match (base.snapshot, last, commits.front()) {
            (Some(_), ..) => base.manifest.offset,
            (None, Some(_), Some(first)) => first.from,
            (None, Some((last, _)), None) => last.to,
            (None, None, _) if self.config.start == Start::Latest => ends.events.end,
            (None, None, _) => ends.events.begin,
        };
        let reached = commits.back().map_or(wanted, |last| last.to);
        if reached > ends.events.end {
            let detail = format!(
                "it ends at {} but {reached} was reached before: the topic was made anew; begin anew too, with \
                 other topics, another kafka.group and another kafka.app",
                ends.events.end
            );
            return Err(self.damaged(events, &detail));
        }
        if wanted < ends.events.begin && reached > wanted {
            let detail = format!(
                "offsets {wanted} to {reached}, from which the state follows, are gone; the retention must outlast \
                 kafka.snapshot_interval_s"
            );
            return Err(self.damaged(events, &detail));
        }
        let from = wanted.max(ends.events.begin);
        Ok((from, from.abs_diff(wanted)))
    }

    fn damaged(&self, topic: &str, detail: &str) -> Trouble {
        Trouble::Damaged {
            topic: topic.to_owned(),
            detail: format!("partition {}: {detail}", self.partition),
        }
    }
}

fn restore(config: &engine::Config, bytes: &[u8]) -> Result<Engine, String> {
    let mut restore = Restore::new(config.clone());
    restore.feed(bytes).map_err(|error| error.to_string())?;
    restore.finish().map_err(|error| error.to_string())
}

fn standing(base: &Base, last: Option<&(CommitRecord, i64)>, ends: &Ends) -> Standing {
    Standing {
        txn: last.map_or(base.manifest.txn, |(record, _)| record.txn),
        digest: last.map_or_else(
            || base.manifest.digest.clone(),
            |(record, _)| record.digest.clone(),
        ),
        commits: last.map_or(base.manifest.commits, |(_, behind)| *behind),
        outputs: ends.outputs.map(|extent| extent.end),
        generation: base.manifest.generation,
        snapshot: base.snapshot,
        snapshot_txn: base.manifest.txn,
        snapshot_position: base.manifest.position,
        torn: BTreeSet::new(),
        lost: Vec::new(),
    }
}

/// Compares what replay made with what the log holds: what is missing is written again, what is there already is not.
/// Of a transaction that replay decides differently nothing is missing: the log counts, not replay.
fn verify(
    standing: &mut Standing,
    findings: &mut Findings,
    computed: Vec<Computed>,
    mut emitted: Emitted,
) {
    for Computed { output, as_logged } in computed {
        match emitted.remove(&(output.topic, output.identity.clone())) {
            Some(written) => findings.repeated += u64::from(written.times - 1),
            None if as_logged => standing.lost.push(output),
            None => {}
        }
    }
    findings.lost = standing.lost.len() as u64;
    for (key, written) in emitted {
        // What is older than the snapshot was accounted for before it was taken.
        if written.txn > standing.txn {
            findings.torn += 1;
        } else if written.txn > standing.snapshot_txn {
            findings.divergences += 1;
        }
        findings.repeated += u64::from(written.times - 1);
        standing.torn.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;

    fn output(identity: &str) -> Output {
        Output {
            topic: OutputTopic::Triggers,
            identity: identity.to_owned(),
            seq: 1,
            key: None,
            value: None,
            headers: Vec::new(),
            time: Millis(1),
        }
    }

    fn check(computed: &[(&str, bool)], emitted: &[(&str, u64, u32)]) -> (Standing, Findings) {
        let mut standing = Standing {
            txn: 7,
            ..Standing::default()
        };
        let mut findings = Findings::default();
        let computed = computed
            .iter()
            .map(|(identity, as_logged)| Computed {
                output: output(identity),
                as_logged: *as_logged,
            })
            .collect();
        let emitted = emitted
            .iter()
            .map(|(identity, txn, times)| {
                let key = (OutputTopic::Triggers, (*identity).to_owned());
                let written = Written {
                    txn: *txn,
                    times: *times,
                };
                (key, written)
            })
            .collect();
        verify(&mut standing, &mut findings, computed, emitted);
        (standing, findings)
    }

    #[test]
    fn what_agrees_needs_nothing() {
        let (standing, findings) = check(&[("a", true), ("b", true)], &[("a", 6, 1), ("b", 7, 1)]);
        assert_eq!(findings, Findings::default());
        assert!(standing.lost.is_empty() && standing.torn.is_empty());
    }

    #[test]
    fn a_lost_output_is_written_again_unless_replay_decides_differently() {
        let (standing, findings) = check(&[("a", true), ("b", false)], &[]);
        assert_eq!(findings.lost, 1);
        assert_eq!(standing.lost, [output("a")]);
    }

    #[test]
    fn an_output_without_its_transaction_is_not_written_twice() {
        let (standing, findings) = check(&[], &[("a", 8, 1)]);
        assert_eq!((findings.torn, findings.divergences), (1, 0));
        assert!(
            standing
                .torn
                .contains(&(OutputTopic::Triggers, "a".to_owned()))
        );
    }

    #[test]
    fn what_replay_does_not_make_and_what_is_there_twice_is_told() {
        let (_, findings) = check(&[("a", true)], &[("a", 7, 2), ("b", 7, 1)]);
        assert_eq!((findings.repeated, findings.divergences), (1, 1));
    }
}
