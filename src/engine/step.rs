//! One event: what it changes in the shopper, the items and the triggers.

use crate::domain::{Consent, EpisodeView, Event, EventKind, Id, LineItem, Millis, Money};
use crate::engine::catalog::Traits;
use crate::engine::profile::{Profile, Subject, Touched};
use crate::engine::state::State;
use crate::engine::triggers::{self, CartEvent, CartOp, CartState, Choice, Line, Names, Triggers};

/// Weights of what shoppers do for their affinities.
const VIEW_WEIGHT: f32 = 1.0;
const CART_WEIGHT: f32 = 4.0;
const PURCHASE_WEIGHT: f32 = 8.0;

/// An accepted event with what the gates found out about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) event: &'a Event,
    pub(crate) at: Millis,
    /// A hash of the event's identity.
    pub(crate) key: u64,
    pub(crate) late: bool,
    /// After the event.
    pub(crate) watermark: Millis,
}

impl Step<'_> {
    /// Applies the event to the shopper, the items and the triggers; the shopper whose session began, if one did.
    pub(crate) fn apply(self, state: &State, triggers: &mut Triggers) -> Option<u32> {
        let user = state.users.intern(&self.event.user);
        let user = follow_alias(user, state);
        if self.event.kind == EventKind::Identify {
            self.link(user, state, triggers);
        }
        let item = (!self.event.item.is_empty()).then(|| self.learn_item(state));
        let traits = item.map_or_else(Traits::default, |item| state.catalog.traits(item));
        let bought = self.order_lines(user, state);
        let cart_event = CartEvent::new(self.event, self.at, self.key, |id| {
            state.intern_item(id, self.at)
        });
        let mut popular = None;
        let touched = state.profiles.change(user, |profile| {
            let touched = profile.touch(self.at, &self.event.session, state.config.session_gap_ms);
            if let Some(item) = item {
                let key = self.deal_with(item, &traits, profile, state);
                popular = key.map(|key| (item, key));
            }
            self.trade(profile, &bought, state);
            if let Some(cart_event) = cart_event {
                let cart = &mut profile.cart;
                triggers.on_event(user, cart, cart_event, self.late, self.watermark);
            }
            if let Some(details) = &self.event.details {
                self.choose(user, details.consent, profile, triggers);
            }
            touched
        });
        if let Some((item, key)) = popular {
            state.promote(item, key, &traits);
        }
        self.popularize(&bought, state);
        (touched == Touched::Began).then_some(user)
    }

    /// What the shopper allows from here on, in event time.
    fn choose(self, user: u32, consent: Consent, profile: &mut Profile, triggers: &mut Triggers) {
        let full = profile
            .permissions
            .learn(consent, self.at, triggers.settled());
        triggers.note_choice(full);
        if consent.marketing == Some(false) {
            let refusal = (self.at, self.event.traceparent());
            triggers.on_refusal(user, &mut profile.cart, refusal, self.watermark);
        }
    }

    /// The item's number; what the event says of it is kept if the catalog knows nothing better.
    fn learn_item(self, state: &State) -> u32 {
        let item = state.intern_item(&self.event.item, self.at);
        let named = |name: &Id| !name.is_empty();
        let details = self.event.details.as_deref();
        let category = details
            .map(|details| &details.category)
            .filter(|name| named(name));
        let brand = details
            .map(|details| &details.brand)
            .filter(|name| named(name));
        let says = category.is_some() || brand.is_some() || self.event.price.is_some();
        if says && !state.catalog.read(item, |entry| entry.in_catalog) {
            let category = category.map(|name| state.categories.intern(name));
            let brand = brand.map(|name| state.brands.intern(name));
            state.learn(item, category, brand, self.event.price);
        }
        item
    }

    /// The lines of a purchase or a refund: as listed, the one item named, or for a purchase the cart.
    fn order_lines(self, user: u32, state: &State) -> Vec<Line> {
        if !matches!(self.event.kind, EventKind::Purchase | EventKind::Refund) {
            return Vec::new();
        }
        let listed = self
            .event
            .details
            .as_ref()
            .map_or(&[][..], |details| &details.lines);
        if !listed.is_empty() {
            return listed.iter().map(|line| self.line(line, state)).collect();
        }
        if !self.event.item.is_empty() {
            return vec![Line {
                item: state.intern_item(&self.event.item, self.at),
                quantity: self.event.quantity.max(1),
                price: self.event.price,
            }];
        }
        if self.event.kind == EventKind::Refund {
            return Vec::new();
        }
        state
            .profiles
            .read(user, |profile| profile.cart.lines())
            .unwrap_or_default()
    }

    fn line(self, line: &LineItem, state: &State) -> Line {
        let item = state.intern_item(&line.item, self.at);
        state.learn(item, None, None, line.price);
        Line {
            item,
            quantity: line.quantity.max(1),
            price: line.price,
        }
    }

    /// What looking at an item or putting it into the cart teaches.
    ///
    /// Answers the item's popularity key if it grew.
    fn deal_with(
        self,
        item: u32,
        traits: &Traits,
        profile: &mut Profile,
        state: &State,
    ) -> Option<f64> {
        let weight = weight(self.event.kind)?;
        profile.see(item);
        self.learn_taste(traits, weight, profile, state);
        let limit = state.config.taught_events_per_minute_max;
        let session = profile.session.as_mut()?;
        let key = session
            .may_teach(self.at, limit)
            .then(|| state.counts.view(&session.items, item, self.at));
        session.push(item);
        key
    }

    /// Category, brand and price of an item move the shopper's own.
    fn learn_taste(self, traits: &Traits, weight: f32, profile: &mut Profile, state: &State) {
        let categories = traits.categories.iter().copied().map(Subject::Category);
        let subjects = categories.chain(traits.brand.map(Subject::Brand));
        profile.affinities.learn(subjects, weight, self.at);
        let narrowest = traits.categories.last().copied();
        let quantile = narrowest.zip(traits.price).and_then(|(category, price)| {
            state.change_prices(|prices| prices.learn(category, price))
        });
        if let Some(quantile) = quantile {
            profile.learn_price(quantile);
        }
    }

    /// What a purchase or a refund changes in the shopper.
    fn trade(self, profile: &mut Profile, lines: &[Line], state: &State) {
        let before = profile.buyer();
        if self.event.kind == EventKind::Purchase {
            for line in lines {
                let traits = state.catalog.traits(line.item);
                self.learn_taste(&traits, PURCHASE_WEIGHT, profile, state);
            }
            let items: Vec<u32> = lines.iter().map(|line| line.item).collect();
            profile
                .purchases_mut()
                .buy(&items, self.total(lines, state), self.at);
        } else if self.event.kind == EventKind::Refund {
            profile.purchases_mut().refund(self.total(lines, state));
        } else {
            return;
        }
        let after = profile.buyer();
        state.change_population(|population| population.update(before, after));
    }

    /// The order's total: as given, or the sum of its lines at their own or the catalog's prices.
    fn total(self, lines: &[Line], state: &State) -> Money {
        let given = self
            .event
            .details
            .as_ref()
            .and_then(|details| details.revenue);
        given.unwrap_or_else(|| {
            lines.iter().fold(Money::ZERO, |sum, line| {
                let price = line
                    .price
                    .or_else(|| state.catalog.read(line.item, |entry| entry.price));
                sum + price.unwrap_or_default() * line.quantity
            })
        })
    }

    /// Popularity and baskets of what was bought.
    fn popularize(self, bought: &[Line], state: &State) {
        if self.event.kind == EventKind::Purchase {
            let items: Vec<u32> = bought.iter().map(|line| line.item).collect();
            state.counts.basket(&items, self.at);
            for item in items {
                let key = state.counts.interaction(item, 1.0, self.at);
                state.promote(item, key, &state.catalog.traits(item));
            }
        }
    }

    /// An anonymous visitor turned out to be `user`: what was learned moves over, the cart is put into the user's, and
    /// later events of the visitor count as the user's.
    fn link(self, user: u32, state: &State, triggers: &mut Triggers) {
        let details = self.event.details.as_deref();
        let Some(name) = details
            .map(|details| &details.visitor)
            .filter(|name| !name.is_empty())
        else {
            return;
        };
        let visitor = state.users.intern(name);
        if follow_alias(visitor, state) == user {
            return;
        }
        state.note_alias();
        let watermark = self.watermark;
        let (left, cart, currency) = state.profiles.change(visitor, |profile| {
            let cart = profile.cart.lines();
            let currency = profile.cart_view(state).currency;
            if !cart.is_empty() {
                let emptied = self.cart_change(CartOp::Update(Vec::new()), 0, Id::default());
                triggers.on_event(visitor, &mut profile.cart, emptied, self.late, watermark);
            }
            (profile.leave_to(user), cart, currency)
        });
        let before = state.profiles.change(user, |profile| {
            let before = profile.buyer();
            profile.absorb(&left);
            for (place, line) in (1..).zip(cart) {
                let moved = self.cart_change(CartOp::Add(line), place, currency.clone());
                triggers.on_event(user, &mut profile.cart, moved, self.late, watermark);
            }
            (before, profile.buyer())
        });
        state.change_population(|population| {
            population.update(left.buyer(), crate::engine::profile::Buyer::default());
            population.update(before.0, before.1);
        });
    }

    /// A change of a cart that this event implies; `place` tells several apart.
    fn cart_change(self, op: CartOp, place: u64, currency: Id) -> CartEvent {
        let id = if self.event.id.is_empty() {
            compact_str::format_compact!("{:016x}", self.key)
        } else {
            self.event.id.clone()
        };
        CartEvent {
            at: self.at,
            key: self.key.wrapping_add(place),
            id,
            currency,
            op,
            trace: self.event.traceparent().map(Box::new),
        }
    }
}

