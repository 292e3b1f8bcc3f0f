//! How visitors behave on average: how often they come, why, and how far they get.

use crate::shop::catalogue::Shop;
use crate::shop::random::Random;

/// How the visitors of a shop behave on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// Mean sessions of a visitor in a day; individual visitors differ by an order of magnitude.
    pub sessions_per_day: f64,
    /// Share of visitors who are known from their first event on; the others may identify at a checkout.
    pub known_share: f64,
    /// Probability that a session is its visitor's last; a new visitor then takes the place.
    pub leaving_share: f64,
    /// Visitors in a million who are bots: hundreds of views a minute, nothing else.
    pub bots_per_million: u32,
    /// Share of sessions that come for one of the `rush_items` products of a sale.
    pub rush_share: f64,
    /// How many products are in the sale.
    pub rush_items: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            sessions_per_day: 0.6,
            known_share: 0.35,
            leaving_share: 0.04,
            bots_per_million: 100,
            rush_share: 0.0,
            rush_items: 16,
        }
    }
}

impl Habits {
    /// One of the products of the sale: spread over the shop.
    pub(super) fn rush_product(&self, shop: &Shop, random: &mut Random) -> u32 {
        let items = u64::from(self.rush_items.max(1));
        let all = shop.products().len() as u64;
        // The first of them is wanted most.
        let bound = 1 + random.below(self.rush_items.max(1));
        let nth = u64::from(random.below(bound));
        u32::try_from(nth * all / items).unwrap_or(0)
    }
}

/// Why a visitor came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// To look around.
    Browse,
    /// To compare, and buy later.
    Research,
    /// To buy.
    Buy,
    /// For what is in the cart.
    ReturnForCart,
}

/// Probabilities that make an intent.
pub(super) struct Odds {
    /// A session begins with a search.
    pub(super) search: f64,
    /// A list is filtered.
    pub(super) filter: f64,
    /// A session that begins without a search begins with a list.
    pub(super) list: f64,
    /// Another product is looked at.
    pub(super) go_on: f64,
    /// A product looked at goes into the cart.
    pub(super) add: f64,
    /// A session that filled the cart ends at the cart.
    pub(super) see_cart: f64,
    /// The checkout is entered from the cart.
    pub(super) checkout: f64,
    /// The checkout ends in a purchase.
    pub(super) pay: f64,
}

impl Intent {
    /// Chosen so that the whole comes out near the figures the trade publishes: 6 to 8 carts in a hundred product
    /// views, 7 carts of 10 abandoned.
    pub(super) const fn odds(self) -> Odds {
        match self {
            Self::Browse => Odds {
                search: 0.12,
                filter: 0.10,
                list: 0.45,
                go_on: 0.72,
                add: 0.018,
                see_cart: 0.70,
                checkout: 0.40,
                pay: 0.64,
            },
            Self::Research => Odds {
                search: 0.55,
                filter: 0.45,
                list: 0.65,
                go_on: 0.85,
                add: 0.022,
                see_cart: 0.80,
                checkout: 0.54,
                pay: 0.70,
            },
            Self::Buy => Odds {
                search: 0.42,
                filter: 0.25,
                list: 0.40,
                go_on: 0.74,
                add: 0.31,
                see_cart: 0.92,
                checkout: 0.60,
                pay: 0.72,
            },
            Self::ReturnForCart => Odds {
                search: 0.0,
                filter: 0.0,
                list: 0.10,
                go_on: 0.40,
                add: 0.08,
                see_cart: 0.60,
                checkout: 0.62,
                pay: 0.74,
            },
        }
    }
}
