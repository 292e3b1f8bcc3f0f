//! The model against cases worked out by hand from the design.

use impulse::domain::{
    Consent, DAY_MS, Event, EventDetails, EventKind, HOUR_MS, Id, Input, LineItem, MINUTE_MS,
    Millis, Money, Record, SECOND_MS, TimeRule, TriggerKind, TriggerReason,
};

use super::carts::{CartRule, Obligation, carts};
use super::journal::{Journal, Verdict};
use super::pairs::{Pairs, pairs};
use super::shoppers::shoppers;

/// Where the hand-made logs begin.
const START: Millis = Millis(1_700_000_000_000);

/// A log in the making.
#[derive(Default)]
struct Log {
    journal: Journal,
    events: u32,
}

impl Log {
    /// An event created and received `at` milliseconds after the start.
    fn event(&mut self, at: i64, kind: EventKind, item: &str) -> &mut Self {
        self.delayed(at, at, kind, item)
    }

    /// An event created at one time and received at another.
    fn delayed(&mut self, created: i64, received: i64, kind: EventKind, item: &str) -> &mut Self {
        let event = self.next_event(created, kind, item);
        self.put(received, Input::Event(event))
    }

    fn next_event(&mut self, created: i64, kind: EventKind, item: &str) -> Event {
        self.events += 1;
        Event {
            kind,
            id: format!("e{}", self.events).into(),
            user: "ann".into(),
            session: Id::default(),
            item: item.into(),
            quantity: 0,
            price: Some(Money(10_000_000)),
            created: Some(START + created),
            sent: None,
            details: None,
        }
    }

    /// An event with details.
    fn detailed(&mut self, at: i64, kind: EventKind, details: EventDetails) -> &mut Self {
        let mut event = self.next_event(at, kind, "");
        event.details = Some(Box::new(details));
        self.put(at, Input::Event(event))
    }

    /// A tick that finds the log read to its end.
    fn quiet(&mut self, at: i64) -> &mut Self {
        self.put(
            at,
            Input::Tick {
                wall: START + at,
                caught_up: true,
            },
        )
    }

    /// A tick with lag.
    fn behind(&mut self, at: i64) -> &mut Self {
        self.put(
            at,
            Input::Tick {
                wall: START + at,
                caught_up: false,
            },
        )
    }

    fn put(&mut self, received: i64, input: Input) -> &mut Self {
        let record = Record {
            received: START + received,
            input,
        };
        let verdict = self.journal.judge(&record);
        assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
        self.journal.accept(&record, &verdict);
        self
    }

    fn obligations(&self) -> Vec<Obligation> {
        self.obligations_by(&CartRule::default())
    }

    fn obligations_by(&self, rule: &CartRule) -> Vec<Obligation> {
        carts(&self.journal, rule).obligations
    }

    /// Kind, reason, episode and deadline of every obligation.
    fn said(&self) -> Vec<(TriggerKind, TriggerReason, String, i64)> {
        brief(&self.obligations())
    }
}

fn brief(obligations: &[Obligation]) -> Vec<(TriggerKind, TriggerReason, String, i64)> {
    obligations
        .iter()
        .map(|made| {
            (
                made.kind,
                made.reason,
                made.episode.to_string(),
                made.deadline.since(START),
            )
        })
        .collect()
}

const FIRE: (TriggerKind, TriggerReason) = (TriggerKind::Fire, TriggerReason::Inactivity);

fn said(
    what: (TriggerKind, TriggerReason),
    episode: &str,
    deadline: i64,
) -> (TriggerKind, TriggerReason, String, i64) {
    (what.0, what.1, episode.to_owned(), deadline)
}

#[test]
fn an_abandoned_cart_fires_at_the_first_step_that_reaches_the_deadline() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe");
    log.quiet(HOUR_MS + 4_999);
    assert_eq!(log.said(), []);
    log.quiet(HOUR_MS + 5_000).quiet(HOUR_MS + 6_000);
    assert_eq!(log.said(), [said(FIRE, "e1", HOUR_MS)]);
    let fire = &log.obligations()[0];
    assert_eq!(fire.position, 3);
    assert_eq!(fire.fired, START + HOUR_MS);
    assert_eq!(fire.expires, START + HOUR_MS + DAY_MS);
    assert_eq!(fire.cart.len(), 1);
    assert_eq!(fire.cart[0].quantity, 1);
}

