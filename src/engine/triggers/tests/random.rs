//! Random streams: against a cart by the book, and for what must hold whatever comes.

use proptest::prelude::*;

use super::*;

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
    fn one_shopper_is_served_by_the_book_in_any_order_within_the_bound(
        stream in streams(5_000),
        records_per_step_max in prop_oneof![Just(1), Just(1_000)],
    ) {
        let wait_ms = 5 * MINUTE_MS;
        let rule = CartAbandonment { wait_ms, ..CartAbandonment::default() };
        let (events, order) = arrivals(&stream);
        let config = Config { records_per_step_max, ..Config::default() };
        let mut shop = Shop::new(config, Rules::from(rule));
        let mut keys = vec![0; events.len()];
        let mut gates = Gates::new(quality::Config::default());
        for place in order {
            let record = stream_record(events[place], place);
            if let Admission::Applied { key, .. } = gates.admit(&record) {
                keys[place] = key;
            }
            shop.apply(&record);
        }
        for _ in 0..=stream.len() {
            shop.apply(&record("1400:00 idle"));
        }
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
