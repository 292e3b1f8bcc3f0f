//! A partition that is followed: records are applied as they come, and a transaction now and then makes everything
//! they caused durable together with the position.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::Histogram;
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::clock::{Deadline, Stopwatch};
use crate::domain::{Event, Millis, SECOND_MS, TriggerKind};
use crate::metrics::{IntakeCounters, IntakeKind, IntakeResult};
use crate::pipeline::pace::{Pace, Situation};
use crate::stream::kafka::{
    CommitRecord, Extent, Output, OutputTopic, Placed, Polled, Producer, Reader, Tick, Trouble,
};
use crate::stream::partitioner::partition_of;

use super::fold::{Became, Decided, Fold};
use super::renewal::Pending;
use super::shard::{Order, Shard};
use super::silence::Silence;
use super::snapshots::{Added, Snapshots};
use super::takeover::{Standing, TakenOver};

/// How long a shard without work waits for a record.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// Records taken before the clock is looked at.
const POLL_RECORDS: usize = 1_024;
/// How often the end of the partition is asked for.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How long that question may take: the shard waits for it.
const LOOK_AROUND_TIMEOUT: Duration = Duration::from_millis(500);
/// Ticks that caused nothing are committed this long after the first.
const QUIET_COMMIT: Duration = Duration::from_secs(5);
/// A backlog whose records are older than this is far behind; its transactions may take so much longer.
const FAR_BEHIND_MS: i64 = SECOND_MS;
const FAR_BEHIND_FACTOR: u32 = 5;
/// How long the last snapshot may take when the partition is given up.
const LAST_SNAPSHOT: Duration = Duration::from_secs(2);
/// How long the shard waits for the next chunk of that snapshot.
const CHUNK_WAIT: Duration = Duration::from_millis(2);

/// A partition that is followed.
#[derive(Debug)]
pub(super) struct Live<'a> {
    pub(super) shard: &'a Shard,
    pub(super) producer: Producer,
    reader: Reader,
    pub(super) fold: Fold,
    pub(super) standing: Standing,
    pub(super) snapshots: Snapshots,
    /// The transaction under way, once all it holds is handed over.
    pub(super) pending: Option<Pending>,
    batch: Batch,
    pace: Pace,
    figures: Figures,
    looked: Stopwatch,
    silence: Silence,
    committed: bool,
    /// Records since the last look around.
    arrived: u32,
}

/// What the next transaction holds.
#[derive(Debug)]
struct Batch {
    since: Stopwatch,
    from: i64,
    seq_before: u64,
    records: usize,
    bytes: usize,
    ticks: Vec<Tick>,
    /// Events that somebody wants to see.
    shown: Vec<Arc<Event>>,
    /// When the last record was sent.
    newest: Millis,
}

impl Batch {
    fn new(fold: &Fold) -> Self {
        Self {
            since: Stopwatch::start(),
            from: fold.next,
            seq_before: fold.seq,
            records: 0,
            bytes: 0,
            ticks: Vec::new(),
            shown: Vec::new(),
            newest: Millis::default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.records == 0 && self.ticks.is_empty()
    }

    /// The first content starts the clock.
    fn touch(&mut self) {
        if self.is_empty() {
            self.since = Stopwatch::start();
        }
    }
}

/// Metrics with their labels looked up.
#[derive(Debug)]
struct Figures {
    intake: IntakeCounters,
    servable: Histogram,
}

impl<'a> Live<'a> {
    pub(super) fn new(shard: &'a Shard, taken: TakenOver) -> Self {
        let TakenOver {
            producer,
            reader,
            fold,
            standing,
            ..
        } = taken;
        let common = &shard.common;
        let mut pace = Pace::new(&common.pipeline);
        pace.resume(fold.last_tick, common.clock.now());
        let metrics = &common.metrics;
        Self {
            figures: Figures {
                intake: metrics.intake("kafka"),
                servable: metrics.event_to_servable.with_label_values(&["kafka"]),
            },
            snapshots: Snapshots::new(&common.config, shard.partition),
            pending: None,
            batch: Batch::new(&fold),
            pace,
            looked: Stopwatch::start(),
            silence: Silence::default(),
            committed: false,
            arrived: 0,
            shard,
            producer,
            reader,
            fold,
            standing,
        }
    }

