//! What one answer costs in process, by placement, alone and beside a writer that never rests: prints a report.
//!
//! `cargo bench --bench recommend`, on a machine with nothing else to do. The log is the seeded shop's traffic; those who
//! ask are the shoppers who were seen last, in an order drawn from the seed.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report over a log of its own making"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use impulse::clock::Stopwatch;
use impulse::domain::{Id, Input, Millis, Query, Record};
use impulse::engine::{Config, Engine, Outbox, View};
use impulse::shop::{self, Shop, Traffic};
use mimalloc::MiMalloc;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SEED: u64 = 7;
const ITEMS: u32 = 100_000;
const VISITORS: u32 = 100_000;
/// Events before the first question.
const EVENTS: usize = 1_000_000;
/// Events for the writer; applied again, as new ones, when they run out.
const LATER_EVENTS: usize = 1_000_000;
/// Shoppers who ask.
const ASKERS: usize = 20_000;
const QUERIES: usize = 100_000;

fn main() {
    let start = Millis(1_700_000_000_000);
    let config = shop::Config {
        items: ITEMS,
        today: start,
    };
    let shop = Shop::new(SEED, config);
    let mut traffic = Traffic::new(&shop, SEED, VISITORS, start);
    let before: Vec<Record> = traffic.by_ref().take(EVENTS).map(record).collect();
    let later: Vec<Record> = traffic.take(LATER_EVENTS).map(record).collect();
    let mut engine = engine(&shop, &before);
    let stats = engine.view().stats();
    println!(
        "{EVENTS} events over {ITEMS} items; {} shoppers, {} entries in rows",
        stats.profiles, stats.pairs
    );

    let view = engine.view();
    let askers = askers(&before);
    let questions = questions(&askers);
    println!("alone:");
    report_all(&view, &questions);

    let asked = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&mut engine, &later, &asked));
        println!("beside a writer:");
        report_all(&view, &questions);
        asked.store(true, Ordering::Relaxed);
        writer.join().unwrap_or_default()
    });
    println!("  the writer applied {written:.0} events/s meanwhile");
}

fn record(event: impulse::domain::Event) -> Record {
    Record {
        received: event.created.unwrap_or_default(),
        input: Input::Event(event),
    }
}

fn engine(shop: &Shop, records: &[Record]) -> Engine {
    let mut engine = Engine::new(Config::default());
    let mut outbox = Outbox::default();
    let catalogue = shop.catalogue().map(|patch| Record {
        received: patch.created.unwrap_or_default(),
        input: Input::ItemUpsert(Box::new(patch)),
    });
    for record in catalogue {
        engine.apply(&record, &mut outbox);
    }
    for record in records {
        engine.apply(record, &mut outbox);
        outbox.triggers.clear();
    }
    engine
}

/// A shopper with the item they saw last.
struct Asker {
    user: Id,
    item: Id,
}

/// The shoppers who looked at something last, shuffled.
fn askers(records: &[Record]) -> Vec<Asker> {
    let mut found: Vec<Asker> = Vec::with_capacity(ASKERS);
    let mut known = std::collections::HashSet::new();
    for record in records.iter().rev() {
        if found.len() == ASKERS {
            break;
        }
        if let Input::Event(event) = &record.input
            && !event.item.is_empty()
            && known.insert(event.user.clone())
        {
            found.push(Asker {
                user: event.user.clone(),
                item: event.item.clone(),
            });
        }
    }
    let mut random = SEED;
    for place in (1..found.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        found.swap(place, (random >> 33) as usize % (place + 1));
    }
    found
}

/// Questions by what they are about.
fn questions(askers: &[Asker]) -> Vec<(&'static str, Vec<Query>)> {
    let all = |ask: fn(&Asker) -> Query| askers.iter().map(ask).collect();
    let query = |placement: &'static str, asker: &Asker| Query {
        placement: Id::const_new(placement),
        user: asker.user.clone(),
        limit: 10,
        ..Query::default()
    };
    let product = move |asker: &Asker| Query {
        context_items: vec![asker.item.clone()],
        ..query("product", asker)
    };
    vec![
        ("product page", askers.iter().map(product).collect()),
        (
            "home",
            askers.iter().map(|asker| query("home", asker)).collect(),
        ),
        (
            "cart",
            askers.iter().map(|asker| query("cart", asker)).collect(),
        ),
        ("next item, 20", {
            let next = |asker: &Asker| Query {
                limit: 20,
                ..query("next_item", asker)
            };
            askers.iter().map(next).collect()
        }),
        (
            "stranger",
            all(|_| Query {
                placement: Id::const_new("home"),
                user: Id::const_new("nobody"),
                limit: 10,
                ..Query::default()
            }),
        ),
    ]
}

fn report_all(view: &View, questions: &[(&str, Vec<Query>)]) {
    println!(
        "  {:<16} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "us", "p50", "p99", "p99.9", "max", "items"
    );
    for (name, queries) in questions {
        let mut times = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).unwrap();
        let mut items = 0;
        for query in queries.iter().cycle().take(QUERIES) {
            let watch = Stopwatch::start();
            let answer = view.recommend(black_box(query));
            let nanos = watch.elapsed().as_nanos();
            times.saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
            items += black_box(answer).map_or(0, |answer| answer.items.len());
        }
        let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "  {name:<16} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>7.2}",
            micros(0.5),
            micros(0.99),
            micros(0.999),
            times.max() as f64 / 1e3,
            items as f64 / QUERIES as f64
        );
    }
}

/// Applies what is given until `asked` is true; answers events a second.
fn write(engine: &mut Engine, records: &[Record], asked: &AtomicBool) -> f64 {
    let watch = Stopwatch::start();
    let mut outbox = Outbox::default();
    let mut written = 0_u64;
    let span = records.last().map_or(0, |last| {
        records
            .first()
            .map_or(0, |first| last.received.since(first.received) + 1)
    });
    let mut round = 0;
    while !asked.load(Ordering::Relaxed) {
        for record in records {
            if asked.load(Ordering::Relaxed) {
                break;
            }
            if round == 0 {
                engine.apply(record, &mut outbox);
            } else {
                engine.apply(&again(record, round, span), &mut outbox);
            }
            outbox.triggers.clear();
            written += 1;
        }
        round += 1;
    }
    written as f64 / watch.seconds()
}

/// The same thing happening once more, later.
fn again(record: &Record, round: i64, span: i64) -> Record {
    let mut later = record.clone();
    later.received = later.received + round * span;
    if let Input::Event(event) = &mut later.input {
        event.id = Id::from(format!("{}-{round}", event.id));
        event.created = Some(later.received);
    }
    later
}
