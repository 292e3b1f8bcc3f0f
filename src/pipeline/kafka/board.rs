//! What the partitions of this process are doing, for readiness and for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// What the partitions are doing. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Why the group cannot be followed.
    trouble: Option<String>,
    joined: bool,
    shards: BTreeMap<u32, Shard>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    live: bool,
    trouble: bool,
    why: String,
    lag_records: u64,
    lag_ms: i64,
}

/// Whether the process may be sent work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not everything that is ours can be answered from.
    Restoring(String),
    /// Everything that is ours is live.
    Live,
    /// Live, and behind what the shop sends.
    Behind(String),
    /// Something cannot go on.
    Stopped(String),
}

impl Board {
    /// The group cannot be followed, or can again.
    pub(super) fn trouble(&self, why: Option<String>) {
        self.0.lock().trouble = why;
    }

    /// Why the group cannot be followed, as last told.
    pub(super) fn told(&self) -> Option<String> {
        self.0.lock().trouble.clone()
    }

    pub(super) fn joined(&self) {
        self.0.lock().joined = true;
    }

    pub(super) fn remove(&self, partition: u32) {
        self.0.lock().shards.remove(&partition);
    }

    /// A partition is being taken over.
    pub(super) fn restoring(&self, partition: u32, why: &str) {
        self.change(partition, |shard| {
            shard.live = false;
            if !shard.trouble {
                why.clone_into(&mut shard.why);
            }
        });
    }

    pub(super) fn live(&self, partition: u32) {
        self.change(partition, |shard| {
            *shard = Shard {
                live: true,
                ..Shard::default()
            };
        });
    }

    /// A partition cannot go on for now.
    pub(super) fn stopped(&self, partition: u32, why: &str) {
        self.change(partition, |shard| {
            shard.live = false;
            shard.trouble = true;
            why.clone_into(&mut shard.why);
        });
    }

    pub(super) fn lag(&self, partition: u32, records: u64, ms: i64) {
        self.change(partition, |shard| {
            shard.lag_records = records;
            shard.lag_ms = ms;
        });
    }

    /// How many partitions are live.
    pub fn partitions_live(&self) -> u64 {
        let inner = self.0.lock();
        inner.shards.values().filter(|shard| shard.live).count() as u64
    }

    /// Whether work is welcome; a lag beyond `lag_ms_max` counts as behind.
    pub fn condition(&self, lag_ms_max: i64) -> Condition {
        let inner = self.0.lock();
        if let Some(why) = &inner.trouble {
            return Condition::Stopped(why.clone());
        }
        if let Some((partition, shard)) = inner.shards.iter().find(|(_, shard)| shard.trouble) {
            return Condition::Stopped(format!("partition {partition}: {}", shard.why));
        }
        let waiting = inner.shards.iter().filter(|(_, shard)| !shard.live).count();
        if let Some((partition, shard)) = inner.shards.iter().find(|(_, shard)| !shard.live) {
            let all = inner.shards.len();
            return Condition::Restoring(format!(
                "{waiting} of {all} partitions are being taken over; partition {partition}: {}",
                shard.why
            ));
        }
        if !inner.joined {
            return Condition::Restoring("joining the consumer group".to_owned());
        }
        if inner.shards.is_empty() {
            return Condition::Restoring("no partition is assigned to this instance".to_owned());
        }
        let worst = inner
            .shards
            .iter()
            .max_by_key(|(_, shard)| shard.lag_ms)
            .filter(|(_, shard)| shard.lag_ms > lag_ms_max);
        worst.map_or(Condition::Live, |(partition, shard)| {
            Condition::Behind(format!(
                "partition {partition} is {} records and {} s behind",
                shard.lag_records,
                shard.lag_ms / 1_000
            ))
        })
    }

    fn change(&self, partition: u32, change: impl FnOnce(&mut Shard)) {
        change(self.0.lock().shards.entry(partition).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_partition_speaks_for_all() {
        let board = Board::default();
        assert!(matches!(board.condition(10), Condition::Restoring(_)));
        board.joined();
        board.restoring(0, "replaying events");
        board.restoring(1, "replaying events");
        board.live(0);
        let Condition::Restoring(why) = board.condition(10) else {
            panic!("one is not live");
        };
        assert!(
            why.contains("1 of 2") && why.contains("partition 1"),
            "{why}"
        );

        board.live(1);
        assert_eq!(board.condition(10), Condition::Live);
        board.lag(1, 5, 11_000);
        assert!(matches!(board.condition(10), Condition::Behind(_)));

        board.stopped(0, "no broker answers");
        board.restoring(0, "taking the transactional id");
        let Condition::Stopped(why) = board.condition(10) else {
            panic!("trouble stays until it is live");
        };
        assert!(why.contains("no broker answers"), "{why}");
    }
}
