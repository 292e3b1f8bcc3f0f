//! Why an item is, or is not, in an answer, with the arithmetic.

use crate::domain::{Explanation, Query, ScoreTerm};
use crate::engine::QueryError;
use crate::engine::catalog::Entry;
use crate::engine::items::Contribution;
use crate::engine::recommend::draft::Pick;
use crate::engine::recommend::placement::Placement;
use crate::engine::recommend::question::{Hidden, Question};
use crate::engine::recommend::reasons::{self, Titles};
use crate::engine::recommend::recommenders::Recommender;
use crate::engine::recommend::workspace::Workspace;
use crate::engine::state::State;

/// Why the catalog keeps an item out of every answer.
const UNAVAILABLE: &str = "unavailable";

/// Why `item` would be in the answer to `query`, or not; `None` if the item is unknown.
///
/// The rank is that among all candidates of the first recommender by co-occurrence that has the item for a candidate,
/// before anything is filtered, and the score is that recommender's own. For an item that only a list brings into the
/// answer the rank is 0, and score and reasons are those of the answer.
pub(crate) fn explain(
    state: &State,
    query: &Query,
    item: &str,
) -> Result<Option<Explanation>, QueryError> {
    let placement = state.config.placements.find(&query.placement)?;
    let Some(number) = state.items.get(item) else {
        return Ok(None);
    };
    let as_of = state.watermark();
    Ok(Some(state.workspaces.lend(|workspace| {
        workspace.question.resolve(state, placement, query);
        let filtered = filtered(number, &workspace.question, state);
        let mut explanation = Explanation {
            item: state.items.name(number),
            rank: 0,
            score: 0.0,
            reasons: Vec::new(),
            terms: Vec::new(),
            filtered,
            as_of,
        };
        if let Some((rank, pick)) = candidate(number, placement, workspace, state) {
            let question = &workspace.question;
            explanation.rank = rank;
            explanation.score = pick.score;
            explanation.reasons = reasons::reasons(&pick, 1.0, question, &mut Titles::new(state));
            explanation.terms = terms(&pick, state);
        } else if filtered.is_none() {
            workspace.fill(query.limit, placement, state);
            let Workspace {
                question, draft, ..
            } = workspace;
            draft.add_shares(question, state);
            let answer = reasons::recommendations(draft.picks(), question, state);
            if let Some(found) = answer
                .into_iter()
                .find(|found| found.item == explanation.item)
            {
                explanation.score = found.score;
                explanation.reasons = found.reasons;
            }
        }
        explanation
    })))
}

/// Why the item must not be shown, if so.
fn filtered(item: u32, question: &Question, state: &State) -> Option<&'static str> {
    if state.catalog.read(item, Entry::eligible) {
        question.hidden(item).map(Hidden::name)
    } else {
        Some(UNAVAILABLE)
    }
}

/// The item as a candidate of the first recommender by co-occurrence that has it for one, with its rank there.
fn candidate(
    item: u32,
    placement: &Placement,
    workspace: &mut Workspace,
    state: &State,
) -> Option<(u32, Pick)> {
    let Workspace {
        question, scratch, ..
    } = workspace;
    placement.ladder.iter().find_map(|&recommender| {
        if !recommender.score(question, state, scratch) {
            return None;
        }
        let rank = scratch.rank(item, |_| true)?;
        let mut pick = Pick::new(item, recommender, scratch.score(item));
        pick.add_shares(question, state);
        Some((rank, pick))
    })
}

/// The products behind a sum. "Bought together" has another formula, and its terms stand in the reasons alone.
fn terms(pick: &Pick, state: &State) -> Vec<ScoreTerm> {
    if pick.recommender == Recommender::BoughtTogether {
        return Vec::new();
    }
    let term = |share: &Contribution| ScoreTerm {
        source: state.items.name(share.source),
        position_weight: share.position_weight,
        co_occurrence: share.co_occurrence,
        source_sessions: share.source_sessions,
        candidate_sessions: share.candidate_sessions,
        contribution: share.contribution,
    };
    pick.shares.iter().map(term).collect()
}

