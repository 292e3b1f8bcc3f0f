//! A small shop whose tests only say who does what.

use crate::domain::{
    Answer, Consent, DAY_MS, Event, EventDetails, EventKind, HOUR_MS, Id, Input, ItemPatch,
    LineItem, MINUTE_MS, Millis, Money, Outcome, Query, Record, SECOND_MS, Trigger,
};
use crate::engine::{Config, Engine, Outbox};

/// An engine, and the time at which the next thing happens to it.
#[derive(Debug)]
pub(super) struct Shop {
    engine: Engine,
    outbox: Outbox,
    at: Millis,
    ticked: Option<Millis>,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        assert_eq!(config.mistakes(), Vec::<String>::new());
        Self {
            engine: Engine::new(config),
            outbox: Outbox::default(),
            at: Millis(20_000 * DAY_MS),
            ticked: None,
        }
    }

    /// Puts an item into the catalog. Its title is its id in capitals.
    pub(super) fn item(&mut self, id: &str, categories: &[&str], brand: &str, price: f64) {
        self.upsert(ItemPatch {
            id: Id::from(id),
            title: Some(id.to_uppercase()),
            categories: categories.iter().map(|name| Id::from(*name)).collect(),
            brand: Some(Id::from(brand)).filter(|name| !name.is_empty()),
            price: Money::from_units(price),
            ..ItemPatch::default()
        });
    }

    pub(super) fn upsert(&mut self, patch: ItemPatch) {
        self.apply(Input::ItemUpsert(Box::new(patch)));
    }

    pub(super) fn delete(&mut self, id: &str) {
        self.apply(Input::ItemDelete(Id::from(id)));
    }

    pub(super) fn view(&mut self, user: &str, item: &str) {
        self.event(EventKind::ProductView, user, item, None);
    }

    /// Sees items one after the other in a session of its own.
    pub(super) fn visit(&mut self, user: &str, items: &[&str]) {
        for item in items {
            self.view(user, item);
        }
    }

    pub(super) fn add_to_cart(&mut self, user: &str, item: &str) {
        self.event(EventKind::AddToCart, user, item, None);
    }

    pub(super) fn buy(&mut self, user: &str, items: &[&str]) {
        let line = |item: &&str| LineItem {
            item: Id::from(*item),
            quantity: 1,
            price: None,
        };
        let lines = items.iter().map(line).collect();
        let details = EventDetails {
            lines,
            ..EventDetails::default()
        };
        self.event(EventKind::Purchase, user, "", Some(details));
    }

    pub(super) fn personalization(&mut self, user: &str, allowed: bool) {
        let consent = Consent {
            personalization: Some(allowed),
            marketing: None,
        };
        let details = EventDetails {
            consent,
            ..EventDetails::default()
        };
        self.event(EventKind::ConsentChange, user, "", Some(details));
    }

    /// Lets time go by; open sessions end and carts are abandoned once it is long enough.
    pub(super) fn wait(&mut self, ms: i64) {
        let end = self.at + ms;
        while self.at < end {
            self.at = end.min(self.at + HOUR_MS);
            self.tick();
        }
    }

    pub(super) fn triggers(&self) -> &[Trigger] {
        &self.outbox.triggers
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn answer(&self, query: &Query) -> Answer {
        self.engine.view().recommend(query).unwrap()
    }

    /// Ids of the answer.
    pub(super) fn ids(&self, query: &Query) -> Vec<String> {
        self.answer(query)
            .items
            .iter()
            .map(|found| found.item.to_string())
            .collect()
    }

    fn event(&mut self, kind: EventKind, user: &str, item: &str, details: Option<EventDetails>) {
        self.at = self.at + SECOND_MS;
        // Once there are ticks, what is far ahead of the last one is taken for a clock that is wrong.
        if self
            .ticked
            .is_some_and(|ticked| self.at.since(ticked) > MINUTE_MS / 2)
        {
            self.tick();
        }
        self.apply(Input::Event(Event {
            kind,
            id: Id::default(),
            user: Id::from(user),
            session: Id::default(),
            item: Id::from(item),
            quantity: 0,
            price: None,
            created: Some(self.at),
            sent: None,
            details: details.map(Box::new),
        }));
    }

    fn tick(&mut self) {
        self.ticked = Some(self.at);
        self.apply(Input::Tick {
            wall: self.at,
            caught_up: true,
        });
    }

    fn apply(&mut self, input: Input) {
        let record = Record {
            received: self.at,
            input,
        };
        let outcome = self.engine.apply(&record, &mut self.outbox);
        assert!(
            matches!(outcome, Outcome::Applied { .. }),
            "{record:?} is {outcome:?}"
        );
    }
}

/// A query for 10 items.
pub(super) fn query(placement: &str, user: &str) -> Query {
    Query {
        placement: Id::from(placement),
        user: Id::from(user),
        limit: 10,
        ..Query::default()
    }
}

/// Ids.
pub(super) fn ids(names: &[&str]) -> Vec<Id> {
    names.iter().map(|name| Id::from(*name)).collect()
}
