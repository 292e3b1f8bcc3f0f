//! What a caller is told when a request fails: one form for gRPC and HTTP, as AIP-193 lays down.
//!
//! Every error carries exactly one `ErrorInfo` with a reason that programs can match on, and each other detail at
//! most once. What went wrong inside never leaves the process.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::domain::{Position, Rejection, RejectionReason, Stage};
use crate::engine::QueryError;
use crate::pipeline::{Away, Refused};

/// The `domain` of every `ErrorInfo`: who defines the reasons.
pub const ERROR_DOMAIN: &str = "impulse.dev";

/// How long a caller is asked to wait before it tries again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How many violations an error lists. gRPC sends errors in headers, which clients bound.
const VIOLATIONS_MAX: usize = 16;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(Box<Told>);

#[derive(Clone, Debug, PartialEq)]
struct Told {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: BTreeMap<&'static str, String>,
    violations: Vec<Violation>,
    resource: Option<Resource>,
    retry_after: Option<Duration>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, as the wire names it.
    pub field: String,
    /// What was found and what is expected.
    pub detail: String,
    /// Why, in one upper-case word.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Resource {
    kind: &'static str,
    name: String,
}

impl Error {
    fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            code,
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            resource: None,
            retry_after: None,
        }))
    }

    fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.0.metadata.insert(key, cut(&value.to_string()));
        self
    }

    fn not_found(reason: &'static str, kind: &'static str, name: &str, hint: &str) -> Self {
        let mut error = Self::new(
            Code::NotFound,
            reason,
            format!("no {kind} {}{hint}", shown(name)),
        )
        .with(kind, name);
        error.0.resource = Some(Resource {
            kind,
            name: cut(name),
        });
        error
    }

    /// Fields of a request are wrong; there is at least one violation. The first ones are listed, all are counted.
    pub fn invalid(mut violations: Vec<Violation>) -> Self {
        let found = violations.len();
        violations.truncate(VIOLATIONS_MAX);
        let lines: Vec<String> = violations.iter().take(3).map(Violation::line).collect();
        let mut message = lines.join("; ");
        if found > lines.len() {
            let more = found - lines.len();
            message = format!("{message}; and {more} more");
        }
        let fields: Vec<&str> = violations.iter().map(|one| one.field.as_str()).collect();
        let mut error = Self::new(Code::InvalidArgument, "INVALID_REQUEST", message)
            .with("fields", fields.join(","))
            .with("violations", found);
        error.0.violations = violations;
        error
    }

    /// One field of a request is wrong.
    pub fn invalid_field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![Violation::new(field, detail)])
    }

    /// A whole body or message that cannot be read.
    pub fn malformed(rejection: &Rejection) -> Self {
        let mut error = Self::invalid(vec![Violation::of(rejection, "")]);
        error.0.reason = "MALFORMED";
        error.with("reason", rejection.reason.name())
    }

    /// What a gate refused of a body that holds one message.
    pub fn rejected(rejection: &Rejection) -> Self {
        if rejection.stage == Stage::Parse {
            return Self::malformed(rejection);
        }
        Self::invalid(vec![Violation::of(rejection, "")])
    }

    /// More entries than one request may have.
    pub fn too_many(field: &'static str, found: usize, limit: usize) -> Self {
        let mut error = Self::invalid(vec![Violation {
            field: field.to_owned(),
            detail: format!("{found} entries; a request may have at most {limit}"),
            reason: "TOO_MANY".to_owned(),
        }]);
        error.0.reason = "TOO_MANY";
        error.with("found", found).with("limit", limit)
    }

    /// More bytes than one request may have.
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            Code::ResourceExhausted,
            "REQUEST_TOO_LARGE",
            format!("the request is larger than {limit_bytes} bytes, the limit for one"),
        )
        .with("limitBytes", limit_bytes)
    }

    /// The engine cannot answer the query.
    pub fn query(error: &QueryError) -> Self {
        match error {
            QueryError::PlacementNotFound(name, known) => {
                let hint = format!("; the configuration has: {known}");
                Self::not_found("PLACEMENT_NOT_FOUND", "placement", name, &hint)
                    .with("placements", known)
            }
        }
    }

    /// Nothing is known of this shopper.
    pub fn user_not_found(user: &str) -> Self {
        Self::not_found("USER_NOT_FOUND", "user", user, "; no event named them yet")
    }

    /// This item was never seen.
    pub fn item_not_found(item: &str) -> Self {
        let hint = "; it is neither in the catalog nor in an event";
        Self::not_found("ITEM_NOT_FOUND", "item", item, hint)
    }

    /// No such route.
    pub fn route_not_found(method: &str, path: &str) -> Self {
        let hint = "; /openapi.json lists them all";
        Self::not_found("ROUTE_NOT_FOUND", "path", path, hint).with("method", method)
    }

    /// The route is there, for other methods.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let message = format!("{method} is not offered here; /openapi.json lists the methods");
        let mut error = Self::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", message)
            .with("method", method)
            .with("path", path);
        error.0.resource = Some(Resource {
            kind: "path",
            name: cut(path),
        });
        error
    }

    /// The body is of a form that is not read here.
    pub fn unsupported_media_type(header: &'static str, found: &str, expected: &str) -> Self {
        let message = format!("{header} {} is not read here; {expected} is", shown(found));
        Self::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", message).with(header, found)
    }

    /// A batch was not taken.
    pub fn refused(refused: &Refused) -> Self {
        let (code, reason) = match refused {
            Refused::Overloaded => (Code::ResourceExhausted, "OVERLOADED"),
            Refused::DiskFull => (Code::ResourceExhausted, "DISK_FULL"),
            Refused::ShuttingDown => (Code::Unavailable, "SHUTTING_DOWN"),
            Refused::Unreachable => (Code::Unavailable, "KAFKA_UNREACHABLE"),
        };
        let mut error = Self::new(code, reason, format!("{refused}; send it again later"));
        error.0.retry_after = Some(RETRY_AFTER);
        error
    }

    /// The state is not there yet, or the server goes down.
    pub fn unavailable(reason: &'static str, why: &str) -> Self {
        let mut error = Self::new(Code::Unavailable, reason, why);
        error.0.retry_after = Some(RETRY_AFTER);
        error
    }

    /// The logs are topics of Kafka.
    pub fn logs_in_kafka() -> Self {
        let why = "this server writes triggers and dead letters to Kafka; read them there (topics `impulse.triggers.v1` and \
                   `impulse.events.v1.dlq` unless kafka.topics names others)";
        Self::new(Code::FailedPrecondition, "LOGS_IN_KAFKA", why)
    }

    /// Every partition has positions of its own.
    pub fn positions_in_kafka() -> Self {
        let why = "with events from Kafka there is one position a partition and min_position cannot name one; leave it out";
        Self::new(Code::FailedPrecondition, "POSITIONS_IN_KAFKA", why)
    }

    /// The shopper's partition is in another process, or being taken over.
    pub fn not_owner(away: Away) -> Self {
        let partition = away.partition;
        let why = format!(
            "the shopper's partition {partition} is not here; another instance of the group has it"
        );
        Self::unavailable("NOT_OWNER", &why).with("partition", partition)
    }

    /// The state is older than the request allows.
    pub fn stale(age_ms: u64, limit_ms: u64) -> Self {
        let message = format!("the state is {age_ms} ms old; the request allows {limit_ms} ms");
        Self::unavailable("STALE", &message)
            .with("ageMs", age_ms)
            .with("limitMs", limit_ms)
    }

    /// The deadline came first.
    pub fn deadline(limit: Duration) -> Self {
        let ms = limit.as_millis();
        Self::new(
            Code::DeadlineExceeded,
            "DEADLINE",
            format!("no answer within {ms} ms"),
        )
        .with("limitMs", ms)
    }

    /// The deadline came before the state held the position asked for.
    pub fn position_not_reached(wanted: Position, position: Position) -> Self {
        let message = format!("the state is at position {position}, short of {wanted}");
        Self::new(Code::DeadlineExceeded, "POSITION_NOT_REACHED", message)
            .with("position", position)
            .with("minPosition", wanted)
    }

    /// A bug of ours; the cause stays inside.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "INTERNAL",
            "the server hit a bug; it goes on, and has counted this",
        )
    }

    /// What a status without details says, in this form: it comes from the library below, which met a call that it
    /// could not bring to a handler.
    pub fn complete(status: &Status, limit_bytes: usize) -> Self {
        let text = status.message();
        match status.code() {
            Code::Unimplemented if text.is_empty() => Self::new(
                Code::Unimplemented,
                "METHOD_NOT_FOUND",
                "no such method; reflection lists them all",
            ),
            Code::Unimplemented => Self::new(Code::Unimplemented, "UNSUPPORTED_ENCODING", text),
            // A message above the limit, as it came and unpacked.
            Code::OutOfRange | Code::ResourceExhausted => Self::too_large(limit_bytes),
            Code::NotFound => Self::new(Code::NotFound, "NOT_FOUND", text),
            Code::Cancelled => Self::new(Code::Cancelled, "CANCELLED", text),
            Code::Unavailable => Self::unavailable("UNAVAILABLE", text),
            // Frames, lengths and compression that are not as gRPC lays down.
            Code::Internal | Code::InvalidArgument => Self::malformed(&Rejection {
                stage: Stage::Parse,
                reason: RejectionReason::MalformedProtobuf,
                field: String::new(),
                detail: "the message is not framed or compressed as gRPC lays down".to_owned(),
            }),
            Code::Ok
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::DataLoss
            | Code::Unauthenticated => Self::internal(),
        }
    }

    /// The code of gRPC.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The reason that programs match on.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// As gRPC says it.
    pub fn to_status(&self) -> Status {
        let mut details = ErrorDetails::new();
        let metadata: HashMap<String, String> = self
            .0
            .metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        details.set_error_info(self.0.reason, ERROR_DOMAIN, metadata);
        if !self.0.violations.is_empty() {
            details.set_bad_request(
                self.0
                    .violations
                    .iter()
                    .map(|one| FieldViolation {
                        reason: one.reason.clone(),
                        ..FieldViolation::new(&one.field, &one.detail)
                    })
                    .collect::<Vec<_>>(),
            );
        }
        if let Some(resource) = &self.0.resource {
            details.set_resource_info(resource.kind, &resource.name, "", &self.0.message);
        }
        if let Some(after) = self.0.retry_after {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(self.0.code, &self.0.message, details)
    }

    /// The status line of HTTP.
    pub fn http_status(&self) -> StatusCode {
        match (self.0.code, self.0.reason) {
            (_, "REQUEST_TOO_LARGE") => StatusCode::PAYLOAD_TOO_LARGE,
            (_, "METHOD_NOT_ALLOWED") => StatusCode::METHOD_NOT_ALLOWED,
            (_, "UNSUPPORTED_MEDIA_TYPE") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            (_, "DISK_FULL") => StatusCode::INSUFFICIENT_STORAGE,
            (code, _) => status_of(code),
        }
    }

    /// The value of `Retry-After`, in whole seconds, if the caller may try again.
    pub fn retry_after(&self) -> Option<HeaderValue> {
        self.0
            .retry_after
            .map(|after| HeaderValue::from(after.as_secs().max(1)))
    }

    /// As HTTP says it: the JSON form of `google.rpc.Status` under `error`, with the numeric code of HTTP.
    pub fn to_json(&self) -> Value {
        let typed = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
        let mut details = vec![json!({
            "@type": typed("ErrorInfo"),
            "reason": self.0.reason,
            "domain": ERROR_DOMAIN,
            "metadata": self.0.metadata,
        })];
        if !self.0.violations.is_empty() {
            let violations: Vec<Value> = self.0.violations.iter().map(Violation::to_json).collect();
            details.push(json!({"@type": typed("BadRequest"), "fieldViolations": violations}));
        }
        if let Some(resource) = &self.0.resource {
            details.push(json!({
                "@type": typed("ResourceInfo"),
                "resourceType": resource.kind,
                "resourceName": resource.name,
                "description": self.0.message,
            }));
        }
        if let Some(after) = self.0.retry_after {
            let seconds = format!("{:.3}s", after.as_secs_f64());
            details.push(json!({"@type": typed("RetryInfo"), "retryDelay": seconds}));
        }
        json!({"error": {
            "code": self.http_status().as_u16(),
            "message": self.0.message,
            "status": code_name(self.0.code),
            "details": details,
        }})
    }
}

