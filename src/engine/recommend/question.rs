//! What a query comes down to: dense numbers, what may be used of the shopper, and what must not be shown.

use crate::domain::{DAY_MS, Id, Millis, Query};
use crate::engine::items::Source;
use crate::engine::math;
use crate::engine::profile::Profile;
use crate::engine::recommend::placement::Placement;
use crate::engine::state::State;
use crate::engine::step;

/// Items of earlier sessions that speak for the shopper when this session does not.
const HISTORY_ITEMS_MAX: usize = 5;
/// What an item of an earlier session weighs beside one of this session.
const HISTORY_WEIGHT: f64 = 0.3;
#[expect(
    clippy::cast_precision_loss,
    reason = "a day's milliseconds are far below 2^53"
)]
const HISTORY_HALF_LIFE_MS: f64 = 2.0 * DAY_MS as f64;
/// All of it has one age, which beyond this many half-lives changes nothing but the risk of rounding to zero.
const HISTORY_HALF_LIVES_MAX: f64 = 20.0;

/// Why an item must not be shown, the strongest reason first: of several that apply it is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hidden {
    /// The caller does not want it.
    Excluded,
    /// It is in the cart.
    InCart,
    /// It was bought lately.
    Purchased,
    /// It was seen in this session or is on the page.
    Seen,
}

impl Hidden {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::InCart => "in_cart",
            Self::Purchased => "purchased",
            Self::Seen => "seen",
        }
    }
}

/// A query in numbers. Nothing in it is locked: what it needs of the profile was copied.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// What fades is faded to here.
    pub(super) at: Millis,
    /// The shopper, if there is a profile and its use is allowed.
    pub(super) shopper: Option<u32>,
    /// Whether nothing is known that an answer could go by.
    pub(super) is_cold: bool,
    /// Items of the session under way, then those of the page.
    pub(super) session_sources: Vec<Source>,
    /// Whether any of them comes from the profile.
    pub(super) session_is_own: bool,
    /// Items of earlier sessions.
    pub(super) history_sources: Vec<Source>,
    /// What is in the cart.
    pub(super) cart: Vec<u32>,
    /// Whether the cart comes from the profile.
    pub(super) cart_is_own: bool,
    session: Vec<u32>,
    viewed: Vec<u32>,
    /// In the order of the items, each once.
    hidden: Vec<(u32, Hidden)>,
}

/// What of a profile decides beside its lists.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    may_be_used: bool,
    /// How long ago the newest of the earlier sessions was, at least.
    away_ms: i64,
}

impl Question {
    /// Takes a query in; answers the ids that nothing is known of.
    pub(super) fn resolve(
        &mut self,
        state: &State,
        placement: &Placement,
        query: &Query,
    ) -> Vec<Id> {
        let mut missing = Vec::new();
        self.clear(state.now());
        let facts = self.read_shopper(state, placement, query, &mut missing);
        self.hide_seen(placement);
        let number = |id: &Id, missing: &mut Vec<Id>| known(state.items.get(id), id, missing);
        for id in &query.context_items {
            let Some(item) = number(id, &mut missing) else {
                continue;
            };
            // A tracker that was faster has it in the session already.
            if self.session.last() != Some(&item) {
                self.session.push(item);
            }
            if placement.hides_context {
                self.hidden.push((item, Hidden::Seen));
            }
        }
        if !query.cart_items.is_empty() {
            self.cart.clear();
            self.cart_is_own = false;
            self.cart.extend(
                query
                    .cart_items
                    .iter()
                    .filter_map(|id| number(id, &mut missing)),
            );
        }
        if placement.hides_cart {
            self.hidden
                .extend(self.cart.iter().map(|&item| (item, Hidden::InCart)));
        }
        let excluded = query
            .exclude_items
            .iter()
            .filter_map(|id| number(id, &mut missing));
        self.hidden
            .extend(excluded.map(|item| (item, Hidden::Excluded)));
        self.hidden.sort_unstable();
        self.hidden.dedup_by_key(|(item, _)| *item);
        state
            .counts
            .session_sources(&self.session, &mut self.session_sources);
        self.weigh_history(facts, state);
        let evidence = [&self.session, &self.viewed, &self.cart];
        self.is_cold = evidence.iter().all(|items| items.is_empty());
        missing
    }

