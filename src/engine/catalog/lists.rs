//! Who is popular at the moment: in the shop, in a category, of a brand; and what is newest.
//!
//! Popularity fades for all items alike, so an item's key (which grows with its forward-decayed popularity) only
//! ever grows, and a list of the best needs no refresh: an item outside it can only get in by an event of its own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut};
use parking_lot::RwLock;

use crate::domain::Millis;
use crate::engine::codec::{self, Corrupt};

/// Items in a list of the best.
pub(crate) const LIST_MAX: usize = 100;
/// Items in the list of the newest.
const NEWEST_MAX: usize = 200;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListKey {
    /// None: keeps the place of a list that an item lacks.
    None,
    /// Of the whole shop.
    Shop,
    /// Of a brand's number.
    Brand(u32),
    /// Of a category's number.
    Category(u32),
}

/// All lists, shared by one writer and many readers.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    shop: List,
    brands: boxcar::Vec<List>,
    categories: boxcar::Vec<List>,
    newest: RwLock<BTreeSet<(Millis, u32)>>,
}

/// One list, and what tells without a lock that an item is not good enough for it.
#[derive(Debug)]
struct List {
    /// No more than the lowest key in a full list, as bits; keys grow, so it lags behind until it matters.
    floor: AtomicU64,
    top: RwLock<Top>,
}

/// The best of something, in no order. Invariant: no item outside has a higher key than an item inside.
#[derive(Clone, Debug, Default)]
struct Top {
    members: Vec<Member>,
    /// Keys of the members when they were last looked at: no more than they are now.
    keys: Vec<f64>,
}

/// An item in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) item: u32,
    /// Which bit of the item's [`super::Entry::listed`] stands for this list.
    pub(crate) bit: u8,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is not among the best.
    Refused,
    /// It is in, and so is everyone else.
    Entered,
    /// It is in, in the place of this one.
    Replaced(Member),
}

impl Lists {
    /// Whether an item that is not in the list gets in with the key that an event of its own gave it. `key_of` gives the
    /// current key of any item. Only the writer calls this.
    pub(crate) fn offer(
        &self,
        list: ListKey,
        member: Member,
        key: f64,
        key_of: impl Fn(u32) -> f64,
    ) -> Offer {
        let Some(list) = self.list(list) else {
            return Offer::Refused;
        };
        if key < f64::from_bits(list.floor.load(Ordering::Relaxed)) {
            return Offer::Refused;
        }
        let mut top = list.top.write();
        let offer = top.offer(member, key, key_of);
        list.floor.store(top.floor().to_bits(), Ordering::Relaxed);
        offer
    }

    /// Takes an item out, after it left the category or the brand.
    pub(crate) fn remove(&self, list: ListKey, item: u32) {
        if let Some(list) = self.list(list) {
            list.top.write().remove(item);
            list.floor
                .store(f64::NEG_INFINITY.to_bits(), Ordering::Relaxed);
        }
    }

    /// Items of a list with their keys, best first, ties by number.
    pub(crate) fn best(&self, list: ListKey, key_of: impl Fn(u32) -> f64) -> Vec<(u32, f64)> {
        let list = match list {
            ListKey::None => None,
            ListKey::Shop => Some(&self.shop),
            ListKey::Brand(number) => self.brands.get(number as usize),
            ListKey::Category(number) => self.categories.get(number as usize),
        };
        let members = list.map_or_else(Vec::new, |list| list.top.read().members.clone());
        let mut best: Vec<_> = members
            .iter()
            .map(|member| (member.item, key_of(member.item)))
            .collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best
    }

    /// An item came into the shop, or it turned out when it did.
    pub(crate) fn arrive(&self, item: u32, before: Option<Millis>, created: Millis) {
        let mut newest = self.newest.write();
        if let Some(before) = before {
            newest.remove(&(before, item));
        }
        newest.insert((created, item));
        if newest.len() > NEWEST_MAX {
            newest.pop_first();
        }
    }

    /// The newest items, newest first, ties by lower number.
    pub(crate) fn newest(&self) -> Vec<u32> {
        let mut newest: Vec<_> = self.newest.read().iter().copied().collect();
        newest.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        newest.into_iter().map(|(_, item)| item).collect()
    }

    /// All lists as bytes: a few hundred bytes a category, written at once.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.shop.top.read().encode(out);
        for group in [&self.brands, &self.categories] {
            codec::put_len(out, group.count());
            group
                .iter()
                .for_each(|(_, list)| list.top.read().encode(out));
        }
        let newest = self.newest.read();
        codec::put_len(out, newest.len());
        for &(created, item) in newest.iter() {
            codec::put_millis(out, created);
            out.put_u32_le(item);
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let lists = Self {
            shop: List::decode(input)?,
            ..Self::default()
        };
        for group in [&lists.brands, &lists.categories] {
            for _ in 0..codec::get_len(input)? {
                group.push(List::decode(input)?);
            }
        }
        for _ in 0..codec::get_len(input)? {
            let created = codec::get_millis(input)?;
            let item = input.try_get_u32_le()?;
            lists.newest.write().insert((created, item));
        }
        Ok(lists)
    }

