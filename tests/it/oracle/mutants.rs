//! Known bugs put in on purpose: each must be caught by the comparison it is named with.

use impulse::domain::{
    Consent, Event, EventKind, Id, Input, MINUTE_MS, Millis, Outcome, Query, Record, TimeRule,
    Trigger, TriggerKind, TriggerReason,
};
use impulse::engine::View;

use super::answers::keep_their_promises_as_read;
use super::carts::CartRule;
use super::compare::agree;
use super::streams::{Plan, stream};
use super::subject::{Honest, Subject};

/// Seeds that a mutant may take before it is caught.
const SEEDS_MAX: u64 = 400;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    /// Silence counts although the log is not read to its end.
    IdleAdvanceWithLag,
    /// A trigger id depends on the clock.
    ClockInTriggerId,
    /// After a restart repeats are taken for new events.
    DuplicatesForgotten,
    /// The watermark follows the last event, not the greatest.
    WatermarkRegresses,
    /// A purchase does not touch the cart.
    PurchasesIgnored,
    /// A removal does not touch the cart.
    RemovalsIgnored,
    /// Carts settle in the order of arrival.
    ArrivalOrder,
    /// An open episode is lost with its evicted shopper.
    EpisodeEvicted,
    /// A FIRE is repeated.
    FiredTwice,
    /// A FIRE is never taken back.
    CancelForgotten,
    /// A record is acknowledged and lost.
    AcknowledgedAndLost,
    /// Every line of a cart holds one.
    QuantityIgnored,
    /// A message is sent before its deadline.
    BoundForgotten,
    /// The future is believed.
    SkewBelieved,
    /// A cart view does not reset the timer.
    CartViewsIgnored,
    /// Nobody is asked whether messages are welcome.
    ConsentIgnored,
    /// A choice counts from its arrival.
    ConsentByArrival,
    /// What fired against a refusal is never taken back.
    RefusalTooLate,
    /// Refunds are not taken off.
    RefundsIgnored,
    /// A cart view begins the wait anew under the trace of another event.
    TraceOfViewsForgotten,
    /// A CANCEL is of no trace.
    TraceOfCancelsForgotten,
}

impl Bug {
    /// Every bug.
    const ALL: [Self; 21] = [
        Self::IdleAdvanceWithLag,
        Self::ClockInTriggerId,
        Self::DuplicatesForgotten,
        Self::WatermarkRegresses,
        Self::PurchasesIgnored,
        Self::RemovalsIgnored,
        Self::ArrivalOrder,
        Self::EpisodeEvicted,
        Self::FiredTwice,
        Self::CancelForgotten,
        Self::AcknowledgedAndLost,
        Self::QuantityIgnored,
        Self::BoundForgotten,
        Self::SkewBelieved,
        Self::CartViewsIgnored,
        Self::ConsentIgnored,
        Self::ConsentByArrival,
        Self::RefusalTooLate,
        Self::RefundsIgnored,
        Self::TraceOfViewsForgotten,
        Self::TraceOfCancelsForgotten,
    ];
}

/// The engine with a bug around it.
struct Bent {
    honest: Honest,
    bug: Bug,
    /// Greatest event time so far.
    newest: Millis,
    /// Watermark by the last event.
    last: Millis,
    records: u64,
    seq: u64,
}

impl Bent {
    fn new(bug: Bug) -> Self {
        Self {
            honest: Honest::new(&CartRule::default()),
            bug,
            newest: Millis::MIN,
            last: Millis::MIN,
            records: 0,
            seq: 0,
        }
    }

    /// The record as the bug reads it.
    fn misread(&mut self, record: &Record) -> Record {
        let mut record = record.clone();
        match &mut record.input {
            Input::Event(event) => self.misread_event(event),
            Input::Tick { wall, caught_up } => {
                *caught_up |= self.bug == Bug::IdleAdvanceWithLag;
                if self.bug == Bug::BoundForgotten && *caught_up {
                    *wall = *wall + 5_000;
                }
            }
            Input::ItemUpsert(_) | Input::ItemDelete(_) => {}
        }
        record
    }

    fn misread_event(&mut self, event: &mut Event) {
        let ignored = match self.bug {
            Bug::PurchasesIgnored => Some(EventKind::Purchase),
            Bug::RemovalsIgnored => Some(EventKind::RemoveFromCart),
            Bug::CartViewsIgnored => Some(EventKind::CartView),
            Bug::RefundsIgnored => Some(EventKind::Refund),
            _ => None,
        };
        if ignored == Some(event.kind) {
            event.kind = EventKind::ProductListView;
        }
        match self.bug {
            Bug::DuplicatesForgotten if self.records > 20 => {
                event.id = Id::from(format!("{}-{}", event.id, self.records));
            }
            Bug::TraceOfViewsForgotten if event.kind == EventKind::CartView => {
                let details = event.details.as_mut();
                _ = details.and_then(|details| details.traceparent.take());
            }
            Bug::QuantityIgnored => event.quantity = 1,
            Bug::SkewBelieved => event.created = event.created.map(|created| created + MINUTE_MS),
            Bug::ConsentIgnored => {
                if let Some(details) = &mut event.details {
                    details.consent = Consent::default();
                }
            }
            Bug::ArrivalOrder | Bug::ConsentByArrival => {
                let consent = event.details.as_ref().map(|details| details.consent);
                let chooses = consent.is_some_and(|consent| consent != Consent::default());
                if self.bug == Bug::ConsentByArrival && !chooses {
                    self.newest = self.newest.max(event.created.unwrap_or(Millis::MIN));
                    return;
                }
                if let (Some(created), None) = (event.created, event.sent) {
                    self.newest = self.newest.max(created);
                    event.created = Some(self.newest);
                }
            }
            _ => {}
        }
    }

