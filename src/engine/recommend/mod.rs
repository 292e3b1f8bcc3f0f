//! What to show: candidates from the placement's recommenders, one after the other, filtered, varied and explained.
//!
//! A placement has a *ladder* of [recommenders](recommenders). The first fills what places it can, best candidates
//! first; the next fills what is left, and so on down to the newest items, so that no answer is empty while there is
//! anything to show. Items of one score stand in the order in which they first appeared in the log.

mod placement;
mod question;
mod recommenders;
mod draft;
mod workspace;
mod reasons;
mod explain;

pub(crate) use self::explain::explain;
pub use self::placement::{PlacementError, Placements};
pub(crate) use self::workspace::Workspaces;

use self::placement::Placement;
use self::workspace::Workspace;
use crate::domain::{Answer, Id, Query, Trigger, TriggerKind};
use crate::engine::QueryError;
use crate::engine::state::State;

/// Placements for the message of a trigger; the first that is declared is taken.
const TRIGGER_PLACEMENTS: [&str; 2] = ["cart_email", "email"];
/// Items in the message of a trigger.
const TRIGGER_ITEMS_MAX: usize = 4;

/// Answers a query.
pub(crate) fn answer(state: &State, query: &Query) -> Result<Answer, QueryError> {
    let placement = state.config.placements.find(&query.placement)?;
    // Read before anything else: the answer holds at least what they promise.
    let (position, as_of) = (state.position(), state.watermark());
    Ok(state.workspaces.lend(|workspace| {
        let missing = pick(workspace, placement, query, state);
        let Workspace {
            question, draft, ..
        } = workspace;
        draft.add_shares(question, state);
        let picks = draft.picks();
        Answer {
            items: reasons::recommendations(picks, question, state),
            missing,
            personalized: picks
                .iter()
                .any(|pick| pick.recommender.is_personal(question)),
            position,
            as_of,
        }
    }))
}

/// Adds what else to offer to the record of a trigger that fires: nothing that is in its cart. Nothing at all if no
/// placement for such messages is declared.
pub(crate) fn enrich(state: &State, trigger: &mut Trigger) {
    if trigger.kind != TriggerKind::Fire {
        return;
    }
    let placements = &state.config.placements;
    let Some(placement) = TRIGGER_PLACEMENTS
        .iter()
        .find_map(|name| placements.get(name))
    else {
        return;
    };
    let cart: Vec<Id> = trigger
        .cart
        .lines
        .iter()
        .map(|line| line.item.clone())
        .collect();
    let query = Query {
        placement: placement.name.clone(),
        user: trigger.user.clone(),
        cart_items: cart.clone(),
        limit: TRIGGER_ITEMS_MAX,
        exclude_items: cart,
        ..Query::default()
    };
    trigger.recommendations = state.workspaces.lend(|workspace| {
        pick(workspace, placement, &query, state);
        workspace
            .draft
            .picks()
            .iter()
            .map(|pick| state.items.name(pick.item))
            .collect()
    });
}