/// What an event of this kind about an item adds to affinities; `None` for kinds that say nothing about taste.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what shoppers do with one item says something"
)]
const fn weight(kind: EventKind) -> Option<f32> {
    match kind {
        EventKind::ProductView | EventKind::WishlistAdd => Some(VIEW_WEIGHT),
        EventKind::AddToCart => Some(CART_WEIGHT),
        _ => None,
    }
}

/// The shopper that this one is known as since `identify`.
pub(crate) fn follow_alias(user: u32, state: &State) -> u32 {
    if !state.has_aliases() {
        return user;
    }
    let alias = state
        .profiles
        .read(user, |profile| profile.alias)
        .unwrap_or(0);
    alias.checked_sub(1).unwrap_or(user)
}

/// Open episodes as readers see them, soonest first.
pub(crate) fn episodes(
    state: &State,
    index: &triggers::EpisodeIndex,
    limit: usize,
) -> Vec<EpisodeView> {
    let view = |user: u32| {
        let name = state.users.name(user);
        state
            .profiles
            .read(user, |profile| index.view(&name, &profile.cart, state))
            .flatten()
    };
    index
        .soonest(limit)
        .into_iter()
        .filter_map(|(_, user)| view(user))
        .collect()
}

impl Names for State {
    fn user_id(&self, user: u32) -> Id {
        self.users.name(user)
    }

    fn item_id(&self, item: u32) -> Id {
        self.items.name(item)
    }
}

/// The shoppers, as the triggers reach them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shoppers<'a>(pub(crate) &'a State);

impl Names for Shoppers<'_> {
    fn user_id(&self, user: u32) -> Id {
        self.0.users.name(user)
    }

    fn item_id(&self, item: u32) -> Id {
        self.0.items.name(item)
    }
}

impl triggers::Shoppers for Shoppers<'_> {
    fn with_cart<R>(
        &mut self,
        user: u32,
        time: Millis,
        f: impl FnOnce(&mut CartState, Option<Choice>) -> R,
    ) -> Option<R> {
        Some(self.0.profiles.change(user, |profile| {
            let marketing = profile.permissions.marketing_as_of(time);
            f(&mut profile.cart, marketing)
        }))
    }
}
