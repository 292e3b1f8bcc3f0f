//! `impulse serve`: restores the state and serves until told to stop.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "kafka")]
use crate::app::KafkaApp;
use crate::app::{App, AppError};
use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, Settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::pipeline::{Durability, EventSource, StartError};
use crate::server;
use crate::stream::embedded::{OpenError, Repair};

/// Serve gRPC and HTTP on a data directory.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse serve\n  impulse serve --data-dir /var/lib/impulse --config impulse.toml\n  impulse serve --source kafka\n  impulse serve --grpc-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --output json"
)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// Where the state lives; made if it is not there [default: ./impulse-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where gRPC is served [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Where HTTP is served [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// When an accepted event is acknowledged: `sync` after fdatasync, `os` after write [default: sync].
    #[arg(long, value_name = "MODE", value_parser = durability)]
    durability: Option<Durability>,
    /// Where events come from: `embedded` from callers into the log in the data directory, `kafka` from topics, with
    /// triggers to topics (settings of section `kafka`) [default: embedded].
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    source: Option<EventSource>,
    /// Allow addresses other than loopback although callers are not asked who they are.
    #[arg(long)]
    insecure: bool,
    /// Drop what lies behind damage in the log, and say what that is, instead of refusing to start.
    #[arg(long)]
    repair: bool,
}

impl Serve {
    fn change(&self, config: &mut Config) {
        if let Some(dir) = &self.data_dir {
            config.data.dir.clone_from(dir);
        }
        config.server.grpc_listen = self.grpc_listen.unwrap_or(config.server.grpc_listen);
        config.server.http_listen = self.http_listen.unwrap_or(config.server.http_listen);
        config.pipeline.durability = self.durability.unwrap_or(config.pipeline.durability);
        config.pipeline.source = self.source.unwrap_or(config.pipeline.source);
        config.server.insecure |= self.insecure;
    }
}

pub(crate) fn run(serve: &Serve, output: Output) -> Result<(), Failure> {
    let config = Config::load(serve.settings.config.as_deref(), |config| {
        serve.change(config);
    })
    .map_err(|mistakes| Failure::new(exit::CONFIG, mistakes))?;
    #[cfg(feature = "kafka")]
    if config.pipeline.source == EventSource::Kafka {
        return runtime()?.block_on(serve_kafka(&config, output));
    }
    let repair = if serve.repair {
        Repair::Cut
    } else {
        Repair::Refuse
    };
    runtime()?.block_on(async {
        let mut app = App::start(config.clone(), Clock::system(), repair)
            .await
            .map_err(failure)?;
        announce(&app, &config, output)?;
        let ended = told_to_stop(app.failed()).await;
        drained(app.stop()).await?;
        ended
    })
}

/// Waits for the signal to stop, or for a part that ends by itself.
async fn told_to_stop(failed: impl Future<Output = ()>) -> Result<(), Failure> {
    tokio::select! {
        signalled = stop_signal() => signalled.map_err(Failure::from),
        () = failed => Err(Failure::new(exit::SOFTWARE, "a part of the server ended by itself")),
    }
}

/// Lets it drain; a second signal ends the wait.
async fn drained(stop: impl Future<Output = ()>) -> Result<(), Failure> {
    tokio::select! {
        () = stop => Ok(()),
        second = stop_signal() => second.map_err(Failure::from),
    }
}

/// Serves what comes from Kafka. The ports are open at once, and `/readyz` says how far it is.
#[cfg(feature = "kafka")]
async fn serve_kafka(config: &Config, output: Output) -> Result<(), Failure> {
    let mut app = KafkaApp::start(config.clone(), Clock::system())
        .await
        .map_err(failure)?;
    announce_kafka(&app, config, output)?;
    let ended = told_to_stop(app.failed()).await;
    drained(app.stop()).await?;
    ended
}

#[cfg(feature = "kafka")]
fn announce_kafka(app: &KafkaApp, config: &Config, output: Output) -> Result<(), Failure> {
    let (grpc, http) = (app.server().grpc_address(), app.server().http_address());
    let (brokers, topics) = (&config.kafka.brokers, &config.kafka.topics);
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let line = serde_json::json!({
            "grpc": grpc.to_string(),
            "http": http.to_string(),
            "brokers": brokers,
            "group": config.kafka.group,
        });
        writeln!(out, "{line}")?;
    } else if !output.quiet {
        writeln!(out, "serving gRPC on {grpc} and HTTP on http://{http}/")?;
        writeln!(
            out,
            "events from {} at {brokers}, triggers to {}, in transactions",
            topics.events, topics.triggers
        )?;
        writeln!(out, "next: curl -s http://{http}/readyz")?;
    }
    out.flush()?;
    Ok(())
}

/// The runtime of every command that talks over the network.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Runtime::new().map_err(Failure::from)
}

/// Comes back when the process is asked to end: SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

/// What an error of the start means to whoever started.
pub(crate) fn failure(error: AppError) -> Failure {
    let code = match &error {
        AppError::State(StartError::Open(OpenError::Read(_)) | StartError::Record { .. }) => {
            exit::DATA
        }
        AppError::State(StartError::Open(OpenError::Locked { .. })) => exit::UNAVAILABLE,
        AppError::State(_) => exit::IO,
        #[cfg(feature = "kafka")]
        AppError::Kafka(_) => exit::CONFIG,
        AppError::Server(server::StartError::Settings(_)) => exit::CONFIG,
        AppError::Server(server::StartError::Listen { .. }) => exit::CANNOT_CREATE,
        AppError::Server(_) => exit::SOFTWARE,
    };
    Failure::new(code, error)
}

fn announce(app: &App, config: &Config, output: Output) -> Result<(), Failure> {
    let (grpc, http) = (app.server().grpc_address(), app.server().http_address());
    let recovery = app.recovery();
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let line = serde_json::json!({
            "grpc": grpc.to_string(),
            "http": http.to_string(),
            "dataDir": config.data.dir,
            "position": recovery.end.position,
            "snapshot": recovery.snapshot,
            "tornTails": recovery.torn_tails,
            "divergences": app.divergences(),
        });
        writeln!(out, "{line}")?;
    } else if !output.quiet {
        writeln!(out, "serving gRPC on {grpc} and HTTP on http://{http}/")?;
        writeln!(
            out,
            "state in {} at position {} (snapshot at {})",
            config.data.dir.display(),
            recovery.end.position,
            recovery.snapshot
        )?;
        for dropped in &recovery.dropped {
            writeln!(out, "dropped by --repair: {dropped:?}")?;
        }
        writeln!(out, "next: impulse health, or send an event:")?;
        writeln!(
            out,
            "  curl -s http://{http}/track-event -H 'content-type: application/json' \\\n    \
             -d '{{\"userId\": \"alice\", \"eventType\": \"product_view\", \"metadata\": {{\"itemId\": \"sku-1\"}}}}'"
        )?;
    }
    out.flush()?;
    Ok(())
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "sync" => Ok(Durability::Sync),
        "os" => Ok(Durability::Os),
        other => Err(format!("`{other}` is no durability; there are sync and os")),
    }
}

fn source(text: &str) -> Result<EventSource, String> {
    match text {
        "embedded" => Ok(EventSource::Embedded),
        "kafka" => Ok(EventSource::Kafka),
        other => Err(format!(
            "`{other}` is no source; there are embedded and kafka"
        )),
    }
}