#[test]
fn lag_is_no_silence() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .behind(5 * HOUR_MS);
    assert_eq!(log.said(), []);
    log.event(5 * HOUR_MS, EventKind::ProductView, "hat");
    assert_eq!(log.said(), [said(FIRE, "e1", HOUR_MS)]);
}

#[test]
fn activity_puts_the_deadline_off() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe");
    log.event(30 * MINUTE_MS, EventKind::CartView, "");
    log.event(HOUR_MS + 30 * MINUTE_MS, EventKind::ProductView, "hat");
    log.quiet(3 * HOUR_MS);
    assert_eq!(log.said(), [said(FIRE, "e1", HOUR_MS + 30 * MINUTE_MS)]);
}

#[test]
fn an_event_at_the_deadline_counts_before_it() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .event(HOUR_MS, EventKind::CartView, "");
    log.quiet(3 * HOUR_MS);
    assert_eq!(log.said(), [said(FIRE, "e1", 2 * HOUR_MS)]);
}

#[test]
fn a_purchase_ends_the_episode() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .event(MINUTE_MS, EventKind::Purchase, "shoe");
    log.event(2 * MINUTE_MS, EventKind::AddToCart, "hat")
        .quiet(3 * HOUR_MS);
    let bought = (TriggerKind::Suppressed, TriggerReason::Purchased);
    assert_eq!(
        log.said(),
        [
            said(bought, "e1", HOUR_MS),
            said(FIRE, "e3", HOUR_MS + 2 * MINUTE_MS)
        ]
    );
}

#[test]
fn an_emptied_cart_is_not_abandoned() {
    let emptied = (TriggerKind::Suppressed, TriggerReason::CartEmptied);
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .event(1_000, EventKind::RemoveFromCart, "shoe");
    assert_eq!(
        log.quiet(3 * HOUR_MS).said(),
        [said(emptied, "e1", HOUR_MS)]
    );

    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe");
    log.detailed(1_000, EventKind::CartUpdate, EventDetails::default());
    assert_eq!(
        log.quiet(3 * HOUR_MS).said(),
        [said(emptied, "e1", HOUR_MS)]
    );
}

#[test]
fn order_of_arrival_within_the_bound_does_not_matter() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe");
    log.event(HOUR_MS + 4_000, EventKind::ProductView, "hat");
    // Bought one second before the deadline, known five seconds after it.
    log.delayed(HOUR_MS - 999, HOUR_MS + 4_000, EventKind::Purchase, "shoe");
    let bought = (TriggerKind::Suppressed, TriggerReason::Purchased);
    assert_eq!(log.quiet(3 * HOUR_MS).said(), [said(bought, "e1", HOUR_MS)]);
}

#[test]
fn a_late_purchase_takes_the_message_back_within_the_grace() {
    let fired = |after_ms| {
        let mut log = Log::default();
        log.event(0, EventKind::AddToCart, "shoe")
            .quiet(HOUR_MS + 5_000);
        log.quiet(HOUR_MS + 5_000 + after_ms);
        log.delayed(
            HOUR_MS,
            HOUR_MS + 5_000 + after_ms,
            EventKind::Purchase,
            "shoe",
        );
        log
    };
    let cancelled = (TriggerKind::Cancel, TriggerReason::Purchased);
    let log = fired(10 * MINUTE_MS);
    assert_eq!(
        log.said(),
        [said(FIRE, "e1", HOUR_MS), said(cancelled, "e1", HOUR_MS)]
    );
    assert_eq!(log.obligations()[1].cart, log.obligations()[0].cart);

    let log = fired(10 * MINUTE_MS + 1);
    assert_eq!(log.said(), [said(FIRE, "e1", HOUR_MS)]);
    assert!(log.journal.accepted.last().unwrap().late);
}

