//! All shoppers, shared by one writer and many readers. Guards never leave this file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::BufMut;
use parking_lot::Mutex;

use crate::engine::codec::Corrupt;
use crate::engine::profile::Profile;
use crate::engine::slots::Slots;

/// Profiles looked at for an estimate.
const SAMPLE: u32 = 1_000;

/// Profiles by the dense number of their shopper. While a snapshot is taken, the writer hands over the old form of
/// each profile that it is about to change and the sweep has not reached.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    slots: Slots<Mutex<Profile>>,
    epoch: AtomicU64,
    sweeping: AtomicBool,
    pre_images: Mutex<Vec<u8>>,
}

impl Profiles {
    /// Changes a profile, which is made if it is not there. Only the writer calls this.
    pub(crate) fn change<R>(&self, user: u32, change: impl FnOnce(&mut Profile) -> R) -> R {
        self.ensure(user.saturating_add(1));
        let Some(slot) = self.slots.get(user) else {
            // Only the number 2^32 - 1 has no slot.
            return change(&mut Profile::default());
        };
        let mut profile = slot.lock();
        let epoch = self.current_epoch();
        if profile.epoch != epoch {
            profile.epoch = epoch;
            if self.sweeping.load(Ordering::Relaxed) {
                encode_entry(user, &profile, &mut self.pre_images.lock());
            }
        }
        change(&mut profile)
    }

    /// Reads a profile.
    pub(crate) fn read<R>(&self, user: u32, read: impl FnOnce(&Profile) -> R) -> Option<R> {
        self.slots.get(user).map(|slot| read(&slot.lock()))
    }

    pub(crate) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// Makes room for shoppers with numbers below `len`. Only the writer calls this.
    pub(crate) fn ensure(&self, len: u32) {
        self.slots.ensure(len, Mutex::default, |slot| {
            slot.lock().epoch = self.current_epoch();
        });
    }

    /// From here on the state as of now is kept until it was swept. Only the writer calls this.
    pub(crate) fn begin_snapshot(&self) {
        self.pre_images.lock().clear();
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.sweeping.store(true, Ordering::Relaxed);
    }

    /// From here on nothing old need be kept.
    pub(crate) fn end_snapshot(&self) {
        self.sweeping.store(false, Ordering::Relaxed);
        *self.pre_images.lock() = Vec::new();
    }

    /// Adds a profile as of [`Profiles::begin_snapshot`], unless the writer handed it over already.
    pub(crate) fn sweep(&self, user: u32, out: &mut Vec<u8>) {
        let epoch = self.current_epoch();
        let Some(slot) = self.slots.get(user) else {
            return;
        };
        let mut profile = slot.lock();
        if profile.epoch != epoch {
            profile.epoch = epoch;
            encode_entry(user, &profile, out);
        }
    }

    /// Adds what the writer handed over.
    pub(crate) fn drain_pre_images(&self, out: &mut Vec<u8>) {
        out.append(&mut self.pre_images.lock());
    }

    /// Puts one swept profile back; room must have been made.
    pub(crate) fn restore(&self, user: u32, input: &mut &[u8]) -> Result<(), Corrupt> {
        let profile = Profile::decode(input)?;
        if let Some(slot) = self.slots.get(user) {
            *slot.lock() = profile;
        }
        Ok(())
    }

    /// Changes a restored profile in what is in no snapshot.
    pub(crate) fn resume<R>(&self, user: u32, change: impl FnOnce(&mut Profile) -> R) -> Option<R> {
        self.slots.get(user).map(|slot| change(&mut slot.lock()))
    }

    /// Bytes in use, slack included. Walks everything: for reports, not for every scrape.
    pub(crate) fn bytes(&self) -> u64 {
        let heap: u64 = self
            .slots
            .iter()
            .map(|slot| slot.lock().heap_bytes() as u64)
            .sum();
        self.slot_bytes() + heap
    }

    /// As [`Profiles::bytes`], from a sample of a thousand.
    pub(crate) fn estimated_bytes(&self) -> u64 {
        let stride = (self.len() / SAMPLE).max(1) as usize;
        let heaps = (0..self.len())
            .step_by(stride)
            .filter_map(|user| self.read(user, Profile::heap_bytes));
        let (count, bytes) = heaps.fold((0_u64, 0_u64), |(count, sum), heap| {
            (count + 1, sum + heap as u64)
        });
        self.slot_bytes() + bytes * u64::from(self.len()) / count.max(1)
    }

    fn slot_bytes(&self) -> u64 {
        (self.slots.capacity() * size_of::<Mutex<Profile>>()) as u64
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a profile compares one byte: is it this snapshot's or not"
    )]
    fn current_epoch(&self) -> u8 {
        self.epoch.load(Ordering::Relaxed) as u8
    }
}

fn encode_entry(user: u32, profile: &Profile, out: &mut Vec<u8>) {
    out.put_u32_le(user);
    profile.encode(out);
}
