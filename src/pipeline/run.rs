//! Starts and ends the threads.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, broadcast, watch};

use crate::clock::{Clock, Stopwatch};
use crate::domain::{Event, Millis};
use crate::engine::{Outbox, SnapshotJob, View};
use crate::metrics::Metrics;
use crate::pipeline::deliver::{self, Deliverer};
use crate::pipeline::pace::Pace;
use crate::pipeline::writer::{Message, Writer};
use crate::pipeline::{Config, Door, Durability, Ingest, Origin, Recovered, Shared};
use crate::stream::embedded::{
    Counters, LogMark, Retention, RetentionError, SnapshotError, Snapshots, Topic, TopicReader,
};

/// Batches that may wait for the writer; their records are limited by `queue_records_max`.
const QUEUE_BATCHES: usize = 4_096;
/// Frames that may wait to be made durable.
const FRAMES_WAITING: usize = 64;

/// The running threads.
#[derive(Debug)]
pub struct Pipeline {
    ingest: Ingest,
    view: View,
    triggers: TopicReader,
    dead_letters: TopicReader,
    late: TopicReader,
    log: LogFigures,
    queue: SyncSender<Message>,
    threads: Vec<JoinHandle<()>>,
}

/// What can be measured of the log from outside. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogFigures {
    counters: Arc<Counters>,
    snapshots: Snapshots,
}

impl LogFigures {
    /// Bytes appended to the log since the start.
    pub fn bytes(&self) -> u64 {
        self.counters.view().bytes
    }

    /// When the newest snapshot was taken.
    pub fn newest_snapshot(&self) -> Option<Millis> {
        self.snapshots.newest().map(|info| info.time)
    }
}

/// A snapshot to be written out.
#[derive(Debug)]
pub(super) struct SnapshotRequest {
    pub(super) mark: LogMark,
    pub(super) time: Millis,
    pub(super) job: SnapshotJob,
    pub(super) snapshots: Snapshots,
}

/// Starts the writer, the deliverer and the snapshot thread on a restored state. Accepted events go to `events` once
/// they are as durable as configured, while somebody listens there.
#[expect(
    clippy::too_many_lines,
    reason = "who gets which end of what is seen best in one place"
)]
pub fn start(
    recovered: Recovered,
    config: &Config,
    clock: &Clock,
    metrics: Arc<Metrics>,
    events: broadcast::Sender<Arc<Event>>,
) -> Pipeline {
    let Recovered {
        engine,
        store,
        recovery,
        last_tick,
        dir,
        ..
    } = recovered;
    let (queue, queue_rx) = mpsc::sync_channel(QUEUE_BATCHES);
    let (written, written_rx) = mpsc::sync_channel(FRAMES_WAITING);
    let (spare, spare_rx) = mpsc::channel();
    let (snapshot_requests, snapshot_rx) = mpsc::channel();
    let (stop_sync, stop_sync_rx) = mpsc::channel::<()>();
    let (trigger_seq, trigger_seq_rx) = watch::channel(recovery.end.trigger);
    let shared = Arc::new(Shared::new(config));
    let mut pace = Pace::new(config);
    pace.resume(last_tick, clock.now());
    let sync = store.log.sync_handle();
    let view = engine.view();
    let [triggers, dead_letters, late] = Topic::ALL.map(|topic| store.topics.reader(topic));
    let ingest = Ingest {
        door: Door::Log {
            queue: queue.clone(),
            room: Arc::new(Semaphore::new(config.queue_records_max)),
        },
        shared: Arc::clone(&shared),
        trigger_seq: trigger_seq_rx,
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
    };
    let deliverer = Deliverer {
        sync: sync.clone(),
        topics: store.topics,
        durability: config.durability,
        metrics: Arc::clone(&metrics),
        trigger_seq,
        spare,
        events: events.clone(),
    };
    let writer = Writer {
        snapshot_position: recovery.snapshot,
        engine,
        log: store.log,
        snapshots: store.snapshots,
        epoch: recovery.epoch,
        shared,
        clock: clock.clone(),
        intake: Origin::ALL.map(|origin| metrics.intake(origin.name())),
        metrics: Arc::clone(&metrics),
        pace,
        written,
        spare: spare_rx,
        snapshot_requests,
        snapshot_due: Stopwatch::start(),
        outbox: Outbox::default(),
        scratch: Vec::new(),
        stopping: false,
        live: Vec::new(),
        events,
        config: config.clone(),
    };
    let log = LogFigures {
        counters: store.counters,
        snapshots: writer.snapshots.clone(),
    };
    let retention = store.retention;
    let snapshot_clock = clock.clone();
    let counted = Arc::clone(&metrics);
    let mut threads = vec![
        spawn("writer", move || {
            writer.run(&queue_rx);
            drop(stop_sync);
            drop(dir);
        }),
        spawn("deliverer", move || deliverer.run(&written_rx)),
        spawn("snapshots", move || {
            take_snapshots(&snapshot_rx, &retention, &snapshot_clock, &counted);
        }),
    ];
    if config.durability == Durability::Os {
        threads.push(spawn("log-sync", move || {
            deliver::sync_in_background(&sync, &stop_sync_rx, &metrics);
        }));
    }
    Pipeline {
        ingest,
        view,
        triggers,
        dead_letters,
        late,
        log,
        queue,
        threads,
    }
}

