//! What other sessions saw beside the items the shopper saw in earlier ones.

use crate::domain::ReasonCode;
use crate::engine::items::{Contribution, Scratch};
use crate::engine::recommend::question::Question;
use crate::engine::state::State;

pub(super) fn score(question: &Question, state: &State, scratch: &mut Scratch) -> bool {
    if question.history_sources.is_empty() {
        return false;
    }
    state
        .counts
        .score_session(&question.history_sources, question.at, scratch);
    true
}

pub(super) fn shares(item: u32, question: &Question, state: &State) -> Vec<Contribution> {
    state
        .counts
        .contributions(&question.history_sources, item, question.at)
}

pub(super) fn reason() -> (ReasonCode, String) {
    (
        ReasonCode::SessionSimilar,
        "seen in sessions like your earlier ones".to_owned(),
    )
}
