//! The trace of what is said is that of the event behind it.

use super::*;

/// What is said to `events`, and the number of the trace it is said under; in whichever place a snapshot is taken.
fn check_traces(events: &str, expected: &str, traces: &[Option<u8>]) {
    let rule = CartAbandonment {
        minimum_value: Money(10_000_000),
        ..CartAbandonment::default()
    };
    let config = Config::default();
    check_with(&config, rule.clone(), events, expected);
    let shop = run(&config, &Rules::from(rule), &records(events));
    let found = shop.out.iter().map(|trigger| {
        let trace = trigger.traceparent?;
        assert_eq!((trace.span_id, trace.flags), ([9; 8], 1));
        Some(trace.trace_id[15])
    });
    assert_eq!(found.collect::<Vec<_>>(), traces, "{events}");
}

#[test]
fn what_fires_has_the_trace_of_the_last_event_that_began_the_wait() {
    let fire = "fire ann a1 inactivity 70:00";
    let with = |view: &str| {
        format!("00:00 ann a1 add shoe @10 ~1\n10:00 ann a2 {view}\n70:05 bob b1 look ~7")
    };
    check_traces(&with("view ~2"), fire, &[Some(2)]);
    check_traces(&with("view"), fire, &[None]);
    check_traces(&with("add sock ~3"), fire, &[Some(3)]);
    check_traces(
        &with("checkout ~2"),
        "fire ann a1 inactivity 60:00",
        &[Some(1)],
    );
    let checkout = "00:00 ann a1 add shoe @10
                    50:00 ann a2 checkout ~2
                    65:05 bob b1 look";
    check_traces(checkout, "fire ann a1 inactivity 65:00", &[Some(2)]);
}

#[test]
fn order_of_arrival_does_not_choose_the_trace() {
    let text = "00:04 ann a2 view ~2
                00:00 ann a1 add shoe @10 ~1
                60:09 bob b1 look";
    check_traces(text, "fire ann a1 inactivity 60:04", &[Some(2)]);
    // The late view does not move the deadline.
    let late = "00:00 ann a1 add shoe @10
                05:00 ann a2 view ~1
                06:00 bob b1 look
                04:00 ann a3 view ~2
                65:05 bob b2 look";
    check_traces(late, "fire ann a1 inactivity 65:00", &[Some(1)]);
}

#[test]
fn what_ends_a_cart_has_its_own_trace_or_that_of_the_cart() {
    let bought = |purchase: &str| {
        format!("00:00 ann a1 add shoe @10 ~1\n01:00 ann p1 {purchase}\n02:00 bob b1 look")
    };
    let said = "suppressed ann a1 purchased 60:00";
    check_traces(&bought("purchase ~2"), said, &[Some(2)]);
    check_traces(&bought("purchase"), said, &[Some(1)]);
}

#[test]
fn a_cancel_has_its_own_trace_or_that_of_its_fire() {
    let late = |what: &str| {
        format!("00:00 ann a1 add shoe @10 ~1\n60:05 bob b1 look\n30:00 ann c1 {what}")
    };
    let bought = "fire ann a1 inactivity 60:00\ncancel ann a1 purchased 60:00";
    check_traces(&late("purchase ~2"), bought, &[Some(1), Some(2)]);
    check_traces(&late("purchase"), bought, &[Some(1), Some(1)]);
    let config = Config::default();
    for (refusal, trace) in [("consent no ~2", Some(2)), ("consent no", Some(1))] {
        let shop = run(&config, &Rules::default(), &records(&late(refusal)));
        assert_eq!(shop.out[1].reason, TriggerReason::NoConsent);
        let found = shop.out[1].traceparent.map(|trace| trace.trace_id[15]);
        assert_eq!(found, trace, "{refusal}");
    }
}

#[test]
fn a_cart_that_becomes_worth_it_fires_under_the_trace_that_made_it_so() {
    let with =
        |add: &str| format!("00:00 ann a1 add sock @3 ~1\n61:00 ann a2 {add}\n121:05 bob b1 look");
    let said = "suppressed ann a1 below_minimum_value 60:00\nfire ann a1 inactivity 121:00";
    check_traces(&with("add shoe @10 ~2"), said, &[Some(1), Some(2)]);
    check_traces(&with("add shoe @10"), said, &[Some(1), None]);
}