impl Violation {
    /// A field with a value that cannot be.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            detail: detail.into(),
            reason: "INVALID_VALUE".to_owned(),
        }
    }

    /// What a gate refused; `prefix` is where in the request the message stands.
    pub fn of(rejection: &Rejection, prefix: &str) -> Self {
        let dot = if prefix.is_empty() || rejection.field.is_empty() {
            ""
        } else {
            "."
        };
        Self {
            field: format!("{prefix}{dot}{}", rejection.field),
            detail: rejection.detail.clone(),
            reason: rejection.reason.name().to_ascii_uppercase(),
        }
    }

    fn line(&self) -> String {
        if self.field.is_empty() {
            return cut(&self.detail);
        }
        cut(&format!("{}: {}", self.field, self.detail))
    }

    fn to_json(&self) -> Value {
        json!({"field": self.field, "description": self.detail, "reason": self.reason})
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.to_status()
    }
}

impl axum::response::IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        let mut response = (self.http_status(), axum::Json(self.to_json())).into_response();
        if let Some(after) = self.retry_after() {
            response
                .headers_mut()
                .insert(http::header::RETRY_AFTER, after);
        }
        response
    }
}

/// The name of a code, as metrics and JSON have it.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The mapping of `google.rpc.Code`.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A caller's word in a message: escaped, and cut so that a hostile one cannot flood a log.
pub(super) fn shown(word: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut start: String = word.chars().take(CHARS_MAX).collect();
    if start.len() < word.len() {
        start.push('…');
    }
    format!("{start:?}")
}

