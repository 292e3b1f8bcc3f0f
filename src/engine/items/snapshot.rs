//! A snapshot of all rows while the writer goes on: every row belongs to it as it was at the beginning.
//!
//! A row carries the number of the snapshot that has it. The sweep takes the rows one by one; the writer, before it
//! changes a row that the sweep has not reached, hands over the row's pre-image. Both hold the row's lock, so that each row is
//! taken once.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Buf, BufMut, TryGetError};
use parking_lot::Mutex;

use crate::engine::items::Items;
use crate::engine::items::row::Row;

/// Why bytes are no part of a snapshot of these items.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends too early.
    #[error("the snapshot of the items is cut short: {0}")]
    Truncated(#[from] TryGetError),
    /// The row belongs to an item that is not there; make room for all items before restoring rows.
    #[error("the snapshot has a row of item {item}, but there are only {len} items")]
    UnknownItem {
        /// The item of the row.
        item: u32,
        /// How many items there are.
        len: u32,
    },
}

/// The snapshot under way.
#[derive(Debug, Default)]
pub(super) struct SnapshotState {
    /// Number of the latest snapshot.
    epoch: AtomicU32,
    /// Rows below this belong to it; 0 when none is under way.
    rows: AtomicU32,
    pre_images: Mutex<Vec<u8>>,
}

impl SnapshotState {
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Called with the row locked, before its first change.
    pub(super) fn before_change(&self, item: u32, row: &mut Row) {
        if item < self.rows.load(Ordering::Acquire) && row.epoch != self.epoch() {
            row.epoch = self.epoch();
            encode_entry(item, row, &mut self.pre_images.lock());
        }
    }
}

/// A row with its item in front.
fn encode_entry(item: u32, row: &Row, out: &mut Vec<u8>) {
    out.put_u32_le(item);
    row.encode(out);
}

impl Items {
    /// Begins a snapshot of the state as it is now, by the writer's thread; answers how many rows belong to it. One
    /// that was under way is given up.
    pub fn begin_snapshot(&self) -> u32 {
        self.end_snapshot();
        self.snapshot.epoch.fetch_add(1, Ordering::AcqRel);
        let rows = self.len();
        self.snapshot.rows.store(rows, Ordering::Release);
        rows
    }

    /// Appends the entry of `item` to `out` unless the snapshot has it; call it for every row that belongs to the snapshot.
    pub fn sweep(&self, item: u32, out: &mut Vec<u8>) {
        let Some(slot) = self.rows.get(item as usize) else {
            return;
        };
        let mut row = slot.lock();
        if item < self.snapshot.rows.load(Ordering::Acquire) && row.epoch != self.snapshot.epoch() {
            row.epoch = self.snapshot.epoch();
            encode_entry(item, &row, out);
        }
    }

    /// Moves the entries that the writer handed over to `out`; call it now and then during the sweep and once after it.
    pub fn drain_pre_images(&self, out: &mut Vec<u8>) {
        out.append(&mut self.snapshot.pre_images.lock());
    }

    /// Ends the snapshot under way, complete or given up: the writer hands over nothing more.
    pub fn end_snapshot(&self) {
        self.snapshot.rows.store(0, Ordering::Release);
        self.snapshot.pre_images.lock().clear();
    }

    /// Restores one entry of [`Items::sweep`] or [`Items::drain_pre_images`]; answers its item, which must be below
    /// [`Items::len`].
    ///
    /// # Errors
    ///
    /// If the bytes are no such entry; nothing changed then.
    pub fn decode_entry(&self, input: &mut &[u8]) -> Result<u32, DecodeError> {
        let item = input.try_get_u32_le()?;
        self.decode_row(item, input)?;
        Ok(item)
    }

    /// Appends the row of `item`, without its id; nothing if there is no such item.
    pub fn encode_row(&self, item: u32, out: &mut Vec<u8>) {
        if let Some(row) = self.rows.get(item as usize) {
            row.lock().encode(out);
        }
    }

    /// Replaces the row of `item`, which must be below [`Items::len`], by what [`Items::encode_row`] wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are no row; nothing changed then.
    pub fn decode_row(&self, item: u32, input: &mut &[u8]) -> Result<(), DecodeError> {
        let Some(slot) = self.rows.get(item as usize) else {
            return Err(DecodeError::UnknownItem {
                item,
                len: self.len(),
            });
        };
        let entries_max = self.config.row_entries_max as usize;
        let row = Row::decode(self.snapshot.epoch(), entries_max, input)?;
        self.factors
            .set(item, self.candidate_factor(row.sessions), row.era);
        let entries = row.entries();
        let replaced = std::mem::replace(&mut *slot.lock(), row).entries();
        self.entries.fetch_add(entries as u64, Ordering::Relaxed);
        self.entries.fetch_sub(replaced as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Appends what belongs to no item; by the writer's thread when the snapshot begins.
    pub fn encode_global(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.era.load(Ordering::Relaxed));
        let (baskets, era) = *self.baskets.lock();
        out.put_f64_le(baskets);
        out.put_u32_le(era);
    }

    /// Restores what [`Items::encode_global`] wrote.
    ///
    /// # Errors
    ///
    /// If the input ends too early; nothing changed then.
    pub fn decode_global(&self, input: &mut &[u8]) -> Result<(), DecodeError> {
        let era = input.try_get_u32_le()?;
        let baskets = (input.try_get_f64_le()?, input.try_get_u32_le()?);
        self.era.store(era, Ordering::Release);
        *self.baskets.lock() = baskets;
        Ok(())
    }
}
