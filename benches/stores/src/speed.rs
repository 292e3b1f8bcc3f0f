//! What appending costs.

use std::path::Path;
use std::time::Instant;

use impulse::domain::Millis;
use impulse::stream::embedded::FrameBuilder;

use crate::{EVENT_BYTES, TABLE, fjall, noise, ours, redb};

const EVENTS: usize = 500_000;
/// Events of a step of the pipeline: one frame, batch or transaction.
const BATCH: usize = 500;
const STEPS: usize = EVENTS / BATCH;
const PASSES: usize = 3;

/// Appends all events in a directory of its own, each step durable if asked; the seconds it took.
type Case = fn(&Path, bool) -> f64;

const CASES: [(&str, Case); 5] = [
    ("impulse", append_ours),
    ("fjall, an entry an event", |dir, sync| {
        append_fjall(dir, sync, BATCH)
    }),
    ("fjall, an entry a step", |dir, sync| {
        append_fjall(dir, sync, 1)
    }),
    ("redb, an entry an event", |dir, sync| {
        append_redb(dir, sync, BATCH)
    }),
    ("redb, an entry a step", |dir, sync| {
        append_redb(dir, sync, 1)
    }),
];

pub(crate) fn report(base: &Path) {
    println!(
        "{EVENTS} events of {EVENT_BYTES} bytes in steps of {BATCH}; best of {PASSES}, taken in turn\n"
    );
    println!(
        "{:<28}{:>6}{:>14}{:>10}{:>8}",
        "", "", "events/s", "disk MB", "ratio"
    );
    for sync in [false, true] {
        let mut best = [(f64::MAX, 0); CASES.len()];
        for pass in 0..PASSES {
            for (place, (_, case)) in CASES.iter().enumerate() {
                let dir = base.join(format!("{place}-{sync}-{pass}"));
                let seconds = case(&dir, sync).min(best[place].0);
                best[place] = (seconds, size(&dir));
                std::fs::remove_dir_all(&dir).unwrap();
            }
        }
        for ((name, _), (seconds, bytes)) in CASES.iter().zip(best) {
            let mode = if sync { "sync" } else { "os" };
            let (rate, ratio) = (EVENTS as f64 / seconds, best[0].0 / seconds);
            println!(
                "{name:<28}{mode:>6}{rate:>14.0}{:>10.1}{ratio:>8.2}",
                bytes as f64 / 1e6
            );
        }
    }
}

fn append_ours(dir: &Path, sync: bool) -> f64 {
    let mut store = ours(dir);
    let handle = store.log.sync_handle();
    let event = noise(EVENT_BYTES);
    let mut frame = FrameBuilder::new();
    let watch = Instant::now();
    for step in 0..STEPS {
        let now = Millis(1_700_000_000_000 + step as i64);
        frame.begin(store.log.end(), now);
        for _ in 0..BATCH {
            frame.input(now, false, &event);
        }
        store.log.append(&mut frame).unwrap();
        if sync {
            handle.sync().unwrap();
        }
    }
    watch.elapsed().as_secs_f64()
}

fn append_fjall(dir: &Path, sync: bool, entries: usize) -> f64 {
    let (database, log) = fjall(dir).unwrap();
    let value = noise(EVENT_BYTES * BATCH / entries);
    let mut position = 0_u64;
    let watch = Instant::now();
    for _ in 0..STEPS {
        let mode = sync.then_some(fjall::PersistMode::SyncData);
        let mut batch = database.batch().durability(mode);
        for _ in 0..entries {
            position += 1;
            batch.insert(&log, position.to_be_bytes(), value.as_slice());
        }
        batch.commit().unwrap();
    }
    watch.elapsed().as_secs_f64()
}

fn append_redb(dir: &Path, sync: bool, entries: usize) -> f64 {
    let database = redb(dir);
    let value = noise(EVENT_BYTES * BATCH / entries);
    let mut position = 0_u64;
    let watch = Instant::now();
    for _ in 0..STEPS {
        let mut transaction = database.begin_write().unwrap();
        let durability = if sync {
            redb::Durability::Immediate
        } else {
            redb::Durability::None
        };
        transaction.set_durability(durability).unwrap();
        let mut table = transaction.open_table(TABLE).unwrap();
        for _ in 0..entries {
            position += 1;
            table.insert(position, value.as_slice()).unwrap();
        }
        drop(table);
        transaction.commit().unwrap();
    }
    watch.elapsed().as_secs_f64()
}

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let bytes = entries.map(|entry| {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            size(&entry.path())
        } else {
            about.len()
        }
    });
    bytes.sum()
}
