//! What the visitors of a shop do: an endless stream of events in event-time order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::domain::{Event, EventDetails, EventKind, Id, LineItem, Millis, Money};
use crate::shop::catalogue::{CURRENCY, FIRST_PRODUCT, Product, Shop, numbered, small};
use crate::shop::habits::Habits;
use crate::shop::random::mix;
use crate::shop::visitor::{Act, Visitor};

/// The events of a shop's visitors, in event-time order, without end. The same shop, seed, habits, number of visitors
/// and start give the same events; event ids are unique within a seed.
///
/// The stream only knows the future it draws. What the shop does in answer reaches the visitors through
/// [`Traffic::show`] and [`Traffic::remind`], and then changes what they do.
#[derive(Clone, Debug)]
pub struct Traffic {
    shop: Shop,
    habits: Habits,
    seed: u64,
    visitors: Vec<Visitor>,
    /// When each visitor is due; entries whose time is not the visitor's own any more are skipped.
    due: BinaryHeap<Reverse<(Millis, u32)>>,
    ids: EventIds,
    now: Millis,
}

/// Ids of events: a tag of the seed and a count.
#[derive(Clone, Debug)]
struct EventIds {
    tag: Id,
    count: u64,
}

impl Traffic {
    /// The traffic of `visitors` with the usual [`Habits`], from `start` on.
    pub fn new(shop: &Shop, seed: u64, visitors: u32, start: Millis) -> Self {
        Self::with_habits(shop, seed, visitors, start, Habits::default())
    }

    /// The traffic of `visitors` with these habits, from `start` on.
    pub fn with_habits(
        shop: &Shop,
        seed: u64,
        visitors: u32,
        start: Millis,
        habits: Habits,
    ) -> Self {
        let mut all = Vec::with_capacity(visitors as usize);
        let mut due = BinaryHeap::with_capacity(visitors as usize);
        for slot in 0..visitors {
            let mut visitor = Visitor::new(shop, &habits, seed, u64::from(slot));
            visitor.due = start + visitor.away_ms(start);
            due.push(Reverse((visitor.due, slot)));
            all.push(visitor);
        }
        Self {
            shop: shop.clone(),
            habits,
            seed,
            visitors: all,
            due,
            ids: EventIds::new(seed),
            now: start,
        }
    }

    /// Event time of the last event.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// When the next event happens; `None` without visitors.
    pub fn next_at(&self) -> Option<Millis> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The shop the visitors are in.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// `user` was shown these items at `at`: an impression of each, and now and then a click, which the visitor
    /// follows. Nothing if the user is not a visitor of this traffic or is not in the shop.
    pub fn show(
        &mut self,
        user: &str,
        items: &[Id],
        placement: &Id,
        attribution_token: &Id,
        at: Millis,
    ) -> Vec<Event> {
        let Some(slot) = self.slot(user) else {
            return Vec::new();
        };
        let Some(visitor) = self.visitors.get_mut(slot).filter(|found| found.is_here()) else {
            return Vec::new();
        };
        let products: Vec<u32> = items.iter().filter_map(product_place).collect();
        let clicked = visitor.click(&products);
        let impressions = products
            .iter()
            .map(|&product| (EventKind::RecommendationImpression, product));
        let click = clicked.map(|product| (EventKind::RecommendationClick, product));
        let mut events = Vec::with_capacity(products.len() + 1);
        for (kind, product) in impressions.chain(click) {
            let mut event = blank(kind, visitor, self.ids.next(), at);
            event.item = product_id(&self.shop, product);
            event.details = Some(Box::new(EventDetails {
                placement: placement.clone(),
                attribution_token: attribution_token.clone(),
                ..EventDetails::default()
            }));
            events.push(event);
        }
        events
    }

    /// The message of a trigger reached `user` at `at`: now and then they come back for their cart. `None` if the user
    /// is not a visitor of this traffic.
    pub fn remind(&mut self, user: &str, trigger_id: Id, at: Millis) -> Option<Event> {
        let slot = self.slot(user)?;
        let visitor = self.visitors.get_mut(slot)?;
        let event = Event {
            details: Some(Box::new(EventDetails {
                context: vec![(Id::const_new("trigger_id"), trigger_id)],
                ..EventDetails::default()
            })),
            ..blank(EventKind::TriggerDelivered, visitor, self.ids.next(), at)
        };
        if let Some(wait) = visitor.remind() {
            visitor.due = at.max(self.now) + wait;
            self.due.push(Reverse((visitor.due, small(slot))));
        }
        Some(event)
    }

    /// Where the visitor of this id is, if it is still theirs.
    fn slot(&self, user: &str) -> Option<usize> {
        let number = user
            .strip_prefix("user-")
            .or_else(|| user.strip_prefix("visitor-"))?;
        let number: u64 = number.parse().ok()?;
        let slot = usize::try_from(number.checked_rem(self.visitors.len() as u64)?).ok()?;
        (self.visitors.get(slot)?.number == number).then_some(slot)
    }
}

