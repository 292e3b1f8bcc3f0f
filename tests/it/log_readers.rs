//! Readers of the topic logs see whole records in order while the log is written, on a real disk.

use std::iter;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use impulse::domain::{Millis, Seq};
use impulse::stream::embedded::{
    Config, DataDir, FrameBuilder, MainLog, Repair, Store, SyncHandle, Topic, TopicConfig,
    TopicReader, Topics,
};

/// Steps that are written.
const STEPS: u64 = 3_000;

fn config() -> Config {
    let topic = TopicConfig {
        segment_bytes: 32 << 10,
        bytes_max: 128 << 10,
        ..TopicConfig::default()
    };
    Config {
        segment_bytes: 128 << 10,
        triggers: topic.clone(),
        dead_letters: topic.clone(),
        late: topic,
        ..Config::default()
    }
}

fn content(topic: Topic, seq: Seq) -> Vec<u8> {
    let mut text = format!("{} {seq} ", topic.name()).into_bytes();
    text.resize(60 + usize::try_from(seq % 200).unwrap(), b'.');
    text
}

fn build(frame: &mut FrameBuilder, step: u64) {
    let now = Millis(1_000 + i64::try_from(step).unwrap());
    frame.begin(frame.after(), now);
    frame.tick(now, false);
    for _ in 0..step % 4 {
        frame.trigger(&content(Topic::Triggers, frame.after().trigger + 1));
    }
    frame.dead_letter(&content(Topic::DeadLetters, frame.after().dead_letter + 1));
    if step.is_multiple_of(3) {
        frame.input(now, true, &content(Topic::Late, frame.after().late + 1));
    }
}

/// Writes, makes durable in another thread, delivers there, and takes snapshots, as the pipeline does.
fn write(
    mut log: MainLog,
    sync: &SyncHandle,
    mut topics: Topics,
    each: impl Fn(&MainLog, u64) + Send,
) {
    let (written, to_sync) = mpsc::sync_channel::<FrameBuilder>(32);
    let (synced, spare) = mpsc::channel::<FrameBuilder>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Ok(frame) = to_sync.recv() {
                let frames: Vec<FrameBuilder> =
                    iter::once(frame).chain(to_sync.try_iter()).collect();
                sync.sync().unwrap();
                for frame in frames {
                    topics.append(&frame.frame()).unwrap();
                    synced.send(frame).unwrap();
                }
            }
        });
        let mut frame = FrameBuilder::new();
        for step in 1..=STEPS {
            let end = frame.after();
            let mut next = spare.try_recv().unwrap_or_default();
            next.begin(end, Millis(0));
            build(&mut next, step);
            log.append(&mut next).unwrap();
            each(&log, step);
            frame.begin(log.end(), Millis(0));
            written.send(next).unwrap();
        }
        drop(written);
        for _ in spare {}
    });
}

/// Reads everything that appears until the writer is done and the end is reached; how many records.
fn follow(reader: &TopicReader, topic: Topic, is_done: &AtomicBool) -> u64 {
    let mut next = 1;
    let mut seen = 0;
    loop {
        let was_done = is_done.load(Ordering::SeqCst);
        let page = reader.read(next, 64, 8 << 10).unwrap();
        next = next.max(page.oldest);
        for record in &page.records {
            assert_eq!(record.seq, next, "{}", topic.name());
            assert_eq!(record.bytes, content(topic, record.seq));
            next += 1;
            seen += 1;
        }
        if page.records.is_empty() {
            if was_done {
                assert_eq!(next, reader.newest() + 1);
                return seen;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn readers_see_every_record_in_order_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let (store, _) = Store::open(&data, &config(), None, Repair::Refuse).unwrap();
    let is_done = AtomicBool::new(false);
    let sync = store.log.sync_handle();
    let (snapshots, retention) = (store.snapshots.clone(), store.retention.clone());
    let readers = Topic::ALL.map(|topic| (topic, store.topics.reader(topic)));
    thread::scope(|scope| {
        for (topic, reader) in &readers {
            for _ in 0..2 {
                scope.spawn(|| follow(reader, *topic, &is_done));
            }
        }
        write(store.log, &sync, store.topics, |log, step| {
            if step.is_multiple_of(500) {
                let mut writer = snapshots.begin(log.mark(), Millis(0)).unwrap();
                writer.chunk(b"state").unwrap();
                writer.finish().unwrap();
                retention.run(Millis(0)).unwrap();
            }
        });
        is_done.store(true, Ordering::SeqCst);
    });
    for (topic, reader) in &readers {
        let page = reader.read(1, 10, 1 << 20).unwrap();
        assert!(
            page.oldest > 1 || *topic == Topic::Late,
            "old segments are removed"
        );
        assert_agrees_without_the_lock(dir.path(), *topic, reader);
    }
}

/// A reader that opens the files itself finds the same.
fn assert_agrees_without_the_lock(data: &Path, topic: Topic, reader: &TopicReader) {
    let other = TopicReader::open(data, topic).unwrap();
    assert_eq!(other.newest(), reader.newest());
    let mut next = 1;
    loop {
        let page = other.read(next, 100, 1 << 20).unwrap();
        assert_eq!(page, reader.read(next, 100, 1 << 20).unwrap());
        let Some(last) = page.records.last() else {
            break;
        };
        next = last.seq + 1;
    }
}

#[test]
fn a_page_keeps_its_limits_but_is_never_empty_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    let (mut store, _) = Store::open(&data, &Config::default(), None, Repair::Refuse).unwrap();
    let mut frame = FrameBuilder::new();
    for step in 1..=200 {
        build(&mut frame, step);
        store.log.append(&mut frame).unwrap();
        store.topics.append(&frame.frame()).unwrap();
        // The same frame again, as after a full disk, changes nothing.
        store.topics.append(&frame.frame()).unwrap();
    }
    let reader = store.topics.reader(Topic::DeadLetters);
    assert_eq!(reader.newest(), 200);
    assert_eq!(reader.read(150, 7, usize::MAX).unwrap().records.len(), 7);
    assert_eq!(reader.read(150, 100, 0).unwrap().records.len(), 1);
    let page = reader.read(150, 100, 1_000).unwrap();
    let bytes: usize = page.records.iter().map(|record| record.bytes.len()).sum();
    assert!(bytes <= 1_000 && page.records.len() > 1);
    assert!(reader.read(201, 10, 1_000).unwrap().records.is_empty());
    assert_eq!(reader.read(0, 1, 1_000).unwrap().records[0].seq, 1);
}
