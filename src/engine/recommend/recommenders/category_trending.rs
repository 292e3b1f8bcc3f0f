//! What is popular at the moment in the category of the session, or else of the shopper.

use crate::domain::ReasonCode;
use crate::engine::catalog::{LIST_MAX, ListKey};
use crate::engine::profile::Subject;
use crate::engine::recommend::draft::{Draft, Offer, Pick};
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::{affinity, trending};
use crate::engine::state::State;

/// A category with fewer events than this has no trend.
const EVENTS_MIN: u32 = 20;
/// Categories of the shopper that are tried.
const PREFERRED_MAX: usize = 3;

pub(super) fn propose(question: &Question, state: &State, draft: &mut Draft) {
    let categories = if question.session_sources.is_empty() {
        preferred(question, state)
    } else {
        of_session(question, state)
    };
    for category in categories {
        let best = state.best(ListKey::Category(category));
        if !has_trend(&best, state) {
            continue;
        }
        for (item, score) in trending::shares_of_best(&best) {
            draft.offer(
                Offer {
                    item,
                    score,
                    trending_in: Some(category),
                },
                question,
                state,
            );
        }
        return;
    }
}

pub(super) fn reason(pick: &Pick, state: &State) -> (ReasonCode, String) {
    let category = pick
        .trending_in
        .map(|number| state.categories.name(number))
        .unwrap_or_default();
    (
        ReasonCode::Trending,
        format!("popular in {category} at the moment"),
    )
}

pub(super) fn is_personal(question: &Question) -> bool {
    question.session_sources.is_empty() || question.session_is_own
}

/// Categories of the session's items: the narrowest level first, within a level the one with the most weight, the lower
/// number on ties.
fn of_session(question: &Question, state: &State) -> Vec<u32> {
    let mut tallies: Vec<(usize, u32, f64)> = Vec::new();
    for source in &question.session_sources {
        state.catalog.read(source.item, |entry| {
            for (level, &category) in entry.categories.iter().rev().enumerate() {
                let same = |tally: &&mut (usize, u32, f64)| (tally.0, tally.1) == (level, category);
                match tallies.iter_mut().find(same) {
                    Some(tally) => tally.2 += source.weight,
                    None => tallies.push((level, category, source.weight)),
                }
            }
        });
    }
    tallies.sort_by(|a, b| {
        a.0.cmp(&b.0)
            .then_with(|| b.2.total_cmp(&a.2))
            .then_with(|| a.1.cmp(&b.1))
    });
    tallies
        .into_iter()
        .map(|(_, category, _)| category)
        .collect()
}

/// The shopper's favourite categories, best first.
fn preferred(question: &Question, state: &State) -> Vec<u32> {
    let liked = affinity::liked(question, state, |subject| match subject {
        Subject::Category(number) => Some(number),
        Subject::Brand(_) => None,
    });
    liked
        .into_iter()
        .take(PREFERRED_MAX)
        .map(|(category, _)| category)
        .collect()
}

fn has_trend(best: &[(u32, f64)], state: &State) -> bool {
    let mut events = 0_u32;
    best.len() >= LIST_MAX
        || best.iter().any(|&(item, _)| {
            events = events.saturating_add(state.counts.events(item));
            events >= EVENTS_MIN
        })
}
