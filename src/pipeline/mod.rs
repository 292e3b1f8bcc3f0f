//! Poll, apply, deliver, commit: the one writer of the state and the door to it.
//!
//! Batches wait in a bounded queue. The writer thread takes what is there, applies it to the engine and appends one
//! frame with everything it caused to the log; the deliverer thread makes frames durable, many at a time, then
//! acknowledges and hands on what they hold for the topic logs. So what was acknowledged is in the log, and what the
//! topics say is too.

mod deliver;
#[cfg(feature = "kafka")]
pub mod kafka;
mod pace;
mod recover;
mod run;
mod views;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot, watch};

pub use self::recover::{Recovered, StartError, recover};
pub use self::run::{LogFigures, Pipeline, start};
pub use self::views::{Away, Views};
use self::writer::{Message, Prepared};
use crate::clock::Clock;
use crate::domain::{Input, Millis, Position, Record, Rejection, Seq};
use crate::metrics::Metrics;

/// Settings of the pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where events come from.
    pub source: EventSource,
    /// When an accepted event is acknowledged.
    pub durability: Durability,
    /// Records that may wait for the writer. Beyond it a batch is refused with `RESOURCE_EXHAUSTED`, or waits if it is
    /// part of a stream.
    pub queue_records_max: usize,
    /// Records that one frame of the log may hold.
    pub frame_records_max: usize,
    /// Silence, in milliseconds, after which it counts as evidence: the watermark then follows the clock.
    pub idle_ms: i64,
    /// While the shop's event rate lies under a tenth of its ten-minute mean, silence counts for nothing for up to
    /// this long, in milliseconds: an outage must not look like a thousand abandoned carts. 0 switches it off.
    pub idle_hold_ms_max: i64,
    /// Below this mean rate, in events a second, the hold does not apply: nobody can tell an outage from a quiet shop.
    pub idle_hold_rate_min: f64,
    /// Time between snapshots, in seconds.
    pub snapshot_interval_s: u64,
    /// Records that must have come since the last snapshot for a new one.
    pub snapshot_records_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            source: EventSource::Embedded,
            durability: Durability::Sync,
            queue_records_max: 65_536,
            frame_records_max: 2_048,
            idle_ms: 2_000,
            idle_hold_ms_max: 5 * 60_000,
            idle_hold_rate_min: 1.0,
            snapshot_interval_s: 60,
            snapshot_records_min: 1,
        }
    }
}

impl Config {
    /// Everything that is wrong with the settings, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let positive = [
            ("queue_records_max", self.queue_records_max as u64),
            ("frame_records_max", self.frame_records_max as u64),
            ("idle_ms", u64::try_from(self.idle_ms).unwrap_or(0)),
            ("snapshot_interval_s", self.snapshot_interval_s),
        ];
        let mut mistakes: Vec<String> = positive
            .into_iter()
            .filter(|(_, value)| *value == 0)
            .map(|(name, _)| format!("{name}: must be above 0"))
            .collect();
        if self.queue_records_max < BATCH_ENTRIES_MAX {
            mistakes.push(format!(
                "queue_records_max: must hold one batch of {BATCH_ENTRIES_MAX}"
            ));
        }
        if self.source == EventSource::Kafka && cfg!(not(feature = "kafka")) {
            mistakes.push(
                "source: this program was built without Kafka; build it with `--features kafka`"
                    .to_owned(),
            );
        }
        if self.idle_hold_ms_max < 0 {
            mistakes.push("idle_hold_ms_max: must be 0 or more".to_owned());
        }
        mistakes
    }
}

/// Where events come from, and where triggers go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventSource {
    /// From callers into the embedded log.
    #[default]
    Embedded,
    /// From Kafka, and triggers to it.
    Kafka,
}

/// Entries that one batch may have.
pub const BATCH_ENTRIES_MAX: usize = 1_000;

/// The way a record came in; labels metrics and dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// gRPC.
    Grpc,
    /// HTTP.
    Http,
    /// A file.
    Import,
    /// The demo's own visitors.
    Demo,
}

impl Origin {
    /// Every origin.
    pub const ALL: [Self; 4] = [Self::Grpc, Self::Http, Self::Import, Self::Demo];

    /// Its name in metrics and dead letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Import => "import",
            Self::Demo => "demo",
        }
    }
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it says, or why it cannot be read.
    pub content: Result<Input, Rejection>,
    /// The bytes as they came, for the dead-letter log; without them the canonical protobuf form is written.
    pub raw: Option<(Bytes, &'static str)>,
}

/// Entries that are acknowledged together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The way they came.
    pub origin: Origin,
    /// History: the time of creation counts as the time of receipt.
    pub historical: bool,
    /// In order, at most [`BATCH_ENTRIES_MAX`].
    pub entries: Vec<Entry>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Part of the log and of the state.
    Accepted,
    /// Known before.
    Duplicate,
    /// In the dead-letter log.
    Rejected(Rejection),
}

/// The acknowledgement of a batch: everything accepted is as durable as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// One status an entry, in order.
    pub statuses: Vec<Status>,
    /// Log position after the batch.
    pub position: Position,
}

/// Why a batch was not taken. Nothing of it is acknowledged; the caller may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("the intake queue is full")]
    Overloaded,
    /// The disk is full.
    #[error("the disk under the data directory is full")]
    DiskFull,
    /// The server is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// No broker took it in time; parts of it may have been taken.
    #[error("Kafka did not take the batch in time")]
    Unreachable,
}

/// How safe an acknowledged event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On disk: the acknowledgement comes after `fdatasync`.
    #[default]
    Sync,
    /// With the operating system: the acknowledgement comes after `write`.
    Os,
}

