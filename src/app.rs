//! Builds, wires, runs and drains the process.

#[cfg(feature = "kafka")]
mod kafka;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::task::JoinHandle;

#[cfg(feature = "kafka")]
pub use self::kafka::KafkaApp;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{Millis, Position};
use crate::engine::{Stats, View};
use crate::metrics::Metrics;
use crate::pipeline::{self, Ingest, Pipeline, StartError};
use crate::server::{self, Health, Logs, Parts, Server};
use crate::stream::embedded::{Recovery, Repair};

/// Events that a slow reader of the live stream may lie behind.
const LIVE_EVENTS: usize = 1_024;
/// How often gauges follow the state.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);

/// A process that serves.
#[derive(Debug)]
pub struct App {
    pipeline: Pipeline,
    server: Server,
    health: Health,
    gauges: JoinHandle<()>,
    recovery: Recovery,
    divergences: u64,
}

/// Why the process cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state cannot be restored.
    #[error(transparent)]
    State(#[from] StartError),
    /// Kafka's client refuses the settings.
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Kafka(#[from] crate::stream::kafka::Trouble),
    /// The ports cannot be had.
    #[error(transparent)]
    Server(#[from] server::StartError),
}

impl App {
    /// Takes the ports, restores the state, then serves. The ports come first: a taken one is told before minutes of
    /// reading.
    ///
    /// # Errors
    ///
    /// If the ports are taken or the state cannot be restored.
    pub async fn start(config: Config, clock: Clock, repair: Repair) -> Result<Self, AppError> {
        let listeners = server::bind(&config.server).await?;
        let metrics = Arc::new(Metrics::new());
        describe(&metrics, &config);
        let health = Health::starting("restoring the state");
        let recovered = restore(&config, repair, &metrics)?;
        let (recovery, divergences) = (recovered.recovery.clone(), recovered.divergences);
        let (events, _) = broadcast::channel(LIVE_EVENTS);
        let pipeline = pipeline::start(
            recovered,
            &config.pipeline,
            &clock,
            Arc::clone(&metrics),
            events.clone(),
        );
        let parts = Parts {
            view: pipeline.view().into(),
            ingest: pipeline.ingest(),
            events,
            logs: Some(Logs {
                triggers: pipeline.triggers(),
                dead_letters: pipeline.dead_letters(),
            }),
            health: health.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
        };
        let server = server::start(config.server, listeners, parts)?;
        let gauges = Gauges {
            view: pipeline.view(),
            ingest: pipeline.ingest(),
            log: pipeline.log(),
            health: health.clone(),
            metrics,
            clock,
        };
        health.set_ready();
        Ok(Self {
            gauges: tokio::spawn(gauges.run()),
            pipeline,
            server,
            health,
            recovery,
            divergences,
        })
    }

    /// The serving side.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The door for batches.
    pub fn ingest(&self) -> Ingest {
        self.pipeline.ingest()
    }

    /// The readers' side of the state.
    pub fn view(&self) -> View {
        self.pipeline.view()
    }

    /// What was found in the data directory.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Outputs that replay computed differently from the log: none, unless the rules or the program changed.
    pub fn divergences(&self) -> u64 {
        self.divergences
    }

    /// Returns only if a part ended by itself, which is a bug.
    pub async fn failed(&mut self) {
        self.server.failed().await;
    }

    /// Drains: not ready, calls finished, what waits committed, a last snapshot.
    pub async fn stop(self) {
        let pipeline = self.pipeline;
        drain(&self.health, self.server, &self.gauges, move || {
            pipeline.stop();
        })
        .await;
    }
}

/// Ends the serving side, then the pipeline.
async fn drain(
    health: &Health,
    server: Server,
    gauges: &JoinHandle<()>,
    stop_pipeline: impl FnOnce() + Send + 'static,
) {
    health.set_draining();
    server.stop().await;
    gauges.abort();
    if tokio::task::spawn_blocking(stop_pipeline).await.is_err() {
        tracing::error!("the pipeline did not end well; the next start recovers");
    }
}

/// Locks and restores a data directory for whoever writes to it without serving.
///
/// # Errors
///
/// If it is in use or the state cannot be restored.
pub fn open(config: &Config, clock: &Clock, repair: Repair) -> Result<Pipeline, StartError> {
    let metrics = Arc::new(Metrics::new());
    let recovered = restore(config, repair, &metrics)?;
    let (events, _) = broadcast::channel(1);
    Ok(pipeline::start(
        recovered,
        &config.pipeline,
        clock,
        metrics,
        events,
    ))
}

fn restore(
    config: &Config,
    repair: Repair,
    metrics: &Metrics,
) -> Result<pipeline::Recovered, StartError> {
    let recovered = pipeline::recover(
        Path::new(&config.data.dir),
        &config.log,
        &config.engine,
        repair,
        metrics,
        |_| {},
    )?;
    for dropped in &recovered.recovery.dropped {
        tracing::warn!(?dropped, "dropped for --repair");
    }
    if recovered.divergences > 0 {
        tracing::warn!(
            divergences = recovered.divergences,
            "replay decided differently from the log; the log counts"
        );
    }
    Ok(recovered)
}

fn describe_build(metrics: &Metrics) {
    let version = env!("CARGO_PKG_VERSION");
    metrics
        .build_info
        .with_label_values(&[version, "unknown"])
        .set(1);
}

fn describe(metrics: &Metrics, config: &Config) {
    describe_build(metrics);
    let reason = match config.pipeline.durability {
        pipeline::Durability::Sync => "embedded_sync",
        pipeline::Durability::Os => "embedded_os",
    };
    metrics
        .guarantee_info
        .with_label_values(&["exactly_once", reason])
        .set(1);
}

/// Brings gauges and health up to date with the state.
#[derive(Debug)]
struct Gauges {
    view: View,
    ingest: Ingest,
    log: pipeline::LogFigures,
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
        let metrics = &self.metrics;
        let now = self.clock.now();
        show_sizes(metrics, &self.view.stats(), self.view.position());
        metrics
            .intake_queue_records
            .set(whole(self.ingest.queued()));
        metrics.log_bytes.set(whole(self.log.bytes()));
        if let Some(taken) = self.log.newest_snapshot() {
            metrics.snapshot_age.set(seconds(now.since(taken)));
        }
        if self.view.watermark() > Millis::MIN {
            metrics
                .watermark_delay
                .set(seconds(now.since(self.view.watermark())));
        }
        if self.ingest.disk_full() {
            self.health
                .set_behind(now, true, "the disk under the data directory is full");
        } else {
            self.health.set_caught_up();
        }
    }
}

fn show_sizes(metrics: &Metrics, stats: &Stats, position: Position) {
    metrics.profiles.set(whole(stats.profiles));
    metrics.items.set(whole(stats.items));
    metrics.pairs.set(whole(stats.pairs));
    metrics.episodes_open.set(whole(stats.episodes_open));
    for (class, bytes) in [
        ("profiles", stats.profile_bytes),
        ("items", stats.item_bytes),
    ] {
        metrics
            .state_bytes
            .with_label_values(&[class])
            .set(whole(bytes));
    }
    metrics.position.set(whole(position));
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}
