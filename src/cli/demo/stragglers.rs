//! Orders that are confirmed late, so that the demo shows now and then how a message is taken back.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{Event, EventKind, MINUTE_MS, Millis};

/// One order in so many is confirmed late; which ones depends on their ids, and so on the seed alone.
const ORDERS_PER_STRAGGLER: u64 = 6;
/// How long after the wait of the rule they arrive, at least and at most: a message has just been sent.
const AFTER_MS: (i64, u64) = (MINUTE_MS, 3 * MINUTE_MS.unsigned_abs());
/// Orders that are held back at once; one more arrives in time.
const HELD_MAX: usize = 1_000;

/// Orders on their way, as from a phone without a network: they arrive after the message about their cart was sent,
/// and early enough for it to be taken back.
#[derive(Debug)]
pub(super) struct Stragglers {
    /// Silence after which a cart is abandoned.
    wait_ms: i64,
    /// When each arrives, in the order in which they were held back.
    held: VecDeque<(Millis, Event)>,
}

impl Stragglers {
    /// None yet, under a rule that waits so long.
    pub(super) fn new(wait_ms: i64) -> Self {
        Self {
            wait_ms,
            held: VecDeque::new(),
        }
    }

    /// Takes an event that happens now; gives it back if it arrives now, too.
    pub(super) fn pass(&mut self, event: Event) -> Option<Event> {
        let chosen = xxh3_64(event.id.as_bytes());
        let (Some(created), EventKind::Purchase) = (event.created, event.kind) else {
            return Some(event);
        };
        if !chosen.is_multiple_of(ORDERS_PER_STRAGGLER) || self.held.len() >= HELD_MAX {
            return Some(event);
        }
        let (least_ms, spread_ms) = AFTER_MS;
        let more_ms = (chosen / ORDERS_PER_STRAGGLER % spread_ms).cast_signed();
        let arrives = created + self.wait_ms + least_ms + more_ms;
        self.held.push_back((arrives, event));
        None
    }

    /// The next of those that have arrived by now.
    pub(super) fn next(&mut self, now: Millis) -> Option<Event> {
        let place = self.held.iter().position(|(arrives, _)| *arrives <= now)?;
        self.held.remove(place).map(|(_, event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::Stragglers;
    use crate::domain::{DAY_MS, Event, Input, Millis, Record, SECOND_MS, Trigger, TriggerKind};
    use crate::engine::{Config, Engine, Outbox};
    use crate::shop::{self, Habits, Shop, Traffic, evening_before};

    /// The trigger log of a demo of a day with this seed.
    fn triggers(seed: u64) -> Vec<Trigger> {
        let opens = evening_before(Millis(20_000 * DAY_MS));
        let shop = Shop::new(
            seed,
            shop::Config {
                today: opens,
                ..shop::Config::default()
            },
        );
        let habits = Habits {
            sessions_per_day: 2.5,
            ..Habits::default()
        };
        let mut traffic = Traffic::with_habits(&shop, seed, 800, opens, habits);
        let config = Config::default();
        let rule = config.rules.cart_abandonment().unwrap();
        let mut stragglers = Stragglers::new(rule.wait_ms);
        let mut engine = Engine::new(config);
        let mut outbox = Outbox::default();
        let mut now = opens;
        while now < opens + DAY_MS {
            now = now + SECOND_MS;
            let mut inputs = vec![Input::Tick {
                wall: now,
                caught_up: true,
            }];
            while let Some(event) = stragglers.next(now) {
                inputs.push(Input::Event(event));
            }
            while traffic.next_at().is_some_and(|at| at <= now) {
                let arrives = stragglers.pass(traffic.next().unwrap());
                inputs.extend(arrives.map(|event: Event| Input::Event(event)));
            }
            for input in inputs {
                let record = Record {
                    received: now,
                    input,
                };
                engine.apply(&record, &mut outbox);
            }
        }
        outbox.triggers
    }

    #[test]
    fn now_and_then_a_message_is_taken_back_the_same_for_a_seed() {
        let said = triggers(7);
        let count = |kind| said.iter().filter(|trigger| trigger.kind == kind).count();
        let (fired, cancelled) = (count(TriggerKind::Fire), count(TriggerKind::Cancel));
        assert!(
            cancelled >= 3 && cancelled * 4 < fired,
            "{cancelled} of {fired}"
        );
        assert_eq!(said, triggers(7));
    }
}
