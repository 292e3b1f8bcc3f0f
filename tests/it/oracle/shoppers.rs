//! The model of profiles: each fact found by its own pass over a shopper's accepted events.

use std::collections::BTreeMap;

use impulse::domain::{Consent, DAY_MS, Event, EventKind, Id, Input, LineItem, Millis, Money};

use super::journal::{Accepted, Journal};
use super::pairs::{seen_item, sessions, to_f64};

/// Entries in the lists of a profile.
const LISTED_MAX: usize = 50;

/// What a profile must say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shopper {
    /// Accepted events.
    pub(crate) events: u64,
    /// Sessions.
    pub(crate) sessions: u32,
    /// Items of the last session, oldest first, with repeats.
    pub(crate) session_items: Vec<Id>,
    /// Events of the last session.
    pub(crate) session_events: u32,
    /// Id of the last session.
    pub(crate) session_id: Id,
    /// Beginning and end of the last session.
    pub(crate) session_span: (Millis, Millis),
    /// Event time of the last session's first event in the log.
    pub(crate) session_first: Millis,
    /// Items viewed, newest first, each once.
    pub(crate) last_viewed: Vec<Id>,
    /// Orders.
    pub(crate) orders: u32,
    /// What they came to.
    pub(crate) revenue: Money,
    /// Items bought, newest first, each once.
    pub(crate) purchased: Vec<Id>,
    /// Last order.
    pub(crate) last_order: Option<Millis>,
    /// Earliest event time.
    pub(crate) first_seen: Millis,
    /// Latest event time.
    pub(crate) last_seen: Millis,
    /// What the shopper allows.
    pub(crate) consent: Consent,
    /// Decayed weights of categories, 7 and 60 days, as of the shopper's first event.
    pub(crate) categories: BTreeMap<Id, (f64, f64)>,
    /// The same for brands.
    pub(crate) brands: BTreeMap<Id, (f64, f64)>,
}

/// Every shopper of the journal.
pub(crate) fn shoppers(journal: &Journal) -> BTreeMap<Id, Shopper> {
    let mut events: BTreeMap<Id, Vec<(usize, &Accepted)>> = BTreeMap::new();
    for (index, accepted) in journal.accepted.iter().enumerate() {
        if let Some(event) = accepted.event() {
            events
                .entry(event.user.clone())
                .or_default()
                .push((index, accepted));
        }
    }
    let sessions = sessions(journal);
    let mut shoppers = BTreeMap::new();
    for (user, events) in events {
        let mut shopper = totals(journal, &events);
        let last = sessions[&user].last().unwrap();
        shopper.sessions = u32::try_from(sessions[&user].len()).unwrap();
        shopper.session_items = last.items();
        shopper.session_events = u32::try_from(last.events.len()).unwrap();
        shopper.session_id.clone_from(&last.id);
        shopper.session_first = last.events[0].time;
        shopper.session_span = (last.started(), last.last_event());
        (shopper.categories, shopper.brands) = affinities(journal, &events);
        shoppers.insert(user, shopper);
    }
    shoppers
}

/// Facts that need only a shopper's own events.
fn totals(journal: &Journal, events: &[(usize, &Accepted)]) -> Shopper {
    let all = || events.iter().filter_map(|(_, accepted)| accepted.event());
    let orders = || {
        events
            .iter()
            .filter(|(_, accepted)| kind(accepted) == Some(EventKind::Purchase))
    };
    let mut shopper = Shopper {
        events: u64::try_from(events.len()).unwrap(),
        last_viewed: newest(
            events
                .iter()
                .filter_map(|(_, accepted)| seen_item(accepted))
                .collect(),
        ),
        orders: u32::try_from(orders().count()).unwrap(),
        purchased: newest(
            all()
                .filter(|event| event.kind == EventKind::Purchase)
                .flat_map(|event| lines(event).into_iter().map(|line| line.item))
                .collect(),
        ),
        last_order: orders().map(|(_, accepted)| accepted.time).max(),
        first_seen: events
            .iter()
            .map(|(_, accepted)| accepted.time)
            .min()
            .unwrap(),
        last_seen: events
            .iter()
            .map(|(_, accepted)| accepted.time)
            .max()
            .unwrap(),
        ..Shopper::default()
    };
    for (index, accepted) in events {
        let Some(event) = accepted.event() else {
            continue;
        };
        match event.kind {
            EventKind::Purchase => shopper.revenue += amount(journal, *index, event),
            EventKind::Refund => shopper.revenue -= amount(journal, *index, event),
            _ => {}
        }
    }
    shopper.consent = Consent {
        personalization: choice(events, |consent| consent.personalization),
        marketing: choice(events, |consent| consent.marketing),
    };
    shopper
}

/// The choice made last; of two of one moment the refusal.
fn choice(events: &[(usize, &Accepted)], of: impl Fn(&Consent) -> Option<bool>) -> Option<bool> {
    let choices = events.iter().filter_map(|(_, accepted)| {
        let details = accepted.event()?.details.as_ref()?;
        Some((accepted.time, !of(&details.consent)?))
    });
    choices.max().map(|(_, refused)| !refused)
}

