//! The serving path: gRPC and HTTP over the same functions.
//!
//! [`bind`] takes the ports, [`start`] serves on them until it is told to stop. Whether work is welcome is in
//! [`Health`], which the application holds too.

mod config;
mod connection;
mod error;
mod figures;
mod health;
mod limits;
mod service;
pub mod grpc;
mod http;
pub mod page;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::domain::Event;
use crate::metrics::Metrics;
use crate::pipeline::{Ingest, Views};
use crate::stream::embedded::TopicReader;

use self::connection::Limits;
use self::figures::AnswerTimes;
use self::service::Context;

pub use self::config::Config;
pub use self::error::{ERROR_DOMAIN, Error, Violation, code_name};
pub use self::health::{Behind, Health, Phase, State};

/// The ports of a server.
#[derive(Debug)]
pub struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
}

/// Readers of the embedded topic logs.
#[derive(Clone, Debug)]
pub struct Logs {
    /// Reads the trigger log.
    pub triggers: TopicReader,
    /// Reads the dead-letter log.
    pub dead_letters: TopicReader,
}

/// What a server works with.
#[derive(Debug)]
pub struct Parts {
    /// Reads the state.
    pub view: Views,
    /// Takes what arrives.
    pub ingest: Ingest,
    /// Accepted events as they become durable, for the page; sent only while somebody listens.
    pub events: broadcast::Sender<Arc<Event>>,
    /// Reads the trigger log and the dead-letter log; `None` where they are topics of Kafka.
    pub logs: Option<Logs>,
    /// Whether work is welcome.
    pub health: Health,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Wall time.
    pub clock: Clock,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// A port cannot be had.
    #[error("cannot listen on {address} ({name}): {error}")]
    Listen {
        /// The setting that names the address.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The descriptors of the messages are broken.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Takes the ports.
///
/// # Errors
///
/// If the settings are wrong or a port is taken.
pub async fn bind(config: &Config) -> Result<Listeners, StartError> {
    let mistakes = config.mistakes();
    if !mistakes.is_empty() {
        return Err(StartError::Settings(mistakes));
    }
    let listen = async |name, address| {
        TcpListener::bind(address)
            .await
            .map_err(|error| StartError::Listen {
                name,
                address,
                error,
            })
    };
    Ok(Listeners {
        grpc: listen("--grpc-listen", config.grpc_listen).await?,
        http: listen("--http-listen", config.http_listen).await?,
    })
}

impl Listeners {
    /// Where gRPC will be served.
    ///
    /// # Errors
    ///
    /// If the operating system does not say.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where HTTP will be served.
    ///
    /// # Errors
    ///
    /// If the operating system does not say.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }
}

/// Serves until [`Server::stop`].
///
/// # Errors
///
/// If the descriptors that reflection serves are broken.
pub fn start(config: Config, listeners: Listeners, parts: Parts) -> Result<Server, StartError> {
    let addresses = (listeners.grpc_address(), listeners.http_address());
    let grpc_address = addresses.0.unwrap_or(config.grpc_listen);
    let http_address = addresses.1.unwrap_or(config.http_listen);
    let (stop, stopping) = watch::channel(false);
    let limits = (Limits::grpc(&config), Limits::http(&config));
    let figures = watch::Sender::default();
    let context = Arc::new(Context {
        config,
        view: parts.view,
        ingest: parts.ingest,
        events: parts.events,
        logs: parts.logs,
        health: parts.health,
        metrics: Arc::clone(&parts.metrics),
        clock: parts.clock,
        answer_times: AnswerTimes::new(),
        figures: figures.clone(),
        stop: stopping.clone(),
    });
    let mut tasks = JoinSet::new();
    let grpc = grpc::service(&context)?;
    let http = http::service(&context);
    tasks.spawn(figures::run(context, figures));
    tasks.spawn(connection::serve(
        listeners.grpc,
        grpc,
        limits.0,
        Arc::clone(&parts.metrics),
        "grpc",
        stopping.clone(),
    ));
    tasks.spawn(connection::serve(
        listeners.http,
        http,
        limits.1,
        parts.metrics,
        "http",
        stopping,
    ));
    Ok(Server {
        grpc_address,
        http_address,
        stop,
        tasks,
    })
}

impl Server {
    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Takes no more connections, lets calls under way end within their grace, and returns when the last one has.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the server did not end well");
            }
        }
    }

    /// Returns only if a part of the server ended although nobody stopped it: a bug, after which the process cannot
    /// go on.
    pub async fn failed(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
