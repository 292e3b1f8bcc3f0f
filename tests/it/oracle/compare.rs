//! Sets what the engine says beside what the model says.

use std::collections::{BTreeMap, BTreeSet};

use impulse::domain::{
    CartView, Id, LineItem, MINUTE_MS, Millis, Money, Outcome, ProfileView, Query, Record,
    Traceparent, Trigger, TriggerId, TriggerKind,
};
use impulse::engine::View;

use super::carts::{CartRule, Carts, Obligation, carts, value};
use super::journal::Journal;
use super::pairs::{Pairs, pairs};
use super::shoppers::{Shopper, shoppers};
use super::subject::Subject;

/// The rule that carts are watched by.
pub(crate) const CART_RULE: &str = "cart_abandonment";
/// A placement that ranks by co-occurrence with the session.
pub(crate) const PLACEMENT: &str = "next_item";
/// Relative difference of scores that is no disagreement: rows hold `f32`.
const TOLERANCE: f64 = 1e-3;

/// Feeds the records and compares everything there is to compare.
pub(crate) fn agree(
    subject: &mut dyn Subject,
    rule: &CartRule,
    records: &[Record],
) -> Result<(), String> {
    let (journal, triggers) = feed(subject, records)?;
    let model = carts(&journal, rule);
    agree_on_triggers(&model, &triggers)?;
    let view = subject.view();
    agree_on_episodes(&model, &journal, &view)?;
    let shoppers = shoppers(&journal);
    for (user, shopper) in &shoppers {
        let profile = view
            .profile(user)
            .ok_or_else(|| format!("no profile of {user}"))?;
        // Which session an overdue event belongs to is not said; all else of the shopper is.
        let overdue = journal.accepted.iter().any(|accepted| {
            accepted.overdue() && accepted.event().is_some_and(|event| event.user == *user)
        });
        let no_cart = Vec::new();
        agree_on_profile(shopper, &profile)
            .and_then(|()| {
                if model.unspecified.contains(user) {
                    return Ok(());
                }
                agree_on_cart(model.carts.get(user).unwrap_or(&no_cart), &profile.cart)
            })
            .and_then(|()| {
                if overdue {
                    Ok(())
                } else {
                    agree_on_session(shopper, &journal, &profile)
                }
            })
            .map_err(|why| format!("profile of {user}: {why}"))?;
    }
    Ok(())
}

/// Applies the records one by one; outcomes, positions and watermarks must be the model's.
pub(crate) fn feed(
    subject: &mut dyn Subject,
    records: &[Record],
) -> Result<(Journal, Vec<Trigger>), String> {
    let mut journal = Journal::default();
    let mut triggers = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let verdict = journal.judge(record);
        let before = triggers.len();
        let outcome = subject.apply(record, &mut triggers);
        let at = |why: String| format!("record {index}: {why}");
        if !verdict.allows(&outcome) {
            return Err(at(format!("outcome {outcome:?}, expected {verdict:?}")));
        }
        if matches!(outcome, Outcome::Applied { .. }) {
            journal.accept(record, &verdict);
        } else if triggers.len() > before {
            return Err(at(
                "a record that does not count brought triggers".to_owned()
            ));
        }
        let position = u64::try_from(journal.accepted.len()).unwrap();
        let view = subject.view();
        same("position", &view.position(), &position).map_err(at)?;
        if let Some(watermark) = journal.watermark() {
            same("watermark", &subject.watermark(), &watermark).map_err(at)?;
        }
        for trigger in &triggers[before..] {
            same("position of a trigger", &trigger.position, &position).map_err(at)?;
        }
    }
    Ok((journal, triggers))
}

/// Every record that must exist exists, and no other; numbers have no gap, ids are stable and told apart.
fn agree_on_triggers(model: &Carts, found: &[Trigger]) -> Result<(), String> {
    let mut ids: BTreeMap<TriggerId, (Id, Id)> = BTreeMap::new();
    let mut fired: Vec<TriggerId> = Vec::new();
    for (index, trigger) in found.iter().enumerate() {
        same("seq", &trigger.seq, &u64::try_from(index + 1).unwrap())?;
        same("rule", &trigger.rule.as_str(), &CART_RULE)?;
        let cancel = trigger.kind == TriggerKind::Cancel;
        same("revision", &trigger.revision, &u32::from(cancel))?;
        let owner = (trigger.user.clone(), trigger.episode.clone());
        let known = ids.entry(trigger.id).or_insert_with(|| owner.clone());
        same("episode of an id", &owner, known)?;
        if trigger.kind == TriggerKind::Fire {
            if fired.contains(&trigger.id) {
                return Err(format!("{} fired twice", trigger.id));
            }
            fired.push(trigger.id);
            if trigger.fired < trigger.deadline {
                return Err(format!("{} fired early", trigger.id));
            }
        }
    }
    let owners: BTreeSet<_> = ids.values().collect();
    same("ids for episodes", &ids.len(), &owners.len())?;
    let named: BTreeSet<&Id> = model.obligations.iter().map(|made| &made.episode).collect();
    let specified = |user: &Id| !model.unspecified.contains(user);
    let mut expected: Vec<String> = model
        .obligations
        .iter()
        .filter(|made| specified(&made.user))
        .map(obliged_line)
        .collect();
    let mut found: Vec<String> = found
        .iter()
        .filter(|trigger| specified(&trigger.user))
        .map(|trigger| trigger_line(trigger, &named))
        .collect();
    expected.sort();
    found.sort();
    let missing: Vec<&String> = expected
        .iter()
        .filter(|line| !found.contains(line))
        .collect();
    let phantom: Vec<&String> = found
        .iter()
        .filter(|line| !expected.contains(line))
        .collect();
    if missing.is_empty() && phantom.is_empty() {
        return same("number of trigger records", &found.len(), &expected.len());
    }
    Err(format!(
        "missing triggers {missing:#?}\nphantom triggers {phantom:#?}"
    ))
}