    /// Follows the partition until it is given up or something goes wrong.
    pub(super) fn run(&mut self) -> Result<(), Trouble> {
        loop {
            match self.shard.control.order() {
                Order::Run => self.step()?,
                Order::Release => return self.release(),
                Order::Drop => return Ok(()),
            }
        }
    }

    /// Whether a transaction was committed since this was last asked: what goes wrong after that is new trouble.
    pub(super) fn has_committed(&mut self) -> bool {
        std::mem::take(&mut self.committed)
    }

    /// Reads on behind what was applied.
    pub(super) fn read_on(&mut self) -> Result<(), Trouble> {
        self.silence = Silence::default();
        let events = &self.shard.common.config.topics.events;
        self.reader.start(events, self.fold.next)
    }

    fn step(&mut self) -> Result<(), Trouble> {
        self.shard.audited.check()?;
        let mut wait = self.wait();
        let before = self.batch.records;
        for _ in 0..POLL_RECORDS {
            let polled = self.poll(wait)?;
            wait = Duration::ZERO;
            match polled {
                Polled::Record => {
                    self.silence.broken();
                    self.arrived = self.arrived.saturating_add(1);
                }
                Polled::End => self.silence.reached(),
                Polled::Nothing => break,
            }
            if self.is_full() {
                break;
            }
        }
        if self.batch.records > before {
            let age = self.shard.common.clock.now().since(self.batch.newest);
            self.figures.servable.observe(age.max(0) as f64 / 1e3);
        }
        if self.looked.elapsed() >= LOOK_AROUND {
            self.looked = Stopwatch::start();
            self.look_around();
        }
        if self.is_due() {
            self.commit()?;
        }
        Ok(())
    }

    /// Takes one record in.
    fn poll(&mut self, wait: Duration) -> Result<Polled, Trouble> {
        let Self {
            reader,
            fold,
            batch,
            figures,
            shard,
            ..
        } = self;
        reader.poll(wait, |message| {
            batch.touch();
            batch.records += 1;
            batch.bytes += message.payload_len() + message.key_len();
            batch.newest = super::decode::received(message);
            let became = fold.apply(message);
            figures.count(&became);
            shard.look_at(message, &became, batch);
        })
    }

    /// How long to wait for a record.
    fn wait(&self) -> Duration {
        if self.batch.is_empty() && !self.snapshots.under_way() {
            return IDLE_WAIT;
        }
        self.interval()
            .saturating_sub(self.batch.since.elapsed())
            .min(IDLE_WAIT)
    }

    /// Transactions cost the same whatever they hold. Who is far behind makes fewer and larger ones: that their outputs
    /// come a little later does not matter there, that the end is reached sooner does.
    fn interval(&self) -> Duration {
        let usual = Duration::from_millis(self.shard.common.config.transaction_interval_ms);
        let age_ms = self.shard.common.clock.now().since(self.batch.newest);
        let is_far_behind =
            self.batch.records > 0 && !self.silence.is_reached() && age_ms > FAR_BEHIND_MS;
        if is_far_behind {
            usual * FAR_BEHIND_FACTOR
        } else {
            usual
        }
    }

    fn is_full(&self) -> bool {
        let config = &self.shard.common.config;
        self.batch.records >= config.transaction_records_max
            || self.batch.bytes >= config.transaction_bytes_max
    }

    fn is_due(&self) -> bool {
        let age = self.batch.since.elapsed();
        if self.batch.records > 0 || !self.fold.outputs.is_empty() || !self.standing.lost.is_empty()
        {
            return self.is_full() || age >= self.interval();
        }
        self.snapshots.under_way() && age >= self.interval()
            || !self.batch.ticks.is_empty() && age >= QUIET_COMMIT
    }