/// A text cut to what a header can bear.
fn cut(text: &str) -> String {
    const BYTES_MAX: usize = 300;
    if text.len() <= BYTES_MAX {
        return text.to_owned();
    }
    let mut start = text[..text.floor_char_boundary(BYTES_MAX)].to_owned();
    start.push('…');
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_error() -> Vec<Error> {
        let rejection = Rejection {
            stage: Stage::Value,
            reason: RejectionReason::InvalidValue,
            field: "price".into(),
            detail: "-1 is below 0".into(),
        };
        vec![
            Error::invalid(vec![
                Violation::of(&rejection, "items[3]"),
                Violation::new("a", "b"),
            ]),
            Error::invalid_field("limit", "101 is above 100"),
            Error::malformed(&rejection),
            Error::too_many("events", 100_000, 1_000),
            Error::too_large(4 << 20),
            Error::query(&QueryError::PlacementNotFound(
                "hom".into(),
                "home, cart".into(),
            )),
            Error::user_not_found("u"),
            Error::item_not_found("i"),
            Error::route_not_found("GET", "/nowhere"),
            Error::method_not_allowed("PUT", "/v1/events"),
            Error::unsupported_media_type("content-encoding", "br", "identity"),
            Error::refused(&Refused::Overloaded),
            Error::refused(&Refused::DiskFull),
            Error::refused(&Refused::ShuttingDown),
            Error::unavailable("RESTORING", "the state is being restored"),
            Error::stale(900, 100),
            Error::deadline(Duration::from_millis(200)),
            Error::position_not_reached(10, 7),
            Error::internal(),
        ]
    }

    #[test]
    fn every_error_has_one_error_info_and_each_detail_once_in_both_forms() {
        for error in every_error() {
            let status = error.to_status();
            let details = status.get_error_details_vec();
            assert_eq!(status.code(), error.code());
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (error.0.reason, ERROR_DOMAIN)
            );
            assert!(
                info.reason
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c == '_')
            );

            let json = error.to_json();
            let listed = json["error"]["details"].as_array().unwrap();
            assert_eq!(listed.len(), details.len(), "{json}");
            let mut types: Vec<&str> = listed
                .iter()
                .map(|d| d["@type"].as_str().unwrap())
                .collect();
            types.sort_unstable();
            types.dedup();
            assert_eq!(types.len(), listed.len(), "{json}");
            assert_eq!(listed[0]["reason"], error.0.reason);
            assert_eq!(json["error"]["message"], status.message());
            assert_eq!(json["error"]["code"], error.http_status().as_u16());
        }
    }

    #[test]
    fn every_reason_is_its_own() {
        let mut seen = std::collections::BTreeMap::new();
        for error in every_error() {
            if let Some(code) = seen.insert(error.0.reason, error.0.code) {
                assert_eq!(code, error.0.code, "{}", error.0.reason);
            }
        }
    }

    #[test]
    fn a_violation_names_its_place_in_the_request() {
        let error = &every_error()[0];
        let status = error.to_status();
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].field, "items[3].price");
        assert_eq!(bad.field_violations[0].description, "-1 is below 0");
        assert_eq!(bad.field_violations.len(), 2);
    }

    #[test]
    fn a_thousand_violations_fit_the_headers() {
        let all = (0..1_000)
            .map(|n| Violation::new(format!("items[{n}].price"), "x".repeat(200)))
            .collect();
        let error = Error::invalid(all);
        assert_eq!(error.0.metadata["violations"], "1000");
        assert!(error.to_status().details().len() < 6_000);
        assert!(error.0.message.ends_with("and 997 more"));
    }

    #[test]
    fn text_of_bugs_stays_inside() {
        for status in [Status::internal("row.rs"), Status::unknown("row.rs")] {
            let error = Error::complete(&status, 1_024);
            assert!(!error.to_json().to_string().contains("row.rs"));
        }
    }

    #[test]
    fn hostile_words_are_escaped_and_cut() {
        let word = format!("\u{0}{}", "x".repeat(10_000));
        let error = Error::user_not_found(&word);
        assert!(error.0.message.len() < 200, "{}", error.0.message);
        assert!(error.0.message.contains("\\0"));
    }
}
