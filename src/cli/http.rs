//! One GET to a server's HTTP port: what only HTTP serves is read with it.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::exit::{self, Failure};

/// Longest wait for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The JSON at `path` of the server at `address`, as in `http://127.0.0.1:8080`.
pub(crate) async fn get_json(address: &str, path: &str) -> Result<serde_json::Value, Failure> {
    let authority = address
        .strip_prefix("http://")
        .unwrap_or(address)
        .trim_end_matches('/');
    let answer = tokio::time::timeout(TIMEOUT, get(authority, path)).await;
    let (status, body) = answer
        .map_err(|_| Failure::new(exit::UNAVAILABLE, format!("{address} does not answer")))?
        .map_err(|error| {
            let hint = "is a server running? start one with: impulse serve";
            Failure::new(exit::UNAVAILABLE, format!("{address}: {error}; {hint}"))
        })?;
    let value: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|error| Failure::new(exit::UNAVAILABLE, format!("{address}{path}: {error}")))?;
    if status.is_success() {
        return Ok(value);
    }
    let told = value
        .pointer("/error/message")
        .and_then(|text| text.as_str());
    let told = told.unwrap_or("no reason given");
    let code = if status.is_client_error() {
        exit::USAGE
    } else {
        exit::UNAVAILABLE
    };
    Err(Failure::new(
        code,
        format!("{address}{path}: {status}: {told}"),
    ))
}

type Answer = Result<(http::StatusCode, Vec<u8>), Box<dyn std::error::Error + Send + Sync>>;

async fn get(authority: &str, path: &str) -> Answer {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, authority)
        .header(http::header::ACCEPT, "application/json")
        .body(Empty)?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Some(part) = frame?.data_ref() {
            bytes.extend_from_slice(part);
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too large".into());
        }
    }
    driver.abort();
    Ok((status, bytes))
}

/// A body without anything in it.
struct Empty;

impl http_body::Body for Empty {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}
