//! External ids to dense numbers: compared once at the door, never inside.

mod names;

use std::hash::{BuildHasher, Hasher};

use dashmap::{DashMap, SharedValue};
use foldhash::fast::FixedState;

use self::names::{Names, packed};
use crate::domain::Id;

/// Tables of the index: each grows on its own, so that no reader waits for the growth of all.
const SHARDS: usize = 64;

/// A dictionary that only grows. One writer adds names, in log order, so that numbers depend on the log alone;
/// readers look names up meanwhile and wait for no more than the growth of one of 64 tables.
#[derive(Debug)]
pub(crate) struct Interner {
    /// Numbers, each under the hash of its name: the names themselves are in `names` only.
    index: DashMap<u32, (), FixedState>,
    names: Names,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            index: DashMap::with_hasher_and_shard_amount(FixedState::default(), SHARDS),
            names: Names::default(),
        }
    }
}

impl Interner {
    /// The number of a name, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hash(packed(name));
        let shard = self.index.shards().get(self.shard(hash))?.read();
        let (number, _) = shard.get(hash, |(number, _)| self.names.is(*number, name))?;
        Some(*number)
    }

    /// The number of a name, new or old. Only the writer calls this.
    pub(crate) fn intern(&self, name: &str) -> u32 {
        if let Some(number) = self.get(name) {
            return number;
        }
        let hash = self.hash(packed(name));
        let number = self.names.push(name);
        if let Some(shard) = self.index.shards().get(self.shard(hash)) {
            let entry = (number, SharedValue::new(()));
            shard.write().insert(hash, entry, |(number, _)| {
                self.hash(self.names.words(*number))
            });
        }
        number
    }

    /// The name of a number; empty for one never given out.
    pub(crate) fn name(&self, number: u32) -> Id {
        self.names.get(number)
    }

    /// How many names there are: numbers run from 0 to below this.
    pub(crate) fn len(&self) -> u32 {
        self.names.len()
    }

    /// Bytes in use, slack included.
    pub(crate) fn bytes(&self) -> u64 {
        let entry = size_of::<(u32, SharedValue<()>)>() + 1;
        let tables: usize = self
            .index
            .shards()
            .iter()
            .map(|shard| shard.read().buckets())
            .sum();
        (tables * entry + self.names.bytes()) as u64
    }

    fn hash(&self, words: impl Iterator<Item = u64>) -> u64 {
        let mut hasher = self.index.hasher().build_hasher();
        words.for_each(|word| hasher.write_u64(word));
        hasher.finish()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of the hash will do"
    )]
    fn shard(&self, hash: u64) -> usize {
        self.index.determine_shard(hash as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::Interner;

    #[test]
    fn numbers_are_dense_and_names_come_back() {
        let interner = Interner::default();
        for n in 0..10_000_u32 {
            assert_eq!(interner.intern(&format!("item-{n}")), n);
        }
        assert_eq!(interner.intern("item-77"), 77);
        assert_eq!(interner.get("item-9999"), Some(9_999));
        assert_eq!(interner.get("item-10000"), None);
        assert_eq!(interner.name(77), "item-77");
        assert_eq!(interner.len(), 10_000);
    }
}
