//! Reads bodies and query strings, and says what is wrong with them.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{Rejection, RejectionReason, Stage};
use crate::server::Error;
use crate::server::limits::Call;
use crate::server::service::Context;

/// A body above the limit is read on up to this many times the limit, so that its sender hears the answer.
const OVERFLOW_FACTOR: usize = 8;

/// The call that a request belongs to.
pub(super) fn call_of(request: &Request) -> Call {
    // Every request passes the guard; one that did not would have no time left.
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(|| Call::begin(std::time::Duration::ZERO))
}

/// The whole body.
///
/// # Errors
///
/// If it is larger than allowed, packed, or ends early.
pub(super) async fn read(context: &Context, request: Request) -> Result<Bytes, Error> {
    let limit = context.config.request_bytes_max;
    check_encoding(request.headers())?;
    let mut stream = request.into_body().into_data_stream();
    let mut found = 0;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| cut_short())?;
        found += chunk.len();
        if found > limit.saturating_mul(OVERFLOW_FACTOR) {
            break;
        }
        if found > limit {
            rest = BytesMut::new();
        } else if first.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&chunk);
        }
    }
    if found > limit {
        context.metrics.limit_reached("request_bytes_max");
        return Err(Error::too_large(limit));
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Error> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(());
    };
    if value == "identity" {
        return Ok(());
    }
    let found = String::from_utf8_lossy(value.as_bytes());
    Err(Error::unsupported_media_type(
        "content-encoding",
        &found,
        "identity",
    ))
}

fn cut_short() -> Error {
    Error::malformed(&Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedJson,
        field: String::new(),
        detail: "the body ended early".to_owned(),
    })
}

/// The message in a JSON body, its names in either case.
///
/// # Errors
///
/// `INVALID_ARGUMENT` with the field that cannot be read.
pub(super) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    let read = read.map_err(|error| {
        let field = error.path().to_string();
        refusal(
            if field == "." { String::new() } else { field },
            &error.into_inner(),
        )
    })?;
    reader
        .end()
        .map_err(|error| refusal(String::new(), &error))?;
    Ok(read)
}

fn refusal(field: String, error: &serde_json::Error) -> Error {
    if error.is_data() {
        return Error::invalid_field(field, error.to_string());
    }
    Error::malformed(&Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedJson,
        field: String::new(),
        detail: format!("not JSON: {error}"),
    })
}

/// A message as JSON.
pub(super) fn json<T: Serialize>(message: &T) -> Response {
    match serde_json::to_vec(message) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            // Our messages have text keys and finite numbers, so this is a bug.
            tracing::error!(%error, "an answer cannot be written as JSON");
            Error::internal().into_response()
        }
    }
}

/// The parameters of a query string; names are in either case, unknown ones are passed over.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of a request.
    ///
    /// # Errors
    ///
    /// If the query string cannot be read.
    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map(|query| Self(query.0))
            .map_err(|error| Error::invalid_field("", error.body_text()))
    }

    /// The last value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        let snake = snake_case(name).into_owned();
        self.0
            .iter()
            .filter(move |(key, _)| snake_case(key) == snake)
            .map(|(_, value)| value.as_str())
    }

    /// A number; 0 if it is not given.
    ///
    /// # Errors
    ///
    /// If it is no whole number of its type.
    pub(super) fn number<N>(&self, name: &str) -> Result<N, Error>
    where
        N: FromStr<Err: Display> + Default,
    {
        let Some(text) = self.text(name) else {
            return Ok(N::default());
        };
        text.parse().map_err(|why| {
            let shown = crate::server::error::shown(text);
            Error::invalid_field(name, format!("{shown} is no whole number: {why}"))
        })
    }
}

/// `minPosition` as `min_position`.
fn snake_case(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    Cow::Owned(snake)
}

/// A header that answers which must not be kept carry.
pub(super) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::wire::proto;

    fn params(query: &str) -> Params {
        let request = Request::builder()
            .uri(format!("/x?{query}"))
            .body(Body::empty())
            .unwrap();
        Params::of(&request).unwrap()
    }

    #[test]
    fn parameters_are_read_in_either_case() {
        let params = params("minPosition=7&item=a&item=b%20c&limit=");
        assert_eq!(params.number::<u64>("min_position"), Ok(7));
        assert_eq!(params.all("item").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!(params.number::<u32>("from"), Ok(0));
        let error = params.number::<u32>("limit").unwrap_err();
        assert_eq!(error.reason(), "INVALID_REQUEST");
    }

    #[test]
    fn a_body_of_another_shape_names_its_field() {
        let read = |body: &str| message::<proto::ExplainRequest>(body.as_bytes());
        let json = read(r#"{"itemId":"i","request":{"placement":"home","limit":"many"}}"#)
            .unwrap_err()
            .to_json();
        let violation = &json["error"]["details"][1]["fieldViolations"][0];
        assert_eq!(violation["field"], "request.limit", "{json}");
        assert_eq!(read("{\"itemId\":").unwrap_err().reason(), "MALFORMED");
        assert_eq!(read("{} {}").unwrap_err().reason(), "MALFORMED");
        assert_eq!(read("[]").unwrap_err().reason(), "INVALID_REQUEST");
        assert_eq!(
            read(r#"{"item_id":"i"}"#).unwrap(),
            read(r#"{"itemId":"i"}"#).unwrap()
        );
    }
}