    /// Once a second: how far behind it is, and the owner's clock if something waits for it.
    fn look_around(&mut self) {
        let common = &self.shard.common;
        let events = &common.config.topics.events;
        let extent = self.reader.extent_within(events, LOOK_AROUND_TIMEOUT).ok();
        let now = common.clock.now();
        self.note_lag(extent);
        let arrived = std::mem::take(&mut self.arrived);
        let records = arrived > 0;
        if records {
            self.pace.arrived(arrived, false, now);
        }
        let known = self.silence.is_known(extent);
        let importing = common.door.idle_holds.load(Ordering::Acquire) > 0;
        let situation = Situation {
            now,
            wanted: self.fold.engine.wants_ticks(),
            records,
            held: importing || !known,
        };
        if let Some((wall, caught_up)) = self.pace.tick(situation) {
            self.batch.touch();
            let tick = Tick {
                at: self.fold.next,
                wall,
                caught_up,
            };
            self.fold.tick(tick);
            self.batch.ticks.push(tick);
        }
        let held = self.pace.holding();
        common.metrics.idle_hold.set(i64::from(held));
    }

    fn note_lag(&self, extent: Option<Extent>) {
        match extent {
            // What is applied may be taken back, again and again, until something is committed.
            Some(_) if !self.committed && !self.batch.is_empty() => self.shard.lag.look(),
            Some(extent) => {
                let behind = self.silence.behind(extent, self.fold.next);
                self.shard.lag.behind(behind, self.batch.newest);
            }
            None => self.shard.lag.unknown(),
        }
    }

    /// Commits everything applied since the last time.
    fn commit(&mut self) -> Result<(), Trouble> {
        let common = &self.shard.common;
        let watch = Stopwatch::start();
        let now = common.clock.now();
        let record = self.record(now);
        self.producer.begin()?;
        for output in &self.standing.lost {
            self.producer.output(output, record.txn)?;
        }
        for output in &self.fold.outputs {
            if !self.standing.is_torn(output) {
                self.producer.output(output, record.txn)?;
            }
        }
        let added = self.snapshots.add(&mut self.producer, now)?;
        self.producer.commit_record(&record.encode(), now)?;
        if self.shard.control.order() == Order::Drop {
            return Err(Trouble::GivenUp);
        }
        self.pending = Some(Pending {
            record: record.clone(),
            added,
        });
        let placed = self.producer.commit(record.to, &self.shard.member)?;
        self.pending = None;
        common
            .metrics
            .kafka_transaction_seconds
            .observe(watch.seconds());
        self.settle(&record, added, &placed, now);
        Ok(())
    }

