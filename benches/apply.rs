//! What one event costs the whole engine, and what an idle shopper costs in memory: prints a report.
//!
//! `cargo bench --bench apply`, on a machine with nothing else to do. The log is the seeded shop's traffic.

#![expect(clippy::print_stdout, reason = "a report")]

use std::hint::black_box;

use impulse::clock::Stopwatch;
use impulse::domain::{DAY_MS, Input, Millis, Record};
use impulse::engine::{Config, Engine, Outbox};
use impulse::shop::{self, Shop, Traffic};
use mimalloc::MiMalloc;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SEED: u64 = 7;
const ITEMS: u32 = 20_000;
const VISITORS: u32 = 100_000;
const EVENTS: usize = 1_000_000;
const PASSES: usize = 3;

fn main() {
    let start = Millis(1_700_000_000_000);
    let config = shop::Config {
        items: ITEMS,
        today: start,
    };
    let shop = Shop::new(SEED, config);
    let records: Vec<Record> = Traffic::new(&shop, SEED, VISITORS, start)
        .take(EVENTS)
        .map(|event| Record {
            received: event.created.unwrap_or(start),
            input: Input::Event(event),
        })
        .collect();
    println!(
        "{EVENTS} events of {VISITORS} visitors over {ITEMS} items; one thread, best of {PASSES}"
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
    memory(&shop, &records);
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

/// Lets every session end and every cart be abandoned, then counts.
fn memory(shop: &Shop, records: &[Record]) {
    let mut engine = engine(shop, 10);
    let mut outbox = Outbox::default();
    let mut last = Millis::default();
    for record in records {
        engine.apply(record, &mut outbox);
        outbox.triggers.clear();
        last = last.max(record.received);
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
    let bytes = engine.view().profile_bytes();
    let profiles = engine.view().stats().profiles;
    println!(
        "{profiles} idle shoppers with {:.1} events in the mean: {:.0} bytes each, everything counted",
        records.len() as f64 / profiles as f64,
        bytes as f64 / profiles as f64
    );
}
