//! A partition that is followed: records are applied as they come, and now and then a transaction is begun that makes
//! everything they caused durable together with the position.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::Histogram;
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::clock::Stopwatch;
use crate::domain::{Millis, SECOND_MS};
use crate::metrics::{IntakeCounters, IntakeKind, IntakeResult};
use crate::pipeline::pace::{Pace, Situation};
use crate::stream::kafka::{Extent, Polled, Reader, Tick, Trouble};
use crate::stream::partitioner::partition_of;

use super::batch::Batch;
use super::commit::{Attempt, UnderWay};
use super::committer::Committer;
use super::fold::{Became, Fold};
use super::poison::{Poison, WINDOW_S};
use super::shard::{Order, Shard};
use super::silence::Silence;
use super::snapshots::Snapshots;
use super::takeover::{Standing, TakenOver};

/// How long a shard without work waits for a record.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How often a shard without work looks whether its transaction has ended.
const END_LOOK: Duration = Duration::from_millis(5);
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

/// A partition that is followed.
#[derive(Debug)]
pub(super) struct Live<'a> {
    pub(super) shard: &'a Shard,
    pub(super) committer: Committer,
    reader: Reader,
    pub(super) fold: Fold,
    pub(super) standing: Standing,
    pub(super) snapshots: Snapshots,
    /// The transaction that is being written.
    pub(super) under_way: Option<UnderWay>,
    /// The last transaction, if it failed.
    pub(super) failed: Option<Attempt>,
    /// What was applied since.
    pub(super) batch: Batch,
    pace: Pace,
    figures: Figures,
    looked: Stopwatch,
    silence: Silence,
    /// Something was committed since that was last asked.
    pub(super) committed: bool,
    /// Records since the last look around.
    arrived: u32,
    poison: Poison,
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
            under_way: None,
            failed: None,
            batch: Batch::new(&fold, Millis::default()),
            pace,
            looked: Stopwatch::start(),
            silence: Silence::default(),
            committed: false,
            arrived: 0,
            poison: Poison::new(common.config.dead_letter_percent_max),
            shard,
            committer: Committer::start(producer, &shard.member),
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
        let mut oldest = None;
        for _ in 0..POLL_RECORDS {
            let polled = self.poll(wait)?;
            wait = Duration::ZERO;
            match polled {
                Polled::Record => {
                    oldest = oldest.or(Some(self.batch.newest));
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
        if let Some(oldest) = oldest {
            let age = self.shard.common.clock.now().since(oldest);
            self.figures.servable.observe(age.max(0) as f64 / 1e3);
        }
        if self.looked.elapsed() >= LOOK_AROUND {
            self.looked = Stopwatch::start();
            self.look_around();
            if let Some(percent) = self.poison.second() {
                return self.stop_intake(&Trouble::Poisoned {
                    percent,
                    seconds: WINDOW_S,
                });
            }
        }
        self.look_for_end()?;
        if self.is_full() {
            self.end_commit()?;
        }
        if self.under_way.is_none() && self.is_due() {
            self.begin_commit()?;
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
            poison,
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
            poison.count(matches!(became, Became::Rejected { .. }));
            shard.look_at(message, &became, batch);
        })
    }

    /// How long to wait for a record.
    fn wait(&self) -> Duration {
        if self.under_way.is_some() {
            return END_LOOK;
        }
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

    /// Commits what was applied and takes nothing more, until the partition is given up.
    fn stop_intake(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        self.commit()?;
        self.shard.report(trouble);
        // The records that follow are not read, so their end was not reached.
        self.silence = Silence::default();
        while self.shard.control.order() == Order::Run {
            std::thread::sleep(IDLE_WAIT);
            if self.looked.elapsed() >= LOOK_AROUND {
                self.looked = Stopwatch::start();
                let events = &self.shard.common.config.topics.events;
                let extent = self.reader.extent_within(events, LOOK_AROUND_TIMEOUT).ok();
                self.note_lag(extent);
            }
        }
        Ok(())
    }

    /// Whether all that was applied is committed.
    fn is_level(&self) -> bool {
        self.batch.is_empty() && self.under_way.is_none()
    }

    fn note_lag(&self, extent: Option<Extent>) {
        match extent {
            // What is applied may be taken back, again and again, until something is committed.
            Some(_) if !self.committed && !self.is_level() => self.shard.lag.look(),
            Some(extent) => {
                let behind = self.silence.behind(extent, self.fold.next);
                self.shard.lag.behind(behind, self.batch.newest);
            }
            None => self.shard.lag.unknown(),
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
}
