//! Goes on after trouble without restoring the state: a new producer ends the last transaction, the log says what
//! became of it, and the state is what follows from it already.

use std::collections::BTreeSet;

use rdkafka::message::Message as _;

use crate::stream::kafka::{
    CommitRecord, IDENTITY_HEADER, OutputTopic, Placed, Producer, Reader, Transaction, Trouble,
    text_header,
};

use super::live::Live;

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// The partition is followed again.
    GoesOn,
    /// The log went on without this state: it is to be restored.
    Overtaken,
}

/// What the log holds beyond the last known transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Beyond {
    /// Commit records, with their offsets.
    commits: Vec<(CommitRecord, i64)>,
    outputs: BTreeSet<(OutputTopic, String)>,
    /// Offsets behind the outputs.
    ends: [i64; OutputTopic::ALL.len()],
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing of it is in the log.
    Aborted,
    /// All of it is; its commit record has this offset.
    Committed(i64),
    /// The log says something else.
    Unknown,
}

impl Live<'_> {
    /// Takes the transactional id again and settles what the last transaction left open.
    ///
    /// # Errors
    ///
    /// If the brokers are away or refuse: it may be tried again.
    pub(super) fn renew(&mut self) -> Result<Renewed, Trouble> {
        if let Err(trouble) = self.end_commit() {
            let partition = self.shard.partition;
            tracing::debug!(partition, %trouble, "the transaction under way failed too");
        }
        // From here on nobody can write for the partition but this new producer; so only now is the log's end final.
        let producer = Producer::open(&self.shard.common.config, self.shard.partition)?;
        let beyond = self.beyond()?;
        let failed = self.failed.take();
        let fate = match &self.standing.torn {
            torn if torn.is_empty() => fate(failed.as_ref().map(|it| &it.transaction), &beyond),
            // What is torn is sorted out by whoever reads everything.
            _ => Fate::Unknown,
        };
        match (fate, failed) {
            (Fate::Committed(commit), Some(attempt)) => {
                let placed = Placed {
                    outputs: beyond.ends.map(Some),
                    commit: Some(commit),
                    chunk: None,
                };
                if !attempt.completes_snapshot() {
                    self.snapshots.give_up();
                }
                self.settle(attempt, &placed);
            }
            (Fate::Aborted, failed) => {
                self.snapshots.give_up();
                if let Some(failed) = failed {
                    self.take_back(failed);
                }
            }
            (Fate::Committed(_) | Fate::Unknown, _) => return Ok(Renewed::Overtaken),
        }
        self.write_with(producer);
        self.read_on()?;
        self.shard.common.metrics.kafka_renewals.inc();
        Ok(Renewed::GoesOn)
    }

    fn beyond(&self) -> Result<Beyond, Trouble> {
        let config = &self.shard.common.config;
        let mut reader = Reader::open(config, self.shard.partition)?;
        let mut beyond = Beyond::default();
        let commits = reader.extent(&config.topics.commits)?;
        let from = self.standing.commits;
        reader.range(&config.topics.commits, from, commits.end, |message| {
            let record = CommitRecord::decode(message.payload().unwrap_or_default());
            // Another owner's may be of a later program; that it is there says enough.
            let record = record.unwrap_or_default();
            beyond.commits.push((record, message.offset()));
            Ok(())
        })?;
        let known = OutputTopic::ALL.into_iter().zip(self.standing.outputs);
        for ((topic, since), end) in known.zip(&mut beyond.ends) {
            let name = topic.name(&config.topics);
            *end = reader.extent(name)?.end;
            let outputs = &mut beyond.outputs;
            reader.range(name, since, *end, |message| {
                if let Some(identity) = text_header(message, IDENTITY_HEADER) {
                    outputs.insert((topic, identity.to_owned()));
                }
                Ok(())
            })?;
        }
        Ok(beyond)
    }
}

/// A transaction is in the log as a whole or not at all; anything else is for the one who restores the state.
fn fate(failed: Option<&Transaction>, beyond: &Beyond) -> Fate {
    match (beyond.commits.as_slice(), failed) {
        ([], _) if beyond.outputs.is_empty() => Fate::Aborted,
        ([(found, offset)], Some(failed))
            if *found == failed.record && beyond.outputs == identities(failed) =>
        {
            Fate::Committed(*offset)
        }
        _ => Fate::Unknown,
    }
}

fn identities(transaction: &Transaction) -> BTreeSet<(OutputTopic, String)> {
    let outputs = transaction.outputs.iter().chain(&transaction.repaired);
    outputs
        .map(|output| (output.topic, output.identity.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;
    use crate::stream::kafka::Output;

    fn record(txn: u64) -> CommitRecord {
        CommitRecord {
            txn,
            ..CommitRecord::default()
        }
    }

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

    /// Transaction 3, which writes an output anew and has one of its own.
    fn failed() -> Transaction {
        Transaction {
            record: record(3),
            repaired: vec![output("a")],
            outputs: vec![output("b")],
            parts: Vec::new(),
        }
    }

    fn beyond(commits: &[u64], written: &[&str]) -> Beyond {
        let written = written.iter();
        Beyond {
            commits: commits.iter().map(|txn| (record(*txn), 9)).collect(),
            outputs: written
                .map(|identity| (OutputTopic::Triggers, (*identity).to_owned()))
                .collect(),
            ..Beyond::default()
        }
    }

    #[test]
    fn nothing_or_everything_of_a_transaction_lets_it_go_on() {
        let judge = |beyond: &Beyond| fate(Some(&failed()), beyond);
        assert_eq!(judge(&beyond(&[], &[])), Fate::Aborted);
        assert_eq!(judge(&beyond(&[3], &["a", "b"])), Fate::Committed(9));
        assert_eq!(fate(None, &beyond(&[], &[])), Fate::Aborted);
    }

    #[test]
    fn a_log_that_says_anything_else_is_read_anew() {
        let others = beyond(&[4], &["a", "b"]);
        let torn = beyond(&[], &["a"]);
        let lost = beyond(&[3], &["a"]);
        let went_on = beyond(&[3, 4], &["a", "b"]);
        for beyond in [others, torn, lost, went_on] {
            assert_eq!(fate(Some(&failed()), &beyond), Fate::Unknown, "{beyond:?}");
        }
        assert_eq!(
            fate(None, &beyond(&[3], &["a", "b"])),
            Fate::Unknown,
            "nothing was asked for"
        );
    }
}