/// Stands for the id of an event that has none.
const NAMELESS: &str = "(nameless)";

fn obliged_line(made: &Obligation) -> String {
    format!(
        "{:03} {} {} {} of {} due {} fired {} expires {} {} under {}",
        made.position,
        made.kind.name(),
        made.reason.name(),
        if made.episode.is_empty() {
            NAMELESS
        } else {
            &made.episode
        },
        made.user,
        made.deadline,
        made.fired,
        made.expires,
        cart_line(&made.cart),
        trace_line(made.trace)
    )
}

fn trigger_line(trigger: &Trigger, named: &BTreeSet<&Id>) -> String {
    // An event without an id gets one of the engine's making; that ids are told apart is checked elsewhere.
    let made_up = !trigger.episode.is_empty() && !named.contains(&trigger.episode);
    format!(
        "{:03} {} {} {} of {} due {} fired {} expires {} {} under {}",
        trigger.position,
        trigger.kind.name(),
        trigger.reason.name(),
        if made_up { NAMELESS } else { &trigger.episode },
        trigger.user,
        trigger.deadline,
        trigger.fired,
        trigger.expires,
        cart_line(&trigger.cart.lines),
        trace_line(trigger.traceparent)
    )
}

fn trace_line(trace: Option<Traceparent>) -> String {
    trace.map_or_else(|| "no trace".to_owned(), |trace| trace.to_string())
}

/// A cart in short.
pub(crate) fn cart_line(lines: &[LineItem]) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| {
            format!(
                "{}x{}@{:?}",
                line.item,
                line.quantity,
                line.price.map(|p| p.0)
            )
        })
        .collect();
    format!("[{}]", lines.join(" "))
}

/// The episodes that wait, of shoppers whose events are all settled.
fn agree_on_episodes(model: &Carts, journal: &Journal, view: &View) -> Result<(), String> {
    let unsettled = |user: &Id| {
        model.unspecified.contains(user)
            || journal.accepted.iter().any(|accepted| {
                accepted.event().is_some_and(|event| event.user == *user)
                    && journal
                        .watermark()
                        .is_none_or(|watermark| accepted.time > watermark)
            })
    };
    let line = |user: &Id, deadline: Millis, cart: &[LineItem]| {
        format!("{deadline} {user} {}", cart_line(cart))
    };
    let found = view.episodes(usize::MAX);
    if !found.is_sorted_by_key(|episode| episode.deadline) {
        return Err("episodes are not soonest first".to_owned());
    }
    let mut found: Vec<String> = found
        .iter()
        .filter(|episode| !unsettled(&episode.user))
        .map(|episode| line(&episode.user, episode.deadline, &episode.cart.lines))
        .collect();
    let mut expected: Vec<String> = model
        .waiting
        .iter()
        .filter(|waiting| !unsettled(&waiting.user))
        .map(|waiting| line(&waiting.user, waiting.deadline, &waiting.cart))
        .collect();
    found.sort();
    expected.sort();
    same("episodes", &found, &expected)
}

fn agree_on_profile(expected: &Shopper, found: &ProfileView) -> Result<(), String> {
    same("events", &found.events, &expected.events)?;
    same("last viewed", &found.last_viewed, &expected.last_viewed)?;
    same("orders", &found.orders, &expected.orders)?;
    same(
        "revenue",
        &found.revenue,
        &expected.revenue.max(Money::ZERO),
    )?;
    same("purchased", &found.purchased, &expected.purchased)?;
    same("last order", &found.last_order, &expected.last_order)?;
    same("first seen", &found.first_seen, &expected.first_seen)?;
    same("last seen", &found.last_seen, &expected.last_seen)?;
    same("consent", &found.consent, &expected.consent)?;
    agree_on_affinities(&expected.categories, &found.categories, "category")?;
    agree_on_affinities(&expected.brands, &found.brands, "brand")?;
    if found.loyalty_score > 100 {
        return Err(format!("loyalty {}", found.loyalty_score));
    }
    Ok(())
}