/// Each once, newest first, of a list that is oldest first.
fn newest(items: Vec<Id>) -> Vec<Id> {
    let mut found: Vec<Id> = Vec::new();
    for item in items.into_iter().rev() {
        if !found.contains(&item) && found.len() < LISTED_MAX {
            found.push(item);
        }
    }
    found
}

/// The lines of an order: those it names, else its one item.
pub(crate) fn lines(event: &Event) -> Vec<LineItem> {
    let given = event
        .details
        .as_ref()
        .map(|details| details.lines.clone())
        .unwrap_or_default();
    if !given.is_empty() || event.item.is_empty() {
        return given;
    }
    vec![LineItem {
        item: event.item.clone(),
        quantity: event.quantity.max(1),
        price: event.price,
    }]
}

/// What an order came to: the total it names, else the sum of its lines; a line without a price costs what its item is
/// known to cost.
fn amount(journal: &Journal, index: usize, event: &Event) -> Money {
    event
        .details
        .as_ref()
        .and_then(|details| details.revenue)
        .unwrap_or_else(|| {
            let mut sum = Money::ZERO;
            for line in lines(event) {
                let price = line
                    .price
                    .or_else(|| known_price(journal, index, &line.item));
                sum += price.unwrap_or(Money::ZERO) * line.quantity;
            }
            sum
        })
}

/// The price of an item at a place in the journal: the catalog's; while it is not in the catalog, the one last seen.
fn known_price(journal: &Journal, index: usize, item: &Id) -> Option<Money> {
    let (mut price, mut listed) = (None, false);
    for accepted in &journal.accepted[..=index] {
        match &accepted.record.input {
            Input::ItemUpsert(patch) if patch.id == *item => {
                price = patch.price.or(price);
                listed = true;
            }
            Input::ItemDelete(id) if id == item => listed = false,
            Input::Event(event) if !listed => {
                for line in named_lines(event).iter().filter(|line| line.item == *item) {
                    price = line.price.or(price);
                }
            }
            Input::Event(_) | Input::ItemUpsert(_) | Input::ItemDelete(_) | Input::Tick { .. } => {}
        }
    }
    price
}

/// Every item an event tells the price of: its own, and those of an order.
fn named_lines(event: &Event) -> Vec<LineItem> {
    let own = LineItem {
        item: event.item.clone(),
        quantity: 1,
        price: event.price,
    };
    let ordered = matches!(event.kind, EventKind::Purchase | EventKind::Refund);
    let lines = event
        .details
        .iter()
        .filter(|_| ordered)
        .flat_map(|details| details.lines.clone());
    Some(own).into_iter().chain(lines).collect()
}

fn kind(accepted: &Accepted) -> Option<EventKind> {
    accepted.event().map(|event| event.kind)
}

type Weights = BTreeMap<Id, (f64, f64)>;

/// Weights of categories and brands by decayed sums.
fn affinities(journal: &Journal, events: &[(usize, &Accepted)]) -> (Weights, Weights) {
    let (mut categories, mut brands) = (Weights::new(), Weights::new());
    let origin = events[0].1.time;
    for (index, accepted) in events {
        let event = accepted.event().unwrap();
        let weight = match event.kind {
            EventKind::ProductView | EventKind::WishlistAdd => 1.0,
            EventKind::AddToCart => 4.0,
            EventKind::Purchase => 8.0,
            _ => continue,
        };
        let age = to_f64(accepted.time.since(origin));
        let recent = weight * (age / to_f64(7 * DAY_MS)).exp2();
        let long_term = weight * (age / to_f64(60 * DAY_MS)).exp2();
        for line in lines(event) {
            let (names, brand) = traits(journal, *index, &line.item);
            for (weights, name) in names
                .iter()
                .map(|name| (true, name))
                .chain(brand.iter().map(|name| (false, name)))
            {
                let into = if weights {
                    &mut categories
                } else {
                    &mut brands
                };
                let entry = into.entry(name.clone()).or_insert((0.0, 0.0));
                entry.0 += recent;
                entry.1 += long_term;
            }
        }
    }
    (categories, brands)
}

/// Categories and brand of an item at a place in the journal: by the catalog, else by the first event that told them.
fn traits(journal: &Journal, index: usize, item: &Id) -> (Vec<Id>, Option<Id>) {
    let (mut categories, mut brand): (Vec<Id>, Option<Id>) = (Vec::new(), None);
    let (mut told_category, mut told_brand): (Option<Id>, Option<Id>) = (None, None);
    for accepted in &journal.accepted[..=index] {
        match &accepted.record.input {
            Input::ItemUpsert(patch) if patch.id == *item => {
                if !patch.categories.is_empty() {
                    categories.clone_from(&patch.categories);
                }
                brand = patch.brand.clone().or(brand);
            }
            Input::Event(event) if event.item == *item => {
                let details = event.details.as_deref();
                let told = |name: Option<&Id>| name.filter(|name| !name.is_empty()).cloned();
                told_category =
                    told_category.or_else(|| told(details.map(|details| &details.category)));
                told_brand = told_brand.or_else(|| told(details.map(|details| &details.brand)));
            }
            Input::Event(_) | Input::ItemUpsert(_) | Input::ItemDelete(_) | Input::Tick { .. } => {}
        }
    }
    if categories.is_empty() {
        categories.extend(told_category);
    }
    (categories, brand.or(told_brand))
}
