//! One partition on its own thread: take over, follow, commit; after trouble, go on or take over again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::{Clock, Deadline, Stopwatch};
use crate::domain::Event;
use crate::engine;
use crate::metrics::Metrics;
use crate::pipeline::{self, Shared, Views};
use crate::stream::kafka::{Config, Member, Trouble};

use super::audit::{Audit, Audited};
use super::board::Board;
use super::lag::Lag;
use super::live::Live;
use super::renewal::Renewed;
use super::takeover::{Findings, TakeOver, TakenOver};

/// Pauses between attempts: the first, and the longest.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often a waiting shard looks whether it is to go on.
const LOOK: Duration = Duration::from_millis(20);

/// What a shard is to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Control(Arc<AtomicU8>);

/// What a shard is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// Finish what is begun, write a snapshot if that is quick, and end.
    Release,
    /// End without a commit: others may own the partition already.
    Drop,
}

impl Control {
    pub(super) fn set(&self, order: Order) {
        self.0.fetch_max(order as u8, Ordering::AcqRel);
    }

    pub(super) fn order(&self) -> Order {
        match self.0.load(Ordering::Acquire) {
            0 => Order::Run,
            1 => Order::Release,
            _ => Order::Drop,
        }
    }
}

/// What all shards work with.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) pipeline: Arc<pipeline::Config>,
    pub(super) engine: Arc<engine::Config>,
    pub(super) rules: Arc<str>,
    pub(super) views: Views,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    /// Knows whether a caller imports history.
    pub(super) door: Arc<Shared>,
    pub(super) audit: Audit,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) partition: u32,
    pub(super) partitions: u32,
    pub(super) member: Arc<Member>,
    pub(super) control: Control,
    pub(super) lag: Lag,
    pub(super) audited: Audited,
    pub(super) common: Common,
}

impl Shard {
    /// Runs until the partition is given up.
    pub(super) fn run(self) {
        let mut backoff = BACKOFF;
        while self.is_running() {
            if let Err(trouble) = self.own(&mut backoff) {
                self.stand_still(&trouble, &mut backoff);
            }
        }
        self.common.views.set(self.partition, None);
        self.common.board.remove(self.partition);
    }

    fn is_running(&self) -> bool {
        self.control.order() == Order::Run
    }

    /// Takes the partition over and follows it until it is given up or the log went on without it.
    fn own(&self, backoff: &mut Duration) -> Result<(), Trouble> {
        let watch = Stopwatch::start();
        let taken = self.take_over()?;
        self.note(&taken, watch);
        self.audited.follow(taken.since);
        self.common
            .views
            .set(self.partition, Some(&taken.fold.engine.view()));
        let mut live = Live::new(self, taken);
        loop {
            self.common.board.live(self.partition);
            let Err(mut trouble) = live.run() else {
                return Ok(());
            };
            if live.has_committed() {
                *backoff = BACKOFF;
            }
            loop {
                self.stand_still(&trouble, backoff);
                let is_in_doubt = matches!(
                    trouble,
                    Trouble::Damaged { .. } | Trouble::Contradicted { .. }
                );
                if !self.is_running() || is_in_doubt {
                    return Ok(());
                }
                match live.renew() {
                    Ok(Renewed::GoesOn) => break,
                    Ok(Renewed::Overtaken) => return Ok(()),
                    Err(found) => trouble = found,
                }
            }
        }
    }

    fn take_over(&self) -> Result<TakenOver, Trouble> {
        let common = &self.common;
        let progress = |why: &str| {
            tracing::debug!(partition = self.partition, why, "taking over");
            common.board.restoring(self.partition, why);
            self.lag.look();
            match self.control.order() {
                Order::Run => Ok(()),
                Order::Release | Order::Drop => Err(Trouble::GivenUp),
            }
        };
        TakeOver {
            config: &common.config,
            engine: &common.engine,
            rules: &common.rules,
            partition: self.partition,
            partitions: self.partitions,
            progress: &progress,
        }
        .run()
    }

    fn note(&self, taken: &TakenOver, watch: Stopwatch) {
        let metrics = &self.common.metrics;
        let Findings {
            replayed,
            divergences,
            repeated,
            torn,
            lost,
            skipped,
            position_differs,
        } = taken.findings;
        metrics.replay_divergence.inc_by(divergences);
        metrics.txn_torn.inc_by(torn);
        metrics.txn_lost_repaired.inc_by(lost);
        metrics.txn_repeated.inc_by(repeated);
        metrics.kafka_skipped_records.inc_by(skipped);
        metrics.kafka_take_overs.inc();
        metrics.restore_seconds.observe(watch.seconds());
        let partition = self.partition;
        let (epoch, txn, position) = (taken.fold.epoch, taken.standing.txn, taken.fold.next);
        tracing::info!(
            partition,
            epoch,
            txn,
            position,
            replayed,
            "took a partition over"
        );
        if divergences + repeated + torn + lost + skipped > 0 || position_differs {
            tracing::warn!(
                partition,
                divergences,
                repeated,
                torn,
                lost,
                skipped,
                position_differs,
                "the log of a partition is not as it should be; what was lost is written again with the same ids"
            );
        }
    }

    /// Says what is wrong, and waits; ever longer, unless something was committed meanwhile.
    fn stand_still(&self, trouble: &Trouble, backoff: &mut Duration) {
        if *trouble == Trouble::GivenUp {
            return;
        }
        self.report(trouble);
        self.pause(self.pause_after(trouble, *backoff));
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
    }

    pub(super) fn report(&self, trouble: &Trouble) {
        let common = &self.common;
        common
            .metrics
            .kafka_troubles
            .with_label_values(&[trouble.name()])
            .inc();
        common.board.stopped(self.partition, &trouble.to_string());
        let partition = self.partition;
        tracing::warn!(partition, %trouble, "a partition stops for now");
    }

    /// One that was fenced waits until the group had time to say that the partition is no longer ours: taking it back
    /// at once would disturb its new owner.
    fn pause_after(&self, trouble: &Trouble, backoff: Duration) -> Duration {
        if !matches!(trouble, Trouble::Fenced { .. }) {
            return backoff;
        }
        let heartbeat = Duration::from_millis(self.common.config.heartbeat_interval_ms);
        backoff.max(heartbeat * 2 + BACKOFF)
    }

    fn pause(&self, pause: Duration) {
        let end = Deadline::after(pause);
        while !end.has_passed() && self.control.order() == Order::Run {
            self.lag.look();
            std::thread::sleep(LOOK.min(end.left()));
        }
    }
}
