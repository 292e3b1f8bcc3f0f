//! The process whose events come from Kafka.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Millis;
use crate::metrics::Metrics;
use crate::pipeline::Views;
use crate::pipeline::kafka::{self, Board, Condition, KafkaPipeline};
use crate::server::{self, Health, Parts, Server};

use super::{AppError, LIVE_EVENTS, describe_build, drain, seconds, show_sizes, whole};

/// How often health and gauges follow the partitions.
const GAUGE_INTERVAL: Duration = Duration::from_millis(250);
/// A lag of more than this is told.
const LAG_MS_MAX: i64 = 10_000;

/// A process that serves what comes from Kafka.
#[derive(Debug)]
pub struct KafkaApp {
    pipeline: KafkaPipeline,
    server: Server,
    health: Health,
    gauges: JoinHandle<()>,
}

impl KafkaApp {
    /// Takes the ports and serves; partitions become ours one after the other, and `/readyz` says when all are live.
    ///
    /// # Errors
    ///
    /// If the ports are taken or the settings are wrong. A broker that is away is waited for.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, AppError> {
        let listeners = server::bind(&config.server).await?;
        let metrics = Arc::new(Metrics::new());
        describe_build(&metrics);
        let health = Health::starting("looking for Kafka");
        let (events, _) = broadcast::channel(LIVE_EVENTS);
        let pipeline = kafka::start(
            &config.kafka,
            &config.engine,
            &config.pipeline,
            &clock,
            &metrics,
            events.clone(),
        )?;
        let parts = Parts {
            view: pipeline.views(),
            ingest: pipeline.ingest(),
            events,
            logs: None,
            health: health.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        let server = server::start(config.server, listeners, parts)?;
        let gauges = Gauges {
            views: pipeline.views(),
            board: pipeline.board(),
            health: health.clone(),
            metrics,
            clock,
        };
        Ok(Self {
            gauges: tokio::spawn(gauges.run()),
            pipeline,
            server,
            health,
        })
    }

    /// The serving side.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns only if a part ended by itself, which is a bug.
    pub async fn failed(&mut self) {
        self.server.failed().await;
    }

    /// Drains: not ready, calls finished, what is begun committed, last snapshots, out of the group.
    pub async fn stop(self) {
        let pipeline = self.pipeline;
        drain(&self.health, self.server, &self.gauges, move || {
            pipeline.stop();
        })
        .await;
    }
}

/// Brings gauges and health up to date with the partitions.
#[derive(Debug)]
struct Gauges {
    views: Views,
    board: Board,
    health: Health,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Gauges {
    async fn run(self) {
        let mut interval = tokio::time::interval(GAUGE_INTERVAL);
        loop {
            interval.tick().await;
            self.update();
        }
    }

    fn update(&self) {
        let now = self.clock.now();
        let metrics = &self.metrics;
        show_sizes(metrics, &self.views.stats(), self.views.position());
        let live = self.board.partitions_live();
        metrics.kafka_partitions_live.set(whole(live));
        if self.views.watermark() > Millis::MIN {
            let delay = now.since(self.views.watermark());
            metrics.watermark_delay.set(seconds(delay));
        }
        let was_ready = self.health.state().ready();
        match self.board.condition(LAG_MS_MAX) {
            Condition::Live => {
                self.health.set_ready();
                self.health.set_caught_up();
            }
            Condition::Behind(why) => {
                self.health.set_ready();
                self.health.set_behind(now, false, &why);
            }
            Condition::Restoring(why) | Condition::Stopped(why) if !was_ready => {
                self.health.set_progress(why);
            }
            // Reads go on with what is known; each answer says that it is not fresh.
            Condition::Restoring(why) => self.health.set_behind(now, false, &why),
            Condition::Stopped(why) => self.health.set_behind(now, true, &why),
        }
    }
}
