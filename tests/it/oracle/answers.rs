//! What every answer owes its reader, whatever the log.

use std::collections::BTreeSet;

use impulse::domain::{Answer, Id, Query, Record};
use impulse::engine::View;

use super::carts::CartRule;
use super::compare::{feed, same};
use super::random::Random;
use super::streams::item_id;
use super::subject::{Honest, Subject};

/// The placements of the default configuration that are asked; they hide what is in the cart.
const PLACEMENTS: [&str; 3] = ["home", "product", "cart"];
/// More items than any stream of this test has.
const ITEMS_MAX: usize = 12;

/// Asks a few random questions at the end of a log.
pub(crate) fn keep_their_promises(seed: u64, records: &[Record]) -> Result<(), String> {
    keep_their_promises_as_read(seed, records, Query::clone)
}

/// As [`keep_their_promises`], of an engine that reads another question than was asked.
pub(crate) fn keep_their_promises_as_read(
    seed: u64,
    records: &[Record],
    read: impl Fn(&Query) -> Query,
) -> Result<(), String> {
    let mut engine = Honest::new(&CartRule::default());
    let (journal, _) = feed(&mut engine, records)?;
    let view = engine.view();
    let mut random = Random::new(seed);
    for _ in 0..6 {
        let query = question(&mut random);
        let ask = || view.recommend(&read(&query));
        let answer = ask().map_err(|error| error.to_string())?;
        keeps_promises(&query, &answer, &view)
            .map_err(|why| format!("{why}\nin the answer to {query:?}\n{answer:#?}"))?;
        same("answer asked again", &ask(), &Ok(answer.clone()))?;
        let position = u64::try_from(journal.accepted.len()).unwrap();
        same("position of an answer", &answer.position, &position)?;
    }
    Ok(())
}

fn question(random: &mut Random) -> Query {
    let mut some = |most: usize| -> Vec<Id> {
        let count = random.below(most + 1);
        (0..count)
            .map(|_| item_id(random.below(ITEMS_MAX)))
            .collect()
    };
    let (context_items, exclude_items, cart_items) = (some(3), some(3), some(2));
    Query {
        placement: (*random.pick(&PLACEMENTS)).into(),
        user: if random.percent(80) {
            format!("u{}", random.below(7)).into()
        } else {
            Id::default()
        },
        context_items,
        cart_items,
        limit: 1 + random.below(15),
        exclude_items,
    }
}

fn keeps_promises(query: &Query, answer: &Answer, view: &View) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for found in &answer.items {
        if !seen.insert(&found.item) {
            return Err(format!("{} is there twice", found.item));
        }
        if query.exclude_items.contains(&found.item) {
            return Err(format!("{} is excluded", found.item));
        }
        let item = view
            .item(&found.item)
            .ok_or_else(|| format!("{} is unknown", found.item))?;
        if !item.available || item.stock == Some(0) {
            return Err(format!("{} cannot be bought", found.item));
        }
        let sum: f64 = found.reasons.iter().map(|reason| reason.contribution).sum();
        if (sum - found.score).abs() > 1e-9 * found.score.abs().max(1e-12) {
            return Err(format!(
                "reasons of {} add up to {sum}, not {}",
                found.item, found.score
            ));
        }
        if found.reasons.is_empty() || !found.score.is_finite() {
            return Err(format!("{} has no reason or no score", found.item));
        }
    }
    if answer.items.len() > query.limit {
        return Err(format!("{} items", answer.items.len()));
    }
    keeps_to_what_may_be_shown(query, answer, view)
}

/// No answer is empty while anything may be shown, and what is in the cart is shown only where all else is in the cart
/// too or excluded.
fn keeps_to_what_may_be_shown(query: &Query, answer: &Answer, view: &View) -> Result<(), String> {
    let eligible: Vec<Id> = (0..ITEMS_MAX)
        .map(item_id)
        .filter(|id| view.item(id).is_some_and(|item| item.available))
        .filter(|id| !query.exclude_items.contains(id))
        .collect();
    if answer.items.is_empty() {
        return same("items that could be shown", &eligible, &Vec::new());
    }
    let cart = cart(query, view);
    let in_cart = answer.items.iter().find(|item| cart.contains(&item.item));
    let other = eligible.iter().find(|item| !cart.contains(*item));
    if let (Some(found), Some(other)) = (in_cart, other) {
        return Err(format!(
            "{} is in the cart, and {other} could be shown",
            found.item
        ));
    }
    Ok(())
}

/// What the answer has to take for the cart: the caller's, else the shopper's own if it may be used.
fn cart(query: &Query, view: &View) -> BTreeSet<Id> {
    if !query.cart_items.is_empty() {
        return query.cart_items.iter().cloned().collect();
    }
    let profile = view
        .profile(&query.user)
        .filter(|profile| profile.consent.personalization != Some(false));
    let lines = profile.into_iter().flat_map(|profile| profile.cart.lines);
    lines.map(|line| line.item).collect()
}
