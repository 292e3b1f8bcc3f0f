//! What came into the shop last: something to show when nothing is known at all.

use crate::domain::ReasonCode;
use crate::engine::recommend::draft::{Draft, Offer};
use crate::engine::recommend::question::Question;
use crate::engine::state::State;

/// Items that are looked at to complete an answer which has something in it already.
const SCANNED_MAX: usize = 10_000;

pub(super) fn propose(question: &Question, state: &State, draft: &mut Draft) {
    for (place, item) in (1_u32..).zip(state.lists.newest()) {
        if draft.is_full() {
            return;
        }
        offer(item, place, question, state, draft);
    }
}

/// Goes on where the list of the newest ends: through all items, the last to appear in the log first. An answer with
/// nothing in it is worth looking at every item.
pub(in crate::engine::recommend) fn scan(question: &Question, state: &State, draft: &mut Draft) {
    let listed = u32::try_from(state.lists.newest().len()).unwrap_or(u32::MAX);
    for (scanned, item) in (0..state.counts.len()).rev().enumerate() {
        if draft.is_full() || scanned >= SCANNED_MAX && !draft.is_empty() {
            return;
        }
        let place = u32::try_from(scanned)
            .unwrap_or(u32::MAX)
            .saturating_add(listed);
        offer(item, place.saturating_add(1), question, state, draft);
    }
}

pub(super) fn reason() -> (ReasonCode, String) {
    (
        ReasonCode::ColdStart,
        "among the newest in the shop".to_owned(),
    )
}

fn offer(item: u32, place: u32, question: &Question, state: &State, draft: &mut Draft) {
    let offer = Offer {
        item,
        score: 1.0 / f64::from(place),
        trending_in: None,
    };
    draft.offer(offer, question, state);
}
