//! One row of a sparse matrix: the partners of an item, at most K of them, by the Space-Saving rule.
//!
//! What an update costs is memory, not arithmetic: there are hundreds of thousands of rows, and no cache holds them. So a
//! row is a hash table of cache lines. Finding a partner, adding to it and counting its support touch one line for
//! most partners, and the smallest entry of a full row is found without reading all of them.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are kept in 32 bits, and ids are dense"
)]

use bytes::{Buf, BufMut, TryGetError};

use crate::engine::items::snapshot::DecodeError;

/// Entries in a block.
const SLOTS: usize = 6;
/// Blocks that share a floor: as many as make one line hold the floors of a row of 100.
const GROUP: usize = 4;
/// Bytes of an entry in a snapshot.
const ENTRY_BYTES: usize = 10;

/// Partners with their weights and supports: the number of times a partner was added to since it came in, at most
/// 65,535. No partner stands there twice. Weights are above zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs {
    /// First `homes` blocks of entries; in a full row, then blocks of floors, one for each [`GROUP`] of blocks.
    ///
    /// A floor is at most the smallest entry of its group. It falls when a smaller entry comes in and is raised when it
    /// is found to be too low, so that most replacements look into one group.
    blocks: Box<[Block]>,
    homes: u32,
    len: u32,
}

/// One cache line: six entries, the first `len` slots used; or six floors.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block {
    entries: [Entry; SLOTS],
    support: [u16; SLOTS],
    len: u16,
    /// Entries that had to go on from here for lack of room: without any, the search ends here.
    overflow: u16,
}

/// A weight, and below it the partner: smaller entries are smaller numbers, the lower id on ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u64);

impl Entry {
    /// Larger than every entry.
    const NONE: Self = Self(u64::MAX);

    fn new(partner: u32, weight: f32) -> Self {
        Self(u64::from(weight.to_bits()) << 32 | u64::from(partner))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is the partner"
    )]
    fn partner(self) -> u32 {
        self.0 as u32
    }

    fn weight(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32)
    }
}

/// A block and a slot in it.
type Place = (usize, usize);

impl Pairs {
    /// Adds `weight` to `partner`; answers whether the row grew. A full row of `entries_max` replaces its smallest entry, the
    /// lowest id on ties, by `partner` with the smallest weight plus `weight`: what is missing weighs at most that much.
    pub(super) fn add(&mut self, partner: u32, weight: f32, entries_max: u32) -> bool {
        if let Some(found) = self.find(partner) {
            self.raise(found, weight);
            return false;
        }
        if self.len < entries_max {
            self.push(Entry::new(partner, weight), 1, entries_max);
            return true;
        }
        let smallest = self.remove_smallest().weight();
        self.insert(Entry::new(partner, smallest + weight), 1);
        false
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Partners, weights and supports, in an order without meaning.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f32, u16)> {
        let blocks = self.blocks.iter().take(self.homes as usize);
        blocks.flat_map(|block| {
            let used = block
                .entries
                .iter()
                .zip(block.support)
                .take(usize::from(block.len));
            used.map(|(entry, support)| (entry.partner(), entry.weight(), support))
        })
    }

    /// Weight and support of `partner`.
    pub(super) fn get(&self, partner: u32) -> Option<(f32, u16)> {
        let (place, slot) = self.find(partner)?;
        let block = self.blocks.get(place)?;
        Some((block.entries.get(slot)?.weight(), *block.support.get(slot)?))
    }

    /// Multiplies every weight.
    pub(super) fn scale(&mut self, factor: f32) {
        let (blocks, floors) = self.blocks.split_at_mut(self.homes as usize);
        for block in blocks {
            for entry in block.entries.iter_mut().take(usize::from(block.len)) {
                *entry = Entry::new(entry.partner(), entry.weight() * factor);
            }
        }
        // Weights that become equal by it may change places.
        for floor in floors.iter_mut().flat_map(|block| &mut block.entries) {
            if *floor != Entry::NONE {
                *floor = Entry(0);
            }
        }
    }

