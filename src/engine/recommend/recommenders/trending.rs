//! What is popular in the whole shop at the moment.

use crate::domain::ReasonCode;
use crate::engine::catalog::ListKey;
use crate::engine::math;
use crate::engine::recommend::draft::{Draft, Offer};
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::POPULARITY_SHARE_MIN;
use crate::engine::state::State;

pub(super) fn propose(question: &Question, state: &State, draft: &mut Draft) {
    let best = state.best(ListKey::Shop);
    for (item, score) in shares_of_best(&best) {
        draft.offer(
            Offer {
                item,
                score,
                trending_in: None,
            },
            question,
            state,
        );
    }
}

pub(super) fn reason(question: &Question) -> (ReasonCode, String) {
    let code = if question.is_cold {
        ReasonCode::ColdStart
    } else {
        ReasonCode::Trending
    };
    (code, "popular in the shop at the moment".to_owned())
}

/// Items of a list with their popularity in shares of the first one's.
pub(super) fn shares_of_best(best: &[(u32, f64)]) -> impl Iterator<Item = (u32, f64)> + '_ {
    let first = best.first().map_or(0.0, |(_, key)| *key);
    best.iter()
        .map(move |&(item, key)| (item, math::exp2(key - first).max(POPULARITY_SHARE_MIN)))
}
