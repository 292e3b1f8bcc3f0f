//! Events from Kafka: one engine a partition, each on its own thread, every output in one transaction with the
//! position that caused it.
//!
//! A partition is taken over (`takeover`, `replay`), then followed (`live`): `fold` applies records, `outputs` says
//! what is written about them, `snapshots` writes the state out bit by bit, `commit` makes transactions of it all, and
//! `committer` ends one of them while the next fills. Whatever goes wrong, what was committed is what the log says:
//! either it agrees with the state (`renewal`), or the partition is taken over again, as after a crash.
//! Meanwhile `audit` reads back what was written.

mod assurance;
mod audit;
mod batch;
mod board;
mod commit;
mod committer;
mod decode;
mod entrance;
mod fleet;
mod fold;
mod lag;
mod live;
mod outputs;
mod poison;
mod renewal;
mod replay;
mod shard;
mod silence;
mod snapshots;
mod takeover;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use tokio::sync::{broadcast, watch};

use self::audit::Audit;
pub use self::board::{Board, Condition};
pub(super) use self::entrance::Entrance;
use self::fleet::Fleet;
use self::shard::Common;
use crate::clock::Clock;
use crate::domain::Event;
use crate::engine::{self, Engine};
use crate::metrics::Metrics;
use crate::pipeline::run::{die, spawn};
use crate::pipeline::{self, Ingest, Shared, Views};
use crate::stream::kafka::{Config, Feed, Trouble};

/// The running threads.
#[derive(Debug)]
pub struct KafkaPipeline {
    views: Views,
    ingest: Ingest,
    board: Board,
    stop: Sender<()>,
    fleet: JoinHandle<()>,
    audit: Option<JoinHandle<()>>,
}

/// Starts to follow the group. Events that are committed go to `events` while somebody listens there.
///
/// # Errors
///
/// If the client refuses the settings; a broker that is away is waited for.
pub fn start(
    config: &Config,
    engine: &engine::Config,
    pipeline: &pipeline::Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    events: broadcast::Sender<Arc<Event>>,
) -> Result<KafkaPipeline, Trouble> {
    let config = Arc::new(config.clone());
    let views = Views::empty(&Engine::new(engine.clone()));
    let board = Board::default();
    let partitions = Arc::new(AtomicU32::new(0));
    let (feed, run) = Feed::open(&config)?;
    // It ends with the last door; whoever was acknowledged does not need it any more.
    drop(spawn("kafka-feed", run));
    let entrance = Entrance {
        feed,
        partitions: Arc::clone(&partitions),
        dead_letter_bytes_max: config.dead_letter_bytes_max,
        metrics: Arc::clone(metrics),
    };
    let (audit, auditing) = Audit::start(&config, metrics)?;
    let door = Arc::new(Shared::new(pipeline));
    let (stop, stopped) = mpsc::channel();
    let fleet = Fleet {
        common: Common {
            config,
            pipeline: Arc::new(pipeline.clone()),
            rules: rules_of(engine).into(),
            engine: Arc::new(engine.clone()),
            views: views.clone(),
            board: board.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            events,
            door: Arc::clone(&door),
            audit,
        },
        partitions,
        assurance: RefCell::default(),
        stop: stopped,
    };
    Ok(KafkaPipeline {
        views,
        board,
        stop,
        ingest: Ingest::to_kafka(entrance, door, clock, metrics),
        fleet: spawn("kafka-fleet", move || fleet.run()),
        audit: auditing,
    })
}

impl KafkaPipeline {
    /// The door for batches: they are produced to the events topic.
    pub fn ingest(&self) -> Ingest {
        self.ingest.clone()
    }

    /// The readers' side of the partitions that are here.
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// What the partitions are doing.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Finishes what is begun, writes last snapshots where that is quick, and leaves the group.
    pub fn stop(self) {
        // A fleet that ended already has nothing left to stop.
        drop(self.stop);
        if self.fleet.join().is_err() {
            die(&"the fleet's thread panicked");
        }
        // With the fleet and its partitions the last way to the audit is gone.
        if self.audit.is_some_and(|audit| audit.join().is_err()) {
            die(&"the audit's thread panicked");
        }
    }
}

/// Names the rules and settings that decide: a replay under others may decide differently.
fn rules_of(engine: &engine::Config) -> String {
    let text = format!("{engine:?}");
    blake3::hash(text.as_bytes())
        .to_hex()
        .chars()
        .take(16)
        .collect()
}

/// A watch that never changes: the trigger log is in Kafka.
pub(super) fn no_triggers() -> watch::Receiver<u64> {
    watch::channel(0).1
}