    /// Reads where `partner` would be, and the floors: the answer is of no use, but the lines are in the cache from
    /// then on.
    pub(super) fn touch(&self, partner: u32) -> u32 {
        let home = self.blocks.get(self.home(partner));
        let floors = self.blocks.iter().skip(self.homes as usize);
        floors.chain(home).map(|block| u32::from(block.len)).sum()
    }

    fn find(&self, partner: u32) -> Option<Place> {
        let mut place = self.home(partner);
        for _ in 0..self.homes {
            let block = self.blocks.get(place)?;
            if let Some(slot) = block
                .entries
                .iter()
                .position(|entry| entry.partner() == partner)
            {
                return Some((place, slot));
            }
            if block.overflow == 0 {
                return None;
            }
            place = self.after(place);
        }
        None
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "places come from `home` and `after`, which stay below `homes`, and slots are below `SLOTS`"
)]
impl Pairs {
    /// Adds to an entry and its support.
    fn raise(&mut self, (place, slot): Place, weight: f32) {
        let block = &mut self.blocks[place];
        let entry = block.entries[slot];
        block.entries[slot] = Entry::new(entry.partner(), entry.weight() + weight);
        block.support[slot] = block.support[slot].saturating_add(1);
    }

    /// Puts in an entry whose partner is not there, after making room for it.
    fn push(&mut self, entry: Entry, support: u16, entries_max: u32) {
        if self.len >= capacity(self.homes) {
            self.grow(entries_max);
        }
        self.insert(entry, support);
        self.len += 1;
    }

    /// Puts in an entry whose partner is not there; there is room.
    fn insert(&mut self, entry: Entry, support: u16) {
        let mut place = self.home(entry.partner());
        while usize::from(self.blocks[place].len) == SLOTS {
            self.blocks[place].overflow += 1;
            place = self.after(place);
        }
        let block = &mut self.blocks[place];
        let slot = usize::from(block.len);
        block.entries[slot] = entry;
        block.support[slot] = support;
        block.len += 1;
        if let Some(floor) = self.floor(place) {
            *floor = entry.min(*floor);
        }
    }

    /// Takes the smallest entry out of a row that has one.
    fn remove_smallest(&mut self) -> Entry {
        let (place, slot) = self.smallest();
        let entry = self.blocks[place].entries[slot];
        let mut passed = self.home(entry.partner());
        while passed != place {
            self.blocks[passed].overflow -= 1;
            passed = self.after(passed);
        }
        let block = &mut self.blocks[place];
        block.len -= 1;
        let last = usize::from(block.len);
        block.entries[slot] = block.entries[last];
        block.support[slot] = block.support[last];
        block.entries[last] = Entry::NONE;
        entry
    }

    fn smallest(&mut self) -> Place {
        let homes = self.homes as usize;
        if self.blocks.len() == homes {
            let groups = homes.div_ceil(GROUP);
            let mut blocks = Vec::with_capacity(homes + groups.div_ceil(SLOTS));
            blocks.extend_from_slice(&self.blocks);
            let firsts = (0..groups).step_by(SLOTS);
            blocks.extend(firsts.map(|first| Block::floors(groups - first)));
            self.blocks = blocks.into();
        }
        loop {
            let (block, lowest) = first_smallest(&self.blocks[homes..]);
            let group = block * SLOTS + self.blocks[homes + block].place_of(lowest);
            let first = group * GROUP;
            let (place, entry) = first_smallest(&self.blocks[first..homes.min(first + GROUP)]);
            if entry == lowest {
                return (first + place, self.blocks[first + place].place_of(entry));
            }
            if let Some(floor) = self.floor(first) {
                *floor = entry;
            }
        }
    }

    /// The floor over a block of entries, if the row has floors.
    fn floor(&mut self, place: usize) -> Option<&mut Entry> {
        let group = place / GROUP;
        let block = self.blocks.get_mut(self.homes as usize + group / SLOTS)?;
        Some(&mut block.entries[group % SLOTS])
    }

    /// Makes room for at least one more entry, and for no more than `entries_max`.
    fn grow(&mut self, entries_max: u32) {
        let mut homes = (self.homes * 2).max(1);
        while homes > 1 && capacity(homes - 1) >= entries_max {
            homes -= 1;
        }
        let blocks = std::mem::replace(&mut self.blocks, vec![Block::EMPTY; homes as usize].into());
        self.homes = homes;
        for block in blocks {
            for slot in 0..usize::from(block.len) {
                self.insert(block.entries[slot], block.support[slot]);
            }
        }
    }

