//! Storage by dense number: only grows, and is read while it grows.

use std::sync::atomic::{AtomicU32, Ordering};

/// Entries in a block.
const BLOCK: usize = 256;

/// Entries `0..len`, in blocks that never move. Entries change through locks of their own; only one thread adds.
#[derive(Debug)]
pub(crate) struct Slots<S> {
    /// All full; entries from `len` on are not in use yet.
    blocks: boxcar::Vec<Box<[S]>>,
    len: AtomicU32,
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Self {
            blocks: boxcar::Vec::new(),
            len: AtomicU32::new(0),
        }
    }
}

impl<S> Slots<S> {
    /// How many entries there are.
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Entries for which there is memory.
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.count() * BLOCK
    }

    /// An entry; `None` from `len` on.
    pub(crate) fn get(&self, number: u32) -> Option<&S> {
        if number >= self.len() {
            return None;
        }
        let number = number as usize;
        self.blocks.get(number / BLOCK)?.get(number % BLOCK)
    }

    /// The entries from `first` on that lie in one piece, at most `len`.
    pub(crate) fn run(&self, first: u32, len: usize) -> &[S] {
        let block = self.blocks.get(first as usize / BLOCK);
        let entries = block.and_then(|block| block.get(first as usize % BLOCK..));
        entries.map_or(&[], |entries| entries.get(..len).unwrap_or(entries))
    }

    /// Adds entries until there are `len`; `begin` is called for each before anyone can see it.
    pub(crate) fn ensure(&self, len: u32, empty: impl Fn() -> S, begin: impl Fn(&S)) {
        let known = self.len();
        if len <= known {
            return;
        }
        while self.capacity() < len as usize {
            self.blocks
                .push(std::iter::repeat_with(&empty).take(BLOCK).collect());
        }
        for number in known as usize..len as usize {
            let entry = self.blocks.get(number / BLOCK);
            entry
                .and_then(|block| block.get(number % BLOCK))
                .map(&begin);
        }
        self.len.store(len, Ordering::Release);
    }

    /// All entries, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        let blocks = self.blocks.iter().flat_map(|(_, block)| block.iter());
        blocks.take(self.len() as usize)
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::Slots;

    #[test]
    fn entries_stay_where_they_are() {
        let slots: Slots<Mutex<u32>> = Slots::default();
        assert!(slots.get(0).is_none());
        let empty = || Mutex::new(6);
        let begin = |slot: &Mutex<u32>| *slot.lock() += 1;
        slots.ensure(1, empty, begin);
        let first = slots.get(0).unwrap();
        *first.lock() = 8;
        slots.ensure(1_000, empty, begin);
        slots.ensure(10, empty, begin);
        assert_eq!((slots.len(), slots.iter().count()), (1_000, 1_000));
        assert_eq!((*first.lock(), *slots.get(999).unwrap().lock()), (8, 7));
        assert!(slots.get(1_000).is_none());
    }
}