impl Pipeline {
    /// The door for batches.
    pub fn ingest(&self) -> Ingest {
        self.ingest.clone()
    }

    /// The readers' side of the state.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Reads the trigger log.
    pub fn triggers(&self) -> TopicReader {
        self.triggers.clone()
    }

    /// Reads the dead-letter log.
    pub fn dead_letters(&self) -> TopicReader {
        self.dead_letters.clone()
    }

    /// Reads the log of events that came too late for triggers.
    pub fn late(&self) -> TopicReader {
        self.late.clone()
    }

    /// What can be measured of the log.
    pub fn log(&self) -> LogFigures {
        self.log.clone()
    }

    /// Finishes what waits, takes a last snapshot and ends the threads. What is submitted later is refused.
    pub fn stop(self) {
        // A writer that ended already has nothing left to stop.
        drop(self.queue.send(Message::Stop));
        drop(self.queue);
        drop(self.ingest);
        for thread in self.threads {
            if thread.join().is_err() {
                die(&"a thread of the pipeline panicked");
            }
        }
    }
}

/// Writes snapshots out one after the other and cleans up behind each.
fn take_snapshots(
    requests: &Receiver<SnapshotRequest>,
    retention: &Retention,
    clock: &Clock,
    metrics: &Metrics,
) {
    while let Ok(request) = requests.recv() {
        let watch = Stopwatch::start();
        match write_snapshot(request) {
            Ok(()) => metrics.snapshot_seconds.observe(watch.seconds()),
            Err(SnapshotError::Fatal(error)) => die(&error),
            Err(error) => {
                tracing::error!(%error, "no snapshot; the log is kept, the next one comes in time");
                continue;
            }
        }
        match retention.run(clock.now()) {
            Ok(_) => {}
            Err(RetentionError::Fatal(error)) => die(&error),
            Err(error) => tracing::warn!(%error, "old segments stay until the next snapshot"),
        }
    }
}

fn write_snapshot(request: SnapshotRequest) -> Result<(), SnapshotError> {
    let mut writer = request.snapshots.begin(request.mark, request.time)?;
    request.job.write(|chunk| writer.chunk(chunk))?;
    writer.finish().map(|_| ())
}

/// Starts a thread whose panic takes the process with it: what it held is unknown.
pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            die(&"a thread of the pipeline panicked");
        }
    };
    match std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(guarded)
    {
        Ok(thread) => thread,
        Err(error) => die(&error),
    }
}

/// Ends the process at once: nothing more may be acknowledged.
pub(super) fn die(reason: &dyn Display) -> ! {
    tracing::error!(%reason, "the process ends; start it again to recover");
    std::process::abort();
}
