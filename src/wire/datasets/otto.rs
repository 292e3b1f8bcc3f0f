//! OTTO: JSON lines, each a session with its events: `{"session": 1, "events": [{"aid": 2, "ts": 1659304800025,
//! "type": "clicks" | "carts" | "orders"}]}`, times in milliseconds.
//!
//! A session is all that is known of a shopper, so it is the visitor too. Every entry is one event. A line with an
//! entry that cannot be used is refused whole.

use serde::Deserialize;

use crate::domain::{EventKind, Input, Millis, Rejection, RejectionReason};
use crate::wire::datasets::row::{EventIds, unknown_kind};
use crate::wire::datasets::{Format, Layout, Line, Out, bad_line};
use crate::wire::draft::{Draft, Kind};
use crate::wire::json;

pub(super) struct Otto {
    ids: EventIds,
}

#[derive(Deserialize)]
struct Session<'a> {
    session: u64,
    #[serde(borrow)]
    events: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    aid: u64,
    ts: i64,
    #[serde(rename = "type")]
    kind: &'a str,
}

impl Default for Otto {
    fn default() -> Self {
        Self {
            ids: EventIds::new(Format::Otto.name()),
        }
    }
}

impl Layout for Otto {
    fn header(&mut self, _line: &str) -> Result<bool, Rejection> {
        Ok(false)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let session: Session<'_> = serde_json::from_str(line.text).map_err(|error| {
            let reason = if error.is_data() {
                RejectionReason::WrongType
            } else {
                RejectionReason::MalformedJson
            };
            bad_line(reason, "", json::sentence(&error))
        })?;
        let visitor = session.session.to_string();
        let mut events = Vec::with_capacity(session.events.len());
        for entry in &session.events {
            let kind = match entry.kind {
                "clicks" => EventKind::ProductView,
                "carts" => EventKind::AddToCart,
                "orders" => EventKind::Purchase,
                other => return Err(unknown_kind("type", other, "clicks, carts or orders")),
            };
            let content = format!("{visitor},{},{},{}", entry.aid, entry.ts, entry.kind);
            let draft = Draft {
                kind: Kind::Known(kind),
                event_id: self.ids.id([content.as_bytes()]),
                visitor_id: visitor.as_str().into(),
                session_id: visitor.as_str().into(),
                item_id: compact_str::ToCompactString::to_compact_string(&entry.aid),
                created: Some(Millis(entry.ts).into()),
                ..Draft::default()
            };
            events.push(draft.into_checked()?);
        }
        out.extend(events.into_iter().map(|event| Ok(Input::Event(event))));
        Ok(())
    }
}
