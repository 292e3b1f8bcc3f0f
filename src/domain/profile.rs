//! A shopper as readers see them; the engine keeps a denser form.

use crate::domain::{Consent, Id, LineItem, Millis, Money};

/// How much a shopper cares for a category or a brand.
#[derive(Clone, Debug, PartialEq)]
pub struct Affinity {
    /// Its name.
    pub name: Id,
    /// Share of the shopper's decayed attention, 0 to 1.
    pub share: f64,
    /// Weight with a half-life of 7 days.
    pub recent: f64,
    /// Weight with a half-life of 60 days.
    pub long_term: f64,
}

/// What a shopper usually pays, relative to what each category costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceBand {
    /// The lowest third.
    Low,
    /// The middle third.
    Mid,
    /// The highest third.
    High,
}

impl PriceBand {
    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Mid => "mid",
            Self::High => "high",
        }
    }
}

/// A cart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CartView {
    /// Its lines, oldest first.
    pub lines: Vec<LineItem>,
    /// Sum of the lines whose price is known.
    pub value: Money,
    /// ISO 4217 code; empty if unknown.
    pub currency: Id,
    /// When it last changed, in event time.
    pub updated: Option<Millis>,
}

/// The session under way, or the last one.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// The tracker's id; empty if it sends none.
    pub id: Id,
    /// Whether it is still open.
    pub open: bool,
    /// Its first event.
    pub started: Millis,
    /// Its last event.
    pub last_event: Millis,
    /// Items in the order seen, oldest first, at most 20.
    pub items: Vec<Id>,
    /// Events in it.
    pub events: u32,
}

/// A shopper.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileView {
    /// The shopper.
    pub user: Id,
    /// Categories, best first, at most 5.
    pub categories: Vec<Affinity>,
    /// Brands, best first, at most 5.
    pub brands: Vec<Affinity>,
    /// What they usually pay.
    pub price_band: Option<PriceBand>,
    /// Items seen last, newest first, at most 50.
    pub last_viewed: Vec<Id>,
    /// Titles (or ids) of the first 10 of `last_viewed`.
    pub last_viewed_titles: Vec<String>,
    /// 0 to 100.
    pub loyalty_score: u32,
    /// What is in the cart.
    pub cart: CartView,
    /// The session under way.
    pub session: Option<SessionView>,
    /// Orders so far.
    pub orders: u32,
    /// What they came to, refunds taken off.
    pub revenue: Money,
    /// Items bought, newest first, at most 50.
    pub purchased: Vec<Id>,
    /// Last order.
    pub last_order: Option<Millis>,
    /// First event.
    pub first_seen: Millis,
    /// Last event.
    pub last_seen: Millis,
    /// Events so far.
    pub events: u64,
    /// Sessions so far.
    pub sessions: u32,
    /// What they allow.
    pub consent: Consent,
}
