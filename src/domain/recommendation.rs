//! Questions and answers of the serving path.

use crate::domain::{Id, Millis, Position};

/// For whom and where.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// A placement of the configuration.
    pub placement: Id,
    /// The shopper; empty if unknown.
    pub user: Id,
    /// What the page shows, oldest first: counts as seen just now.
    pub context_items: Vec<Id>,
    /// The cart, if the caller keeps it.
    pub cart_items: Vec<Id>,
    /// How many.
    pub limit: usize,
    /// Never in the answer.
    pub exclude_items: Vec<Id>,
}

/// The step of the ladder that filled a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LadderStep {
    /// Co-occurrence with the items of this session.
    Session,
    /// Co-occurrence with items of earlier sessions.
    History,
    /// Trending in the session's category.
    CategoryTrending,
    /// Brands and prices the shopper likes.
    Affinity,
    /// Trending in the whole shop.
    Trending,
    /// Newest items.
    Newest,
}

/// Kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonCode {
    /// Bought together.
    CoPurchased,
    /// Seen in the same sessions.
    CoViewed,
    /// Seen by sessions like this one.
    SessionSimilar,
    /// Popular at the moment.
    Trending,
    /// Of a category, brand and price the shopper likes.
    Affinity,
    /// Nothing is known yet.
    ColdStart,
}

/// Why an item is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Kind of reason.
    pub code: ReasonCode,
    /// The item it comes from; empty if none.
    pub because_item: Id,
    /// Distinct sessions behind it, or 0 below the k of k-anonymity.
    pub support: u32,
    /// Share of the score; all contributions of an item add up to it.
    pub contribution: f64,
    /// The same in words.
    pub text: String,
}

/// One recommended item.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// The item.
    pub item: Id,
    /// Sum of the contributions.
    pub score: f64,
    /// Which recommender: `session`, `history`, `bought_together`, `category_trending`, …
    pub recommender: &'static str,
    /// The step that filled the place.
    pub step: LadderStep,
    /// Largest contribution first.
    pub reasons: Vec<Reason>,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Best first.
    pub items: Vec<Recommendation>,
    /// Ids in the query that nothing is known of.
    pub missing: Vec<Id>,
    /// Whether the shopper's own behaviour was used.
    pub personalized: bool,
    /// Log position of the state.
    pub position: Position,
    /// Event time up to which the state is complete.
    pub as_of: Millis,
}

/// One product of the sum behind a score.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreTerm {
    /// The session item.
    pub source: Id,
    /// Weight by its place.
    pub position_weight: f64,
    /// Decayed co-occurrence.
    pub co_occurrence: f64,
    /// Decayed sessions with the source.
    pub source_sessions: f64,
    /// Decayed sessions with the candidate.
    pub candidate_sessions: f64,
    /// Their product, as in the formula.
    pub contribution: f64,
}

/// The arithmetic behind one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The item.
    pub item: Id,
    /// Rank in the full list, from 1; 0 if no candidate.
    pub rank: u32,
    /// Its score.
    pub score: f64,
    /// Its reasons.
    pub reasons: Vec<Reason>,
    /// The terms of the sum.
    pub terms: Vec<ScoreTerm>,
    /// Why it would not be shown; `None` if it may be.
    pub filtered: Option<&'static str>,
    /// Event time up to which the state is complete.
    pub as_of: Millis,
}