impl Iterator for Traffic {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            let population = self.visitors.len() as u64;
            let mut top = self.due.peek_mut()?;
            let Reverse((at, slot)) = *top;
            let visitor = self.visitors.get_mut(slot as usize)?;
            if visitor.due != at {
                PeekMut::pop(top);
                continue;
            }
            let (act, wait) = visitor.act(&self.shop, &self.habits, at);
            let event = event(&self.shop, visitor, self.ids.next(), act, at);
            let wait = wait.unwrap_or_else(|| {
                if visitor.leaves_for_good(&self.habits) {
                    let number = visitor.number + population;
                    *visitor = Visitor::new(&self.shop, &self.habits, self.seed, number);
                }
                visitor.away_ms(at)
            });
            visitor.due = at + wait;
            *top = Reverse((visitor.due, slot));
            self.now = at;
            return Some(event);
        }
    }
}

impl EventIds {
    fn new(seed: u64) -> Self {
        Self {
            tag: Id::from(format!("{:08x}-", mix(seed) >> 32)),
            count: 0,
        }
    }

    fn next(&mut self) -> Id {
        self.count += 1;
        numbered(&self.tag, self.count)
    }
}

/// An event of this visitor that says nothing but its kind and time.
fn blank(kind: EventKind, visitor: &Visitor, id: Id, at: Millis) -> Event {
    Event {
        kind,
        id,
        user: visitor.id.clone(),
        session: visitor.session.clone(),
        item: Id::const_new(""),
        quantity: 0,
        price: None,
        created: Some(at),
        sent: None,
        details: None,
    }
}

/// What the shop's tracker sends for an act.
fn event(shop: &Shop, visitor: &Visitor, id: Id, act: Act, at: Millis) -> Event {
    let kind = kind(&act);
    let mut event = blank(kind, visitor, id, at);
    let mut details = EventDetails::default();
    match act {
        Act::List => return event,
        Act::View(product) | Act::Wish(product) => {
            event.item = product_id(shop, product);
            return event;
        }
        Act::Consent(consent) => details.consent = consent,
        Act::Search { category, choice } => {
            details.query = shop
                .category(category)
                .and_then(|category| chosen(&category.queries, choice))
                .unwrap_or_default();
        }
        Act::Filter { category, choice } => {
            details.filters = shop
                .category(category)
                .and_then(|category| chosen(&category.filters, choice))
                .into_iter()
                .collect();
        }
        Act::Add { product, quantity } | Act::Remove { product, quantity } => {
            event.item = product_id(shop, product);
            event.quantity = quantity;
            event.price = price(shop, product);
            details.currency = CURRENCY;
            details.cart_id = cart_id(visitor);
        }
        Act::CartExpired | Act::Cart | Act::Checkout => details.cart_id = cart_id(visitor),
        Act::Identify => details.visitor = visitor.anonymous(),
        Act::Refund(product) => {
            event.item = product_id(shop, product);
            event.quantity = 1;
            event.price = price(shop, product);
            details.currency = CURRENCY;
            details.order_id = order_id(visitor);
        }
        Act::Buy(lines) => {
            details.currency = CURRENCY;
            details.cart_id = cart_id(visitor);
            details.order_id = order_id(visitor);
            details.lines = lines
                .iter()
                .map(|&(product, quantity)| LineItem {
                    item: product_id(shop, product),
                    quantity,
                    price: price(shop, product),
                })
                .collect();
            details.revenue = Some(total(&details.lines));
        }
    }
    event.details = Some(Box::new(details));
    event
}

const fn kind(act: &Act) -> EventKind {
    match act {
        Act::Consent(_) => EventKind::ConsentChange,
        Act::CartExpired => EventKind::CartUpdate,
        Act::Refund(_) => EventKind::Refund,
        Act::Search { .. } => EventKind::SearchQuery,
        Act::Filter { .. } => EventKind::FilterSelection,
        Act::List => EventKind::ProductListView,
        Act::View(_) => EventKind::ProductView,
        Act::Wish(_) => EventKind::WishlistAdd,
        Act::Add { .. } => EventKind::AddToCart,
        Act::Cart => EventKind::CartView,
        Act::Remove { .. } => EventKind::RemoveFromCart,
        Act::Checkout => EventKind::CheckoutStart,
        Act::Identify => EventKind::Identify,
        Act::Buy(_) => EventKind::Purchase,
    }
}

fn total(lines: &[LineItem]) -> Money {
    let mut sum = Money::ZERO;
    for line in lines {
        sum += line.price.unwrap_or_default() * line.quantity;
    }
    sum
}

fn chosen(list: &[Id], choice: u32) -> Option<Id> {
    list.get(choice as usize % list.len().max(1)).cloned()
}

fn product_id(shop: &Shop, product: u32) -> Id {
    shop.product(product)
        .map_or(Id::const_new(""), |product| product.id.clone())
}

fn price(shop: &Shop, product: u32) -> Option<Money> {
    shop.product(product).map(|product: &Product| product.price)
}

fn product_place(item: &Id) -> Option<u32> {
    let number: u64 = item.strip_prefix("sku-")?.parse().ok()?;
    u32::try_from(number.checked_sub(FIRST_PRODUCT)?).ok()
}

fn cart_id(visitor: &Visitor) -> Id {
    let mut id = numbered("c-", visitor.number);
    id.push_str(&numbered("-", visitor.carts.into()));
    id
}

fn order_id(visitor: &Visitor) -> Id {
    let mut id = numbered("o-", visitor.number);
    id.push_str(&numbered("-", visitor.carts.into()));
    id
}
