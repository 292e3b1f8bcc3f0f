//! Events as protobuf messages, in and out.

use pbjson_types::Timestamp;
use prost::Message as _;

use crate::domain::{
    Consent, Event, EventDetails, EventKind, Id, LineItem, Millis, Money, Rejection,
    RejectionReason, Stage,
};
use crate::wire::draft::{Draft, DraftLine, Kind, Stamp};
use crate::wire::proto;

/// The event in the bytes of a `impulse.v1.Event`.
///
/// # Errors
///
/// If the bytes are no such message or one of the gates of [`from_proto`] refuses it.
pub fn decode(bytes: &[u8]) -> Result<Event, Rejection> {
    draft_of(bytes)?.into_checked()
}

/// Appends the event's `impulse.v1.Event` to `out`.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let message = to_proto(event);
    out.reserve(message.encoded_len());
    message.encode_raw(out);
}

/// The event a message stands for.
///
/// A message with a user id and a visitor id is about the user; with only one of them it is about that one.
///
/// # Errors
///
/// If the kind is missing or unknown, a field that the kind needs is missing, or a value is out of its range. The
/// rejection names the field.
pub fn from_proto(message: proto::Event) -> Result<Event, Rejection> {
    draft_from(message).into_checked()
}

/// What the bytes of a message say, not yet checked.
pub(super) fn draft_of(bytes: &[u8]) -> Result<Draft, Rejection> {
    let message = proto::Event::decode(bytes).map_err(|error| malformed("Event", &error))?;
    Ok(draft_from(message))
}

fn draft_from(message: proto::Event) -> Draft {
    let mut draft = Draft {
        kind: Kind::from_number(message.kind),
        event_id: message.event_id.into(),
        user_id: message.user_id.into(),
        visitor_id: message.visitor_id.into(),
        session_id: message.session_id.into(),
        item_id: message.item_id.into(),
        quantity: message.quantity,
        price: message.price,
        revenue: message.revenue,
        created: message.created_at.map(stamp),
        sent: message.sent_at.map(stamp),
        lines: message.items.into_iter().map(draft_line).collect(),
        ..Draft::default()
    };
    let texts: [(String, fn(&mut EventDetails) -> &mut Id); 9] = [
        (message.currency, |details| &mut details.currency),
        (message.cart_id, |details| &mut details.cart_id),
        (message.order_id, |details| &mut details.order_id),
        (message.query, |details| &mut details.query),
        (message.placement, |details| &mut details.placement),
        (message.attribution_token, |details| {
            &mut details.attribution_token
        }),
        (message.source, |details| &mut details.source),
        (message.category, |details| &mut details.category),
        (message.brand, |details| &mut details.brand),
    ];
    for (text, field) in texts {
        if !text.is_empty() {
            *field(draft.details()) = text.into();
        }
    }
    if let Some(consent) = message.consent {
        draft.details().consent = Consent {
            personalization: consent.personalization,
            marketing: consent.marketing,
        };
    }
    for filter in message.filters {
        draft.push_filter(filter.into());
    }
    for (key, value) in message.context {
        draft.insert_context(key.into(), value.into());
    }
    draft
}

/// The message that stands for an event; [`from_proto`] gives the same event back.
pub fn to_proto(event: &Event) -> proto::Event {
    let mut message = proto::Event {
        event_id: event.id.to_string(),
        kind: kind_number(event.kind),
        user_id: event.user.to_string(),
        session_id: event.session.to_string(),
        item_id: event.item.to_string(),
        quantity: event.quantity,
        price: event.price.map(Money::units),
        created_at: event.created.map(timestamp),
        sent_at: event.sent.map(timestamp),
        ..proto::Event::default()
    };
    if let Some(details) = event.details.as_deref() {
        add_details(&mut message, details);
    }
    message
}

fn add_details(message: &mut proto::Event, details: &EventDetails) {
    message.visitor_id = details.visitor.to_string();
    message.currency = details.currency.to_string();
    message.items = details.lines.iter().map(line_to_proto).collect();
    message.cart_id = details.cart_id.to_string();
    message.order_id = details.order_id.to_string();
    message.revenue = details.revenue.map(Money::units);
    message.query = details.query.to_string();
    message.filters = details.filters.iter().map(ToString::to_string).collect();
    message.placement = details.placement.to_string();
    message.attribution_token = details.attribution_token.to_string();
    message.consent = consent_to_proto(details.consent);
    message.context = details
        .context
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    message.source = details.source.to_string();
    message.category = details.category.to_string();
    message.brand = details.brand.to_string();
}

/// The number of a kind in the wire format.
pub(super) fn kind_number(kind: EventKind) -> i32 {
    // The kinds are declared in the order of their numbers; a test compares each with the protos.
    kind as i32 + 1
}

/// A line of a cart or an order.
pub(super) fn line_to_proto(line: &LineItem) -> proto::LineItem {
    proto::LineItem {
        item_id: line.item.to_string(),
        quantity: line.quantity,
        price: line.price.map(Money::units),
    }
}

/// What a shopper allows; nothing if no choice is known.
pub(super) fn consent_to_proto(consent: Consent) -> Option<proto::Consent> {
    (consent != Consent::default()).then_some(proto::Consent {
        personalization: consent.personalization,
        marketing: consent.marketing,
    })
}

/// A point in time as a message.
pub fn timestamp(time: Millis) -> Timestamp {
    let Stamp { seconds, nanos } = time.into();
    Timestamp { seconds, nanos }
}

/// A refusal of bytes that are no message of this name.
#[cold]
pub(super) fn malformed(name: &str, error: &prost::DecodeError) -> Rejection {
    Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedProtobuf,
        field: String::new(),
        detail: format!("not a protobuf message impulse.v1.{name}: {error}"),
    }
}

pub(super) fn stamp(time: Timestamp) -> Stamp {
    Stamp {
        seconds: time.seconds,
        nanos: time.nanos,
    }
}

fn draft_line(line: proto::LineItem) -> DraftLine {
    DraftLine {
        item_id: line.item_id.into(),
        quantity: line.quantity,
        price: line.price,
    }
}
