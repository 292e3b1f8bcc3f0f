//! External ids to dense numbers: compared once at the door, never inside.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::domain::Id;

const SHARDS: usize = 64;
const SHARD_SHIFT: u32 = 64 - SHARDS.trailing_zeros();

/// A dictionary that only grows. One writer adds names, in log order, so that numbers depend on the log alone;
/// readers look names up meanwhile and wait for no more than the growth of one of 64 tables.
#[derive(Debug)]
pub(crate) struct Interner {
    hasher: FixedState,
    shards: Vec<RwLock<HashTable<u32>>>,
    names: boxcar::Vec<Id>,
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self {
            hasher: FixedState::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            names: boxcar::Vec::new(),
        }
    }

    /// The number of a name, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let table = self.shard(hash).read();
        table.find(hash, |&id| self.is(id, name)).copied()
    }

    /// The number of a name, new or old. Only the writer calls this.
    pub(crate) fn intern(&self, name: &Id) -> u32 {
        let hash = self.hasher.hash_one(name.as_str());
        let shard = self.shard(hash);
        if let Some(&id) = shard.read().find(hash, |&id| self.is(id, name)) {
            return id;
        }
        let id = u32::try_from(self.names.push(name.clone())).unwrap_or(u32::MAX);
        shard
            .write()
            .insert_unique(hash, id, |&id| self.hasher.hash_one(self.text(id)));
        id
    }

    /// The name of a number; empty for one never given out.
    pub(crate) fn name(&self, id: u32) -> Id {
        self.names.get(id as usize).cloned().unwrap_or_default()
    }

    /// How many names there are: numbers run from 0 to below this.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.names.count()).unwrap_or(u32::MAX)
    }

    /// Bytes in use, slack of the tables included.
    pub(crate) fn bytes(&self) -> u64 {
        let tables: usize = self.shards.iter().map(|s| s.read().allocation_size()).sum();
        let entry = size_of::<Id>() + size_of::<usize>();
        let long: usize = self
            .names
            .iter()
            .filter(|(_, name)| name.is_heap_allocated())
            .map(|(_, name)| name.capacity())
            .sum();
        (tables + self.names.count().next_power_of_two() * entry + long) as u64
    }

    fn text(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", Id::as_str)
    }

    fn is(&self, id: u32, name: &str) -> bool {
        self.text(id) == name
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the shift leaves six bits, there are 64 shards"
    )]
    fn shard(&self, hash: u64) -> &RwLock<HashTable<u32>> {
        &self.shards[(hash >> SHARD_SHIFT) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Interner;
    use crate::domain::Id;

    #[test]
    fn numbers_are_dense_and_names_come_back() {
        let interner = Interner::new();
        for n in 0..10_000_u32 {
            assert_eq!(interner.intern(&Id::from(format!("item-{n}"))), n);
        }
        assert_eq!(interner.intern(&Id::from("item-77")), 77);
        assert_eq!(interner.get("item-9999"), Some(9_999));
        assert_eq!(interner.get("item-10000"), None);
        assert_eq!(interner.name(77), "item-77");
        assert_eq!(interner.len(), 10_000);
    }
}
