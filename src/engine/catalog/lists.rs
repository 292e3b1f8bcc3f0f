//! Who is popular at the moment: in the shop, in a category, of a brand; and what is newest.
//!
//! Popularity fades for all items alike, so an item's key (the logarithm of its forward-decayed popularity) only
//! ever grows, and a list of the best needs no refresh: an item outside it can only get in by an event of its own.

use std::collections::BTreeSet;

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
    shop: RwLock<Top>,
    brands: boxcar::Vec<RwLock<Top>>,
    categories: boxcar::Vec<RwLock<Top>>,
    newest: RwLock<BTreeSet<(Millis, u32)>>,
}

/// The best of something, in no order. Invariant: no item outside has a higher key than an item inside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Top {
    members: Vec<Member>,
    /// No more than the lowest key inside; keys grow, so it lags behind until it matters.
    floor: f64,
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
    /// Whether an item that is not in the list gets in after an event of its own. `key` gives the current key of any
    /// item. Only the writer calls this.
    pub(crate) fn offer(&self, list: ListKey, member: Member, key: impl Fn(u32) -> f64) -> Offer {
        self.change(list, |top| top.offer(member, key))
            .unwrap_or(Offer::Refused)
    }

    /// Takes an item out, after it left the category or the brand.
    pub(crate) fn remove(&self, list: ListKey, item: u32) {
        self.change(list, |top| top.members.retain(|member| member.item != item));
    }

    /// Items of a list with their keys, best first, ties by number.
    pub(crate) fn best(&self, list: ListKey, key: impl Fn(u32) -> f64) -> Vec<(u32, f64)> {
        let read = |top: &Top| top.members.clone();
        let members = match list {
            ListKey::None => Vec::new(),
            ListKey::Shop => read(&self.shop.read()),
            ListKey::Brand(number) => in_list(&self.brands, number, read),
            ListKey::Category(number) => in_list(&self.categories, number, read),
        };
        let mut best: Vec<_> = members
            .iter()
            .map(|member| (member.item, key(member.item)))
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
        self.shop.read().encode(out);
        for group in [&self.brands, &self.categories] {
            codec::put_len(out, group.count());
            group.iter().for_each(|(_, top)| top.read().encode(out));
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
            shop: RwLock::new(Top::decode(input)?),
            ..Self::default()
        };
        for group in [&lists.brands, &lists.categories] {
            for _ in 0..codec::get_len(input)? {
                group.push(RwLock::new(Top::decode(input)?));
            }
        }
        for _ in 0..codec::get_len(input)? {
            let created = codec::get_millis(input)?;
            lists
                .newest
                .write()
                .insert((created, input.try_get_u32_le()?));
        }
        Ok(lists)
    }

    fn change<R>(&self, list: ListKey, change: impl FnOnce(&mut Top) -> R) -> Option<R> {
        let (group, number) = match list {
            ListKey::None => return None,
            ListKey::Shop => return Some(change(&mut self.shop.write())),
            ListKey::Brand(number) => (&self.brands, number as usize),
            ListKey::Category(number) => (&self.categories, number as usize),
        };
        while group.count() <= number {
            group.push(RwLock::default());
        }
        group.get(number).map(|top| change(&mut top.write()))
    }
}

impl Top {
    fn offer(&mut self, new: Member, key: impl Fn(u32) -> f64) -> Offer {
        if self.members.len() < LIST_MAX {
            self.members.push(new);
            return Offer::Entered;
        }
        let own = key(new.item);
        if own < self.floor {
            return Offer::Refused;
        }
        let lowest = self
            .members
            .iter()
            .enumerate()
            .map(|(place, member)| (place, *member, key(member.item)))
            .min_by(|a, b| a.2.total_cmp(&b.2).then(b.1.item.cmp(&a.1.item)));
        let Some((place, member, floor)) = lowest else {
            return Offer::Refused;
        };
        self.floor = floor;
        if own < floor || (own <= floor && new.item > member.item) {
            return Offer::Refused;
        }
        if let Some(slot) = self.members.get_mut(place) {
            *slot = new;
        }
        Offer::Replaced(member)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.members.len());
        for member in &self.members {
            out.put_u32_le(member.item);
            out.put_u8(member.bit);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let members = (0..codec::get_len(input)?)
            .map(|_| {
                Ok(Member {
                    item: input.try_get_u32_le()?,
                    bit: input.try_get_u8()?,
                })
            })
            .collect::<Result<_, Corrupt>>()?;
        Ok(Self {
            members,
            floor: f64::NEG_INFINITY,
        })
    }
}

fn in_list(
    group: &boxcar::Vec<RwLock<Top>>,
    number: u32,
    read: impl Fn(&Top) -> Vec<Member>,
) -> Vec<Member> {
    group
        .get(number as usize)
        .map_or_else(Vec::new, |top| read(&top.read()))
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
            match lists.offer(ListKey::Shop, Member { item, bit: 0 }, key) {
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
