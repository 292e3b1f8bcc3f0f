//! Events as protobuf messages, in and out.

use crate::domain::{
    Consent, Event, EventDetails, EventKind, Id, LineItem, Millis, Money, Rejection,
};
use crate::wire::draft::{Draft, DraftLine, Kind, Stamp};
use crate::wire::proto;
use crate::wire::protobuf::{
    Broken, Fields, put_choice, put_double, put_entry, put_message, put_text, put_uint,
};
use pbjson_types::Timestamp;

/// Numbers of the fields of `impulse.v1.Event`.
mod tags {
    pub(super) const EVENT_ID: u32 = 1;
    pub(super) const KIND: u32 = 2;
    pub(super) const USER_ID: u32 = 3;
    pub(super) const VISITOR_ID: u32 = 4;
    pub(super) const SESSION_ID: u32 = 5;
    pub(super) const ITEM_ID: u32 = 6;
    pub(super) const QUANTITY: u32 = 7;
    pub(super) const PRICE: u32 = 8;
    pub(super) const CURRENCY: u32 = 9;
    pub(super) const ITEMS: u32 = 10;
    pub(super) const CART_ID: u32 = 11;
    pub(super) const ORDER_ID: u32 = 12;
    pub(super) const REVENUE: u32 = 13;
    pub(super) const QUERY: u32 = 14;
    pub(super) const FILTERS: u32 = 15;
    pub(super) const PLACEMENT: u32 = 16;
    pub(super) const ATTRIBUTION_TOKEN: u32 = 17;
    pub(super) const CREATED_AT: u32 = 18;
    pub(super) const SENT_AT: u32 = 19;
    pub(super) const CONSENT: u32 = 20;
    pub(super) const CONTEXT: u32 = 21;
    pub(super) const SOURCE: u32 = 22;
    pub(super) const CATEGORY: u32 = 23;
    pub(super) const BRAND: u32 = 24;
    pub(super) const TRACEPARENT: u32 = 25;
}

/// The event in the bytes of a `impulse.v1.Event`.
///
/// # Errors
///
/// If the bytes are no such message or one of the gates of [`from_proto`] refuses it.
pub fn decode(bytes: &[u8]) -> Result<Event, Rejection> {
    draft_of(bytes)?.into_checked()
}

/// The id in the bytes of an `impulse.v1.Event`, as far as they can be read: for the answer to an event that
/// [`decode`] refuses.
pub fn id_of(bytes: &[u8]) -> &str {
    text_of(bytes, tags::EVENT_ID)
}

/// The shopper in the bytes of an `impulse.v1.Event`, as [`id_of`].
pub fn user_of(bytes: &[u8]) -> &str {
    match text_of(bytes, tags::USER_ID) {
        "" => text_of(bytes, tags::VISITOR_ID),
        user => user,
    }
}

fn text_of(bytes: &[u8], wanted: u32) -> &str {
    let mut fields = Fields(bytes);
    let mut found = "";
    while let Ok(Some((tag, value))) = fields.next() {
        if tag == wanted {
            found = value.text().unwrap_or(found);
        }
    }
    found
}

/// Appends the event's `impulse.v1.Event` to `out`: the bytes of [`to_proto`] without making the message.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    let details = event.details.as_deref();
    put_text(tags::EVENT_ID, &event.id, out);
    put_uint(
        tags::KIND,
        u64::from(kind_number(event.kind).unsigned_abs()),
        out,
    );
    put_text(tags::USER_ID, &event.user, out);
    if let Some(details) = details {
        put_text(tags::VISITOR_ID, &details.visitor, out);
    }
    put_text(tags::SESSION_ID, &event.session, out);
    put_text(tags::ITEM_ID, &event.item, out);
    put_uint(tags::QUANTITY, event.quantity.into(), out);
    put_double(tags::PRICE, event.price.map(Money::units), out);
    if let Some(details) = details {
        put_text(tags::CURRENCY, &details.currency, out);
        for line in &details.lines {
            put_message(tags::ITEMS, out, |out| put_line(line, out));
        }
        put_text(tags::CART_ID, &details.cart_id, out);
        put_text(tags::ORDER_ID, &details.order_id, out);
        put_double(tags::REVENUE, details.revenue.map(Money::units), out);
        put_text(tags::QUERY, &details.query, out);
        for filter in &details.filters {
            put_entry(tags::FILTERS, filter, out);
        }
        put_text(tags::PLACEMENT, &details.placement, out);
        put_text(tags::ATTRIBUTION_TOKEN, &details.attribution_token, out);
    }
    put_time(tags::CREATED_AT, event.created, out);
    put_time(tags::SENT_AT, event.sent, out);
    if let Some(details) = details {
        if details.consent != Consent::default() {
            put_message(tags::CONSENT, out, |out| {
                put_choice(1, details.consent.personalization, out);
                put_choice(2, details.consent.marketing, out);
            });
        }
        for (key, value) in &details.context {
            put_message(tags::CONTEXT, out, |out| {
                put_text(1, key, out);
                put_text(2, value, out);
            });
        }
        put_text(tags::SOURCE, &details.source, out);
        put_text(tags::CATEGORY, &details.category, out);
        put_text(tags::BRAND, &details.brand, out);
        if let Some(trace) = details.traceparent {
            put_text(tags::TRACEPARENT, &trace.to_string(), out);
        }
    }
}

