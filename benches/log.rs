//! What the embedded log costs: appending, making durable, recovering and reading; prints a report.
//!
//! `cargo bench --bench log [-- directory]`, on a machine with nothing else to do. The directory is on the disk to be
//! measured; without one, a temporary directory.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "a report of round figures, which ends where it cannot go on"
)]

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use impulse::clock::Stopwatch;
use impulse::domain::Millis;
use impulse::stream::embedded::{Config, DataDir, FrameBuilder, ReadError, Repair, Store, Topic};

const EVENTS: usize = 500_000;
const EVENT_BYTES: usize = 120;
const FRAME_RECORDS: usize = 500;
const PASSES: usize = 3;

/// Runs in a directory of its own; the seconds it took.
type Case = fn(&Path) -> f64;

fn main() {
    let directory = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let base = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    let base = tempfile::tempdir_in(base).unwrap();
    println!(
        "{EVENTS} events of {EVENT_BYTES} bytes in frames of {FRAME_RECORDS}, in {}; best of {PASSES}",
        base.path().display()
    );
    println!("{:<44}{:>12}{:>10}{:>10}", "", "events/s", "MB/s", "ms");
    let cases: [(&str, Case); 4] = [
        ("append (os)", |dir| append(dir, false)),
        ("append, fsync after each frame (sync)", |dir| {
            append(dir, true)
        }),
        ("append, fsync by another thread (sync)", append_overlapped),
        ("recover and replay", recover),
    ];
    for (name, case) in cases {
        let best = (0..PASSES)
            .map(|pass| case(&base.path().join(format!("{name} {pass}"))))
            .fold(f64::MAX, f64::min);
        line(name, best);
    }
    topics(&base.path().join("topics"));
    size(&base.path().join("size"));
}

fn line(name: &str, seconds: f64) {
    let events = EVENTS as f64 / seconds;
    println!(
        "{name:<44}{events:>12.0}{:>10.0}{:>10.0}",
        events * EVENT_BYTES as f64 / 1e6,
        seconds * 1e3
    );
}

fn open(dir: &Path) -> Store {
    let data = DataDir::open(dir).unwrap();
    Store::open(&data, &Config::default(), None, Repair::Refuse)
        .unwrap()
        .0
}

/// Bytes that no file system can make smaller.
fn event() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..EVENT_BYTES).map(|_| next()).collect()
}

fn fill(frame: &mut FrameBuilder, store: &Store, number: usize, event: &[u8]) {
    let now = Millis(1_700_000_000_000 + number as i64);
    frame.begin(store.log.end(), now);
    for _ in 0..FRAME_RECORDS {
        frame.input(now, false, event);
    }
}

fn append(dir: &Path, is_durable: bool) -> f64 {
    let mut store = open(dir);
    let sync = store.log.sync_handle();
    let event = event();
    let mut frame = FrameBuilder::new();
    let watch = Stopwatch::start();
    for number in 0..EVENTS / FRAME_RECORDS {
        fill(&mut frame, &store, number, &event);
        store.log.append(&mut frame).unwrap();
        if is_durable {
            sync.sync().unwrap();
        }
    }
    let seconds = watch.seconds();
    sync.sync().unwrap();
    seconds
}

/// As the pipeline does: while one fsync runs, the next frames are written; the next fsync serves them all.
fn append_overlapped(dir: &Path) -> f64 {
    let mut store = open(dir);
    let sync = store.log.sync_handle();
    let event = event();
    let mut frame = FrameBuilder::new();
    let (written, to_sync) = mpsc::sync_channel::<()>(64);
    thread::scope(|scope| {
        let watch = Stopwatch::start();
        let syncing = scope.spawn(move || {
            while to_sync.recv().is_ok() {
                to_sync.try_iter().for_each(drop);
                sync.sync().unwrap();
            }
        });
        for number in 0..EVENTS / FRAME_RECORDS {
            fill(&mut frame, &store, number, &event);
            store.log.append(&mut frame).unwrap();
            written.send(()).unwrap();
        }
        drop(written);
        syncing.join().unwrap();
        watch.seconds()
    })
}

fn recover(dir: &Path) -> f64 {
    append(dir, false);
    let watch = Stopwatch::start();
    let store = open(dir);
    let mut records = 0;
    let replayed = store.log.replay(0, |frame| {
        records += frame.entries().count();
        Ok::<(), ReadError>(())
    });
    replayed.unwrap();
    assert_eq!(records, EVENTS);
    watch.seconds()
}

/// One trigger a frame of ten events, read from the beginning in pages.
fn topics(dir: &Path) {
    let mut store = open(dir);
    let trigger = event();
    let count = EVENTS / 10;
    let mut frame = FrameBuilder::new();
    let mut seconds = 0.0;
    for number in 0..count {
        frame.begin(store.log.end(), Millis(number as i64));
        frame.trigger(&trigger);
        store.log.append(&mut frame).unwrap();
        let watch = Stopwatch::start();
        store.topics.append(&frame.frame()).unwrap();
        seconds += watch.seconds();
    }
    println!(
        "{:<44}{:>12.0} records/s",
        "topic log, one record a frame: append",
        count as f64 / seconds
    );
    let reader = store.topics.reader(Topic::Triggers);
    let watch = Stopwatch::start();
    let mut next = 1;
    loop {
        let page = reader.read(next, 1_000, 1 << 20).unwrap();
        let Some(last) = page.records.last() else {
            break;
        };
        next = last.seq + 1;
    }
    let read = (next - 1) as f64 / watch.seconds();
    println!(
        "{:<44}{read:>12.0} records/s",
        "topic log: read in pages of 1,000"
    );
}

fn size(dir: &Path) {
    let mut store = open(dir);
    let event = vec![b'x'; 100];
    let mut frame = FrameBuilder::new();
    fill(&mut frame, &store, 0, &event);
    store.log.append(&mut frame).unwrap();
    let each = frame.bytes() as f64 / FRAME_RECORDS as f64;
    println!(
        "{:<44}{each:>12.1} bytes",
        "an event of 100 bytes in the log takes"
    );
}
