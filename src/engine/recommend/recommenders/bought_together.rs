//! What other orders held beside the items of this cart.

use crate::domain::ReasonCode;
use crate::engine::items::{Contribution, Scratch};
use crate::engine::recommend::question::Question;
use crate::engine::state::State;

pub(super) fn score(question: &Question, state: &State, scratch: &mut Scratch) -> bool {
    if question.cart.is_empty() {
        return false;
    }
    state
        .counts
        .score_bought_together(&question.cart, question.at, scratch);
    true
}

pub(super) fn shares(item: u32, question: &Question, state: &State) -> Vec<Contribution> {
    state
        .counts
        .bought_together_contributions(&question.cart, item, question.at)
}

pub(super) fn reason() -> (ReasonCode, String) {
    (
        ReasonCode::CoPurchased,
        "bought with what is in the cart".to_owned(),
    )
}
