//! A shopper as readers see them.

use crate::domain::{Affinity, CartView, Id, Millis, Money, PriceBand, ProfileView, SessionView};
use crate::engine::profile::loyalty::{self, Buyer};
use crate::engine::profile::{Profile, Subject};
use crate::engine::state::State;

const SUBJECTS_SHOWN: usize = 5;
const TITLES_SHOWN: usize = 10;
const SESSION_ITEMS_SHOWN: usize = 20;
/// Fewer items than this say nothing about what a shopper pays.
const PRICED_ITEMS_MIN: f32 = 1.0;

impl Profile {
    pub(crate) fn buyer(&self) -> Buyer {
        self.purchases
            .as_ref()
            .map_or_else(Buyer::default, |purchases| Buyer {
                orders: purchases.orders,
                revenue: purchases.revenue.max(Money::ZERO),
            })
    }

    /// Which third of its categories' prices the shopper's mean lies in.
    pub(crate) fn price_band(&self) -> Option<PriceBand> {
        if self.price_weight < PRICED_ITEMS_MIN {
            return None;
        }
        Some(match self.price_quantile()? {
            quantile if quantile < 1.0 / 3.0 => PriceBand::Low,
            quantile if quantile < 2.0 / 3.0 => PriceBand::Mid,
            _ => PriceBand::High,
        })
    }

    /// The shopper in words, as of `now`.
    pub(crate) fn view(&self, user: Id, now: Millis, state: &State) -> ProfileView {
        let (categories, brands) = self.affinities_shown(now, state);
        let last_viewed = newest_first(&self.viewed, state);
        let bought = self
            .purchases
            .as_ref()
            .filter(|purchases| purchases.orders > 0);
        let last_order = bought.map(|purchases| purchases.last_order);
        let idle_ms = now.since(loyalty::last_act(last_order, self.last_seen));
        ProfileView {
            user,
            categories,
            brands,
            price_band: self.price_band(),
            last_viewed_titles: last_viewed
                .iter()
                .take(TITLES_SHOWN)
                .map(|item| state.title(item))
                .collect(),
            last_viewed,
            loyalty_score: state
                .population()
                .loyalty(self.buyer(), self.sessions, idle_ms),
            cart: self.cart_view(state),
            session: self.session.as_ref().map(|session| SessionView {
                id: session.id.clone(),
                open: true,
                started: session.started,
                last_event: session.last_event,
                items: session
                    .items
                    .iter()
                    .skip(session.items.len().saturating_sub(SESSION_ITEMS_SHOWN))
                    .map(|&item| state.items.name(item))
                    .collect(),
                events: session.events,
            }),
            orders: self.buyer().orders,
            revenue: self.buyer().revenue,
            purchased: self
                .purchases
                .as_ref()
                .map_or_else(Vec::new, |purchases| newest_first(&purchases.items, state)),
            last_order,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            events: u64::from(self.events),
            sessions: self.sessions,
            consent: self.consent(),
        }
    }

    pub(crate) fn cart_view(&self, state: &State) -> CartView {
        self.cart.view(state)
    }

    /// Categories and brands, best first: the recent weight decides, then the long-term one.
    fn affinities_shown(&self, now: Millis, state: &State) -> (Vec<Affinity>, Vec<Affinity>) {
        let (mut categories, mut brands) = (Vec::new(), Vec::new());
        for (subject, recent, long_term) in self.affinities.weights(now) {
            let (list, name) = match subject {
                Subject::Category(number) => (&mut categories, state.categories.name(number)),
                Subject::Brand(number) => (&mut brands, state.brands.name(number)),
            };
            list.push(Affinity {
                name,
                share: 0.0,
                recent,
                long_term,
            });
        }
        (best(categories), best(brands))
    }
}

fn best(mut list: Vec<Affinity>) -> Vec<Affinity> {
    let strength = |affinity: &Affinity| affinity.recent + affinity.long_term;
    let total: f64 = list.iter().map(strength).sum();
    for affinity in &mut list {
        affinity.share = if total > 0.0 {
            strength(affinity) / total
        } else {
            0.0
        };
    }
    list.sort_by(|a, b| {
        b.share
            .total_cmp(&a.share)
            .then_with(|| a.name.cmp(&b.name))
    });
    list.truncate(SUBJECTS_SHOWN);
    list
}

fn newest_first(items: &[u32], state: &State) -> Vec<Id> {
    items
        .iter()
        .rev()
        .map(|&item| state.items.name(item))
        .collect()
}
