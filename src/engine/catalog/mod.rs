//! What the shop sells, and what was only seen in events.

mod lists;
mod prices;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use bytes::{Buf, BufMut};
use parking_lot::{Mutex, RwLock};

pub(crate) use self::lists::{LIST_MAX, ListKey, Lists, Member, Offer};
pub(crate) use self::prices::Prices;
use crate::domain::{Id, Item, ItemPatch, Millis, Money};
use crate::engine::codec::{self, Corrupt, IMPOSSIBLE};
use crate::engine::slots::Slots;

/// Categories of an item that count; further ones are kept as text only.
pub(crate) const CATEGORIES_MAX: usize = 6;
/// Attributes of an item that are kept; further ones are dropped.
const ATTRIBUTES_MAX: usize = 64;

/// Items by dense number, shared by one writer and many readers. Guards never leave this file.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    entries: Slots<RwLock<Entry>>,
    epoch: AtomicU64,
    sweeping: AtomicBool,
    pre_images: Mutex<Vec<u8>>,
}

/// One item.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Entry {
    /// Numbers of the categories, broadest first.
    pub(crate) categories: ArrayVec<u32, CATEGORIES_MAX>,
    /// Number of the brand plus one; 0 if unknown.
    brand: u32,
    pub(crate) price: Option<Money>,
    available: bool,
    out_of_stock: bool,
    pub(crate) in_catalog: bool,
    deleted: bool,
    pub(crate) created: Millis,
    /// Bit by bit, which of its lists ([`ListKey`]s in the order of [`Entry::lists`]) hold this item.
    listed: u8,
    /// The snapshot this entry was last part of.
    epoch: u8,
    details: Option<Box<Details>>,
}

/// What an event needs to know of its item, copied under one lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traits {
    pub(crate) categories: ArrayVec<u32, CATEGORIES_MAX>,
    pub(crate) brand: Option<u32>,
    pub(crate) price: Option<Money>,
    /// Bit by bit, the lists that it competes in without being in them.
    pub(crate) unlisted: u8,
}

/// What no decision looks at.
#[derive(Clone, Debug, Default)]
struct Details {
    title: String,
    currency: Id,
    stock: Option<u64>,
    attributes: Vec<(Id, String)>,
    image_url: String,
}

impl Entry {
    pub(crate) fn brand(&self) -> Option<u32> {
        self.brand.checked_sub(1)
    }

    /// Whether it may be shown.
    pub(crate) fn eligible(&self) -> bool {
        self.available && !self.out_of_stock && !self.deleted
    }

