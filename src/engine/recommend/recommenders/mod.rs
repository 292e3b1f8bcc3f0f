//! Who can fill places of an answer, in the order in which they usually do.

mod bought_together;
mod session;
mod history;
mod category_trending;
mod affinity;
mod trending;
mod newest;

use serde::Deserialize;

pub(super) use self::newest::scan;
use crate::domain::{LadderStep, ReasonCode};
use crate::engine::items::{Contribution, Scratch};
use crate::engine::recommend::draft::{Draft, Pick};
use crate::engine::recommend::question::Question;
use crate::engine::state::State;

/// The least an item of a list scores, in shares of the best: popularity halves every day, so that what was popular
/// months ago would otherwise score nothing at all.
const POPULARITY_SHARE_MIN: f64 = 1e-9;

/// A recommender. Those up to [`Recommender::History`] score by co-occurrence; the others read lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recommender {
    /// Bought together with what is in the cart.
    BoughtTogether,
    /// Seen together with what this session saw.
    Session,
    /// Seen together with what earlier sessions of the shopper saw.
    History,
    /// Popular in the category of the session, or of the shopper.
    CategoryTrending,
    /// Of brands and prices the shopper likes.
    Affinity,
    /// Popular in the shop.
    Trending,
    /// New in the shop.
    Newest,
}

impl Recommender {
    pub(super) const ALL: [Self; 7] = [
        Self::BoughtTogether,
        Self::Session,
        Self::History,
        Self::CategoryTrending,
        Self::Affinity,
        Self::Trending,
        Self::Newest,
    ];

    /// Its name in answers and declarations.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::BoughtTogether => "bought_together",
            Self::Session => "session",
            Self::History => "history",
            Self::CategoryTrending => "category_trending",
            Self::Affinity => "affinity",
            Self::Trending => "trending",
            Self::Newest => "newest",
        }
    }

    /// The step of the ladder it stands on.
    pub(super) const fn step(self) -> LadderStep {
        match self {
            Self::BoughtTogether | Self::Session => LadderStep::Session,
            Self::History => LadderStep::History,
            Self::CategoryTrending => LadderStep::CategoryTrending,
            Self::Affinity => LadderStep::Affinity,
            Self::Trending => LadderStep::Trending,
            Self::Newest => LadderStep::Newest,
        }
    }

    /// Offers its candidates, best first, until the answer is full.
    pub(super) fn propose(
        self,
        question: &Question,
        state: &State,
        scratch: &mut Scratch,
        draft: &mut Draft,
    ) {
        match self {
            Self::BoughtTogether | Self::Session | Self::History => {
                if self.score(question, state, scratch) {
                    draft.offer_scored(scratch, question, state);
                }
            }
            Self::CategoryTrending => category_trending::propose(question, state, draft),
            Self::Affinity => affinity::propose(question, state, scratch, draft),
            Self::Trending => trending::propose(question, state, draft),
            Self::Newest => newest::propose(question, state, draft),
        }
    }

    /// Scores every candidate, if it is one that scores by co-occurrence and has something to go by.
    pub(super) fn score(self, question: &Question, state: &State, scratch: &mut Scratch) -> bool {
        match self {
            Self::BoughtTogether => bought_together::score(question, state, scratch),
            Self::Session => session::score(question, state, scratch),
            Self::History => history::score(question, state, scratch),
            Self::CategoryTrending | Self::Affinity | Self::Trending | Self::Newest => false,
        }
    }

    /// The terms of a score of [`Recommender::score`].
    pub(super) fn shares(self, item: u32, question: &Question, state: &State) -> Vec<Contribution> {
        match self {
            Self::BoughtTogether => bought_together::shares(item, question, state),
            Self::Session => session::shares(item, question, state),
            Self::History => history::shares(item, question, state),
            Self::CategoryTrending | Self::Affinity | Self::Trending | Self::Newest => Vec::new(),
        }
    }

    /// The one reason of a pick that has no shares.
    pub(super) fn reason(
        self,
        pick: &Pick,
        question: &Question,
        state: &State,
    ) -> (ReasonCode, String) {
        match self {
            Self::BoughtTogether => bought_together::reason(),
            Self::Session => session::reason(),
            Self::History => history::reason(),
            Self::CategoryTrending => category_trending::reason(pick, state),
            Self::Affinity => affinity::reason(pick, state),
            Self::Trending => trending::reason(question),
            Self::Newest => newest::reason(),
        }
    }

    /// Whether its picks follow from the shopper's own behaviour.
    pub(super) fn is_personal(self, question: &Question) -> bool {
        match self {
            Self::BoughtTogether => question.cart_is_own,
            Self::Session => question.session_is_own,
            Self::History | Self::Affinity => true,
            Self::CategoryTrending => category_trending::is_personal(question),
            Self::Trending | Self::Newest => false,
        }
    }
}
