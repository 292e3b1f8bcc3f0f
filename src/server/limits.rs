//! Deadlines: how long a call may take, and what happens when it does not end in time.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use http::HeaderMap;

use crate::clock::{Deadline, Stopwatch};
use crate::server::Error;

/// The header in which a caller of HTTP says how many milliseconds it waits.
pub(super) const HTTP_TIMEOUT_HEADER: &str = "x-request-timeout-ms";
/// The header in which a caller of gRPC says how long it waits.
const GRPC_TIMEOUT_HEADER: &str = "grpc-timeout";
/// A handler that waits gives up this long before the deadline, so that it can say what it waited for.
const ANSWER_MARGIN: Duration = Duration::from_millis(3);

/// A call under way; handed to its handler.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it began.
    pub(super) started: Stopwatch,
    /// When it ends at the latest.
    deadline: Deadline,
}

impl Call {
    /// A call that begins now.
    pub(super) fn begin(limit: Duration) -> Self {
        Self {
            started: Stopwatch::start(),
            deadline: Deadline::after(limit),
        }
    }

    /// How long a handler may still wait for something.
    pub(super) fn patience(&self) -> Duration {
        self.deadline.left().saturating_sub(ANSWER_MARGIN)
    }
}

/// What the caller of gRPC allows, held to `limit`.
pub(super) fn grpc_limit(headers: &HeaderMap, limit: Duration) -> Duration {
    headers
        .get(GRPC_TIMEOUT_HEADER)
        .and_then(|value| parse_grpc_timeout(value.to_str().ok()?))
        .map_or(limit, |wanted| wanted.min(limit))
}

/// What the caller of HTTP allows, held to `limit`.
///
/// # Errors
///
/// If the header is no number.
pub(super) fn http_limit(headers: &HeaderMap, limit: Duration) -> Result<Duration, Error> {
    let Some(value) = headers.get(HTTP_TIMEOUT_HEADER) else {
        return Ok(limit);
    };
    let ms = value.to_str().ok().and_then(|text| text.parse().ok());
    ms.map(|ms| Duration::from_millis(ms).min(limit))
        .ok_or_else(|| {
            Error::invalid_field(HTTP_TIMEOUT_HEADER, "not a whole number of milliseconds")
        })
}

/// Runs a call until it ends, its deadline passes or it panics; what is left of it is dropped, and so stops.
///
/// # Errors
///
/// `DEADLINE_EXCEEDED` or INTERNAL.
pub(super) async fn bounded<F: Future>(
    limit: Option<Duration>,
    call: F,
) -> Result<F::Output, Error> {
    // What a panic leaves behind is the call's own; shared state is behind locks that do not poison.
    let call = AssertUnwindSafe(call).catch_unwind();
    let outcome = match limit {
        None => call.await,
        Some(limit) => match tokio::time::timeout(limit, call).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(Error::deadline(limit)),
        },
    };
    outcome.map_err(|_| Error::internal())
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_grpc_are_read_and_capped() {
        let limit = Duration::from_millis(200);
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT_HEADER, text.parse().unwrap());
            grpc_limit(&headers, limit)
        };
        assert_eq!(with("50m"), Duration::from_millis(50));
        assert_eq!(with("5000u"), Duration::from_millis(5));
        assert_eq!(with("99999999n"), Duration::from_nanos(99_999_999));
        assert_eq!(with("1H"), limit);
        for no_timeout in ["", "m", "5", "5x", "-5m", "123456789m", "5 m", "ü"] {
            let value = http::HeaderValue::from_bytes(no_timeout.as_bytes()).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT_HEADER, value);
            assert_eq!(grpc_limit(&headers, limit), limit, "{no_timeout}");
        }
        assert_eq!(grpc_limit(&HeaderMap::new(), limit), limit);
    }

    #[test]
    fn timeouts_of_http_are_read_and_capped() {
        let limit = Duration::from_millis(200);
        let with = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HTTP_TIMEOUT_HEADER, text.parse().unwrap());
            http_limit(&headers, limit)
        };
        assert_eq!(with("50"), Ok(Duration::from_millis(50)));
        assert_eq!(with("5000"), Ok(limit));
        assert_eq!(with("soon").unwrap_err().reason(), "INVALID_REQUEST");
    }

    #[tokio::test]
    async fn a_late_call_stops_and_a_panic_is_internal() {
        let (dropped, gone) = tokio::sync::oneshot::channel::<()>();
        let late = bounded(Some(Duration::ZERO), async move {
            std::future::pending::<()>().await;
            drop(dropped);
        });
        assert_eq!(late.await.unwrap_err().reason(), "DEADLINE");
        assert!(gone.await.is_err(), "the work is dropped");

        let bug = bounded(None, async { panic!("row 7") });
        assert_eq!(bug.await.map(|(): ()| ()).unwrap_err(), Error::internal());
    }
}