    /// The lists this item competes in: the shop's, its brand's and its categories'.
    pub(crate) fn lists(&self) -> impl Iterator<Item = ListKey> + '_ {
        lists(self.brand(), &self.categories)
    }

    fn traits(&self) -> Traits {
        Traits {
            categories: self.categories.clone(),
            brand: self.brand(),
            price: self.price,
            unlisted: self.unlisted(),
        }
    }

    /// Bit by bit, the lists that it competes in without being in them.
    fn unlisted(&self) -> u8 {
        let shop_and_brand = if self.brand == 0 { 0b01 } else { 0b11 };
        let categories = (1_u16 << self.categories.len()) - 1;
        (shop_and_brand | categories.to_le_bytes()[0] << 2) & !self.listed
    }

    pub(crate) fn list(&mut self, bit: u8) {
        self.listed |= 1 << bit;
    }

    pub(crate) fn unlist(&mut self, bit: u8) {
        self.listed &= !(1 << bit);
    }

    pub(crate) fn unlist_all(&mut self) {
        self.listed = 0;
    }

    /// Takes a change over. `categories`, at most [`CATEGORIES_MAX`], and `brand` are the numbers of the patch's names.
    fn patch(&mut self, patch: &ItemPatch, categories: &[u32], brand: Option<u32>) {
        if !categories.is_empty() {
            self.categories = categories.iter().copied().take(CATEGORIES_MAX).collect();
        }
        if let Some(number) = brand {
            self.brand = number + 1;
        }
        self.price = patch.price.or(self.price);
        self.available = patch.available.unwrap_or(self.available);
        self.created = patch.created.unwrap_or(self.created);
        if let Some(stock) = patch.stock {
            self.out_of_stock = stock == 0;
        }
        self.in_catalog = true;
        self.deleted = false;
        self.details.get_or_insert_default().patch(patch);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_ids(out, &self.categories);
        out.put_u32_le(self.brand);
        codec::put_price(out, self.price);
        let flags = [
            self.available,
            self.out_of_stock,
            self.in_catalog,
            self.deleted,
            self.details.is_some(),
        ];
        out.put_u8(
            flags
                .iter()
                .rev()
                .fold(0, |bits, &flag| bits << 1 | u8::from(flag)),
        );
        codec::put_millis(out, self.created);
        out.put_u8(self.listed);
        if let Some(details) = &self.details {
            details.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let categories: Vec<u32> = codec::get_ids(input)?;
        let categories = ArrayVec::try_from(categories.as_slice()).map_err(|_| IMPOSSIBLE)?;
        let brand = input.try_get_u32_le()?;
        let price = codec::get_price(input)?;
        let flags = input.try_get_u8()?;
        let flag = |bit: u8| flags >> bit & 1 == 1;
        Ok(Self {
            categories,
            brand,
            price,
            available: flag(0),
            out_of_stock: flag(1),
            in_catalog: flag(2),
            deleted: flag(3),
            created: codec::get_millis(input)?,
            listed: input.try_get_u8()?,
            epoch: 0,
            details: if flag(4) {
                Some(Box::new(Details::decode(input)?))
            } else {
                None
            },
        })
    }
}

impl Details {
    fn patch(&mut self, patch: &ItemPatch) {
        if let Some(title) = &patch.title {
            self.title.clone_from(title);
        }
        if let Some(currency) = &patch.currency {
            self.currency.clone_from(currency);
        }
        if let Some(image_url) = &patch.image_url {
            self.image_url.clone_from(image_url);
        }
        self.stock = patch.stock.or(self.stock);
        for (key, value) in &patch.attributes {
            match self
                .attributes
                .binary_search_by(|(known, _)| known.cmp(key))
            {
                Ok(place) => {
                    if let Some(known) = self.attributes.get_mut(place) {
                        known.1.clone_from(value);
                    }
                }
                Err(place) if self.attributes.len() < ATTRIBUTES_MAX => {
                    self.attributes.insert(place, (key.clone(), value.clone()));
                }
                Err(_) => {}
            }
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_id(out, &self.title);
        codec::put_id(out, &self.currency);
        out.put_u8(u8::from(self.stock.is_some()));
        out.put_u64_le(self.stock.unwrap_or(0));
        codec::put_len(out, self.attributes.len());
        for (key, value) in &self.attributes {
            codec::put_id(out, key);
            codec::put_id(out, value);
        }
        codec::put_id(out, &self.image_url);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let title = codec::get_text(input)?;
        let currency = codec::get_id(input)?;
        let counted = input.try_get_u8()? == 1;
        let stock = input.try_get_u64_le()?;
        let len = codec::get_len(input)?;
        let attributes = (0..len)
            .map(|_| Ok((codec::get_id(input)?, codec::get_text(input)?)))
            .collect::<Result<_, Corrupt>>()?;
        Ok(Self {
            title,
            currency,
            stock: counted.then_some(stock),
            attributes,
            image_url: codec::get_text(input)?,
        })
    }
}

impl Catalog {
    /// Makes room for items with numbers below `len`, first seen at `at`. Only the writer calls this.
    pub(crate) fn ensure(&self, len: u32, at: Millis) {
        self.entries.ensure(len, RwLock::default, |entry| {
            *entry.write() = Entry {
                available: true,
                created: at,
                epoch: self.current_epoch(),
                ..Entry::default()
            };
        });
    }

