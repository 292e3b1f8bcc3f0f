//! All shoppers, shared by one writer and many readers. Guards never leave this file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use foldhash::fast::FixedState;
use parking_lot::Mutex;

use bytes::BufMut;

use crate::engine::codec::Corrupt;
use crate::engine::profile::Profile;

/// So many that a reader rarely meets the writer and that growth moves few shoppers at a time.
const SHARDS: usize = 512;
/// A slot of the table and its control byte.
const SLOT_BYTES: usize = size_of::<(u32, Box<Profile>)>() + 1;
/// Profiles looked at for an estimate.
const SAMPLE: u32 = 1_000;

/// Profiles by the dense number of their shopper. While a snapshot is taken, the writer hands over the old form of
/// each profile that it is about to change and the sweep has not reached.
#[derive(Debug)]
pub(crate) struct Profiles {
    map: DashMap<u32, Box<Profile>, FixedState>,
    epoch: AtomicU64,
    sweeping: AtomicBool,
    pre_images: Mutex<Vec<u8>>,
}

impl Profiles {
    pub(crate) fn new() -> Self {
        Self {
            map: DashMap::with_hasher_and_shard_amount(FixedState::default(), SHARDS),
            epoch: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            pre_images: Mutex::default(),
        }
    }

    /// Changes a profile, which is made if it is not there. Only the writer calls this.
    pub(crate) fn change<R>(&self, user: u32, change: impl FnOnce(&mut Profile) -> R) -> R {
        let epoch = self.current_epoch();
        let mut profile = self.map.entry(user).or_insert_with(|| {
            Box::new(Profile {
                epoch,
                ..Profile::default()
            })
        });
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
        self.map.get(&user).map(|profile| read(&profile))
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
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
        if let Some(mut profile) = self.map.get_mut(&user)
            && profile.epoch != epoch
        {
            profile.epoch = epoch;
            encode_entry(user, &profile, out);
        }
    }

    /// Adds what the writer handed over.
    pub(crate) fn drain_pre_images(&self, out: &mut Vec<u8>) {
        out.append(&mut self.pre_images.lock());
    }

    /// Puts one swept profile back.
    pub(crate) fn restore(&self, user: u32, input: &mut &[u8]) -> Result<(), Corrupt> {
        let profile = Profile::decode(input)?;
        self.map.insert(user, Box::new(profile));
        Ok(())
    }

    /// Changes a restored profile in what is in no snapshot.
    pub(crate) fn resume<R>(&self, user: u32, change: impl FnOnce(&mut Profile) -> R) -> Option<R> {
        self.map
            .get_mut(&user)
            .map(|mut profile| change(&mut profile))
    }

    /// Bytes in use, slack of the table included. Walks everything: for reports, not for every scrape.
    pub(crate) fn bytes(&self) -> u64 {
        let table = (self.map.capacity() * 8 / 7 * SLOT_BYTES) as u64;
        let profiles: u64 = self.map.iter().map(|entry| entry.bytes() as u64).sum();
        table + profiles
    }

    /// As [`Profiles::bytes`], from a sample of a thousand of the numbers below `users`.
    pub(crate) fn estimated_bytes(&self, users: u32) -> u64 {
        let stride = (users / SAMPLE).max(1) as usize;
        let sizes = (0..users)
            .step_by(stride)
            .filter_map(|user| self.read(user, Profile::bytes));
        let (count, bytes) = sizes.fold((0_u64, 0_u64), |(count, sum), size| {
            (count + 1, sum + size as u64)
        });
        let slots = (self.map.capacity() * 8 / 7 * SLOT_BYTES) as u64;
        slots + bytes * self.len() as u64 / count.max(1)
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
