//! The engine against a small, slow, obvious model that knows only the log.
//!
//! The model shares nothing with the engine but the words of `domain`. It finds every fact again from the whole list of
//! accepted records. Streams come from seeds; a failing one is made small and printed with its seed.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the model names what it knows and passes over the rest"
)]

use impulse::domain::Money;

mod answers;
mod carts;
mod cases;
mod compare;
mod crowded;
mod journal;
mod metamorphic;
mod mutants;
mod pairs;
mod random;
mod shoppers;
mod streams;
mod subject;
mod worked;

use self::carts::CartRule;
use self::cases::for_each_case;
use self::compare::{agree, agree_on_pairs};
use self::streams::{Plan, is_timely, stream};
use self::subject::Honest;

#[test]
fn timely_streams_agree() {
    for_each_case(
        "oracle::timely_streams_agree",
        13_000,
        |seed| stream(seed, Plan::timely),
        |seed, records| {
            let rule = rule(seed);
            if !is_timely(records) {
                return Ok(());
            }
            agree(&mut Honest::new(&rule), &rule, records)
        },
    );
}

#[test]
fn overdue_streams_agree() {
    for_each_case(
        "oracle::overdue_streams_agree",
        13_000,
        |seed| stream(seed, Plan::overdue),
        |seed, records| {
            let rule = rule(seed);
            agree(&mut Honest::new(&rule), &rule, records)
        },
    );
}

#[test]
fn items_seen_together_agree() {
    for_each_case(
        "oracle::items_seen_together_agree",
        4_000,
        |seed| stream(seed, Plan::timely),
        |_, records| {
            if !is_timely(records) {
                return Ok(());
            }
            agree_on_pairs(&mut Honest::new(&CartRule::default()), records)
        },
    );
}

#[test]
fn crowded_rows_stay_within_their_bounds() {
    for_each_case(
        "oracle::crowded_rows_stay_within_their_bounds",
        60,
        |seed| stream(seed, Plan::crowded),
        |_, records| crowded::stays_within_its_bounds(records),
    );
}

#[test]
fn answers_keep_their_promises() {
    for_each_case(
        "oracle::answers_keep_their_promises",
        4_000,
        |seed| stream(seed, Plan::overdue),
        answers::keep_their_promises,
    );
}

/// The rule of a case: every cart, or only those worth something.
fn rule(seed: u64) -> CartRule {
    let minimum_value = Money(if seed.is_multiple_of(2) {
        0
    } else {
        30_000_000
    });
    CartRule {
        minimum_value,
        ..CartRule::default()
    }
}

#[test]
fn the_same_log_gives_the_same_bytes() {
    for_each_case(
        "oracle::the_same_log_gives_the_same_bytes",
        6_000,
        |seed| stream(seed, Plan::overdue),
        |_, records| metamorphic::twice(records),
    );
}

#[test]
fn repeated_events_change_nothing() {
    for_each_case(
        "oracle::repeated_events_change_nothing",
        6_000,
        |seed| stream(seed, Plan::overdue),
        metamorphic::repeated,
    );
}

#[test]
fn a_restored_engine_goes_on_as_if_nothing_had_been() {
    for_each_case(
        "oracle::a_restored_engine_goes_on_as_if_nothing_had_been",
        6_000,
        |seed| stream(seed, Plan::overdue),
        metamorphic::restored,
    );
}

#[test]
fn order_of_arrival_within_the_bound_changes_no_trigger() {
    for_each_case(
        "oracle::order_of_arrival_within_the_bound_changes_no_trigger",
        6_000,
        |seed| stream(seed, Plan::carts),
        metamorphic::reordered,
    );
}

#[test]
fn every_mutant_is_caught() {
    mutants::all_are_caught();
}

#[test]
fn every_misread_question_is_caught() {
    mutants::all_misread_questions_are_caught();
}