#[cfg(test)]
mod tests {
    use crate::domain::{Explanation, Query, ReasonCode};
    use crate::engine::math;
    use crate::engine::recommend::fixture::{Shop, ids, query};

    fn shop() -> Shop {
        let mut shop = Shop::new();
        for n in 0..4 {
            shop.visit(&format!("a-{n}"), &["tent", "stove", "lamp"]);
            shop.visit(&format!("b-{n}"), &["lamp", "stove"]);
        }
        shop.visit("c", &["kettle"]);
        shop.visit("ann", &["tent", "lamp"]);
        shop
    }

    fn explain(shop: &Shop, asked: &Query, item: &str) -> Explanation {
        shop.engine().view().explain(asked, item).unwrap().unwrap()
    }

    #[test]
    fn the_arithmetic_is_that_of_the_answer() {
        let shop = shop();
        let asked = query("home", "ann");
        let answer = shop.answer(&asked);
        let first = &answer.items[0];
        let found = explain(&shop, &asked, &first.item);
        assert_eq!(found.score.to_bits(), first.score.to_bits());
        assert_eq!(found.reasons, first.reasons);
        assert_eq!(found.filtered, None);
        let sources: Vec<&str> = found.terms.iter().map(|term| &*term.source).collect();
        assert_eq!(sources, ["lamp", "tent"]);
        for term in &found.terms {
            let product = term.position_weight * term.co_occurrence
                / (math::pow(term.source_sessions, 0.5) * math::pow(term.candidate_sessions, 0.2));
            let error = (product - term.contribution).abs();
            assert!(error < 1e-6 * term.contribution, "{term:?} is {product}");
        }
        let sum: f64 = found.terms.iter().map(|term| term.contribution).sum();
        assert!((sum - found.score).abs() < 1e-9 * found.score);
    }

    #[test]
    fn ranks_count_what_is_filtered() {
        let shop = shop();
        let asked = query("home", "ann");
        let mut ranks: Vec<(u32, &str)> = ["tent", "stove", "lamp"]
            .map(|item| (explain(&shop, &asked, item).rank, item))
            .to_vec();
        ranks.sort_unstable();
        assert_eq!(
            ranks.iter().map(|(rank, _)| *rank).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert_eq!(explain(&shop, &asked, "stove").filtered, None);
        assert_eq!(explain(&shop, &asked, "tent").filtered, Some("seen"));
    }

    #[test]
    fn an_item_that_is_no_candidate_has_the_reason_of_the_answer() {
        let shop = shop();
        let found = explain(&shop, &query("home", "ann"), "kettle");
        assert_eq!((found.rank, found.terms.len()), (0, 0));
        assert_eq!(found.reasons[0].code, ReasonCode::Trending);
        assert!(found.score > 0.0);
    }

    #[test]
    fn why_an_item_is_kept_back_is_said() {
        let mut shop = shop();
        shop.add_to_cart("ann", "stove");
        shop.buy("bob", &["lamp"]);
        shop.delete("kettle");
        let why = |user: &str, item: &str| {
            let asked = Query {
                exclude_items: ids(&["tent"]),
                ..query("home", user)
            };
            explain(&shop, &asked, item).filtered
        };
        assert_eq!(why("ann", "stove"), Some("in_cart"));
        assert_eq!(why("ann", "lamp"), Some("seen"));
        assert_eq!(why("ann", "tent"), Some("excluded"));
        assert_eq!(why("ann", "kettle"), Some("unavailable"));
        assert_eq!(why("bob", "lamp"), Some("purchased"));
        assert_eq!(why("bob", "stove"), None);
        let view = shop.engine().view();
        assert_eq!(
            view.explain(&query("home", "ann"), "no such item"),
            Ok(None)
        );
    }
}