/// Fills the workspace's draft; answers the ids that nothing is known of.
fn pick(workspace: &mut Workspace, placement: &Placement, query: &Query, state: &State) -> Vec<Id> {
    let missing = workspace.question.resolve(state, placement, query);
    workspace.fill(query.limit, placement, state);
    missing
}

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests {
    use super::fixture::{Shop, ids, query};
    use crate::domain::{
        Answer, DAY_MS, HOUR_MS, LadderStep, Query, ReasonCode, Recommendation, TriggerKind,
    };
    use crate::engine::QueryError;

    /// What holds for every answer: no item twice, scores that go down and further down from step to step, reasons
    /// that add up.
    fn check(answer: &Answer) {
        for (place, found) in answer.items.iter().enumerate() {
            let earlier = &answer.items[..place];
            assert!(
                earlier.iter().all(|other| other.item != found.item),
                "{answer:#?}"
            );
            assert!(found.score > 0.0 && found.score.is_finite(), "{found:?}");
            if let Some(before) = earlier.last() {
                assert!(before.step <= found.step, "{answer:#?}");
                assert!(before.score >= found.score, "{answer:#?}");
                assert!(
                    before.step == found.step || before.score > found.score,
                    "{answer:#?}"
                );
            }
            let sum: f64 = found.reasons.iter().map(|reason| reason.contribution).sum();
            assert!((sum - found.score).abs() <= 1e-9 * found.score, "{found:?}");
            assert!((1..=5).contains(&found.reasons.len()), "{found:?}");
            assert!(
                found
                    .reasons
                    .is_sorted_by(|a, b| a.contribution >= b.contribution)
            );
            assert!(found.reasons.iter().all(|reason| !reason.text.is_empty()));
        }
    }

    fn steps(answer: &Answer) -> Vec<(&str, LadderStep)> {
        let step = |found: &Recommendation| (found.item.to_string(), found.step);
        let steps: Vec<(String, LadderStep)> = answer.items.iter().map(step).collect();
        steps
            .into_iter()
            .map(|(item, step)| (&*item.leak(), step))
            .collect()
    }

    #[test]
    fn one_event_changes_the_answer_and_says_why() {
        let mut shop = Shop::new();
        for visitor in 0..6 {
            shop.visit(
                &format!("runner-{visitor}"),
                &["trail runner", "wool socks"],
            );
            shop.visit(&format!("cook-{visitor}"), &["wok", "ladle"]);
        }
        let asked = query("home", "ann");
        shop.view("ann", "wok");
        let before = shop.answer(&asked);
        assert_eq!(before.items[0].item, "ladle");
        shop.view("ann", "trail runner");
        let after = shop.answer(&asked);
        let first = &after.items[0];
        assert_eq!((&*first.item, first.recommender), ("wool socks", "session"));
        let reason = &first.reasons[0];
        assert_eq!(
            (reason.code, &*reason.because_item),
            (ReasonCode::CoViewed, "trail runner")
        );
        assert_eq!(
            (&*reason.text, reason.support),
            ("seen with trail runner", 6)
        );
        assert_eq!(after.position, before.position + 1);
        assert!(before.personalized && after.personalized);
        check(&before);
        check(&after);
    }

    #[test]
    fn every_step_of_the_ladder_fills_what_the_one_before_left() {
        let mut shop = Shop::new();
        for (item, category, brand) in [
            ("tent", "camping", "acme"),
            ("stove", "camping", "zen"),
            ("lamp", "camping", "zen"),
            ("boots", "shoes", "acme"),
            ("sandals", "shoes", "acme"),
            ("laces", "shoes", "other"),
            ("novel", "books", "quill"),
            ("atlas", "books", "quill"),
        ] {
            shop.item(item, &[category], brand, 10.0);
        }
        for visitor in 0..30 {
            shop.visit(&format!("a-{visitor}"), &["tent", "stove"]);
            shop.visit(&format!("b-{visitor}"), &["lamp"]);
            shop.visit(&format!("c-{visitor}"), &["boots", "laces"]);
            shop.visit(&format!("d-{visitor}"), &["sandals"]);
            shop.visit(&format!("e-{visitor}"), &["novel"]);
        }
        shop.view("ann", "boots");
        shop.wait(2 * DAY_MS);
        shop.view("ann", "tent");
        let answer = shop.answer(&query("home", "ann"));
        assert_eq!(
            steps(&answer),
            [
                ("stove", LadderStep::Session),
                // Seen in an earlier session, which is no reason to hide it.
                ("boots", LadderStep::History),
                ("laces", LadderStep::History),
                ("lamp", LadderStep::CategoryTrending),
                ("sandals", LadderStep::Affinity),
                ("novel", LadderStep::Trending),
                ("atlas", LadderStep::Newest),
            ]
        );
        check(&answer);
        let text = |place: usize| answer.items[place].reasons[0].text.as_str();
        assert_eq!(text(0), "seen with TENT");
        assert_eq!(text(2), "seen with BOOTS");
        assert_eq!(text(3), "popular in camping at the moment");
        assert_eq!(text(4), "from acme, a brand you look at");
        assert_eq!(text(5), "popular in the shop at the moment");
        assert_eq!(answer.items[6].reasons[0].code, ReasonCode::ColdStart);
    }

    #[test]
    fn a_cart_is_answered_with_what_was_bought_together_first() {
        let mut shop = Shop::new();
        for buyer in 0..8 {
            let user = format!("buyer-{buyer}");
            let other = format!("other-{buyer}");
            shop.visit(&user, &["pasta", "wine"]);
            shop.buy(&user, &["pasta", "sauce"]);
            shop.visit(&other, &["bread", "wine"]);
            shop.buy(&other, &["bread", "butter"]);
        }
        shop.add_to_cart("ann", "pasta");
        let answer = shop.answer(&query("cart", "ann"));
        let first = &answer.items[0];
        assert_eq!(
            (&*first.item, first.recommender),
            ("sauce", "bought_together")
        );
        let reason = &first.reasons[0];
        assert_eq!(
            (reason.code, &*reason.text),
            (ReasonCode::CoPurchased, "bought with pasta")
        );
        assert_eq!(
            (&*answer.items[1].item, answer.items[1].recommender),
            ("wine", "session")
        );
        assert!(answer.items.iter().all(|found| found.item != "pasta"));
        check(&answer);

        let anonymous = Query {
            cart_items: ids(&["bread"]),
            ..query("cart", "")
        };
        let answer = shop.answer(&anonymous);
        assert_eq!(answer.items[0].item, "butter");
        assert!(!answer.personalized);
    }

    #[test]
    fn strangers_get_something_and_are_told_that_they_are_strangers() {
        let mut shop = Shop::new();
        assert!(
            shop.answer(&query("home", "ann")).items.is_empty(),
            "there is nothing to show"
        );
        shop.item("kettle", &["kitchen"], "acme", 20.0);
        let asked = Query {
            context_items: ids(&["no such item", "no such item"]),
            ..query("product", "ann")
        };
        let answer = shop.answer(&asked);
        assert_eq!(answer.missing, ids(&["ann", "no such item"]));
        assert_eq!(answer.items[0].item, "kettle");
        assert_eq!(answer.items[0].reasons[0].code, ReasonCode::ColdStart);
        shop.view("bob", "kettle");
        let answer = shop.answer(&asked);
        assert_eq!(answer.items[0].step, LadderStep::Trending);
        assert_eq!(answer.items[0].reasons[0].code, ReasonCode::ColdStart);
        assert!(!answer.personalized);
        check(&answer);
    }

    #[test]
    fn no_answer_is_empty_while_anything_can_be_shown() {
        let mut shop = Shop::new();
        for n in 0..300 {
            shop.item(&format!("item-{n:03}"), &[], "", 1.0);
        }
        for n in 1..300 {
            shop.delete(&format!("item-{n:03}"));
        }
        // Neither popular nor among the newest 200.
        assert_eq!(shop.ids(&query("home", "")), ["item-000"]);
        shop.view("ann", "item-000");
        assert_eq!(
            shop.ids(&query("home", "ann")),
            ["item-000"],
            "seen, but all there is"
        );
        let excluded = Query {
            exclude_items: ids(&["item-000"]),
            ..query("home", "ann")
        };
        assert!(shop.ids(&excluded).is_empty());
        shop.delete("item-000");
        assert!(shop.ids(&query("home", "ann")).is_empty());
    }

    #[test]
    fn without_consent_only_the_page_counts() {
        let mut shop = Shop::new();
        for visitor in 0..5 {
            shop.visit(&format!("a-{visitor}"), &["tent", "stove"]);
            shop.visit(&format!("b-{visitor}"), &["wok", "ladle"]);
        }
        shop.view("ann", "tent");
        shop.personalization("ann", false);
        let stranger = shop.answer(&query("home", "nobody"));
        let answer = shop.answer(&query("home", "ann"));
        let items = |answer: &Answer| -> Vec<String> {
            answer
                .items
                .iter()
                .map(|found| found.item.to_string())
                .collect()
        };
        assert_eq!(items(&answer), items(&stranger));
        assert!(!answer.personalized);
        let page = Query {
            context_items: ids(&["wok"]),
            ..query("product", "ann")
        };
        let answer = shop.answer(&page);
        assert_eq!(answer.items[0].item, "ladle");
        assert!(!answer.personalized);
        shop.personalization("ann", true);
        let answer = shop.answer(&query("home", "ann"));
        assert_eq!(answer.items[0].item, "stove");
        assert!(answer.personalized);
    }

    #[test]
    fn an_unknown_placement_is_the_only_error() {
        let shop = Shop::new();
        let error = shop
            .engine()
            .view()
            .recommend(&query("hoem", ""))
            .unwrap_err();
        let QueryError::PlacementNotFound(name, known) = error;
        assert_eq!(name, "hoem");
        assert!(known.contains("home, product, cart"), "{known}");
    }

    #[test]
    fn a_message_about_a_cart_offers_what_is_not_in_it() {
        let mut shop = Shop::new();
        for buyer in 0..5 {
            shop.buy(&format!("buyer-{buyer}"), &["pasta", "sauce", "cheese"]);
            shop.buy(&format!("other-{buyer}"), &["soap"]);
        }
        shop.add_to_cart("ann", "pasta");
        shop.add_to_cart("ann", "cheese");
        shop.wait(3 * HOUR_MS);
        let fired: Vec<_> = shop
            .triggers()
            .iter()
            .filter(|found| found.kind == TriggerKind::Fire)
            .collect();
        assert_eq!(fired.len(), 1);
        assert_eq!(fired[0].recommendations, ids(&["sauce", "soap"]));
    }

    #[test]
    fn answers_hold_together_whatever_happens() {
        for seed in 1..=8_u64 {
            let mut shop = Shop::new();
            let mut random = seed;
            let mut below = |bound: u32| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(seed);
                u32::try_from(random >> 33).unwrap() % bound
            };
            for n in 0..60 {
                let category = format!("category-{}", below(6));
                let brand = format!("brand-{}", below(9));
                shop.item(
                    &format!("item-{n}"),
                    &["all", &category],
                    &brand,
                    1.0 + f64::from(below(90)),
                );
            }
            for _ in 0..1_500 {
                let user = format!("user-{}", below(40));
                let item = format!("item-{}", below(60) * below(60) / 60);
                match below(40) {
                    0 => shop.add_to_cart(&user, &item),
                    1 => shop.buy(&user, &[&item, "item-7", "item-9"]),
                    2 => shop.wait(HOUR_MS),
                    3 => shop.delete(&item),
                    _ => shop.view(&user, &item),
                }
            }
            for user in 0..45 {
                for placement in [
                    "home",
                    "product",
                    "cart",
                    "email",
                    "cart_email",
                    "next_item",
                ] {
                    let asked = Query {
                        limit: usize::try_from(below(30)).unwrap(),
                        context_items: ids(&[&format!("item-{}", below(70))]),
                        ..query(placement, &format!("user-{user}"))
                    };
                    let answer = shop.answer(&asked);
                    assert!(!answer.items.is_empty(), "seed {seed}: {asked:?}");
                    check(&answer);
                    assert_eq!(answer, shop.answer(&asked), "seed {seed}");
                }
            }
        }
    }
}
