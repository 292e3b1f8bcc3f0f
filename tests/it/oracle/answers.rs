//! What every answer owes its reader, whatever the log.

use std::collections::BTreeSet;

use impulse::domain::{Answer, Id, Input, Query, Record};
use impulse::engine::View;

use super::carts::CartRule;
use super::compare::{feed, same};
use super::random::Random;
use super::streams::item_id;
use super::subject::{Honest, Subject};

/// The placements of the default configuration that are asked.
const PLACEMENTS: [&str; 3] = ["home", "product", "cart"];

/// Asks a few random questions at the end of a log.
pub(crate) fn keep_their_promises(seed: u64, records: &[Record]) -> Result<(), String> {
    let mut engine = Honest::new(&CartRule::default());
    let (journal, _) = feed(&mut engine, records)?;
    let view = engine.view();
    let mut random = Random::new(seed);
    for _ in 0..6 {
        let query = question(&mut random);
        let answer = view.recommend(&query).map_err(|error| error.to_string())?;
        keeps_promises(&query, &answer, &view, records)
            .map_err(|why| format!("{why}\nin the answer to {query:?}\n{answer:#?}"))?;
        same(
            "answer asked again",
            &view.recommend(&query),
            &Ok(answer.clone()),
        )?;
        let position = u64::try_from(journal.accepted.len()).unwrap();
        same("position of an answer", &answer.position, &position)?;
    }
    Ok(())
}

fn question(random: &mut Random) -> Query {
    let mut some = |most: usize| -> Vec<Id> {
        let count = random.below(most + 1);
        (0..count).map(|_| item_id(random.below(12))).collect()
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

fn keeps_promises(
    query: &Query,
    answer: &Answer,
    view: &View,
    records: &[Record],
) -> Result<(), String> {
    let profile = view.profile(&query.user);
    let mut barred: BTreeSet<Id> = query.exclude_items.iter().cloned().collect();
    if query.cart_items.is_empty() {
        let carts = profile.iter().flat_map(|profile| &profile.cart.lines);
        barred.extend(carts.map(|line| line.item.clone()));
    } else {
        // The caller keeps the cart.
        barred.extend(query.cart_items.iter().cloned());
    }
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
    if answer.items.is_empty() {
        barred.extend(query.context_items.iter().cloned());
        let purchased = profile.map(|profile| profile.purchased).unwrap_or_default();
        barred.extend(purchased);
        let eligible = offered(view, records)
            .into_iter()
            .find(|item| !barred.contains(item));
        if let Some(item) = eligible {
            return Err(format!("empty, though {item} could be shown"));
        }
    }
    Ok(())
}

/// Items of the catalog that can be bought.
fn offered(view: &View, records: &[Record]) -> Vec<Id> {
    let mut items = Vec::new();
    for record in records {
        if let Input::ItemUpsert(patch) = &record.input {
            let item = view.item(&patch.id);
            let sold = |item: &impulse::domain::Item| {
                item.in_catalog && item.available && item.stock != Some(0)
            };
            if item.as_ref().is_some_and(sold) {
                items.push(patch.id.clone());
            }
        }
    }
    items
}