fn put_line(line: &LineItem, out: &mut Vec<u8>) {
    put_text(1, &line.item, out);
    put_uint(2, line.quantity.into(), out);
    put_double(3, line.price.map(Money::units), out);
}

pub(super) fn put_time(tag: u32, time: Option<Millis>, out: &mut Vec<u8>) {
    if let Some(time) = time {
        let Stamp { seconds, nanos } = time.into();
        put_message(tag, out, |out| {
            put_uint(1, seconds.cast_unsigned(), out);
            put_uint(2, nanos.unsigned_abs().into(), out);
        });
    }
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
    read_draft(Fields(bytes)).map_err(|broken| broken.refusal("Event"))
}

fn read_draft(mut fields: Fields<'_>) -> Result<Draft, Broken> {
    let mut draft = Draft::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            tags::EVENT_ID => draft.event_id = value.text()?.into(),
            tags::KIND => draft.kind = Kind::from_number(value.int32()?),
            tags::USER_ID => draft.user_id = value.text()?.into(),
            tags::VISITOR_ID => draft.visitor_id = value.text()?.into(),
            tags::SESSION_ID => draft.session_id = value.text()?.into(),
            tags::ITEM_ID => draft.item_id = value.text()?.into(),
            tags::QUANTITY => draft.quantity = value.uint32()?,
            tags::PRICE => draft.price = Some(value.double()?),
            tags::ITEMS => {
                let line = read_line(value.message()?)?;
                draft.push_line(line);
            }
            tags::REVENUE => draft.revenue = Some(value.double()?),
            tags::FILTERS => draft.push_filter(value.text()?),
            tags::CREATED_AT => read_stamp(value.message()?, &mut draft.created)?,
            tags::SENT_AT => read_stamp(value.message()?, &mut draft.sent)?,
            tags::CONSENT => read_consent(value.message()?, &mut draft.details().consent)?,
            tags::CONTEXT => {
                let (key, entry) = read_pair(value.message()?)?;
                draft.insert_context(key, entry);
            }
            tags::TRACEPARENT => draft.set_traceparent(value.text()?.as_bytes()),
            _ => {
                if let Some(field) = detail_of(tag) {
                    let text = value.text()?;
                    if !text.is_empty() || draft.details.is_some() {
                        *field(draft.details()) = text.into();
                    }
                }
            }
        }
    }
    Ok(draft)
}

/// The field of the details that is a text under this number.
fn detail_of(tag: u32) -> Option<fn(&mut EventDetails) -> &mut Id> {
    match tag {
        tags::CURRENCY => Some(|details| &mut details.currency),
        tags::CART_ID => Some(|details| &mut details.cart_id),
        tags::ORDER_ID => Some(|details| &mut details.order_id),
        tags::QUERY => Some(|details| &mut details.query),
        tags::PLACEMENT => Some(|details| &mut details.placement),
        tags::ATTRIBUTION_TOKEN => Some(|details| &mut details.attribution_token),
        tags::SOURCE => Some(|details| &mut details.source),
        tags::CATEGORY => Some(|details| &mut details.category),
        tags::BRAND => Some(|details| &mut details.brand),
        _ => None,
    }
}

fn read_line(mut fields: Fields<'_>) -> Result<DraftLine, Broken> {
    let mut line = DraftLine::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => line.item_id = value.text()?.into(),
            2 => line.quantity = value.uint32()?,
            3 => line.price = Some(value.double()?),
            _ => {}
        }
    }
    Ok(line)
}

/// A message that comes twice is one message with the fields of both.
pub(super) fn read_stamp(mut fields: Fields<'_>, stamp: &mut Option<Stamp>) -> Result<(), Broken> {
    let stamp = stamp.get_or_insert_default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => stamp.seconds = value.int64()?,
            2 => stamp.nanos = value.int32()?,
            _ => {}
        }
    }
    Ok(())
}

fn read_consent(mut fields: Fields<'_>, consent: &mut Consent) -> Result<(), Broken> {
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => consent.personalization = Some(value.bool()?),
            2 => consent.marketing = Some(value.bool()?),
            _ => {}
        }
    }
    Ok(())
}

/// An entry of a map.
pub(super) fn read_pair(mut fields: Fields<'_>) -> Result<(&str, &str), Broken> {
    let (mut key, mut entry) = ("", "");
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => key = value.text()?,
            2 => entry = value.text()?,
            _ => {}
        }
    }
    Ok((key, entry))
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
    let texts = [
        (tags::CURRENCY, message.currency),
        (tags::CART_ID, message.cart_id),
        (tags::ORDER_ID, message.order_id),
        (tags::QUERY, message.query),
        (tags::PLACEMENT, message.placement),
        (tags::ATTRIBUTION_TOKEN, message.attribution_token),
        (tags::SOURCE, message.source),
        (tags::CATEGORY, message.category),
        (tags::BRAND, message.brand),
    ];
    for (tag, text) in texts {
        if let Some(field) = detail_of(tag)
            && !text.is_empty()
        {
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
        draft.push_filter(&filter);
    }
    for (key, value) in message.context {
        draft.insert_context(&key, &value);
    }
    draft.set_traceparent(message.traceparent.as_bytes());
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
    message.traceparent = details
        .traceparent
        .map_or_else(String::new, |trace| trace.to_string());
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

/// A watermark as a message; nothing before the first event.
pub fn watermark(time: Millis) -> Option<Timestamp> {
    (time > Millis::MIN).then(|| timestamp(time))
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
