//! The writer thread: applies what arrived and appends one frame with everything it caused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot};

use crate::clock::{Clock, Stopwatch};
use crate::domain::{
    Event, Input, Millis, Outcome, Position, Record, Rejection, SECOND_MS, TriggerKind,
};
use crate::engine::{Engine, Outbox};
use crate::metrics::{IntakeCounters, IntakeKind, IntakeResult, Metrics};
use crate::pipeline::deliver::Written;
use crate::pipeline::pace::{Pace, Situation};
use crate::pipeline::run::{SnapshotRequest, die};
use crate::pipeline::{Batch, Config, Origin, Receipt, Refused, Shared, Status, record};
use crate::stream::embedded::{AppendError, FrameBuilder, MainLog, Snapshots};
use crate::wire;
use crate::wire::dead_letter::DeadLetter;

/// How long the writer waits before it tries a full disk again.
const DISK_FULL_PAUSE: Duration = Duration::from_millis(100);
/// How long the writer waits for a snapshot under way before it takes the last one.
const LAST_SNAPSHOT_PAUSE: Duration = Duration::from_millis(5);
/// Bytes after which a frame takes no further batch.
const FRAME_BYTES: usize = 4 << 20;
/// Media type of what came as protobuf and was decoded at the door.
const PROTOBUF: &str = "application/x-protobuf";

/// What the writer's queue holds.
#[derive(Debug)]
pub(super) enum Message {
    /// Something arrived.
    Batch(Prepared),
    /// Nothing more will come: take a last snapshot and end.
    Stop,
}

/// A batch on its way to the writer, with its log bytes made where it arrived.
#[derive(Debug)]
pub(super) struct Prepared {
    origin: Origin,
    historical: bool,
    received: Millis,
    arrived: Stopwatch,
    entries: Vec<PreparedEntry>,
    encoded: Vec<u8>,
    permit: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Receipt, Refused>>,
}

#[derive(Debug)]
struct PreparedEntry {
    content: Result<Record, Rejection>,
    raw: Option<(bytes::Bytes, &'static str)>,
    /// Where its log bytes end in `encoded`; they begin where those of the entry before end.
    end: usize,
}

impl Prepared {
    pub(super) fn new(
        batch: Batch,
        now: Millis,
        permit: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<Receipt, Refused>>,
    ) -> Self {
        let arrived = Stopwatch::start();
        let mut encoded = Vec::with_capacity(batch.entries.len() * 128);
        let entries = batch
            .entries
            .into_iter()
            .map(|entry| {
                let content = entry
                    .content
                    .map(|input| record(input, batch.historical, now));
                if let Ok(record) = &content {
                    wire::record::encode_input(&record.input, &mut encoded);
                }
                PreparedEntry {
                    content,
                    raw: entry.raw,
                    end: encoded.len(),
                }
            })
            .collect();
        Self {
            origin: batch.origin,
            historical: batch.historical,
            received: now,
            arrived,
            entries,
            encoded,
            permit,
            reply,
        }
    }
}

/// An acknowledgement that waits for its frame.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) receipt: Receipt,
    pub(super) reply: oneshot::Sender<Result<Receipt, Refused>>,
    _permit: OwnedSemaphorePermit,
}

/// The writer's own things.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) engine: Engine,
    pub(super) log: MainLog,
    pub(super) snapshots: Snapshots,
    pub(super) epoch: u64,
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) pace: Pace,
    pub(super) intake: [IntakeCounters; Origin::ALL.len()],
    pub(super) written: SyncSender<Written>,
    pub(super) spare: Receiver<FrameBuilder>,
    pub(super) snapshot_requests: Sender<SnapshotRequest>,
    pub(super) snapshot_due: Stopwatch,
    pub(super) snapshot_position: Position,
    pub(super) outbox: Outbox,
    pub(super) scratch: Vec<u8>,
    pub(super) stopping: bool,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    /// Events of this frame that somebody wants to see.
    pub(super) live: Vec<Arc<Event>>,
}

