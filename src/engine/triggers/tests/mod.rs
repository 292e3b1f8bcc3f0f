//! The rules as a shop sees them: a text of what happened, and a text of what must be said.

mod random;
mod scenarios;
mod traces;

use std::collections::BTreeMap;

use super::*;
use crate::domain::{
    CartView, Event, EventDetails, EventKind, Input, LineItem, MINUTE_MS, Money, Record,
    TriggerReason,
};
use crate::engine::quality::{self, Admission, Gates};

const EPOCH_MS: i64 = 1_700_000_000_000;

/// What is known of the shoppers, in place of the profiles.
#[derive(Default)]
struct People {
    users: Vec<Id>,
    items: Vec<Id>,
    carts: BTreeMap<u32, (CartState, Choices)>,
}

impl Names for People {
    fn user_id(&self, user: u32) -> Id {
        self.users[user as usize].clone()
    }

    fn item_id(&self, item: u32) -> Id {
        self.items[item as usize].clone()
    }
}

impl Shoppers for People {
    fn with_cart<R>(
        &mut self,
        user: u32,
        time: Millis,
        f: impl FnOnce(&mut CartState, Option<Choice>) -> R,
    ) -> Option<R> {
        let (cart, choices) = self.carts.get_mut(&user)?;
        Some(f(cart, choices.as_of(time)))
    }
}

/// The gates and the triggers, as the engine puts them together.
struct Shop {
    gates: Gates,
    triggers: Triggers,
    people: People,
    position: Position,
    out: Vec<Trigger>,
    /// How many records had arrived with each position.
    arrived: Vec<usize>,
    seen: usize,
}

impl Shop {
    fn new(config: Config, rules: Rules) -> Self {
        let quality = quality::Config::default();
        Self {
            triggers: Triggers::new(config, rules, quality.grace_ms),
            gates: Gates::new(quality),
            people: People::default(),
            position: 0,
            out: Vec::new(),
            arrived: Vec::new(),
            seen: 0,
        }
    }

    fn apply(&mut self, record: &Record) {
        self.seen += 1;
        let Admission::Applied { at, late, key, .. } = self.gates.admit(record) else {
            return;
        };
        self.position += 1;
        self.arrived.push(self.seen);
        let watermark = self.gates.watermark();
        if let Input::Event(event) = &record.input {
            let user = dense(&mut self.people.users, &event.user);
            let (cart, choices) = self.people.carts.entry(user).or_default();
            let consent = event.details.as_ref().map(|details| details.consent);
            if let Some(allowed) = consent.and_then(|consent| consent.marketing) {
                choices.learn(Choice { made: at, allowed }, self.triggers.settled(), 9);
                if !allowed {
                    let refusal = (at, event.traceparent());
                    self.triggers.on_refusal(user, cart, refusal, watermark);
                }
            }
            let items = &mut self.people.items;
            if let Some(event) = CartEvent::new(event, at, key, |item| dense(items, item)) {
                self.triggers.on_event(user, cart, event, late, watermark);
            }
        }
        self.triggers
            .advance(watermark, self.position, &mut self.people, &mut self.out);
        self.assert_consistent();
    }

    /// Everything as bytes and back.
    fn reopen(&mut self) {
        let before = self.encode();
        let mut input = before.as_slice();
        let quality = quality::Config::default();
        let (config, rules) = (self.triggers.config.clone(), self.triggers.rules().clone());
        let grace_ms = quality.grace_ms;
        self.gates = Gates::decode(quality, &mut input).unwrap();
        self.triggers = Triggers::decode(config, rules, grace_ms, &mut input).unwrap();
        for (user, (cart, _)) in &mut self.people.carts {
            *cart = CartState::decode(&mut input).unwrap();
            self.triggers.restore(*user, cart);
        }
        assert!(input.is_empty());
        assert_eq!(self.encode(), before);
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.gates.encode(&mut bytes);
        self.triggers.encode(&mut bytes);
        for (cart, _) in self.people.carts.values() {
            cart.encode(&mut bytes);
        }
        bytes
    }

    /// One timer and one listed deadline a shopper, where the cart says so.
    fn assert_consistent(&self) {
        let dues = self
            .people
            .carts
            .values()
            .filter_map(|(cart, _)| cart.due(self.triggers.grace_ms));
        assert_eq!(self.triggers.earliest_timer(), dues.min());
        let mut timers = 0;
        let mut open = 0;
        for (cart, _) in self.people.carts.values() {
            timers += usize::from(cart.due(self.triggers.grace_ms).is_some());
            open += usize::from(
                self.triggers
                    .rules()
                    .cart_abandonment()
                    .and_then(|rule| cart.open_episode(rule, &self.people))
                    .is_some(),
            );
        }
        assert_eq!(self.triggers.timers.len(), timers);
        assert_eq!(self.triggers.episodes().len(), open);
    }

    fn said(&self) -> Vec<String> {
        self.out.iter().map(line).collect()
    }
}