    /// Why an item must not be shown, if so.
    pub(super) fn hidden(&self, item: u32) -> Option<Hidden> {
        let place = self
            .hidden
            .binary_search_by_key(&item, |(hidden, _)| *hidden)
            .ok()?;
        self.hidden.get(place).map(|(_, why)| *why)
    }

    /// Lets what is hidden for the mildest of the reasons be shown: first what was seen, then what was bought, at last
    /// what is in the cart, but never what the caller does not want. Whether that is more than before.
    pub(super) fn reveal(&mut self) -> bool {
        let mildest = self.hidden.iter().map(|(_, why)| *why).max();
        let Some(mildest) = mildest.filter(|why| *why != Hidden::Excluded) else {
            return false;
        };
        self.hidden.retain(|(_, why)| *why != mildest);
        true
    }

    fn clear(&mut self, at: Millis) {
        self.at = at;
        self.shopper = None;
        self.session_is_own = false;
        self.cart_is_own = false;
        self.session_sources.clear();
        self.history_sources.clear();
        self.session.clear();
        self.viewed.clear();
        self.cart.clear();
        self.hidden.clear();
    }

    /// Copies what the placement needs of the profile, if the shopper lets it be used.
    fn read_shopper(
        &mut self,
        state: &State,
        placement: &Placement,
        query: &Query,
        missing: &mut Vec<Id>,
    ) -> Facts {
        if query.user.is_empty() {
            return Facts::default();
        }
        let number = state
            .users
            .get(&query.user)
            .map(|user| step::follow_alias(user, state));
        let facts = number.and_then(|user| {
            state
                .profiles
                .read(user, |profile| self.copy(profile, placement))
        });
        if facts.is_some_and(|facts| facts.may_be_used) {
            self.shopper = number;
        }
        known(facts, &query.user, missing).unwrap_or_default()
    }

    /// Runs under the profile's lock: copies and nothing else.
    fn copy(&mut self, profile: &Profile, placement: &Placement) -> Facts {
        if profile.consent().personalization == Some(false) {
            return Facts::default();
        }
        let last_act = match &profile.session {
            Some(session) => {
                self.session.extend_from_slice(&session.items);
                session.started
            }
            None => profile.last_seen,
        };
        self.viewed.extend_from_slice(&profile.viewed);
        self.cart
            .extend(profile.cart.lines().iter().map(|line| line.item));
        if let Some(purchases) = &profile.purchases
            && self.at.since(purchases.last_order) < placement.purchased_hidden_ms
        {
            self.hidden.extend(
                purchases
                    .items
                    .iter()
                    .map(|&item| (item, Hidden::Purchased)),
            );
        }
        self.session_is_own = !self.session.is_empty();
        self.cart_is_own = !self.cart.is_empty();
        Facts {
            may_be_used: true,
            away_ms: self.at.since(last_act),
        }
    }

    fn hide_seen(&mut self, placement: &Placement) {
        if placement.hides_seen {
            self.hidden
                .extend(self.session.iter().map(|&item| (item, Hidden::Seen)));
        }
    }

    /// The items seen last before this session, newest first, as sources.
    fn weigh_history(&mut self, facts: Facts, state: &State) {
        #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^53 ms")]
        let half_lives = facts.away_ms.max(0) as f64 / HISTORY_HALF_LIFE_MS;
        let fade = HISTORY_WEIGHT * math::exp2(-half_lives.min(HISTORY_HALF_LIVES_MAX));
        let scale = state.counts.config().query_scale;
        let earlier = self
            .viewed
            .iter()
            .rev()
            .filter(|item| !self.session.contains(item));
        let weighed = (0_u32..)
            .zip(earlier.take(HISTORY_ITEMS_MAX))
            .map(|(steps, &item)| Source {
                item,
                weight: fade * math::exp(-f64::from(steps) / scale),
            });
        self.history_sources.extend(weighed);
    }
}

