//! Events in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::domain::{Event, Rejection, Stage};
use crate::pipeline::{Entry, Origin, Status};
use crate::server::Error;
use crate::server::service::{Context, entry, trace_of};
use crate::wire;
use crate::wire::json::Decoded;

use super::openapi::Operation;
use super::{Routes, body};

const MEDIA_TYPE: &str = "application/json";

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    let one_or_many = "Records one event or a batch of at most 1,000";
    routes
        .add(
            Operation::post("/v1/events", one_or_many)
                .body("EventBatch")
                .answers("EventResults"),
            record,
        )
        .add(
            Operation::post("/track-event", "Records one event")
                .body("TrackedEvent")
                .answers("Tracked"),
            track,
        )
}

/// `POST /v1/events`: one event, an array, or an object with `events`; says what became of each.
async fn record(State(context): State<Arc<Context>>, request: Request) -> Result<Response, Error> {
    let trace = trace_of(request.headers());
    let body = body::read(&context, request).await?;
    let decoded = match wire::json::events(&body) {
        Ok(decoded) => decoded,
        Err(rejection) => return Err(refuse_body(&context, rejection, body.clone()).await),
    };
    let mut ids = Vec::with_capacity(decoded.len());
    let mut entries = Vec::with_capacity(decoded.len());
    for Decoded { raw, value } in decoded {
        ids.push(event_id(&value, raw));
        entries.push(entry(value, trace, body.slice_ref(raw), MEDIA_TYPE));
    }
    if entries.is_empty() {
        let position = context.view.position();
        return Ok(body::json(&json!({"results": [], "position": position})));
    }
    let receipt = context.record(Origin::Http, entries).await?;
    let results: Vec<Value> = ids
        .into_iter()
        .zip(&receipt.statuses)
        .map(|(id, became)| result(&id, became))
        .collect();
    Ok(body::json(
        &json!({"results": results, "position": receipt.position}),
    ))
}

/// `POST /track-event`: one event as `{userId, eventType, metadata}`.
async fn track(State(context): State<Arc<Context>>, request: Request) -> Result<Response, Error> {
    let trace = trace_of(request.headers());
    let body = body::read(&context, request).await?;
    let event = wire::json::event(&body);
    let entry: Entry = entry(event, trace, body.clone(), MEDIA_TYPE);
    let receipt = context.record(Origin::Http, vec![entry]).await?;
    match receipt.statuses.into_iter().next() {
        Some(Status::Rejected(rejection)) => Err(Error::rejected(&rejection)),
        _ => Ok(body::json(&json!({"status": "event recorded"}))),
    }
}

/// What a caller is told about a body that is no batch. What cannot be read is kept; what is too much is not, since
/// the sender can send it again in parts.
async fn refuse_body(context: &Context, rejection: Rejection, body: Bytes) -> Error {
    let error = Error::rejected(&rejection);
    if rejection.stage == Stage::Limit {
        context.metrics.limit_reached("batch_events_max");
        return error;
    }
    match context
        .bury(Origin::Http, rejection, body, MEDIA_TYPE)
        .await
    {
        Ok(()) => error,
        Err(refused) => refused,
    }
}

/// The event's own id, if it has one. An event with a wrong value still has one, and its sender looks for it.
fn event_id(read: &Result<Event, Rejection>, raw: &[u8]) -> String {
    if let Ok(event) = read {
        return event.id.to_string();
    }
    wire::json::id_of(raw)
}

/// What became of one event, in the form of the HTTP interface.
fn result(event_id: &str, became: &Status) -> Value {
    match became {
        Status::Accepted => json!({"eventId": event_id, "status": "ACCEPTED"}),
        Status::Duplicate => json!({"eventId": event_id, "status": "DUPLICATE"}),
        Status::Rejected(rejection) => json!({
            "eventId": event_id,
            "status": "REJECTED",
            "reason": rejection.reason.name(),
            "field": rejection.field,
            "detail": rejection.detail,
        }),
    }
}

/// An event as the interface writes it: the canonical form, with its kind in `snake_case`.
pub(super) fn to_json(event: &Event) -> Value {
    let mut json = serde_json::to_value(wire::event::to_proto(event)).unwrap_or_default();
    if let Some(kind) = json.get_mut("kind") {
        *kind = Value::from(event.kind.name());
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_as_it_is_read() {
        let event = wire::json::event(
            br#"{"kind":"product_view","userId":"u","itemId":"i","eventId":"e"}"#,
        )
        .unwrap();
        let json = to_json(&event);
        assert_eq!(json["kind"], "product_view");
        assert_eq!(json["itemId"], "i");
        assert_eq!(
            wire::json::event(json.to_string().as_bytes()).unwrap(),
            event
        );
    }

    #[test]
    fn a_refused_event_keeps_its_id() {
        let raw = br#"{"event_id":"e7","kind":"nonsense"}"#;
        assert_eq!(event_id(&wire::json::event(raw), raw), "e7");
        let raw = b"[";
        assert_eq!(event_id(&wire::json::event(raw), raw), "");
    }
}
