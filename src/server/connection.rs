//! Accepts connections of both protocols, and bounds what one of them can take.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{Service, ServiceExt as _};

use crate::metrics::Metrics;
use crate::server::Config;

/// A caller that connects sends its first request within this time.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The head of an HTTP/1 request, and the wait for the next one, take at most this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// HTTP/2 connections that are silent for the interval are asked for a sign of life, and closed without one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of all headers of a request.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Most headers of an HTTP/1 request.
const HEADERS_MAX: usize = 64;
/// After an error that is not the caller's (no file descriptors are left) the next attempt waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection needs to end once its grace is over.
const ENDING: Duration = Duration::from_millis(500);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Most connections at once.
    connections_max: usize,
    /// Most calls at once on one of them.
    streams_max: u32,
    /// A connection is closed after this time.
    age_max: Option<Duration>,
    /// Calls under way have this time to end once their connection is too old.
    grace: Duration,
    /// Calls under way have this time to end once the server goes down.
    shutdown_grace: Duration,
}

impl Limits {
    /// Of gRPC: a connection is long-lived and is renewed now and then.
    pub(super) fn grpc(config: &Config) -> Self {
        Self {
            connections_max: config.connections_max,
            streams_max: config.connection_streams_max,
            age_max: Some(Duration::from_millis(config.connection_age_max_ms)),
            grace: Duration::from_millis(config.connection_grace_ms),
            shutdown_grace: Duration::from_millis(config.shutdown_grace_ms),
        }
    }

    /// Of HTTP: an idle connection ends by itself.
    pub(super) fn http(config: &Config) -> Self {
        Self {
            age_max: None,
            ..Self::grpc(config)
        }
    }
}

/// Serves `service` on every connection to `listener` until `stop` holds true; ends when the last connection has.
pub(super) async fn serve<S>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    metrics: Arc<Metrics>,
    protocol: &'static str,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let open = metrics.connections_open.with_label_values(&[protocol]);
    let server = builder(limits);
    loop {
        // A connection beyond the limit stays in the backlog of the operating system until one ends.
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            metrics.limit_reached("connections_max");
            tokio::select! {
                _ = Arc::clone(&permits).acquire_owned() => continue,
                () = stopped(&mut stop) => break,
            }
        };
        let accepted = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok(stream) => {
                let guard = Open::new(&open, permit);
                let connection = connection(
                    stream,
                    service.clone(),
                    Arc::clone(&server),
                    limits,
                    stop.clone(),
                );
                tokio::spawn(async move {
                    connection.await;
                    drop(guard);
                });
            }
            Err(error) if is_of_caller(&error) => {}
            Err(error) => {
                tracing::warn!(%error, protocol, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    // Every connection cuts itself off after the grace; this waits for the last of them.
    let longest = limits.shutdown_grace + ENDING;
    let ended = tokio::time::timeout(longest, permits.acquire_many(all));
    if ended.await.is_err() {
        tracing::warn!(protocol, open = open.get(), "connections cut at the end");
    }
}

/// The next connection, with its socket set up: small answers leave at once instead of waiting for more.
async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Serves one connection to its end.
async fn connection<S>(
    stream: TcpStream,
    service: S,
    server: Arc<Builder<TokioExecutor>>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let begun = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&begun);
    let service = service.map_request(move |request: http::Request<hyper::body::Incoming>| {
        first.store(true, Ordering::Relaxed);
        request.map(Body::new)
    });
    let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(serving);
    let first_request = async {
        tokio::time::sleep(FIRST_REQUEST_TIMEOUT).await;
        if begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let age = async {
        match limits.age_max {
            Some(age) => tokio::time::sleep(age).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // An error here is the caller's: a broken request line, a reset.
        _ = serving.as_mut() => return,
        () = first_request => return,
        () = age => {}
        () = stopped(&mut stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    let shutdown = async {
        stopped(&mut stop).await;
        tokio::time::sleep(limits.shutdown_grace).await;
    };
    tokio::select! {
        _ = serving => {}
        () = tokio::time::sleep(limits.grace) => tracing::debug!("a connection outlived its age"),
        () = shutdown => tracing::debug!("a connection outlived the server"),
    }
}

fn builder(limits: Limits) -> Arc<Builder<TokioExecutor>> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_header_list_size(HEADER_BYTES_MAX);
    Arc::new(builder)
}

/// Returns once the server is told to stop, or whoever would tell it is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// The caller went away before it was served.
fn is_of_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
    )
}

/// Counts a connection while it is open.
struct Open {
    gauge: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(gauge: &IntGauge, permit: OwnedSemaphorePermit) -> Self {
        gauge.inc();
        Self {
            gauge: gauge.clone(),
            _permit: permit,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_socket_sends_small_answers_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (caller, accepted) = tokio::join!(TcpStream::connect(address), accept(&listener));
        assert!(accepted.unwrap().nodelay().unwrap());
        drop(caller);
    }
}