/// `found`; where nothing was, `id` goes to the missing ones, once.
fn known<T>(found: Option<T>, id: &Id, missing: &mut Vec<Id>) -> Option<T> {
    if found.is_none() && !missing.contains(id) {
        missing.push(id.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::domain::{DAY_MS, HOUR_MS, Query};
    use crate::engine::recommend::fixture::{Shop, ids, query};

    fn shop() -> Shop {
        let mut shop = Shop::new();
        for n in 0..5 {
            shop.visit(&format!("visitor-{n}"), &["a", "b", "c", "d", "e"]);
        }
        shop
    }

    #[test]
    fn what_must_not_be_shown_is_not() {
        let mut shop = shop();
        shop.view("ann", "a");
        shop.add_to_cart("ann", "b");
        let asked = Query {
            exclude_items: ids(&["c"]),
            ..query("home", "ann")
        };
        assert_eq!(shop.ids(&asked), ["d", "e"]);
        let everything = Query {
            placement: "next_item".into(),
            ..asked
        };
        let found = shop.ids(&everything);
        assert!(
            ["a", "b"]
                .iter()
                .all(|id| found.iter().any(|other| other == id)),
            "{found:?}"
        );
        assert!(!found.contains(&"c".to_owned()));
    }

    #[test]
    fn what_is_hidden_comes_back_step_by_step_when_nothing_else_is_left() {
        let mut shop = Shop::new();
        for item in ["carted", "bought", "seen"] {
            shop.item(item, &[], "", 1.0);
        }
        shop.buy("ann", &["bought"]);
        shop.add_to_cart("ann", "carted");
        shop.view("ann", "seen");
        let asked = query("home", "ann");
        assert_eq!(shop.ids(&asked), ["seen"]);
        shop.delete("seen");
        assert_eq!(shop.ids(&asked), ["bought"]);
        shop.delete("bought");
        assert_eq!(shop.ids(&asked), ["carted"]);
        let excluded = Query {
            exclude_items: ids(&["carted"]),
            ..asked
        };
        assert_eq!(shop.ids(&excluded), Vec::<String>::new());
    }

    #[test]
    fn a_cart_that_the_caller_keeps_is_the_cart() {
        let mut shop = shop();
        shop.add_to_cart("ann", "b");
        shop.wait(HOUR_MS);
        let asked = Query {
            cart_items: ids(&["c"]),
            ..query("home", "ann")
        };
        let found = shop.ids(&asked);
        assert!(
            found.contains(&"b".to_owned()) && !found.contains(&"c".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn what_was_bought_is_hidden_for_a_while() {
        let mut shop = shop();
        shop.buy("ann", &["b"]);
        shop.view("ann", "a");
        assert!(!shop.ids(&query("home", "ann")).contains(&"b".to_owned()));
        shop.wait(29 * DAY_MS);
        assert!(!shop.ids(&query("home", "ann")).contains(&"b".to_owned()));
        shop.wait(2 * DAY_MS);
        assert!(shop.ids(&query("home", "ann")).contains(&"b".to_owned()));
    }

    #[test]
    fn the_page_counts_as_seen_just_now() {
        let mut shop = shop();
        for n in 0..5 {
            shop.visit(&format!("cook-{n}"), &["wok", "ladle"]);
        }
        shop.view("ann", "a");
        let page = Query {
            context_items: ids(&["wok"]),
            ..query("product", "ann")
        };
        assert_eq!(shop.ids(&page)[0], "ladle");
        assert!(!shop.ids(&page).contains(&"wok".to_owned()));
        // Whether the event of the page has arrived already makes no difference.
        let before = shop.ids(&page);
        shop.view("ann", "wok");
        assert_eq!(shop.ids(&page), before);
    }

    #[test]
    fn what_was_seen_long_ago_still_says_something() {
        let mut shop = shop();
        shop.view("ann", "a");
        shop.wait(400 * DAY_MS);
        let answer = shop.answer(&query("home", "ann"));
        assert_eq!(answer.items[0].recommender, "history");
        assert!(answer.items[0].score > 0.0);
    }
}