    /// What the transaction is, in its own words.
    fn record(&self, now: Millis) -> CommitRecord {
        let common = &self.shard.common;
        let sent = |topic: OutputTopic| {
            let outputs = self.fold.outputs.iter();
            let count = outputs
                .filter(|output| output.topic == topic && !self.standing.is_torn(output))
                .count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let torn = self.fold.outputs.iter();
        let torn = torn.filter(|output| self.standing.is_torn(output)).count();
        let mut record = CommitRecord {
            epoch: self.fold.epoch,
            txn: self.standing.txn + 1,
            from: self.batch.from,
            to: self.fold.next,
            ticks: self.batch.ticks.clone(),
            seq_before: self.batch.seq_before,
            seq: self.fold.seq,
            triggers: sent(OutputTopic::Triggers),
            suppressions: sent(OutputTopic::Suppressions),
            dead_letters: sent(OutputTopic::DeadLetters),
            late: sent(OutputTopic::Late),
            repaired: u32::try_from(self.standing.lost.len()).unwrap_or(u32::MAX),
            torn: u32::try_from(torn).unwrap_or(u32::MAX),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            rules: common.rules.to_string(),
            partitions: self.shard.partitions,
            snapshot: self.standing.snapshot,
            time: now,
            ..CommitRecord::default()
        };
        let decisions = self.fold.outputs.iter();
        record.seal(
            &self.standing.digest,
            decisions.map(|output| (output.identity.as_str(), output.seq)),
        );
        record
    }

    /// The transaction is in the log.
    pub(super) fn settle(
        &mut self,
        record: &CommitRecord,
        added: Added,
        placed: &Placed,
        now: Millis,
    ) {
        let common = &self.shard.common;
        self.committed = true;
        self.standing.committed(record, placed);
        if let Some(took) = self.snapshots.committed(added, placed, &mut self.standing) {
            common.metrics.snapshot_seconds.observe(took.seconds());
        }
        for output in self.fold.outputs.drain(..) {
            self.standing
                .torn
                .remove(&(output.topic, output.identity.clone()));
            self.shard.count(&output);
        }
        for decided in self.fold.decided.drain(..) {
            let Decided {
                rule, kind, reason, ..
            } = &decided;
            common.metrics.count_trigger(rule, *kind, *reason);
            if *kind == TriggerKind::Fire {
                let delay = common.metrics.trigger_delay.with_label_values(&[rule]);
                delay.observe(decided.since.seconds());
            }
        }
        for event in self.batch.shown.drain(..) {
            // Whoever listened may be gone.
            drop(common.events.send(event));
        }
        let newest = self.batch.newest;
        self.batch = Batch::new(&self.fold);
        self.batch.newest = newest;
        self.snapshots
            .begin(&mut self.fold, &self.standing, now, false);
    }

    /// Finishes what is begun and writes a last snapshot, if that is quick.
    fn release(&mut self) -> Result<(), Trouble> {
        if !self.batch.is_empty() || !self.standing.lost.is_empty() {
            self.commit()?;
        }
        let end = Deadline::after(LAST_SNAPSHOT);
        let now = self.shard.common.clock.now();
        self.snapshots
            .begin(&mut self.fold, &self.standing, now, true);
        while self.snapshots.under_way() && !end.has_passed() {
            self.commit()?;
            std::thread::sleep(CHUNK_WAIT);
        }
        Ok(())
    }
}

impl Standing {
    fn is_torn(&self, output: &Output) -> bool {
        !self.torn.is_empty() && self.torn.contains(&(output.topic, output.identity.clone()))
    }

    fn committed(&mut self, record: &CommitRecord, placed: &Placed) {
        self.txn = record.txn;
        self.digest.clone_from(&record.digest);
        if let Some(commit) = placed.commit {
            self.commits = commit + 1;
        }
        self.lost.clear();
        // What is torn must be found again by whoever comes next, so the places stay.
        if self.torn.is_empty() {
            for (place, behind) in self.outputs.iter_mut().zip(placed.outputs) {
                *place = behind.unwrap_or(*place);
            }
        }
    }
}

impl Figures {
    fn count(&self, became: &Became) {
        let (kind, result) = match became {
            Became::Applied { late: true, input } => (input.into(), IntakeResult::Late),
            Became::Applied { late: false, input } => (input.into(), IntakeResult::Applied),
            Became::Duplicate { input } => (input.into(), IntakeResult::Duplicate),
            Became::Rejected { .. } => (IntakeKind::Unknown, IntakeResult::Rejected),
        };
        self.intake.count(kind, result);
    }
}

impl Shard {
    /// What is counted and shown of a record besides.
    fn look_at(&self, message: &BorrowedMessage<'_>, became: &Became, batch: &mut Batch) {
        let metrics = &self.common.metrics;
        if let Became::Rejected { rejection } = became {
            let reason = [rejection.reason.name()];
            metrics.dead_letters.with_label_values(&reason).inc();
            metrics.events_rejected.with_label_values(&reason).inc();
            let (partition, offset) = (message.partition(), message.offset());
            tracing::debug!(partition, offset, reason = reason[0], "a dead letter");
        }
        if let Some(event) = became.event() {
            let home = partition_of(event.user.as_bytes(), self.partitions);
            if home != self.partition {
                metrics.kafka_misrouted.inc();
            }
            if self.common.events.receiver_count() > 0 {
                batch.shown.push(Arc::new(event.clone()));
            }
        }
    }

    /// Counts an output that is committed.
    fn count(&self, output: &Output) {
        let metrics = &self.common.metrics;
        let topic = match output.topic {
            OutputTopic::Triggers => "triggers",
            OutputTopic::Suppressions => "suppressions",
            OutputTopic::DeadLetters => "dead_letters",
            OutputTopic::Late => "late",
        };
        metrics.kafka_outputs.with_label_values(&[topic]).inc();
    }
}