fn dense(names: &mut Vec<Id>, name: &Id) -> u32 {
    let place = names
        .iter()
        .position(|known| known == name)
        .unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
    u32::try_from(place).unwrap()
}

fn line(trigger: &Trigger) -> String {
    format!(
        "{} {} {} {} {}",
        trigger.kind.name(),
        trigger.user,
        trigger.episode,
        trigger.reason.name(),
        clock(trigger.deadline)
    )
}

/// `minutes:seconds` since the beginning of the test.
fn clock(at: Millis) -> String {
    let ms = at.0 - EPOCH_MS;
    format!("{:02}:{:02}", ms / MINUTE_MS, ms % MINUTE_MS / 1_000)
}

fn at(clock: &str) -> Millis {
    let (minutes, seconds) = clock.split_once(':').unwrap();
    let (seconds, ms) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let ms: i64 = format!("{ms:0<3}").parse().unwrap();
    let [minutes, seconds] = [minutes, seconds].map(|digits| digits.parse::<i64>().unwrap());
    Millis(EPOCH_MS + minutes * MINUTE_MS + seconds * 1_000 + ms)
}

/// `TIME USER EVENT-ID KIND …` or `TIME tick` or `TIME idle` (a tick that is caught up); lines come in the order of
/// arrival. `-` stands for no event id.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.split_whitespace().collect();
    let now = at(words[0]);
    let input = match words[1..] {
        [kind @ ("tick" | "idle")] => Input::Tick {
            wall: now,
            caught_up: kind == "idle",
        },
        [user, id, ref what @ ..] => Input::Event(event(now, user, id, what)),
        _ => panic!("not a record: {text}"),
    };
    Record {
        received: now,
        input,
    }
}

fn event(now: Millis, user: &str, id: &str, what: &[&str]) -> Event {
    let mut event = Event {
        kind: EventKind::ProductView,
        id: Id::from(if id == "-" { "" } else { id }),
        user: Id::from(user),
        session: Id::default(),
        item: Id::default(),
        quantity: 0,
        price: None,
        created: Some(now),
        sent: None,
        details: None,
    };
    let mut details = EventDetails::default();
    event.kind = match what[0] {
        "look" => EventKind::ProductView,
        "add" => EventKind::AddToCart,
        "remove" => EventKind::RemoveFromCart,
        "update" => EventKind::CartUpdate,
        "purchase" => EventKind::Purchase,
        "view" => EventKind::CartView,
        "checkout" => EventKind::CheckoutStart,
        "consent" => EventKind::ConsentChange,
        other => panic!("no such kind: {other}"),
    };
    for word in &what[1..] {
        if let Some(quantity) = word.strip_prefix('x') {
            event.quantity = quantity.parse().unwrap();
        } else if let Some(price) = word.strip_prefix('@') {
            event.price = Money::from_units(price.parse().unwrap());
        } else if let Some(number) = word.strip_prefix('~') {
            details.traceparent = Some(trace(number.parse().unwrap()));
        } else if event.kind == EventKind::ConsentChange {
            details.consent.marketing = Some(*word == "yes");
        } else if event.kind == EventKind::CartUpdate {
            details.lines.push(LineItem {
                item: Id::from(*word),
                quantity: 1,
                price: None,
            });
        } else {
            event.item = Id::from(*word);
        }
    }
    event.details = (details != EventDetails::default()).then(|| Box::new(details));
    event
}

fn trace(number: u8) -> Traceparent {
    let mut trace_id = [0; 16];
    trace_id[15] = number;
    Traceparent {
        trace_id,
        span_id: [9; 8],
        flags: 1,
    }
}

fn records(text: &str) -> Vec<Record> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(record)
        .collect()
}

fn run(config: &Config, rules: &Rules, records: &[Record]) -> Shop {
    let mut shop = Shop::new(config.clone(), rules.clone());
    for record in records {
        shop.apply(record);
    }
    shop
}

fn check_with(config: &Config, rule: CartAbandonment, events: &str, expected: &str) {
    let rules = Rules::from(rule);
    let records = records(events);
    let shop = run(config, &rules, &records);
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(shop.said(), expected, "{events}");
    for (index, trigger) in shop.out.iter().enumerate() {
        assert_eq!(trigger.seq, index as u64 + 1);
        assert!(trigger.kind != TriggerKind::Fire || trigger.fired >= trigger.deadline);
    }
    for place in 0..records.len() {
        let mut reopened = run(config, &rules, &records[..place]);
        reopened.reopen();
        records[place..]
            .iter()
            .for_each(|record| reopened.apply(record));
        assert_eq!(
            reopened.out, shop.out,
            "reopened before record {place} of {events}"
        );
        assert_eq!(reopened.encode(), shop.encode());
    }
}

/// What the default rule says to `events`, in whichever place a snapshot is taken.
fn check(events: &str, expected: &str) {
    check_with(
        &Config::default(),
        CartAbandonment::default(),
        events,
        expected,
    );
}