#[test]
fn a_purchase_after_the_deadline_takes_nothing_back() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .quiet(HOUR_MS + 5_000);
    log.event(HOUR_MS + MINUTE_MS, EventKind::Purchase, "shoe")
        .quiet(9 * HOUR_MS);
    assert_eq!(log.said(), [said(FIRE, "e1", HOUR_MS)]);
}

#[test]
fn a_small_cart_waits_for_its_next_change() {
    let rule = CartRule {
        minimum_value: Money(15_000_000),
        ..CartRule::default()
    };
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .quiet(2 * HOUR_MS);
    log.event(2 * HOUR_MS, EventKind::CartView, "")
        .quiet(4 * HOUR_MS);
    log.event(4 * HOUR_MS, EventKind::AddToCart, "hat")
        .quiet(6 * HOUR_MS);
    let small = (TriggerKind::Suppressed, TriggerReason::BelowMinimumValue);
    assert_eq!(
        brief(&log.obligations_by(&rule)),
        [said(small, "e1", HOUR_MS), said(FIRE, "e1", 5 * HOUR_MS)]
    );
}

#[test]
fn consent_and_expiry_are_asked_at_the_deadline() {
    let mut log = Log::default();
    let no = Consent {
        personalization: None,
        marketing: Some(false),
    };
    log.event(0, EventKind::AddToCart, "shoe");
    log.detailed(
        1_000,
        EventKind::ConsentChange,
        EventDetails {
            consent: no,
            ..EventDetails::default()
        },
    );
    let forbidden = (TriggerKind::Suppressed, TriggerReason::NoConsent);
    assert_eq!(
        log.quiet(2 * HOUR_MS).said(),
        [said(forbidden, "e1", HOUR_MS)]
    );

    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "shoe")
        .quiet(25 * HOUR_MS + 5_001);
    let stale = (TriggerKind::Expired, TriggerReason::Stale);
    assert_eq!(log.said(), [said(stale, "e1", HOUR_MS)]);
}

#[test]
fn time_is_found_by_the_rules_of_the_design() {
    let mut log = Log::default();
    log.quiet(0);
    let received = START + 10_000;
    let mut event = log.next_event(0, EventKind::ProductView, "shoe");
    let mut judge = |created: Option<i64>, sent: Option<i64>| {
        event.created = created.map(|ms| START + ms);
        event.sent = sent.map(|ms| START + ms);
        let record = Record {
            received,
            input: Input::Event(event.clone()),
        };
        match log.journal.judge(&record) {
            Verdict::Applied { time, rule, .. } => (time.since(START), rule),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        judge(Some(DAY_MS), Some(DAY_MS + 1_000)),
        (9_000, TimeRule::DeviceDelay)
    );
    assert_eq!(judge(Some(8_000), None), (8_000, TimeRule::Created));
    assert_eq!(
        judge(Some(-7 * DAY_MS + 9_999), None),
        (10_000, TimeRule::Received)
    );
    assert_eq!(judge(Some(-7 * DAY_MS + 10_000), None).1, TimeRule::Created);
    assert_eq!(
        judge(Some(5 * MINUTE_MS + 10_001), None),
        (10_000, TimeRule::Received)
    );
    assert_eq!(judge(None, Some(0)), (10_000, TimeRule::Received));
    assert_eq!(judge(Some(60_000), None), (60_000, TimeRule::Created));
    assert_eq!(judge(Some(60_001), None), (0, TimeRule::ClockSkew));
}

#[test]
fn a_wrong_clock_does_not_move_the_watermark() {
    let mut log = Log::default();
    log.quiet(0)
        .event(4 * MINUTE_MS, EventKind::ProductView, "shoe");
    assert_eq!(log.journal.watermark(), Some(START - 5_000));
    log.event(SECOND_MS, EventKind::ProductView, "shoe");
    assert_eq!(log.journal.watermark(), Some(START - 4_000));
}

#[test]
fn repeats_are_known_and_the_ancient_is_refused() {
    let mut log = Log::default();
    log.event(0, EventKind::ProductView, "shoe");
    let again = log.journal.accepted[0].record.clone();
    assert_eq!(log.journal.judge(&again), Verdict::Duplicate);
    let mut other = again.clone();
    if let Input::Event(event) = &mut other.input {
        event.details = Some(Box::new(EventDetails {
            source: "app".into(),
            ..Default::default()
        }));
    }
    assert!(matches!(log.journal.judge(&other), Verdict::Applied { .. }));
    log.event(31 * DAY_MS, EventKind::ProductView, "shoe");
    let otherwise = Box::new(Verdict::TooOld);
    assert_eq!(
        log.journal.judge(&again),
        Verdict::MayBeDuplicate { otherwise }
    );
    let other = log.next_event(-DAY_MS, EventKind::ProductView, "shoe");
    let other = Record {
        received: START,
        input: Input::Event(other),
    };
    assert_eq!(log.journal.judge(&other), Verdict::TooOld);
}

#[test]
fn pairs_are_those_of_the_formula() {
    let mut log = Log::default();
    for (at, item) in [(0, "a"), (1, "b"), (2, "a"), (3, "c")] {
        log.event(at * SECOND_MS, EventKind::ProductView, item);
    }
    let Pairs {
        sessions,
        together,
        transitions,
    } = pairs(&log.journal);
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    };
    let id = Id::from;
    close(sessions[&id("a")], 1.0);
    close(together[&(id("a"), id("a"))], 1.0);
    close(together[&(id("a"), id("b"))], (-0.4_f64).exp());
    close(together[&(id("b"), id("a"))], 0.8 * (-0.4_f64).exp());
    // Two steps back for b; a once only, at its nearest.
    close(together[&(id("b"), id("c"))], (-0.8_f64).exp());
    close(together[&(id("a"), id("c"))], (-0.4_f64).exp());
    // a to c: one step back, and three.
    close(transitions[&(id("a"), id("c"))], 1.0 + 1.0 / 3.0);
    close(transitions[&(id("a"), id("a"))], 0.5);
}

