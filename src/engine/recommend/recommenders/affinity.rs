//! The best of the brands the shopper likes, nearest to what they usually pay.

use crate::domain::ReasonCode;
use crate::engine::catalog::ListKey;
use crate::engine::items::Scratch;
use crate::engine::profile::{Profile, Subject};
use crate::engine::recommend::draft::{Draft, Pick};
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::trending;
use crate::engine::state::State;

/// Brands of the shopper that are looked at.
const BRANDS_MAX: usize = 3;
/// What an item keeps of its score however far its price is from what the shopper pays.
const SCORE_AT_ANY_PRICE: f64 = 0.5;
/// How well a price fits that nothing is known of.
const UNKNOWN_FIT: f64 = 0.5;

pub(super) fn propose(
    question: &Question,
    state: &State,
    scratch: &mut Scratch,
    draft: &mut Draft,
) {
    let brands = liked(question, state, |subject| match subject {
        Subject::Brand(number) => Some(number),
        Subject::Category(_) => None,
    });
    let usual_quantile = question
        .shopper
        .and_then(|user| state.profiles.read(user, Profile::price_quantile))
        .flatten();
    scratch.clear(state.counts.len());
    for &(brand, share) in brands.iter().take(BRANDS_MAX) {
        let best = state.best(ListKey::Brand(brand));
        for (item, popularity) in trending::shares_of_best(&best) {
            let fit = price_fit(item, usual_quantile, state);
            let at_price = SCORE_AT_ANY_PRICE + (1.0 - SCORE_AT_ANY_PRICE) * fit;
            scratch.add(item, share * popularity * at_price);
        }
    }
    draft.offer_scored(scratch, question, state);
}

pub(super) fn reason(pick: &Pick, state: &State) -> (ReasonCode, String) {
    let brand = pick
        .brand
        .map(|number| state.brands.name(number))
        .unwrap_or_default();
    (
        ReasonCode::Affinity,
        format!("from {brand}, a brand you look at"),
    )
}

/// What the shopper likes of one sort, with its share of the liking for all of that sort, best first, the lower number
/// on ties.
pub(super) fn liked(
    question: &Question,
    state: &State,
    of_sort: impl Fn(Subject) -> Option<u32>,
) -> Vec<(u32, f64)> {
    let copied = question.shopper.and_then(|user| {
        state.profiles.read(user, |profile| {
            let weights = profile.affinities.weights(question.at);
            let of_sort = weights.filter_map(|(subject, recent, long_term)| {
                of_sort(subject).map(|number| (number, recent + long_term))
            });
            of_sort.collect::<Vec<_>>()
        })
    });
    let mut liked = copied.unwrap_or_default();
    let total: f64 = liked.iter().map(|(_, strength)| strength).sum();
    liked.retain(|(_, strength)| *strength > 0.0);
    for (_, strength) in &mut liked {
        *strength /= total;
    }
    liked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    liked
}

/// 1 where the price lies in its category as the shopper's usual ones do, 0 at the other end.
fn price_fit(item: u32, usual_quantile: Option<f32>, state: &State) -> f64 {
    let priced = state.catalog.read(item, |entry| {
        entry.categories.last().copied().zip(entry.price)
    });
    let own_quantile =
        priced.and_then(|(category, price)| state.prices().quantile(category, price));
    match (own_quantile, usual_quantile) {
        (Some(own), Some(usual)) => 1.0 - f64::from((own - usual).abs()),
        _ => UNKNOWN_FIT,
    }
}