    /// A list, which is made if it is not there. Only the writer calls this.
    fn list(&self, list: ListKey) -> Option<&List> {
        let (group, number) = match list {
            ListKey::None => return None,
            ListKey::Shop => return Some(&self.shop),
            ListKey::Brand(number) => (&self.brands, number as usize),
            ListKey::Category(number) => (&self.categories, number as usize),
        };
        while group.count() <= number {
            group.push(List::default());
        }
        group.get(number)
    }
}

impl Default for List {
    fn default() -> Self {
        Self {
            floor: AtomicU64::new(f64::NEG_INFINITY.to_bits()),
            top: RwLock::default(),
        }
    }
}

impl List {
    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let list = Self::default();
        *list.top.write() = Top::decode(input)?;
        Ok(list)
    }
}

impl Top {
    fn offer(&mut self, new: Member, key: f64, key_of: impl Fn(u32) -> f64) -> Offer {
        if self.members.len() < LIST_MAX {
            self.members.push(new);
            self.keys.push(key);
            return Offer::Entered;
        }
        let Some((place, lowest)) = self.lowest(key_of) else {
            return Offer::Refused;
        };
        let (Some(member), Some(known)) = (self.members.get_mut(place), self.keys.get_mut(place))
        else {
            return Offer::Refused;
        };
        if key < lowest || (key <= lowest && new.item > member.item) {
            return Offer::Refused;
        }
        *known = key;
        Offer::Replaced(std::mem::replace(member, new))
    }

    /// The place and key of the member that would go first: the lowest key, ties the highest number. Only members that
    /// look lowest are looked at again, since keys grow.
    fn lowest(&mut self, key_of: impl Fn(u32) -> f64) -> Option<(usize, f64)> {
        loop {
            let places = self.keys.iter().zip(&self.members).enumerate();
            let (place, (&known, member)) =
                places.min_by(|(_, a), (_, b)| a.0.total_cmp(b.0).then(b.1.item.cmp(&a.1.item)))?;
            let now = key_of(member.item);
            if now <= known {
                return Some((place, known));
            }
            *self.keys.get_mut(place)? = now;
        }
    }

    /// A key below which nothing gets in.
    fn floor(&self) -> f64 {
        if self.members.len() < LIST_MAX {
            return f64::NEG_INFINITY;
        }
        self.keys.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn remove(&mut self, item: u32) {
        if let Some(place) = self.members.iter().position(|member| member.item == item) {
            self.members.remove(place);
            self.keys.remove(place);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.members.len());
        for member in &self.members {
            out.put_u32_le(member.item);
            out.put_u8(member.bit);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let members: Vec<Member> = (0..codec::get_len(input)?)
            .map(|_| {
                Ok(Member {
                    item: input.try_get_u32_le()?,
                    bit: input.try_get_u8()?,
                })
            })
            .collect::<Result<_, Corrupt>>()?;
        Ok(Self {
            keys: vec![f64::NEG_INFINITY; members.len()],
            members,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{LIST_MAX, ListKey, Lists, Member, Offer};
    use crate::domain::Millis;

    #[test]
    fn a_list_holds_the_best_of_all_however_keys_grew() {
        let keys = RefCell::new(vec![0.0_f64; 500]);
        let key = |item: u32| keys.borrow()[item as usize];
        let lists = Lists::default();
        let mut listed = vec![false; 500];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let item = u32::try_from((seed >> 33) % 500 * ((seed >> 40) % 500) / 500).unwrap();
            keys.borrow_mut()[item as usize] += 1.0;
            if listed[item as usize] {
                continue;
            }
            let own = key(item);
            match lists.offer(ListKey::Shop, Member { item, bit: 0 }, own, key) {
                Offer::Refused => {}
                Offer::Entered => listed[item as usize] = true,
                Offer::Replaced(other) => {
                    listed[item as usize] = true;
                    listed[other.item as usize] = false;
                }
            }
        }
        let mut expected: Vec<(u32, f64)> = (0..500).map(|item| (item, key(item))).collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        expected.truncate(LIST_MAX);
        assert_eq!(lists.best(ListKey::Shop, key), expected);
    }

    #[test]
    fn newest_first_and_only_so_many() {
        let lists = Lists::default();
        for item in 0..300 {
            lists.arrive(item, None, Millis(i64::from(item) / 2));
        }
        lists.arrive(299, Some(Millis(149)), Millis(1_000));
        let newest = lists.newest();
        assert_eq!(newest[..3], [299, 298, 296]);
        assert_eq!(newest.len(), 200);
    }
}
