//! Dead letters of a running server.

use serde_json::Value;

use super::{Replay, Replayed, Which, show, tell, text};
use crate::cli::exit::{self, Failure};
use crate::cli::{Output, client, http};
use crate::domain::Event;
use crate::wire;
use crate::wire::proto::event_service_client::EventServiceClient;
use crate::wire::proto::{EventStatus, RecordEventsRequest};

/// Columns of the table with the fields they show.
const COLUMNS: [&str; 7] = [
    "seq", "received", "source", "stage", "reason", "field", "detail",
];
const FIELDS: [&str; 7] = [
    "seq",
    "receivedAt",
    "source",
    "stage",
    "reason",
    "field",
    "detail",
];

pub(super) async fn list(which: &Which, output: Output) -> Result<(), Failure> {
    let (letters, next) = page(which).await?;
    let next = next.map(|next| format!("impulse dlq list --from {next}"));
    show(&letters, &COLUMNS, &FIELDS, next, output)
}

pub(super) async fn replay(replay: &Replay, output: Output) -> Result<(), Failure> {
    let (letters, _) = page(&replay.which).await?;
    if replay.dry_run {
        return show(&letters, &COLUMNS, &FIELDS, None, output);
    }
    let events: Vec<Event> = letters.iter().filter_map(event_of).collect();
    let unreadable = letters.len() - events.len();
    let mut replayed = Replayed::default();
    if !events.is_empty() {
        let channel = replay.server.connect().await?;
        let request = RecordEventsRequest {
            events: events.iter().map(wire::event::to_proto).collect(),
        };
        let answer = EventServiceClient::new(channel)
            .record_events(request)
            .await;
        let results = answer.map_err(|status| client::refused(&status))?;
        for result in results.into_inner().results {
            let count = match result.status() {
                EventStatus::Accepted => &mut replayed.accepted,
                EventStatus::Duplicate => &mut replayed.duplicates,
                EventStatus::Unspecified | EventStatus::Rejected => &mut replayed.refused,
            };
            *count += 1;
        }
    }
    replayed.refused += unreadable;
    tell(replayed, output)
}

/// The letters asked for, and where the next page begins if there may be one.
async fn page(which: &Which) -> Result<(Vec<Value>, Option<String>), Failure> {
    let from = which.from.unwrap_or(1);
    let path = format!("/v1/dead-letters?from={from}&limit={}", which.limit);
    let page = http::get_json(&which.http, &path).await?;
    let Some(all) = page.get("deadLetters").and_then(Value::as_array) else {
        let message = format!("{}{path} answers without `deadLetters`", which.http);
        return Err(Failure::new(exit::UNAVAILABLE, message));
    };
    let reason = |letter: &&Value| {
        let reason = letter.get("reason").and_then(Value::as_str);
        which.wants(reason.unwrap_or_default())
    };
    let letters = all.iter().filter(reason).cloned().collect();
    let full = all.len() == which.limit as usize;
    let next = page.get("next").filter(|_| full).map(text);
    Ok((letters, next))
}

/// The event in a letter, if it can be read now.
fn event_of(letter: &Value) -> Option<Event> {
    let letter: wire::proto::DeadLetter = serde_json::from_value(letter.clone()).ok()?;
    let headers = [("content-type", letter.content_type.as_bytes())];
    wire::cloudevents::decode_event(&headers, &letter.payload).ok()
}