    /// Adds or changes an item. Only the writer calls this.
    pub(crate) fn upsert(
        &self,
        item: u32,
        patch: &ItemPatch,
        categories: &[u32],
        brand: Option<u32>,
    ) {
        self.change(item, |entry| entry.patch(patch, categories, brand));
    }

    /// Takes an item out of every answer; whether it was in the catalog. Only the writer calls this.
    pub(crate) fn delete(&self, item: u32) {
        self.change(item, |entry| {
            entry.in_catalog = false;
            entry.deleted = true;
        });
    }

    /// Changes an entry. Only the writer calls this.
    pub(crate) fn change<R: Default>(&self, item: u32, change: impl FnOnce(&mut Entry) -> R) -> R {
        let Some(lock) = self.entries.get(item) else {
            return R::default();
        };
        let mut entry = lock.write();
        let epoch = self.current_epoch();
        if entry.epoch != epoch {
            entry.epoch = epoch;
            if self.sweeping.load(Ordering::Relaxed) {
                encode_entry(item, &entry, &mut self.pre_images.lock());
            }
        }
        change(&mut entry)
    }

    /// Reads an entry; `R`'s default for a number never given out.
    pub(crate) fn read<R: Default>(&self, item: u32, read: impl FnOnce(&Entry) -> R) -> R {
        self.entries
            .get(item)
            .map_or_else(R::default, |lock| read(&lock.read()))
    }

    /// What an event needs to know of an item.
    pub(crate) fn traits(&self, item: u32) -> Traits {
        self.read(item, Entry::traits)
    }

    /// The title, or the id where no title is known.
    pub(crate) fn title(&self, item: u32, id: &Id) -> String {
        let title = self.read(item, |entry| {
            entry
                .details
                .as_ref()
                .map(|details| details.title.clone())
                .unwrap_or_default()
        });
        if title.is_empty() {
            id.to_string()
        } else {
            title
        }
    }

    /// An item in words; `name` gives the names of categories and brands.
    pub(crate) fn item(
        &self,
        item: u32,
        id: Id,
        category: impl Fn(u32) -> Id,
        brand: impl Fn(u32) -> Id,
    ) -> Item {
        self.read(item, |entry| {
            let details = entry.details.as_deref().cloned().unwrap_or_default();
            Item {
                id,
                title: details.title,
                categories: entry
                    .categories
                    .iter()
                    .map(|&number| category(number))
                    .collect(),
                brand: entry.brand().map(brand).unwrap_or_default(),
                price: entry.price,
                currency: details.currency,
                available: entry.eligible(),
                stock: details.stock,
                attributes: details.attributes,
                image_url: details.image_url,
                created: entry.created,
                in_catalog: entry.in_catalog,
            }
        })
    }

    /// What events say about an item that the catalog does not know; whether its category or brand became known. Only
    /// the writer calls this.
    pub(crate) fn learn(
        &self,
        item: u32,
        category: Option<u32>,
        brand: Option<u32>,
        price: Option<Money>,
    ) -> bool {
        let news = self.read(item, |entry| {
            !entry.in_catalog
                && (category.is_some() && entry.categories.is_empty()
                    || brand.is_some() && entry.brand == 0
                    || price.is_some() && entry.price != price)
        });
        news && self.change(item, |entry| {
            let before = (entry.categories.len(), entry.brand);
            if entry.categories.is_empty() {
                entry.categories.extend(category);
            }
            if entry.brand == 0 {
                entry.brand = brand.map_or(0, |number| number + 1);
            }
            entry.price = price.or(entry.price);
            before != (entry.categories.len(), entry.brand)
        })
    }

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

