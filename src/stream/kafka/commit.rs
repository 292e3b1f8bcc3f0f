//! The commit record: what a transaction did, so that whoever comes next can do it again and compare.

use serde::{Deserialize, Serialize};

use crate::domain::{Millis, Seq};

/// One transaction of a partition. The record is written within the transaction it describes: it is there exactly if
/// the transaction is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommitRecord {
    /// Grows with every take-over of the partition.
    pub epoch: u64,
    /// Number of the transaction, gap-free from 1.
    pub txn: u64,
    /// First offset of the events topic that is in it.
    pub from: i64,
    /// First offset that is not; the next transaction begins here.
    pub to: i64,
    /// The owner's clock, with the places where it was applied.
    pub ticks: Vec<Tick>,
    /// Number of the last trigger record before it.
    pub seq_before: Seq,
    /// Number of the last trigger record with it; the same if it has none.
    pub seq: Seq,
    /// Records for the triggers topic.
    pub triggers: u32,
    /// Records for the suppressions topic.
    pub suppressions: u32,
    /// Records for the dead-letter topic.
    pub dead_letters: u32,
    /// Records for the topic of late events.
    pub late: u32,
    /// Of earlier transactions, records that had been lost and are written again in this one.
    pub repaired: u32,
    /// Records that the log held already although their transaction did not end: not written again.
    pub torn: u32,
    /// Hash of the identities and numbers of everything it decided.
    pub decided: String,
    /// Chain of the hashes of all transactions up to this one.
    pub digest: String,
    /// Version of the program.
    pub program: String,
    /// Hash of the rules and settings it decided by.
    pub rules: String,
    /// Partitions of the events topic.
    pub partitions: u32,
    /// Where the newest complete snapshot begins in the snapshots topic.
    pub snapshot: Option<i64>,
    /// The owner's clock at the commit.
    pub time: Millis,
}

/// The owner's clock, applied before the record at `at` or any later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Offset of the events topic.
    pub at: i64,
    /// What the clock showed.
    pub wall: Millis,
    /// Whether the partition was known to be read to its end for long enough.
    pub caught_up: bool,
}

impl CommitRecord {
    /// The record as JSON: small, and readable with any tool.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and texts always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The record in these bytes.
    ///
    /// # Errors
    ///
    /// If they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if record.txn == 0 || record.to < record.from || record.seq < record.seq_before {
            return Err(format!("transaction {} contradicts itself", record.txn));
        }
        Ok(record)
    }

    /// Fills in what the transaction decided, as `decisions` names it in order, and the chain after `previous`.
    pub fn seal<'a>(&mut self, previous: &str, decisions: impl Iterator<Item = (&'a str, Seq)>) {
        let mut hasher = blake3::Hasher::new();
        for (identity, seq) in decisions {
            hasher.update(identity.as_bytes());
            hasher.update(&[0]);
            hasher.update(&seq.to_le_bytes());
        }
        self.decided = short(&hasher.finalize());
        self.digest = chain(previous, self);
    }
}

/// The chain after a transaction, given the chain before it.
pub fn chain(previous: &str, record: &CommitRecord) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous.as_bytes());
    for number in [record.from, record.to] {
        hasher.update(&number.to_le_bytes());
    }
    for tick in &record.ticks {
        hasher.update(&tick.at.to_le_bytes());
        hasher.update(&tick.wall.0.to_le_bytes());
        hasher.update(&[u8::from(tick.caught_up)]);
    }
    hasher.update(record.decided.as_bytes());
    short(&hasher.finalize())
}

/// 128 bits in hexadecimal digits.
fn short(hash: &blake3::Hash) -> String {
    hash.to_hex().chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> CommitRecord {
        let mut record = CommitRecord {
            epoch: 2,
            txn: 7,
            from: 10,
            to: 15,
            ticks: vec![Tick {
                at: 12,
                wall: Millis(1_000),
                caught_up: true,
            }],
            seq_before: 3,
            seq: 4,
            triggers: 1,
            ..CommitRecord::default()
        };
        record.seal("before", [("fire/ab", 4)].into_iter());
        record
    }

    #[test]
    fn a_record_reads_back_as_it_was() {
        let record = record();
        assert_eq!(CommitRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let mut broken = record();
        broken.to = 9;
        assert!(CommitRecord::decode(&broken.encode()).is_err());
        assert!(CommitRecord::decode(b"{}").is_err());
        assert!(CommitRecord::decode(b"nonsense").is_err());
    }

    #[test]
    fn the_chain_tells_every_difference() {
        let first = record();
        let mut other_tick = first.clone();
        other_tick.ticks[0].caught_up = false;
        let mut other_decision = first.clone();
        other_decision.seal("before", [("fire/ac", 4)].into_iter());
        assert_ne!(chain("before", &first), chain("before", &other_tick));
        assert_ne!(first.digest, other_decision.digest);
        assert_ne!(chain("before", &first), chain("another past", &first));
        assert_eq!(chain("before", &first), first.digest);
    }
}