impl Writer {
    /// Runs until it is told to stop or nobody can submit any more.
    pub(super) fn run(mut self, queue: &Receiver<Message>) {
        let mut builder = FrameBuilder::new();
        loop {
            let pause = self
                .clock
                .sleep_for(SECOND_MS)
                .max(Duration::from_millis(1));
            let first = queue.recv_timeout(pause);
            self.stopping |= matches!(
                first,
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected)
            );
            let mut acks = Vec::new();
            builder.begin(self.log.end(), self.clock.now());
            self.tick(&mut builder, matches!(first, Ok(Message::Batch(_))));
            if let Ok(Message::Batch(batch)) = first {
                self.fill(&mut builder, batch, &mut acks, queue);
            }
            if !(builder.is_empty() && acks.is_empty()) {
                builder = self.append(builder, acks);
            }
            self.snapshot_if_due(self.stopping);
            if self.stopping {
                return;
            }
        }
    }

    /// Applies a batch and those that wait behind it, as long as the frame has room.
    fn fill(
        &mut self,
        builder: &mut FrameBuilder,
        first: Prepared,
        acks: &mut Vec<Ack>,
        queue: &Receiver<Message>,
    ) {
        let mut next = Some(first);
        while let Some(batch) = next {
            acks.push(self.apply(builder, batch));
            let full = builder.records() >= self.config.frame_records_max as u64
                || builder.bytes() >= FRAME_BYTES;
            next = match (!full).then(|| queue.try_recv()) {
                Some(Ok(Message::Batch(batch))) => Some(batch),
                Some(Ok(Message::Stop)) => {
                    self.stopping = true;
                    None
                }
                _ => None,
            };
        }
    }

    /// Logs the clock if that is due.
    fn tick(&mut self, builder: &mut FrameBuilder, records: bool) {
        let situation = Situation {
            now: self.clock.now(),
            wanted: self.engine.wants_ticks(),
            records,
            held: self.shared.idle_holds.load(Ordering::Acquire) > 0,
        };
        let Some((wall, caught_up)) = self.pace.tick(situation) else {
            return;
        };
        let tick = Record {
            received: wall,
            input: Input::Tick { wall, caught_up },
        };
        self.engine.apply(&tick, &mut self.outbox);
        builder.tick(wall, caught_up);
        self.drain_outbox(builder);
        self.metrics
            .idle_hold
            .set(i64::from(self.pace.holding() || situation.held));
    }

    fn apply(&mut self, builder: &mut FrameBuilder, batch: Prepared) -> Ack {
        let records = u32::try_from(batch.entries.len()).unwrap_or(u32::MAX);
        self.pace.arrived(records, batch.historical, batch.received);
        let mut statuses = Vec::with_capacity(batch.entries.len());
        let mut begin = 0;
        for entry in batch.entries {
            let bytes = batch.encoded.get(begin..entry.end).unwrap_or_default();
            begin = entry.end;
            let kind = entry
                .content
                .as_ref()
                .map_or(IntakeKind::Unknown, |r| (&r.input).into());
            let (status, result) = match entry.content {
                Ok(record) => self.apply_record(builder, &record, bytes),
                Err(rejection) => (Status::Rejected(rejection), IntakeResult::Rejected),
            };
            if let Status::Rejected(rejection) = &status {
                let raw = entry.raw.as_ref();
                let payload = raw.map_or((bytes, PROTOBUF), |(raw, media)| (&raw[..], *media));
                self.bury(builder, rejection, batch.received, batch.origin, payload);
            }
            if let Some(intake) = self.intake.get(batch.origin as usize) {
                intake.count(kind, result);
            }
            statuses.push(status);
        }
        let origin = [batch.origin.name()];
        let servable = self.metrics.event_to_servable.with_label_values(&origin);
        servable.observe(batch.arrived.seconds());
        Ack {
            receipt: Receipt {
                statuses,
                position: self.engine.position(),
            },
            reply: batch.reply,
            _permit: batch.permit,
        }
    }

    fn apply_record(
        &mut self,
        builder: &mut FrameBuilder,
        record: &Record,
        bytes: &[u8],
    ) -> (Status, IntakeResult) {
        match self.engine.apply(record, &mut self.outbox) {
            Outcome::Applied { late, .. } => {
                builder.input(record.received, late, bytes);
                self.drain_outbox(builder);
                if let Input::Event(event) = &record.input
                    && self.events.receiver_count() > 0
                {
                    self.live.push(Arc::new(event.clone()));
                }
                let result = if late {
                    IntakeResult::Late
                } else {
                    IntakeResult::Applied
                };
                (Status::Accepted, result)
            }
            Outcome::Duplicate => (Status::Duplicate, IntakeResult::Duplicate),
            Outcome::Rejected(rejection) => (Status::Rejected(rejection), IntakeResult::Rejected),
        }
    }

    fn drain_outbox(&mut self, builder: &mut FrameBuilder) {
        for trigger in self.outbox.triggers.drain(..) {
            self.scratch.clear();
            wire::trigger::encode(&trigger, self.epoch, &mut self.scratch);
            builder.trigger(&self.scratch);
            let rule = trigger.rule.as_str();
            self.metrics
                .triggers
                .with_label_values(&[rule, trigger.kind.name()])
                .inc();
            if trigger.kind == TriggerKind::Suppressed {
                let labels = [rule, trigger.reason.name()];
                self.metrics
                    .triggers_suppressed
                    .with_label_values(&labels)
                    .inc();
            }
        }
    }

    /// Puts what was refused into the dead-letter log, byte for byte.
    fn bury(
        &mut self,
        builder: &mut FrameBuilder,
        rejection: &Rejection,
        received: Millis,
        origin: Origin,
        (payload, content_type): (&[u8], &str),
    ) {
        let letter = DeadLetter {
            seq: builder.after().dead_letter + 1,
            received,
            source: origin.name().to_owned(),
            rejection: rejection.clone(),
            payload: payload.to_vec(),
            content_type: content_type.to_owned(),
        };
        self.scratch.clear();
        wire::dead_letter::encode(&letter, &mut self.scratch);
        builder.dead_letter(&self.scratch);
        let reason = [rejection.reason.name()];
        self.metrics.dead_letters.with_label_values(&reason).inc();
        self.metrics
            .events_rejected
            .with_label_values(&reason)
            .inc();
    }

    /// Appends the frame, however long the disk is full, and passes it on. While it is full, intake is refused and
    /// nothing is acknowledged. Gives a builder for the next frame.
    fn append(&mut self, mut builder: FrameBuilder, acks: Vec<Ack>) -> FrameBuilder {
        while let Err(error) = self.log.append(&mut builder) {
            let AppendError::DiskFull { path } = error else {
                die(&error)
            };
            if !self.shared.disk_full.swap(true, Ordering::AcqRel) {
                let path = path.display();
                tracing::error!(%path, "the disk is full; intake is stopped until there is room");
            }
            std::thread::sleep(DISK_FULL_PAUSE);
        }
        if self.shared.disk_full.swap(false, Ordering::AcqRel) {
            tracing::info!("there is room on the disk again; intake goes on");
        }
        if self
            .written
            .send(Written {
                builder,
                acks,
                live: std::mem::take(&mut self.live),
            })
            .is_err()
        {
            die(&"the deliverer ended");
        }
        self.spare.try_recv().unwrap_or_default()
    }

    fn snapshot_if_due(&mut self, last: bool) {
        let interval = Duration::from_secs(self.config.snapshot_interval_s);
        let news = self.engine.position() - self.snapshot_position;
        let enough = news >= self.config.snapshot_records_min.max(1);
        if !enough || !(last || self.snapshot_due.elapsed() >= interval) {
            return;
        }
        let job = loop {
            match self.engine.begin_snapshot() {
                Some(job) => break job,
                None if last => std::thread::sleep(LAST_SNAPSHOT_PAUSE),
                None => return,
            }
        };
        self.snapshot_due = Stopwatch::start();
        self.snapshot_position = self.engine.position();
        let request = SnapshotRequest {
            mark: self.log.mark(),
            time: self.clock.now(),
            job,
            snapshots: self.snapshots.clone(),
        };
        if self.snapshot_requests.send(request).is_err() {
            tracing::warn!("the snapshot thread ended; the log is kept");
        }
    }
}