    /// Adds an entry as of [`Catalog::begin_snapshot`], unless the writer handed it over already.
    pub(crate) fn sweep(&self, item: u32, out: &mut Vec<u8>) {
        let Some(lock) = self.entries.get(item) else {
            return;
        };
        let mut entry = lock.write();
        let epoch = self.current_epoch();
        if entry.epoch != epoch {
            entry.epoch = epoch;
            encode_entry(item, &entry, out);
        }
    }

    pub(crate) fn drain_pre_images(&self, out: &mut Vec<u8>) {
        out.append(&mut self.pre_images.lock());
    }

    /// Puts one swept entry back; room must have been made.
    pub(crate) fn restore(&self, item: u32, input: &mut &[u8]) -> Result<(), Corrupt> {
        let entry = Entry::decode(input)?;
        if let Some(lock) = self.entries.get(item) {
            *lock.write() = entry;
        }
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an entry compares one byte: is it this snapshot's or not"
    )]
    fn current_epoch(&self) -> u8 {
        self.epoch.load(Ordering::Relaxed) as u8
    }
}

impl Traits {
    /// As [`Entry::lists`].
    pub(crate) fn lists(&self) -> impl Iterator<Item = ListKey> + '_ {
        lists(self.brand, &self.categories)
    }
}

fn lists(brand: Option<u32>, categories: &[u32]) -> impl Iterator<Item = ListKey> + '_ {
    let brand = brand.map_or(ListKey::None, ListKey::Brand);
    let categories = categories.iter().copied().map(ListKey::Category);
    [ListKey::Shop, brand].into_iter().chain(categories)
}

fn encode_entry(item: u32, entry: &Entry, out: &mut Vec<u8>) {
    out.put_u32_le(item);
    entry.encode(out);
}

#[cfg(test)]
mod tests {
    use super::Catalog;
    use crate::domain::{Id, ItemPatch, Millis, Money};

    fn patch(price: Option<i64>, stock: Option<u64>) -> ItemPatch {
        ItemPatch {
            id: Id::from("a"),
            price: price.map(Money),
            stock,
            ..ItemPatch::default()
        }
    }

    #[test]
    fn an_upsert_keeps_what_it_does_not_name() {
        let catalog = Catalog::default();
        catalog.ensure(1, Millis(5));
        catalog.upsert(0, &patch(Some(7), None), &[1, 2], Some(3));
        catalog.upsert(0, &patch(None, Some(0)), &[], None);
        catalog.read(0, |entry| {
            assert_eq!(entry.price, Some(Money(7)));
            assert_eq!(entry.categories.as_slice(), [1, 2]);
            assert_eq!(entry.brand(), Some(3));
            assert!(!entry.eligible());
        });
        catalog.upsert(0, &patch(None, Some(2)), &[], None);
        assert!(catalog.read(0, super::Entry::eligible));
        catalog.delete(0);
        assert!(!catalog.read(0, super::Entry::eligible));
    }

    #[test]
    fn a_sweep_restores_what_was_there_at_the_beginning() {
        let catalog = Catalog::default();
        catalog.ensure(3, Millis(1));
        for item in 0..3 {
            catalog.upsert(item, &patch(Some(i64::from(item)), Some(1)), &[item], None);
        }
        catalog.begin_snapshot();
        let mut swept = Vec::new();
        catalog.sweep(0, &mut swept);
        for item in 0..3 {
            catalog.upsert(item, &patch(Some(99), None), &[], None);
        }
        catalog.ensure(4, Millis(2));
        (1..3).for_each(|item| catalog.sweep(item, &mut swept));
        catalog.drain_pre_images(&mut swept);

        let restored = Catalog::default();
        restored.ensure(3, Millis(0));
        let mut input = swept.as_slice();
        while !input.is_empty() {
            let item = bytes::Buf::get_u32_le(&mut input);
            restored.restore(item, &mut input).unwrap();
        }
        for item in 0..3 {
            assert_eq!(
                restored.read(item, |entry| entry.price),
                Some(Money(i64::from(item)))
            );
            assert!(restored.read(item, super::Entry::eligible));
        }
    }
}
