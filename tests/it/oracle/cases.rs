//! Runs many seeds over all cores, and makes a failing stream small before it shows it.

use std::{
    env,
    fmt::Write as _,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use impulse::domain::{Event, Input, Millis, Record};

/// How many checks may be spent on making one stream smaller.
const SHRINKS_MAX: usize = 3_000;

/// Checks the stream of every seed.
///
/// `IMPULSE_ORACLE_SEED` is the first seed, `IMPULSE_ORACLE_CASES` how many.
pub(crate) fn for_each_case(
    test: &str,
    cases: u64,
    draw: impl Fn(u64) -> Vec<Record> + Sync,
    check: impl Fn(u64, &[Record]) -> Result<(), String> + Sync,
) {
    let first = number("IMPULSE_ORACLE_SEED").unwrap_or(1);
    let cases = number("IMPULSE_ORACLE_CASES").unwrap_or(cases);
    let next = AtomicU64::new(first);
    let failed: Mutex<Option<u64>> = Mutex::new(None);
    let end = first.saturating_add(cases);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().unwrap().is_some() {
                        return;
                    }
                    if verdict(&check, seed, &draw(seed)).is_err() {
                        let mut failed = failed.lock().unwrap();
                        *failed = Some(failed.map_or(seed, |other| other.min(seed)));
                    }
                }
            });
        }
    });
    if let Some(seed) = *failed.lock().unwrap() {
        let small = shrink(draw(seed), |records| {
            verdict(&check, seed, records).is_err()
        });
        let why = verdict(&check, seed, &small).unwrap_err();
        panic!(
            "{why}\nwith\n{}again with\n  IMPULSE_ORACLE_SEED={seed} IMPULSE_ORACLE_CASES=1 cargo test --test it {test}\n",
            listing(&small)
        );
    }
}

/// What the check says; a panic is a failure with its message.
fn verdict(
    check: &impl Fn(u64, &[Record]) -> Result<(), String>,
    seed: u64,
    records: &[Record],
) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| check(seed, records))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Takes records out, in ever smaller pieces, for as long as the rest fails.
pub(crate) fn shrink(mut records: Vec<Record>, fails: impl Fn(&[Record]) -> bool) -> Vec<Record> {
    let mut spent = 0;
    let mut piece = records.len().div_ceil(2);
    while piece > 0 && spent < SHRINKS_MAX {
        let mut from = 0;
        let mut removed = false;
        while from < records.len() && spent < SHRINKS_MAX {
            let mut without = records.clone();
            without.drain(from..(from + piece).min(records.len()));
            spent += 1;
            if fails(&without) {
                records = without;
                removed = true;
            } else {
                from += piece;
            }
        }
        if !(removed && piece == 1) {
            piece /= 2;
        }
    }
    records
}

/// The records, one a line, with times relative to the first.
pub(crate) fn listing(records: &[Record]) -> String {
    let mut text = String::new();
    let Some(origin) = records.first().map(|record| record.received) else {
        return "(no records)\n".to_owned();
    };
    let relative = |time: Millis| {
        let ms = time.since(origin);
        format!(
            "{}{}.{:03}",
            if ms < 0 { "-" } else { "" },
            ms.abs() / 1000,
            ms.abs() % 1000
        )
    };
    for record in records {
        write!(text, "  at {:>12} ", relative(record.received)).unwrap();
        match &record.input {
            Input::Tick { wall, caught_up } => {
                writeln!(
                    text,
                    "tick {} {}",
                    relative(*wall),
                    if *caught_up { "caught up" } else { "behind" }
                )
            }
            Input::ItemUpsert(patch) => writeln!(
                text,
                "upsert {} {:?} {:?} available {:?} stock {:?}",
                patch.id, patch.categories, patch.price, patch.available, patch.stock
            ),
            Input::ItemDelete(id) => writeln!(text, "delete {id}"),
            Input::Event(event) => writeln!(text, "{}", event_line(event, relative)),
        }
        .unwrap();
    }
    text
}

fn event_line(event: &Event, relative: impl Fn(Millis) -> String) -> String {
    let mut line = format!("{} {} {}", event.id, event.user, event.kind.name());
    if !event.item.is_empty() {
        write!(line, " {}", event.item).unwrap();
    }
    if event.quantity != 0 {
        write!(line, " x{}", event.quantity).unwrap();
    }
    if let Some(price) = event.price {
        write!(line, " @{}", price.units()).unwrap();
    }
    if let Some(created) = event.created {
        write!(line, " created {}", relative(created)).unwrap();
    }
    if let Some(sent) = event.sent {
        write!(line, " sent {}", relative(sent)).unwrap();
    }
    if !event.session.is_empty() {
        write!(line, " session {}", event.session).unwrap();
    }
    if let Some(details) = &event.details {
        for item in &details.lines {
            write!(
                line,
                " [{} x{} {:?}]",
                item.item,
                item.quantity,
                item.price.map(impulse::domain::Money::units)
            )
            .unwrap();
        }
        if let Some(revenue) = details.revenue {
            write!(line, " revenue {}", revenue.units()).unwrap();
        }
        if let Some(marketing) = details.consent.marketing {
            write!(line, " marketing {marketing}").unwrap();
        }
        if !details.category.is_empty() {
            write!(line, " in {} by {}", details.category, details.brand).unwrap();
        }
    }
    line
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

#[cfg(test)]
mod tests {
    use impulse::domain::{Input, Millis, Record};

    use super::shrink;

    #[test]
    fn shrinking_keeps_what_is_needed_and_nothing_else() {
        let records: Vec<Record> = (0..100)
            .map(|number| Record {
                received: Millis(number),
                input: Input::Tick {
                    wall: Millis(number),
                    caught_up: false,
                },
            })
            .collect();
        let needed = [Millis(3), Millis(50), Millis(97)];
        let small = shrink(records, |records| {
            needed
                .iter()
                .all(|time| records.iter().any(|record| record.received == *time))
        });
        let left: Vec<Millis> = small.iter().map(|record| record.received).collect();
        assert_eq!(left, needed);
    }
}
