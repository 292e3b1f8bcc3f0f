//! The rules as a shop sees them: a text of what happened, and a text of what must be said.

use std::collections::BTreeMap;

use proptest::prelude::*;

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
    carts: BTreeMap<u32, (CartState, Option<bool>)>,
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
        f: impl FnOnce(&mut CartState, Option<bool>) -> R,
    ) -> Option<R> {
        let (cart, marketing) = self.carts.get_mut(&user)?;
        Some(f(cart, *marketing))
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
            let (cart, marketing) = self.people.carts.entry(user).or_default();
            if let Some(details) = &event.details {
                *marketing = details.consent.marketing.or(*marketing);
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

#[test]
fn silence_fires_once() {
    check(
        "00:00 ann a1 add shoe
         00:10 ann a2 view
         60:15 bob b1 look
         60:16 bob b2 look
         99:00 bob b3 look",
        "fire ann a1 inactivity 60:10",
    );
}

#[test]
fn the_watermark_must_reach_the_deadline() {
    check("00:00 ann a1 add shoe\n60:04.999 bob b1 look", "");
    check(
        "00:00 ann a1 add shoe\n60:05 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_purchase_suppresses() {
    check(
        "00:00 ann a1 add shoe
         20:00 ann a2 purchase shoe
         90:00 bob b1 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn an_emptied_cart_suppresses_and_a_refilled_one_is_another_episode() {
    check(
        "00:00 ann a1 add shoe x2
         01:00 ann a2 remove shoe x1
         02:00 ann a3 remove shoe
         03:00 ann a4 add sock
         63:05 bob b1 look",
        "suppressed ann a1 cart_emptied 61:00
         fire ann a4 inactivity 63:00",
    );
}

#[test]
fn whole_carts_drive_the_episode_too() {
    check(
        "00:00 ann a1 update shoe sock
         01:00 ann a2 update sock
         02:00 ann a3 update
         03:00 ann a4 update sock
         63:05 bob b1 look",
        "suppressed ann a1 cart_emptied 61:00
         fire ann a4 inactivity 63:00",
    );
}

#[test]
fn a_purchase_at_the_deadline_counts_before_the_fire() {
    check(
        "00:00 ann a1 add shoe
         60:00 ann a2 purchase
         90:00 bob b1 look",
        "suppressed ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:00.001 ann a2 purchase
         90:00 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn signs_of_life_are_those_declared() {
    let rule = CartAbandonment {
        reset_on: vec![EventKind::CartView],
        ..CartAbandonment::default()
    };
    check_with(
        &Config::default(),
        rule,
        "00:00 ann a1 add shoe
         10:00 ann a2 add sock
         20:00 ann a3 view
         30:00 ann a4 checkout
         99:00 bob b1 look",
        "fire ann a1 inactivity 80:00",
    );
}

#[test]
fn the_checkout_leaves_a_quarter_of_an_hour() {
    check(
        "00:00 ann a1 add shoe
         44:59 ann a2 checkout
         60:05 bob b1 look",
        "fire ann a1 inactivity 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         45:01 ann a2 checkout
         60:05 bob b1 look
         60:06 bob b2 look",
        "fire ann a1 inactivity 60:01",
    );
}

#[test]
fn every_order_of_arrival_within_the_bound_says_the_same() {
    let early = records(
        "00:01 ann a1 add shoe
         00:02 ann a2 remove shoe
         00:03 ann a3 add sock
         00:03.5 bob b1 add sock
         00:04 ann a4 purchase
         00:05.9 ann a5 add shoe",
    );
    let rest = records("60:10.9 zoe z1 look\n61:10 zoe z2 look");
    let expected = [
        "suppressed ann a1 cart_emptied 60:01",
        "suppressed ann a3 purchased 60:03",
        "fire bob b1 inactivity 60:03",
        "fire ann a5 inactivity 60:05",
    ];
    let mut order: Vec<usize> = (0..early.len()).collect();
    let mut tried = 0;
    permute(&mut order, 0, &mut |order| {
        let mut records: Vec<Record> = order.iter().map(|&place| early[place].clone()).collect();
        records.extend_from_slice(&rest);
        let shop = run(&Config::default(), &Rules::default(), &records);
        assert_eq!(shop.said(), expected, "{order:?}");
        tried += 1;
    });
    assert_eq!(tried, 720);
}

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for place in from..order.len() {
        order.swap(from, place);
        permute(order, from + 1, each);
        order.swap(from, place);
    }
}

#[test]
fn events_of_one_time_go_by_their_keys() {
    let both = ["00:00 ann a1 add shoe", "00:00 ann a2 add sock"];
    let episode = |texts: [&str; 2]| {
        let text = format!("{}\n{}\n90:00 bob b1 look", texts[0], texts[1]);
        run(&Config::default(), &Rules::default(), &records(&text)).said()
    };
    assert_eq!(episode(both), episode([both[1], both[0]]));
}

#[test]
fn fires_go_by_deadline_then_by_the_shoppers_ids() {
    check(
        "00:00 zoe z1 add shoe
         00:00 bob b1 add shoe
         00:00 ann a1 add shoe
         00:00 ann2 c1 add shoe
         00:01 abe d1 add shoe
         90:00 eve e1 look",
        "fire ann a1 inactivity 60:00
         fire ann2 c1 inactivity 60:00
         fire bob b1 inactivity 60:00
         fire zoe z1 inactivity 60:00
         fire abe d1 inactivity 60:01",
    );
}

#[test]
fn a_late_purchase_cancels() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:00 ann a2 purchase
         80:00 bob b2 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
}

#[test]
fn a_purchase_that_was_long_on_its_way_cancels_within_the_grace_after_firing() {
    check(
        "00:00 ann a1 add shoe
         70:05 bob b1 look
         05:00 ann a2 purchase",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         70:05 bob b2 look
         05:00 ann a2 purchase",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         70:05.001 bob b2 look
         05:00 ann a2 purchase
         71:00 bob b3 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_late_removal_cancels_only_what_it_empties() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         59:00 ann a2 remove shoe
         60:06 ann a3 add shoe
         90:00 bob b2 look
         120:20 bob b3 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 cart_emptied 60:00
         fire ann a3 inactivity 120:06",
    );
    check(
        "00:00 ann a1 add shoe
         00:01 ann a2 add sock
         60:06 bob b1 look
         59:00 ann a3 remove shoe
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:01",
    );
}

#[test]
fn a_purchase_after_the_deadline_cancels_nothing() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:05 ann a2 purchase
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_late_purchase_cancels_even_when_another_closed_the_cart_since() {
    check(
        "00:00 ann a1 add shoe
         60:05 bob b1 look
         60:06 ann a2 purchase
         60:20 bob b2 look
         59:00 ann a3 purchase
         58:00 ann a4 purchase
         90:00 bob b3 look",
        "fire ann a1 inactivity 60:00
         cancel ann a1 purchased 60:00",
    );
}

#[test]
fn a_purchase_from_before_the_episode_concerns_an_earlier_cart() {
    check(
        "10:00 ann a1 add shoe
         12:00 bob b1 look
         09:00 ann a2 purchase
         90:00 bob b2 look",
        "fire ann a1 inactivity 70:00",
    );
}

#[test]
fn a_late_addition_to_a_cart_that_was_bought_opens_nothing() {
    check(
        "00:00 ann a1 add shoe
         10:00 ann a2 purchase
         12:00 bob b1 look
         09:00 ann a3 add sock
         90:00 bob b2 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn late_by_more_than_the_grace_opens_nothing_but_may_end() {
    check(
        "00:00 bob b1 look
         30:00 bob b2 look
         10:00 ann a1 add shoe
         90:00 bob b3 look",
        "",
    );
    check(
        "00:00 ann a1 add shoe
         30:00 bob b2 look
         10:00 ann a2 view
         11:00 ann a3 purchase
         90:00 bob b3 look",
        "suppressed ann a1 purchased 60:00",
    );
}

#[test]
fn an_old_whole_cart_does_not_undo_later_changes() {
    check(
        "00:00 ann a1 add shoe
         10:00 ann a2 add sock
         12:00 bob b1 look
         09:00 ann a3 update shoe
         13:00 ann a4 remove shoe
         90:00 bob b2 look",
        "fire ann a1 inactivity 73:00",
    );
}

#[test]
fn duplicates_say_nothing() {
    check(
        "00:00 ann a1 add shoe
         00:00 ann a1 add shoe
         60:05 bob b1 look
         00:00 ann a1 add shoe
         60:05 bob b1 look
         61:00 ann a2 remove shoe x1
         90:00 bob b2 look",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn the_return_of_an_opening_event_after_the_dedup_window_fires_nothing() {
    let day = 24 * 60;
    check(
        &format!(
            "00:00 ann a1 add shoe
             90:00 ann a2 purchase
             {0}:00 bob b1 look
             {1}:00 bob b2 look
             {1}:01 ann a1 add shoe
             {2}:00 bob b3 look",
            day,
            2 * day,
            3 * day
        ),
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_caught_up_tick_fires_for_the_last_shopper() {
    check(
        "00:00 tick
         00:00 ann a1 add shoe
         60:04 idle
         60:05 idle",
        "fire ann a1 inactivity 60:00",
    );
}

#[test]
fn a_tick_that_is_not_caught_up_fires_nothing() {
    check(
        "00:00 tick\n00:00 ann a1 add shoe\n90:00 tick\n600:00 tick",
        "",
    );
}

#[test]
fn what_is_overdue_for_too_long_expires() {
    check(
        "00:00 ann a1 add shoe
         1500:05 idle",
        "fire ann a1 inactivity 60:00",
    );
    check(
        "00:00 ann a1 add shoe
         1500:06 idle
         1500:07 ann a2 add sock
         1700:00 idle",
        "expired ann a1 stale 60:00",
    );
}

#[test]
fn a_cart_below_the_minimum_waits_for_its_next_change() {
    let rule = CartAbandonment {
        minimum_value: Money::from_units(20.0).unwrap(),
        ..CartAbandonment::default()
    };
    check_with(
        &Config::default(),
        rule,
        "00:00 ann a1 add shoe @9.99
         61:00 ann a2 view
         62:00 ann a3 add shoe @9.99
         130:00 ann a4 add sock @0.02
         200:00 bob b1 look
         200:01 ann a5 remove sock
         300:00 bob b2 look",
        "suppressed ann a1 below_minimum_value 60:00
         suppressed ann a1 below_minimum_value 122:00
         fire ann a1 inactivity 190:00",
    );
}

#[test]
fn no_consent_no_message() {
    check(
        "00:00 ann a1 consent no
         00:01 ann a2 add shoe
         00:02 bob b1 consent no
         00:03 bob b2 add shoe
         00:04 bob b3 consent yes
         90:00 eve e1 look
         91:00 ann a3 consent yes
         92:00 ann a4 add shoe
         200:00 eve e2 look",
        "suppressed ann a2 no_consent 60:01
         fire bob b2 inactivity 60:03",
    );
}

#[test]
fn an_event_without_an_id_opens_an_episode_named_by_its_key() {
    let shop = run(
        &Config::default(),
        &Rules::default(),
        &records("00:00 ann - add shoe\n00:00 ann - add shoe\n90:00 bob b1 look"),
    );
    assert_eq!(shop.out.len(), 1);
    assert_eq!(shop.out[0].episode, "f6ca04cd1879cab7");
    assert_eq!(shop.out[0].cart.lines[0].quantity, 1);
}

#[test]
fn a_record_says_everything() {
    let text = "00:00 ann a1 add shoe x2 @10
                00:01 ann a2 add sock
                60:06 bob b1 look
                60:06 bob b2 look";
    let shop = run(&Config::default(), &Rules::default(), &records(text));
    let lines = [("shoe", 2, Some(10.0)), ("sock", 1, None)];
    let expected = Trigger {
        seq: 1,
        kind: TriggerKind::Fire,
        id: trigger_id("cart_abandonment", 1, "ann", "a1"),
        revision: 0,
        rule: Id::from("cart_abandonment"),
        rule_version: 1,
        user: Id::from("ann"),
        episode: Id::from("a1"),
        reason: TriggerReason::Inactivity,
        cart: CartView {
            lines: lines
                .map(|(item, quantity, price)| LineItem {
                    item: Id::from(item),
                    quantity,
                    price: price.and_then(Money::from_units),
                })
                .to_vec(),
            value: Money(20_000_000),
            currency: Id::default(),
            updated: Some(at("00:01")),
        },
        recommendations: Vec::new(),
        deadline: at("60:01"),
        fired: at("60:01"),
        expires: at("1500:01"),
        position: 3,
    };
    assert_eq!(shop.out, [expected]);
}

#[test]
fn a_cancel_repeats_the_fire_in_its_second_revision() {
    let text = "00:00 ann a1 add shoe x2 @10
                60:05 bob b1 look
                60:04 ann a2 add sock
                59:00 ann a3 purchase";
    let shop = run(&Config::default(), &Rules::default(), &records(text));
    let [fire, cancel] = shop.out.as_slice() else {
        panic!("{:?}", shop.said());
    };
    assert_eq!((fire.revision, cancel.revision), (0, 1));
    assert_eq!(
        (fire.id, &fire.cart, fire.deadline),
        (cancel.id, &cancel.cart, cancel.deadline)
    );
    assert_eq!(cancel.position, 4);
}

#[test]
fn readers_see_at_once_what_has_arrived() {
    let mut shop = Shop::new(Config::default(), Rules::default());
    let episodes = shop.triggers.episodes();
    shop.apply(&record("00:00 ann a1 add shoe @10"));
    assert_eq!(episodes.soonest(10), [(at("60:00"), 0)]);
    let cart = &shop.people.carts[&0].0;
    assert_eq!(cart.view(&shop.people).value, Money(10_000_000));
    let view = episodes.view(&Id::from("ann"), cart, &shop.people).unwrap();
    assert_eq!(view.deadline, at("60:00"));
    assert_eq!(view.id, trigger_id("cart_abandonment", 1, "ann", "a1"));
    shop.apply(&record("00:01 ann a2 purchase"));
    assert!(episodes.is_empty());
    assert_eq!(shop.people.carts[&0].0.lines(), []);
}

#[test]
fn nothing_is_kept_of_a_shopper_who_bought() {
    let text = "00:00 ann a1 add shoe\n01:00 ann a2 purchase\n11:05 bob b1 look";
    let mut shop = run(&Config::default(), &Rules::default(), &records(text));
    assert!(!shop.people.carts[&0].0.is_empty());
    shop.apply(&record("11:05.001 bob b2 look"));
    assert!(shop.people.carts[&0].0.is_empty());
    assert_eq!(shop.triggers.earliest_timer(), None);
    assert_eq!(size_of::<CartState>(), 8);
}

#[test]
fn limits_hold_and_are_counted() {
    let config = Config {
        lines_max: 2,
        pending_max: 2,
        ..Config::default()
    };
    let text = "00:00 ann a1 add i1
                00:00.1 ann a2 add i2
                00:00.2 ann a3 add i3
                00:00.3 ann a4 update i1 i2 i2 i3 i4
                90:00 bob b1 look";
    let shop = run(&config, &Rules::default(), &records(text));
    assert_eq!(shop.said(), ["fire ann a1 inactivity 60:00"]);
    assert_eq!(shop.out[0].cart.lines.len(), 2);
    assert_eq!(shop.out[0].cart.lines[1].quantity, 2);
    let counts = shop.triggers.counts();
    assert_eq!((counts.lines_refused, counts.pending_forced), (3, 2));
}

#[test]
fn overdue_fires_are_spread_over_steps_in_their_order() {
    let config = Config {
        records_per_step_max: 1,
        ..Config::default()
    };
    check_with(
        &config,
        CartAbandonment::default(),
        "00:00 ann a1 add shoe
         00:01 bob b1 add shoe
         00:02 eve e1 add shoe
         90:00 idle
         60:01.5 eve e2 purchase
         90:01 idle
         90:02 idle
         90:03 idle",
        "fire ann a1 inactivity 60:00
         fire bob b1 inactivity 60:01
         suppressed eve e1 purchased 60:02",
    );
}

#[test]
fn a_forgotten_shopper_leaves_no_timer() {
    let mut shop = run(
        &Config::default(),
        &Rules::default(),
        &records("00:00 ann a1 add shoe"),
    );
    let (mut cart, _) = shop.people.carts.remove(&0).unwrap();
    assert!(cart.is_busy());
    shop.triggers.forget(0, &mut cart);
    assert!(cart.is_empty());
    shop.assert_consistent();
}

/// One shopper's cart by the book: everything is known, in order.
fn by_the_book(events: &[(i64, &'static str, u8)], keys: &[u64], wait_ms: i64) -> Vec<String> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|&place| (events[place].0, keys[place]));
    let mut said = Vec::new();
    let mut lines: BTreeMap<u8, u32> = BTreeMap::new();
    let mut episode: Option<(usize, i64, bool)> = None;
    let say = |what: &str, episode: (usize, i64, bool), reason: &str, said: &mut Vec<String>| {
        let deadline = clock(Millis(EPOCH_MS + episode.1));
        said.push(format!("{what} ann e{} {reason} {deadline}", episode.0));
    };
    for place in order {
        let (now, op, item) = events[place];
        if let Some(open) = episode.as_mut().filter(|open| open.2 && open.1 < now) {
            say("fire", *open, "inactivity", &mut said);
            open.2 = false;
        }
        let was_empty = lines.is_empty();
        match op {
            "add" => *lines.entry(item).or_default() += 1,
            "remove" => _ = lines.remove(&item),
            "update" => lines = BTreeMap::from([(item, 1)]),
            "purchase" => lines.clear(),
            _ => {}
        }
        if was_empty && !lines.is_empty() {
            episode = Some((place, now + wait_ms, true));
        } else if !was_empty && lines.is_empty() {
            let reason = if op == "purchase" {
                "purchased"
            } else {
                "cart_emptied"
            };
            if let Some(open) = episode.take().filter(|open| open.2) {
                say("suppressed", open, reason, &mut said);
            }
        } else if let Some(open) = episode.as_mut().filter(|open| open.2) {
            let leaves_ms = if op == "checkout" {
                15 * MINUTE_MS
            } else {
                wait_ms
            };
            open.1 = open.1.max(now + leaves_ms);
        }
    }
    if let Some(open) = episode.filter(|open| open.2) {
        say("fire", open, "inactivity", &mut said);
    }
    said
}

/// Events of one shopper: seconds since the last one, kind, item, delay of arrival in milliseconds.
fn streams(delay_ms_max: i64) -> impl Strategy<Value = Vec<(i64, &'static str, u8, i64)>> {
    let gap_ms = prop_oneof![4 => 0..2_000_i64, 2 => 0..120_000_i64, 1 => 0..1_200_000_i64];
    let kind = prop_oneof![
        4 => Just("add"),
        3 => Just("remove"),
        1 => Just("update"),
        1 => Just("purchase"),
        1 => Just("view"),
        1 => Just("checkout"),
    ];
    prop::collection::vec((gap_ms, kind, 0..3_u8, 0..delay_ms_max), 1..40)
}

/// The stream in its order of arrival, each event with its event time in milliseconds and its place.
fn arrivals(stream: &[(i64, &'static str, u8, i64)]) -> (Vec<(i64, &'static str, u8)>, Vec<usize>) {
    let mut now = 0;
    let mut events = Vec::new();
    let mut arrival = Vec::new();
    for (place, &(gap_ms, kind, item, delay_ms)) in stream.iter().enumerate() {
        now += gap_ms;
        events.push((now, kind, item));
        arrival.push((now + delay_ms, place));
    }
    arrival.sort_unstable();
    (
        events,
        arrival.into_iter().map(|(_, place)| place).collect(),
    )
}

fn stream_record((now, kind, item): (i64, &'static str, u8), place: usize) -> Record {
    let now = Millis(EPOCH_MS + now);
    let item = format!("i{item}");
    let words = [kind, item.as_str()];
    let input = Input::Event(event(now, "ann", &format!("e{place}"), &words));
    Record {
        received: now,
        input,
    }
}

/// Whether a purchase that had arrived tells that the fired cart was bought before its deadline, and no whole cart
/// tells otherwise.
fn is_known_bought(events: &[(i64, &str, u8)], known: &[usize], fire: &Trigger) -> bool {
    let opener: usize = fire.episode[1..].parse().unwrap();
    let deadline = fire.deadline.since(Millis(EPOCH_MS));
    let within = |now: i64| events[opener].0 < now && now <= deadline;
    let known = || known.iter().map(|&place| events[place]);
    known().any(|(now, kind, _)| kind == "purchase" && within(now))
        && !known().any(|(now, kind, _)| kind == "update" && within(now))
}

proptest! {
    #[test]
    fn one_shopper_is_served_by_the_book_in_any_order_within_the_bound(stream in streams(5_000)) {
        let wait_ms = 5 * MINUTE_MS;
        let rule = CartAbandonment { wait_ms, ..CartAbandonment::default() };
        let (events, order) = arrivals(&stream);
        let mut shop = Shop::new(Config::default(), Rules::from(rule));
        let mut keys = vec![0; events.len()];
        let mut gates = Gates::new(quality::Config::default());
        for place in order {
            let record = stream_record(events[place], place);
            if let Admission::Applied { key, .. } = gates.admit(&record) {
                keys[place] = key;
            }
            shop.apply(&record);
        }
        shop.apply(&record("1400:00 idle"));
        prop_assert_eq!(shop.said(), by_the_book(&events, &keys, wait_ms));
    }

    #[test]
    fn whatever_comes_no_id_fires_twice_and_snapshots_change_nothing(
        stream in streams(20 * MINUTE_MS),
        cut in 0..40_usize,
        again in prop::collection::vec(0..40_usize, 0..10),
    ) {
        let rule = CartAbandonment { wait_ms: 3 * MINUTE_MS, ..CartAbandonment::default() };
        let rules = Rules::from(rule);
        let (events, mut order) = arrivals(&stream);
        for place in again {
            order.insert(place % order.len(), order[place / 2 % order.len()]);
        }
        let records: Vec<Record> =
            order.iter().map(|&place| stream_record(events[place], place)).collect();
        let shop = run(&Config::default(), &rules, &records);
        let cut = cut.min(records.len());
        let mut reopened = run(&Config::default(), &rules, &records[..cut]);
        reopened.reopen();
        records[cut..].iter().for_each(|record| reopened.apply(record));
        prop_assert_eq!(&reopened.out, &shop.out);
        prop_assert_eq!(reopened.encode(), shop.encode());

        let mut told = BTreeMap::new();
        for (index, trigger) in shop.out.iter().enumerate() {
            prop_assert_eq!(trigger.seq, index as u64 + 1);
            let (fires, cancels) = told.entry(trigger.id).or_insert((0, 0));
            match trigger.kind {
                TriggerKind::Fire => *fires += 1,
                TriggerKind::Cancel => *cancels += 1,
                TriggerKind::Suppressed | TriggerKind::Expired => {}
            }
            prop_assert!(*fires <= 1 && cancels <= fires, "{:?}", shop.said());
            if trigger.kind == TriggerKind::Fire {
                prop_assert!(trigger.fired >= trigger.deadline);
                let known = &order[..shop.arrived[usize::try_from(trigger.position).unwrap() - 1]];
                prop_assert!(!is_known_bought(&events, known, trigger), "{:?}", shop.said());
            }
        }
    }
}