    /// The trigger records as the bug writes them.
    fn miswrite(&mut self, record: &Record, triggers: &mut Vec<Trigger>, found: Vec<Trigger>) {
        for mut trigger in found {
            let fire = trigger.kind == TriggerKind::Fire;
            match self.bug {
                Bug::EpisodeEvicted if fire => continue,
                Bug::RefusalTooLate
                    if trigger.kind == TriggerKind::Cancel
                        && trigger.reason == TriggerReason::NoConsent =>
                {
                    continue;
                }
                Bug::TraceOfCancelsForgotten if trigger.kind == TriggerKind::Cancel => {
                    trigger.traceparent = None;
                }
                Bug::CancelForgotten if trigger.kind == TriggerKind::Cancel => continue,
                Bug::ClockInTriggerId => {
                    trigger.id.0[0] ^= record.received.0.to_le_bytes()[0];
                    trigger.id.0[1] ^= record.received.0.to_le_bytes()[1];
                }
                _ => {}
            }
            let times = if fire && self.bug == Bug::FiredTwice {
                2
            } else {
                1
            };
            for _ in 0..times {
                self.seq += 1;
                trigger.seq = self.seq;
                triggers.push(trigger.clone());
            }
        }
    }
}

impl Subject for Bent {
    fn apply(&mut self, record: &Record, triggers: &mut Vec<Trigger>) -> Outcome {
        self.records += 1;
        if self.bug == Bug::AcknowledgedAndLost && self.records == 10 {
            return Outcome::Applied {
                time_rule: TimeRule::Received,
                late: false,
            };
        }
        let misread = self.misread(record);
        let mut found = Vec::new();
        let outcome = self.honest.apply(&misread, &mut found);
        if let (
            Input::Event(event),
            Outcome::Applied {
                time_rule: TimeRule::Created,
                ..
            },
        ) = (&record.input, &outcome)
        {
            self.last = event.created.unwrap_or_default() - 5_000;
        }
        self.miswrite(record, triggers, found);
        outcome
    }

    fn view(&self) -> View {
        self.honest.view()
    }

    fn watermark(&self) -> Millis {
        if self.bug == Bug::WatermarkRegresses && self.last > Millis::MIN {
            return self.last;
        }
        self.view().watermark()
    }
}

/// Every bug is caught by some stream, whatever the comparison complains of first.
pub(crate) fn all_are_caught() {
    for bug in Bug::ALL {
        let (seed, why) = caught(bug);
        println!(
            "{bug:?} is caught by stream {seed}: {}",
            why.lines().next().unwrap_or_default()
        );
    }
}

/// The first seed whose stream shows the bug, with what the comparison said.
fn caught(bug: Bug) -> (u64, String) {
    for seed in 1..=SEEDS_MAX {
        for plan in [Plan::overdue, Plan::carts] {
            let records = stream(seed, plan);
            if let Err(why) = agree(&mut Bent::new(bug), &CartRule::default(), &records) {
                return (seed, why);
            }
        }
    }
    panic!("{bug:?} is not caught by {SEEDS_MAX} streams");
}

/// A way to read a question wrong.
type Misreading = fn(&Query) -> Query;

/// Questions read wrong on purpose: the answers to them must be caught.
pub(crate) fn all_misread_questions_are_caught() {
    let misreadings: [(&str, Misreading); 4] = [
        ("the cart is shown like anything else", |query| Query {
            placement: "next_item".into(),
            ..query.clone()
        }),
        ("a cart that the caller keeps is forgotten", |query| Query {
            cart_items: Vec::new(),
            ..query.clone()
        }),
        ("the shopper's own cart is forgotten", |query| Query {
            user: Id::default(),
            ..query.clone()
        }),
        ("what is excluded is shown", |query| Query {
            exclude_items: Vec::new(),
            ..query.clone()
        }),
    ];
    for (what, read) in misreadings {
        let caught = (1..=SEEDS_MAX).find(|&seed| {
            let records = stream(seed, Plan::overdue);
            keep_their_promises_as_read(seed, &records, read).is_err()
        });
        assert!(
            caught.is_some(),
            "not caught by {SEEDS_MAX} streams: {what}"
        );
    }
}
