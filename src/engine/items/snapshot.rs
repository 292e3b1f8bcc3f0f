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
    /// The partners of a row do not ascend.
    #[error("the snapshot has a row whose partners are not in order")]
    Disordered,
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
        let Some(slot) = self.row(item) else {
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
        if let Some(row) = self.row(item) {
            row.lock().encode(out);
        }
    }

    /// Replaces the row of `item`, which must be below [`Items::len`], by what [`Items::encode_row`] wrote.
    ///
    /// # Errors
    ///
    /// If the bytes are no row; nothing changed then.
    pub fn decode_row(&self, item: u32, input: &mut &[u8]) -> Result<(), DecodeError> {
        let Some(slot) = self.row(item) else {
            return Err(DecodeError::UnknownItem {
                item,
                len: self.len(),
            });
        };
        let entries_max = self.config.row_entries_max;
        let row = Row::decode(self.snapshot.epoch(), entries_max, input)?;
        self.factors
            .set(item, self.candidate_factor(row.sessions), row.era);
        let entries = row.entries();
        let replaced = std::mem::replace(&mut *slot.lock(), row).entries();
        self.entries
            .fetch_add(u64::from(entries), Ordering::Relaxed);
        self.entries
            .fetch_sub(u64::from(replaced), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::DecodeError;
    use crate::domain::{DAY_MS, Millis};
    use crate::engine::items::{Config, Items};

    /// A linear congruence.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as u32 % limit
        }
    }

    fn config() -> Config {
        // Small rows and short eras, so that entries make room and rows are rebased meanwhile.
        Config {
            row_entries_max: 8,
            half_life_days: 0.1,
            ..Config::default()
        }
    }

    /// Changes one thing or another, at a time that goes on and now and then back.
    fn change(items: &Items, random: &mut Random, step: u32) {
        let most = 40 + step / 50;
        let at = Millis(20_000 * DAY_MS + i64::from(step) * 600_000)
            - i64::from(random.below(4)) * 900_000;
        let session: Vec<u32> = (0..random.below(14)).map(|_| random.below(most)).collect();
        let item = random.below(most);
        match random.below(10) {
            0 => drop(items.interaction(item, 3.0, at)),
            1 => items.basket(&session, at),
            2 => items.set_created(item, at),
            _ => drop(items.view(&session, item, at)),
        }
    }

    /// Everything about the items, by plain reading.
    fn image(items: &Items, rows: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut global = Vec::new();
        items.encode_global(&mut global);
        let row = |item| {
            let mut row = Vec::new();
            items.encode_row(item, &mut row);
            row
        };
        (global, (0..rows).map(row).collect())
    }

    /// Restores a snapshot of `rows` rows, each of which must be in it once.
    fn restore(global: &[u8], mut entries: &[u8], rows: u32) -> Items {
        let restored = Items::new(config());
        restored.ensure(rows);
        restored.decode_global(&mut &*global).unwrap();
        let mut seen = vec![false; rows as usize];
        while entries.has_remaining() {
            let item = restored.decode_entry(&mut entries).unwrap() as usize;
            assert!(
                !std::mem::replace(&mut seen[item], true),
                "item {item} twice"
            );
        }
        assert_eq!(seen.iter().position(|seen| !seen), None, "a row is missing");
        restored
    }

    #[test]
    fn a_snapshot_is_the_state_at_its_beginning_whatever_goes_on() {
        for seed in 0..60 {
            let mut random = Random(seed);
            let items = Items::new(config());
            let mut step = 0;
            for _ in 0..4 {
                for _ in 0..random.below(200) {
                    change(&items, &mut random, step);
                    step += 1;
                }
                let rows = items.begin_snapshot();
                let before = image(&items, rows);
                let (mut entries, mut swept) = (Vec::new(), 0);
                let give_up = random.below(4) == 0;
                while swept < rows && !(give_up && swept > rows / 2) {
                    match random.below(3) {
                        0 => items.drain_pre_images(&mut entries),
                        1 => change(&items, &mut random, step),
                        _ => {
                            items.sweep(swept, &mut entries);
                            swept += 1;
                        }
                    }
                    step += 1;
                }
                items.drain_pre_images(&mut entries);
                items.end_snapshot();
                if !give_up {
                    let restored = restore(&before.0, &entries, rows);
                    assert!(image(&restored, rows) == before, "seed {seed}, step {step}");
                    assert_eq!(restored.entries(), total(&before.1));
                }
            }
        }
    }

    /// Entries in encoded rows, counted by restoring each alone.
    fn total(rows: &[Vec<u8>]) -> u64 {
        let alone = |row: &Vec<u8>| {
            let items = Items::new(config());
            items.ensure(1);
            items.decode_row(0, &mut row.as_slice()).unwrap();
            items.entries()
        };
        rows.iter().map(alone).sum()
    }

    #[test]
    fn a_restored_state_goes_on_like_the_one_it_was_taken_of() {
        let mut random = Random(9);
        let items = Items::new(config());
        for step in 0..2_000 {
            change(&items, &mut random, step);
        }
        let rows = items.begin_snapshot();
        let (global, mut entries) = (image(&items, 0).0, Vec::new());
        (0..rows).for_each(|item| items.sweep(item, &mut entries));
        items.end_snapshot();
        let restored = restore(&global, &entries, rows);
        let mut same = Random(random.0);
        for step in 2_000..4_000 {
            change(&items, &mut random, step);
            change(&restored, &mut same, step);
        }
        assert_eq!(items.len(), restored.len());
        assert!(image(&items, items.len()) == image(&restored, items.len()));
    }

    #[test]
    fn bytes_that_are_no_snapshot_change_nothing() {
        let items = Items::new(config());
        items.view(&[1, 2], 0, Millis(DAY_MS));
        items.basket(&[0, 1], Millis(DAY_MS));
        let before = image(&items, 3);
        let mut entry = Vec::new();
        items.begin_snapshot();
        items.sweep(0, &mut entry);
        items.end_snapshot();
        for end in 0..entry.len() {
            let error = items.decode_entry(&mut &entry[..end]).unwrap_err();
            assert!(
                matches!(error, DecodeError::Truncated(_)),
                "cut at {end}: {error}"
            );
        }
        entry[0] = 77;
        let error = items.decode_entry(&mut entry.as_slice()).unwrap_err();
        assert_eq!(error, DecodeError::UnknownItem { item: 77, len: 3 });
        assert!(items.decode_global(&mut &before.0[..9]).is_err());
        assert!(image(&items, 3) == before);
    }
}