    /// Where the search for a partner begins; 0 in a row without blocks.
    fn home(&self, partner: u32) -> usize {
        // The upper bits of the product depend on all bits of the partner.
        let hash = u64::from(partner.wrapping_mul(0x9E37_79B1));
        ((hash * u64::from(self.homes)) >> 32) as usize
    }

    /// Where the search goes on.
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.homes as usize {
            0
        } else {
            place + 1
        }
    }
}

impl Block {
    const EMPTY: Self = Self {
        entries: [Entry::NONE; SLOTS],
        support: [0; SLOTS],
        len: 0,
        overflow: 0,
    };

    /// The smallest entry; larger than every entry if there is none.
    fn smallest(&self) -> Entry {
        self.entries.iter().copied().fold(Entry::NONE, Entry::min)
    }

    /// The slot of an entry that is there.
    fn place_of(&self, entry: Entry) -> usize {
        self.entries
            .iter()
            .position(|known| *known == entry)
            .unwrap_or(0)
    }

    /// Floors of up to this many groups, as low as can be.
    fn floors(groups: usize) -> Self {
        let mut floors = Self::EMPTY;
        for floor in floors.entries.iter_mut().take(groups) {
            *floor = Entry(0);
        }
        floors
    }
}

/// The smallest entry of some blocks, with the index of its block.
fn first_smallest(blocks: &[Block]) -> (usize, Entry) {
    let mut smallest = (0, Entry::NONE);
    for (index, block) in blocks.iter().enumerate() {
        let entry = block.smallest();
        if entry < smallest.1 {
            smallest = (index, entry);
        }
    }
    smallest
}

/// Entries that so many blocks may hold: three quarters, so that most partners are where the search for them begins.
fn capacity(homes: u32) -> u32 {
    if homes == 1 {
        SLOTS as u32
    } else {
        homes.saturating_mul(9) / 2
    }
}

