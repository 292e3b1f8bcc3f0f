//! What one event costs the whole engine, and what an idle shopper costs in memory: prints a report.
//!
//! `cargo bench --bench apply`, on a machine with nothing else to do. The log is the seeded shop's traffic.

#![expect(clippy::print_stdout, reason = "a report")]

use std::collections::HashMap;
use std::hint::black_box;

use impulse::clock::Stopwatch;
use impulse::domain::{DAY_MS, Id, Input, Millis, Record};
use impulse::engine::{Config, Engine, Outbox};
use impulse::shop::{self, Shop, Traffic};
use mimalloc::MiMalloc;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SEED: u64 = 7;
const ITEMS: u32 = 20_000;
/// Items and visitors: a shop, and one so small that the caches hold it.
const SIZES: [(u32, u32); 2] = [(ITEMS, 100_000), (300, 500)];
const EVENTS: usize = 1_000_000;
const PASSES: usize = 3;
/// So many that most come to the end of their visits.
const MEMORY_VISITORS: u32 = 300_000;
/// Of a hundred visitors, how many leave after one, two and three events: it makes the median three and the mean six.
const LEAVE_EARLY: [usize; 3] = [15, 14, 13];
const START: Millis = Millis(1_700_000_000_000);

fn main() {
    for (items, visitors) in SIZES {
        speed(items, visitors);
    }
    memory();
}

fn speed(items: u32, visitors: u32) {
    let config = shop::Config {
        items,
        today: START,
    };
    let shop = Shop::new(SEED, config);
    let records: Vec<Record> = Traffic::new(&shop, SEED, visitors, START)
        .take(EVENTS)
        .map(|event| Record {
            received: event.created.unwrap_or(START),
            input: Input::Event(event),
        })
        .collect();
    println!(
        "{EVENTS} events of {visitors} visitors over {items} items; one thread, best of {PASSES}"
    );
    println!("{:>8}  {:>12}  {:>10}", "window", "events/s", "ns/event");
    for window in [5, 10] {
        let best = (0..PASSES)
            .map(|_| apply(&shop, &records, window))
            .fold(f64::MAX, f64::min);
        println!(
            "{window:>8}  {:>12.0}  {:>10.0}",
            EVENTS as f64 / best,
            best * 1e9 / EVENTS as f64
        );
    }
}

fn engine(shop: &Shop, window: u32) -> Engine {
    let mut config = Config::default();
    config.items.window = window;
    let mut engine = Engine::new(config);
    let mut outbox = Outbox::default();
    for patch in shop.catalogue() {
        let received = patch.created.unwrap_or_default();
        engine.apply(
            &Record {
                received,
                input: Input::ItemUpsert(Box::new(patch)),
            },
            &mut outbox,
        );
    }
    engine
}

/// Seconds for all records.
fn apply(shop: &Shop, records: &[Record], window: u32) -> f64 {
    let mut engine = engine(shop, window);
    let mut outbox = Outbox::default();
    let watch = Stopwatch::start();
    for record in records {
        black_box(engine.apply(record, &mut outbox));
        outbox.triggers.clear();
    }
    watch.seconds()
}

/// A shop's long tail of visitors: lets every session end and every cart be abandoned, then counts.
fn memory() {
    let shop = Shop::new(
        SEED,
        shop::Config {
            items: ITEMS,
            today: START,
        },
    );
    let mut engine = engine(&shop, 10);
    let mut outbox = Outbox::default();
    let mut last = START;
    let mut seen: HashMap<Id, (usize, usize)> = HashMap::new();
    for event in Traffic::new(&shop, SEED, MEMORY_VISITORS, START).take(EVENTS) {
        let limit = events_max(seen.len());
        let (count, max) = seen.entry(event.user.clone()).or_insert((0, limit));
        if count == max {
            continue;
        }
        *count += 1;
        last = event.created.unwrap_or(last);
        engine.apply(
            &Record {
                received: last,
                input: Input::Event(event),
            },
            &mut outbox,
        );
        outbox.triggers.clear();
    }
    let wall = last.plus(2 * DAY_MS);
    let tick = Input::Tick {
        wall,
        caught_up: true,
    };
    engine.apply(
        &Record {
            received: wall,
            input: tick,
        },
        &mut outbox,
    );
    let profiles = engine.view().stats().profiles;
    let bytes = engine.view().profile_bytes();
    let mut counts: Vec<usize> = seen.into_values().map(|(count, _)| count).collect();
    counts.sort_unstable();
    println!(
        "{profiles} idle shoppers, {} events in the median and {:.1} in the mean: {:.0} bytes each, everything counted",
        counts.get(counts.len() / 2).copied().unwrap_or(0),
        counts.iter().sum::<usize>() as f64 / profiles as f64,
        bytes as f64 / profiles as f64
    );
}

/// How many events the visitor who comes as number `arrival` stays for.
fn events_max(arrival: usize) -> usize {
    let mut place = arrival * 37 % 100;
    for (leavers, events) in LEAVE_EARLY.into_iter().zip(1..) {
        if place < leavers {
            return events;
        }
        place -= leavers;
    }
    usize::MAX
}
