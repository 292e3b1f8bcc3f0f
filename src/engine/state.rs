//! Everything the engine knows: changed by one writer, read by many.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};

use crate::domain::{Id, Item, Millis, Money, Position};
use crate::engine::Config;
use crate::engine::catalog::{Catalog, Entry, ListKey, Lists, Member, Offer, Prices, Traits};
use crate::engine::interner::Interner;
use crate::engine::items::Items;
use crate::engine::profile::{Population, Profiles};
use crate::engine::recommend::Workspaces;

/// The shared state. Every part locks for itself and briefly; no lock is held while another part's is taken, but
/// that a profile's may be held while an item's is.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) users: Interner,
    pub(crate) items: Interner,
    pub(crate) categories: Interner,
    pub(crate) brands: Interner,
    pub(crate) profiles: Profiles,
    pub(crate) catalog: Catalog,
    pub(crate) counts: Items,
    pub(crate) lists: Lists,
    /// Memory of the readers; no part of what is known.
    pub(crate) workspaces: Workspaces,
    prices: RwLock<Prices>,
    population: RwLock<Population>,
    /// Whether any visitor was identified: most look-ups need not ask.
    aliases: AtomicBool,
    position: AtomicU64,
    watermark: AtomicI64,
    now: AtomicI64,
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            users: Interner::default(),
            items: Interner::default(),
            categories: Interner::default(),
            brands: Interner::default(),
            profiles: Profiles::default(),
            catalog: Catalog::default(),
            counts: Items::new(config.items.clone()),
            lists: Lists::default(),
            workspaces: Workspaces::default(),
            prices: RwLock::default(),
            population: RwLock::default(),
            aliases: AtomicBool::new(false),
            position: AtomicU64::new(0),
            watermark: AtomicI64::new(Millis::MIN.0),
            now: AtomicI64::new(0),
            config,
        }
    }

    /// Records applied so far: all of them are visible to whoever reads this.
    pub(crate) fn position(&self) -> Position {
        self.position.load(Ordering::Acquire)
    }

    /// Event time up to which the state is complete.
    pub(crate) fn watermark(&self) -> Millis {
        Millis(self.watermark.load(Ordering::Acquire))
    }

    /// The latest event time or tick seen: what fades is faded to here.
    pub(crate) fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::Acquire))
    }

    pub(crate) fn has_aliases(&self) -> bool {
        self.aliases.load(Ordering::Relaxed)
    }

    pub(crate) fn note_alias(&self) {
        self.aliases.store(true, Ordering::Relaxed);
    }

    /// Makes what was applied visible. Only the writer calls this.
    pub(crate) fn publish(&self, position: Position, watermark: Millis, now: Millis) {
        self.watermark.store(watermark.0, Ordering::Release);
        self.now.store(now.0, Ordering::Release);
        self.position.store(position, Ordering::Release);
    }

    pub(crate) fn population(&self) -> RwLockReadGuard<'_, Population> {
        self.population.read()
    }

    pub(crate) fn prices(&self) -> RwLockReadGuard<'_, Prices> {
        self.prices.read()
    }

    pub(crate) fn change_population(&self, change: impl FnOnce(&mut Population)) {
        change(&mut self.population.write());
    }

    pub(crate) fn change_prices<R>(&self, change: impl FnOnce(&mut Prices) -> R) -> R {
        change(&mut self.prices.write())
    }

    /// The number of an item, new or old. Only the writer calls this.
    pub(crate) fn intern_item(&self, id: &Id, at: Millis) -> u32 {
        let known = self.items.len();
        let item = self.items.intern(id);
        if item >= known {
            self.counts.ensure(item + 1);
            self.catalog.ensure(item + 1, at);
            self.lists.arrive(item, None, at);
        }
        item
    }

    /// What an event says about an item that the catalog does not know; lists follow. Only the writer calls this.
    pub(crate) fn learn(
        &self,
        item: u32,
        category: Option<u32>,
        brand: Option<u32>,
        price: Option<Money>,
    ) {
        if self.catalog.learn(item, category, brand, price) {
            self.enlist(item);
        }
    }

    /// An item in words.
    pub(crate) fn item(&self, item: u32) -> Item {
        self.catalog.item(
            item,
            self.items.name(item),
            |number| self.categories.name(number),
            |number| self.brands.name(number),
        )
    }

    /// The title of an item given by id, or the id.
    pub(crate) fn title(&self, id: &Id) -> String {
        self.items
            .get(id)
            .map_or_else(|| id.to_string(), |item| self.catalog.title(item, id))
    }

    /// Items of a list with their popularity keys, best first.
    pub(crate) fn best(&self, list: ListKey) -> Vec<(u32, f64)> {
        self.lists
            .best(list, |item| self.counts.popularity_key(item))
    }

    /// An item became more popular and has this key now: it may enter lists. Only the writer calls this.
    pub(crate) fn promote(&self, item: u32, key: f64, traits: &Traits) {
        let missing = |bit: u8| traits.unlisted >> bit & 1 == 1;
        for (bit, list) in (0_u8..)
            .zip(traits.lists())
            .filter(|(bit, _)| missing(*bit))
        {
            let key_of = |other| self.counts.popularity_key(other);
            match self.lists.offer(list, Member { item, bit }, key, key_of) {
                Offer::Refused => continue,
                Offer::Entered => {}
                Offer::Replaced(other) => {
                    self.catalog
                        .change(other.item, |entry| entry.unlist(other.bit));
                }
            }
            self.catalog.change(item, |entry| entry.list(bit));
        }
    }

    /// Takes an item out of all its lists, before its categories or its brand change. Only the writer calls this.
    pub(crate) fn withdraw(&self, item: u32) {
        let lists: Vec<ListKey> = self.catalog.read(item, |entry| entry.lists().collect());
        for list in lists {
            self.lists.remove(list, item);
        }
        self.catalog.change(item, Entry::unlist_all);
    }

    /// Lets an item back into the lists of its categories and brand, if it was ever dealt with.
    pub(crate) fn enlist(&self, item: u32) {
        if self.counts.events(item) > 0 {
            let key = self.counts.popularity_key(item);
            self.promote(item, key, &self.catalog.traits(item));
        }
    }
}