/// Takes batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {
    door: Door,
    shared: Arc<Shared>,
    trigger_seq: watch::Receiver<Seq>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// Where batches go.
#[derive(Clone, Debug)]
enum Door {
    /// To the writer of the embedded log.
    Log {
        queue: SyncSender<Message>,
        room: Arc<Semaphore>,
    },
    /// To the events topic.
    #[cfg(feature = "kafka")]
    Kafka(kafka::Entrance),
}

/// What the door and the writer both look at.
#[derive(Debug)]
struct Shared {
    config: Config,
    idle_holds: AtomicUsize,
    disk_full: AtomicBool,
}

impl Shared {
    fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            idle_holds: AtomicUsize::new(0),
            disk_full: AtomicBool::new(false),
        }
    }
}

impl Ingest {
    /// Submits a batch and waits until it is as durable as configured. When the queue is full, it is refused.
    ///
    /// # Errors
    ///
    /// If the batch was not taken.
    pub async fn submit(&self, batch: Batch) -> Result<Receipt, Refused> {
        match &self.door {
            Door::Log { queue, room } => {
                let room = Arc::clone(room).try_acquire_many_owned(records_of(&batch));
                let permit = room.map_err(|_| self.refuse(Refused::Overloaded))?;
                self.enqueue(queue, batch, permit).await
            }
            #[cfg(feature = "kafka")]
            Door::Kafka(entrance) => self.produce(entrance, batch).await,
        }
    }

    /// As [`Ingest::submit`], but waits for room in the queue: for streams, whose senders then wait too.
    ///
    /// # Errors
    ///
    /// If the batch was not taken.
    pub async fn submit_patiently(&self, batch: Batch) -> Result<Receipt, Refused> {
        match &self.door {
            Door::Log { queue, room } => {
                let room = Arc::clone(room)
                    .acquire_many_owned(records_of(&batch))
                    .await;
                let permit = room.map_err(|_| self.refuse(Refused::ShuttingDown))?;
                self.enqueue(queue, batch, permit).await
            }
            #[cfg(feature = "kafka")]
            Door::Kafka(entrance) => self.produce(entrance, batch).await,
        }
    }

    /// A door to the events topic.
    #[cfg(feature = "kafka")]
    fn to_kafka(
        entrance: kafka::Entrance,
        shared: Arc<Shared>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        Self {
            door: Door::Kafka(entrance),
            shared,
            trigger_seq: kafka::no_triggers(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    #[cfg(feature = "kafka")]
    async fn produce(&self, entrance: &kafka::Entrance, batch: Batch) -> Result<Receipt, Refused> {
        let submitted = entrance.submit(batch, self.clock.now()).await;
        submitted.map_err(|refused| self.refuse(refused))
    }

    /// While the guard lives, silence does not advance event time: history is being read.
    pub fn hold_idle(&self) -> IdleHold {
        self.shared.idle_holds.fetch_add(1, Ordering::AcqRel);
        IdleHold {
            shared: Arc::clone(&self.shared),
        }
    }

    /// How safe an acknowledged event is.
    pub fn durability(&self) -> Durability {
        self.shared.config.durability
    }

    /// Sequence number of the last committed trigger record; changes wake the receiver.
    pub fn trigger_seq(&self) -> watch::Receiver<Seq> {
        self.trigger_seq.clone()
    }

    /// Records that wait for the writer.
    pub fn queued(&self) -> u64 {
        match &self.door {
            Door::Log { room, .. } => {
                let free = room.available_permits();
                self.shared.config.queue_records_max.saturating_sub(free) as u64
            }
            #[cfg(feature = "kafka")]
            Door::Kafka(_) => 0,
        }
    }

    /// Whether intake is stopped because the disk is full.
    pub fn disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Acquire)
    }

    async fn enqueue(
        &self,
        queue: &SyncSender<Message>,
        batch: Batch,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<Receipt, Refused> {
        if self.disk_full() {
            return Err(self.refuse(Refused::DiskFull));
        }
        let (reply, answer) = oneshot::channel();
        let prepared = Prepared::new(batch, self.clock.now(), permit, reply);
        queue.try_send(Message::Batch(prepared)).map_err(|error| {
            self.refuse(match error {
                TrySendError::Full(_) => Refused::Overloaded,
                TrySendError::Disconnected(_) => Refused::ShuttingDown,
            })
        })?;
        answer.await.unwrap_or(Err(Refused::ShuttingDown))
    }

    fn refuse(&self, refused: Refused) -> Refused {
        let reason = match refused {
            Refused::Overloaded => "overloaded",
            Refused::DiskFull => "disk_full",
            Refused::ShuttingDown => "shutting_down",
            Refused::Unreachable => "unreachable",
        };
        self.metrics
            .intake_refused
            .with_label_values(&[reason])
            .inc();
        refused
    }
}

fn records_of(batch: &Batch) -> u32 {
    u32::try_from(batch.entries.len().max(1)).unwrap_or(u32::MAX)
}

/// Keeps silence from advancing event time.
#[derive(Debug)]
pub struct IdleHold {
    shared: Arc<Shared>,
}

impl Drop for IdleHold {
    fn drop(&mut self) {
        self.shared.idle_holds.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time of receipt of an input that arrived at `now`.
fn received(input: &Input, historical: bool, now: Millis) -> Millis {
    match input {
        Input::Event(event) if historical => event.created.unwrap_or(now),
        Input::ItemUpsert(patch) if historical => patch.created.unwrap_or(now),
        Input::Event(_) | Input::ItemUpsert(_) | Input::ItemDelete(_) | Input::Tick { .. } => now,
    }
}

fn record(input: Input, historical: bool, now: Millis) -> Record {
    Record {
        received: received(&input, historical, now),
        input,
    }
}