impl Pairs {
    /// Appends the row to `out`, the lowest partner first: equal rows give equal bytes, however they came about.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_unstable_by_key(|(partner, _, _)| *partner);
        out.put_u32_le(self.len);
        for (partner, weight, support) in entries {
            out.put_u32_le(partner);
            out.put_f32_le(weight);
            out.put_u16_le(support);
        }
    }

    /// Reads what [`Pairs::encode`] wrote. A row longer than `entries_max`, written under another setting, loses its
    /// smallest entries.
    pub(super) fn decode(entries_max: u32, input: &mut &[u8]) -> Result<Self, DecodeError> {
        let len = input.try_get_u32_le()?;
        let requested = len as usize * ENTRY_BYTES;
        // Before anything is allocated for what is not there.
        if input.remaining() < requested {
            return Err(TryGetError {
                requested,
                available: input.remaining(),
            }
            .into());
        }
        let mut entries = Vec::with_capacity(len as usize);
        let mut least = 0;
        for _ in 0..len {
            let entry = Entry::new(input.try_get_u32_le()?, input.try_get_f32_le()?);
            if entry.partner() < least || entry.partner() == u32::MAX {
                return Err(DecodeError::Disordered);
            }
            least = entry.partner() + 1;
            entries.push((entry, input.try_get_u16_le()?));
        }
        if len > entries_max {
            entries.sort_unstable();
            entries.drain(..(len - entries_max) as usize);
        }
        let mut pairs = Self::default();
        for (entry, support) in entries {
            pairs.push(entry, support, entries_max);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Pairs;

    /// The rule as it is written, with nothing clever.
    #[derive(Default)]
    struct Obvious(BTreeMap<u32, (f32, u16)>);

    impl Obvious {
        fn add(&mut self, partner: u32, weight: f32, entries_max: usize) {
            let mut carried = 0.0;
            if !self.0.contains_key(&partner) && self.0.len() == entries_max {
                let by_weight = |a: &(&u32, &(f32, u16)), b: &(&u32, &(f32, u16))| {
                    a.1.0.total_cmp(&b.1.0).then(a.0.cmp(b.0))
                };
                let smallest = self.0.iter().min_by(by_weight).map(|(id, _)| *id).unwrap();
                carried = self.0.remove(&smallest).unwrap().0;
            }
            let entry = self.0.entry(partner).or_insert((carried, 0));
            entry.0 += weight;
            entry.1 += 1;
        }
    }

    fn sorted(pairs: &Pairs) -> Vec<(u32, f32, u16)> {
        let mut entries: Vec<_> = pairs.iter().collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        entries
    }

    /// Adds `steps` times, with partners below `partners` and weights of which many are equal.
    fn check(entries_max: u32, partners: u32, steps: u32) {
        let (mut pairs, mut obvious) = (Pairs::default(), Obvious::default());
        let mut state = 5_u32;
        let mut random = |limit: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % limit
        };
        for step in 0..steps {
            let partner = random(partners).min(random(partners)) * 977;
            let weight = 1.0 / (1 + random(4)) as f32;
            let before = pairs.len();
            let grew = pairs.add(partner, weight, entries_max);
            assert_eq!(pairs.len(), before + u32::from(grew));
            obvious.add(partner, weight, entries_max as usize);
            if step % 7 == 0 || step < 300 {
                let expected: Vec<_> = obvious
                    .0
                    .iter()
                    .map(|(id, (weight, support))| (*id, *weight, *support))
                    .collect();
                assert_eq!(sorted(&pairs), expected, "after step {step}");
            }
            if step % 1_000 == 999 {
                pairs.scale(0.25);
                obvious.0.values_mut().for_each(|entry| entry.0 *= 0.25);
            }
        }
        for (partner, (weight, support)) in &obvious.0 {
            assert_eq!(pairs.get(*partner), Some((*weight, *support)));
        }
        assert_eq!(pairs.get(1), None);
    }

    #[test]
    fn a_row_keeps_what_the_rule_keeps() {
        for entries_max in [1, 2, 6, 7, 30, 100] {
            check(entries_max, 400, 4_000);
        }
        check(u32::MAX, 3_000, 8_000);
    }

    #[test]
    fn weights_that_vanish_keep_their_order() {
        let mut pairs = Pairs::default();
        for partner in 0..20 {
            pairs.add(19 - partner, 1.0 + partner as f32, 20);
        }
        pairs.add(100, 1.0, 20);
        pairs.scale(0.0);
        pairs.add(200, 1.0, 20);
        assert_eq!(pairs.get(0), None, "the lowest id goes first");
        assert_eq!(pairs.get(200), Some((1.0, 1)));
    }

    #[test]
    fn bytes_depend_on_the_entries_alone() {
        let (mut up, mut down) = (Pairs::default(), Pairs::default());
        for partner in 0..80 {
            up.add(partner, 1.0, 100);
            down.add(79 - partner, 1.0, 100);
        }
        let (mut up_bytes, mut down_bytes) = (Vec::new(), Vec::new());
        up.encode(&mut up_bytes);
        down.encode(&mut down_bytes);
        assert_eq!(up_bytes, down_bytes);
        let mut rest = up_bytes.as_slice();
        let restored = Pairs::decode(100, &mut rest).unwrap();
        assert_eq!((sorted(&restored), rest.len()), (sorted(&up), 0));
        let shorter = Pairs::decode(30, &mut up_bytes.as_slice()).unwrap();
        assert_eq!(
            sorted(&shorter),
            sorted(&up)[50..],
            "of equals, the lowest ids went"
        );
    }

    #[test]
    fn bytes_that_are_no_row_are_refused() {
        let mut pairs = Pairs::default();
        pairs.add(3, 1.0, 100);
        pairs.add(4, 1.0, 100);
        let mut bytes = Vec::new();
        pairs.encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(
                Pairs::decode(100, &mut &bytes[..end]).is_err(),
                "cut at {end}"
            );
        }
        bytes[4] = 9;
        assert!(
            Pairs::decode(100, &mut bytes.as_slice()).is_err(),
            "partners descend"
        );
        assert!(
            Pairs::decode(100, &mut [0xFF_u8; 64].as_slice()).is_err(),
            "too long"
        );
    }
}
