//! What scores are divided by, for every item in one dense array: it stays in the cache while rows do not.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are kept in 32 bits, and ids are dense"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::items::decay::Era;

/// Items in a block.
const BLOCK: usize = 1024;

/// `n^-q` of every item, with the era of its `n`. One writer, any number of readers.
#[derive(Debug, Default)]
pub(super) struct Factors {
    blocks: boxcar::Vec<Box<[AtomicU64]>>,
}

impl Factors {
    /// Makes room for items below `len`.
    pub(super) fn ensure(&self, len: usize) {
        while self.blocks.count() * BLOCK < len {
            self.blocks
                .push((0..BLOCK).map(|_| AtomicU64::new(0)).collect());
        }
    }

    pub(super) fn set(&self, item: u32, factor: f32, era: Era) {
        if let Some(slot) = self.slot(item) {
            // One word, so that a reader never sees a factor with another's era.
            slot.store(
                u64::from(era) << 32 | u64::from(factor.to_bits()),
                Ordering::Relaxed,
            );
        }
    }

    /// The factor and its era; 0 for an item without sessions.
    pub(super) fn get(&self, item: u32) -> (f32, Era) {
        let word = self
            .slot(item)
            .map_or(0, |slot| slot.load(Ordering::Relaxed));
        (f32::from_bits(word as u32), (word >> 32) as u32)
    }

    fn slot(&self, item: u32) -> Option<&AtomicU64> {
        let item = item as usize;
        self.blocks.get(item / BLOCK)?.get(item % BLOCK)
    }
}