#[test]
fn scores_follow_the_session_newest_first() {
    let mut log = Log::default();
    log.event(0, EventKind::ProductView, "a")
        .event(1_000, EventKind::ProductView, "b");
    let pairs = pairs(&log.journal);
    let scores = pairs.scores(&[Id::from("a"), Id::from("x")]);
    let expected = (-0.5_f64).exp() * (-0.4_f64).exp();
    assert!((scores[&Id::from("b")] - expected).abs() < 1e-5);
    assert!((scores[&Id::from("a")] - (-0.5_f64).exp()).abs() < 1e-5);
}

#[test]
fn sessions_end_after_half_an_hour_of_silence() {
    let mut log = Log::default();
    log.event(0, EventKind::ProductView, "a");
    log.event(30 * MINUTE_MS, EventKind::ProductView, "b");
    log.event(60 * MINUTE_MS + 1, EventKind::ProductView, "c");
    let ann = &shoppers(&log.journal)[&Id::from("ann")];
    assert_eq!((ann.events, ann.sessions), (3, 2));
    assert_eq!(ann.session_items, [Id::from("c")]);
    assert_eq!(ann.last_viewed, ["c", "b", "a"].map(Id::from));
}

#[test]
fn orders_add_up() {
    let mut log = Log::default();
    log.event(0, EventKind::AddToCart, "hat")
        .event(1_000, EventKind::Purchase, "hat");
    let lines = vec![
        LineItem {
            item: "shoe".into(),
            quantity: 2,
            price: Some(Money(5_000_000)),
        },
        LineItem {
            item: "hat".into(),
            quantity: 1,
            price: None,
        },
    ];
    let order = EventDetails {
        lines,
        ..EventDetails::default()
    };
    log.detailed(2_000, EventKind::Purchase, order);
    let refund = EventDetails {
        revenue: Some(Money(3_000_000)),
        ..EventDetails::default()
    };
    log.detailed(3_000, EventKind::Refund, refund);
    let ann = &shoppers(&log.journal)[&Id::from("ann")];
    assert_eq!((ann.orders, ann.revenue), (2, Money(27_000_000)));
    assert_eq!(ann.purchased, ["hat", "shoe"].map(Id::from));
    assert_eq!(ann.last_order, Some(START + 2_000));
    assert!(carts(&log.journal, &CartRule::default()).carts[&Id::from("ann")].is_empty());
}