/// An open session is shown; one that has ended may be gone.
fn agree_on_session(
    expected: &Shopper,
    journal: &Journal,
    found: &ProfileView,
) -> Result<(), String> {
    same("sessions", &found.sessions, &expected.sessions)?;
    let ended = journal.watermark().is_some_and(|watermark| {
        watermark.since(expected.session_span.1) > journal.times.session_gap_ms
    });
    let Some(session) = &found.session else {
        return same("whether the session has ended", &true, &ended);
    };
    same("session id", &session.id, &expected.session_id)?;
    same("session events", &session.events, &expected.session_events)?;
    let newest = expected.session_items.len().saturating_sub(20);
    same(
        "session items",
        &session.items.as_slice(),
        &&expected.session_items[newest..],
    )?;
    same(
        "end of the session",
        &session.last_event,
        &expected.session_span.1,
    )?;
    // The first event is the first of the log; one that overtook it may have happened before.
    if ![expected.session_span.0, expected.session_first].contains(&session.started) {
        return Err(format!("session began at {}, not so", session.started));
    }
    // Sessions end in sweeps, a minute late at most; what happens next counts by its own time.
    let silent = journal
        .watermark()
        .map_or(0, |watermark| watermark.since(session.last_event));
    let swept = silent > journal.times.session_gap_ms + MINUTE_MS;
    if session.open && swept || !session.open && !ended {
        return Err(format!(
            "session is {}",
            if session.open { "open" } else { "closed" }
        ));
    }
    Ok(())
}

/// Readers see the cart with what is not settled yet.
fn agree_on_cart(expected: &[LineItem], found: &CartView) -> Result<(), String> {
    same("cart", &cart_line(&found.lines), &cart_line(expected))?;
    same("cart value", &found.value, &value(expected))
}

/// The weights of a profile have the proportions of the model's; the moment they are decayed to is the engine's.
fn agree_on_affinities(
    expected: &BTreeMap<Id, (f64, f64)>,
    found: &[impulse::domain::Affinity],
    what: &str,
) -> Result<(), String> {
    same(
        &format!("number of {what} affinities"),
        &found.len(),
        &expected.len().min(5),
    )?;
    let Some(first) = found.first() else {
        return Ok(());
    };
    let (recent, long_term) = *expected.get(&first.name).ok_or(format!("unknown {what}"))?;
    for affinity in found {
        let name = &affinity.name;
        let (recent_here, long_here) = *expected.get(name).ok_or(format!("unknown {what}"))?;
        close(
            &format!("recent {what} {name}"),
            affinity.recent * recent,
            first.recent * recent_here,
        )?;
        close(
            &format!("long-term {what} {name}"),
            affinity.long_term * long_term,
            first.long_term * long_here,
        )?;
        if !(0.0..=1.0 + 1e-9).contains(&affinity.share) {
            return Err(format!("share of {what} {name} is {}", affinity.share));
        }
    }
    Ok(())
}

/// Feeds the records and compares what was learned of items seen together.
pub(crate) fn agree_on_pairs(subject: &mut dyn Subject, records: &[Record]) -> Result<(), String> {
    let (journal, _) = feed(subject, records)?;
    agree_on_scores(&pairs(&journal), &subject.view())
}

/// The arithmetic of every pair has the proportions of the model's table.
fn agree_on_scores(pairs: &Pairs, view: &View) -> Result<(), String> {
    let items: Vec<&Id> = pairs.sessions.keys().collect();
    // Engine and model count from different moments; their weights differ by one factor.
    let mut factor = None;
    for a in &items {
        let query = Query {
            placement: PLACEMENT.into(),
            context_items: vec![(*a).clone()],
            limit: 10,
            ..Query::default()
        };
        for c in &items {
            let explanation = view
                .explain(&query, c)
                .map_err(|error| error.to_string())?
                .ok_or_else(|| format!("item {c} is unknown"))?;
            let expected = pairs.co(a, c);
            let Some(term) = explanation.terms.iter().find(|term| term.source == **a) else {
                if expected > 0.0 {
                    return Err(format!("no term of {a} for {c}, expected {expected}"));
                }
                continue;
            };
            let factor = *factor.get_or_insert(pairs.n(a) / term.source_sessions);
            close(
                &format!("n[{a}]"),
                term.source_sessions * factor,
                pairs.n(a),
            )?;
            close(
                &format!("n[{c}]"),
                term.candidate_sessions * factor,
                pairs.n(c),
            )?;
            close(
                &format!("co[{a}][{c}]"),
                term.co_occurrence * factor,
                expected,
            )?;
            let score = term.position_weight * term.co_occurrence
                / (term.source_sessions.sqrt() * term.candidate_sessions.powf(0.2));
            close(&format!("term {a} {c}"), term.contribution, score)?;
        }
    }
    Ok(())
}

/// `found` must be `expected`.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} {found:?}, expected {expected:?}"))
}

/// `found` must be `expected` but for rounding.
fn close(what: &str, found: f64, expected: f64) -> Result<(), String> {
    if (found - expected).abs() <= TOLERANCE * expected.abs().max(1e-6) {
        return Ok(());
    }
    Err(format!("{what} is {found}, expected {expected}"))
}
