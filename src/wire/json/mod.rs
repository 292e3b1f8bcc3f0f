//! Canonical JSON, read leniently: trackers of every age send to one address.
//!
//! - Names of fields are in `snake_case` or camelCase. `eventType` is `kind`, `productId` is `itemId`.
//! - `kind` is `product_view`, `PRODUCT_VIEW`, `EVENT_KIND_PRODUCT_VIEW` or the number of the wire format.
//! - Times are RFC 3339 text or milliseconds since 1970; ids may be whole numbers; amounts and quantities may be
//!   numbers in quotes; `null` is as good as absent.
//! - An object `metadata` may hold any field of the event.
//! - A field of no name of ours, in the event or in `metadata`, goes to `context` under its own name: text as it is,
//!   anything else as its JSON. What does not fit there (more than 64 entries, more than 2,048 bytes, control
//!   characters) is left out; it is never a reason to refuse the event. Of a `filter_selection` without `filters` these
//!   fields are the filters, as `name:value`.
//!
//! A rejection names the field, and its detail the line and column within the event's own text.

mod event;
mod item;
mod value;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::domain::{Event, ItemPatch, Rejection, RejectionReason, Stage};
use crate::wire::check::BATCH_MAX;
use crate::wire::draft::Draft;

/// One entry of a batch: its own bytes and what they say.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded<'a, T> {
    /// The bytes of this entry alone.
    pub raw: &'a [u8],
    /// What they say, or why they are refused.
    pub value: Result<T, Rejection>,
}

/// The event in a JSON object.
///
/// # Errors
///
/// If the bytes are no JSON object or the event does not pass the gates.
pub fn event(bytes: &[u8]) -> Result<Event, Rejection> {
    event::read(utf8(bytes)?)
}

/// What a JSON object says of an event, not yet checked.
pub(super) fn event_draft(bytes: &[u8]) -> Result<Draft, Rejection> {
    event::draft(utf8(bytes)?)
}

/// The events of a body: one object, an array of them, or an object with an array `events`. Each is refused or taken
/// by itself.
///
/// # Errors
///
/// If the whole is not JSON, is neither object nor array, or has more than [`BATCH_MAX`] entries.
pub fn events(body: &[u8]) -> Result<Vec<Decoded<'_, Event>>, Rejection> {
    batch(body, "events", event::read)
}

/// The change of an item in a JSON object.
///
/// # Errors
///
/// If the bytes are no JSON object or the item does not pass the gates.
pub fn item(bytes: &[u8]) -> Result<ItemPatch, Rejection> {
    item::read(utf8(bytes)?)
}

/// The items of a body: one object, an array of them, or an object with an array `items`. Each is refused or taken
/// by itself.
///
/// # Errors
///
/// As [`events`].
pub fn items(body: &[u8]) -> Result<Vec<Decoded<'_, ItemPatch>>, Rejection> {
    batch(body, "items", item::read)
}

/// The id in a JSON object, as far as it can be read: for the answer to an event that is refused.
pub fn id_of(bytes: &[u8]) -> String {
    field_of(bytes, &["eventId", "event_id"])
}

/// The shopper in a JSON object, as [`id_of`].
pub fn user_of(bytes: &[u8]) -> String {
    field_of(bytes, &["userId", "user_id", "visitorId", "visitor_id"])
}

/// The first of these fields that says something.
fn field_of(bytes: &[u8], names: &[&str]) -> String {
    let fields: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |name: &&str| match fields.get(name)? {
        serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    names.iter().find_map(text).unwrap_or_default()
}

fn batch<'a, T>(
    body: &'a [u8],
    list: &'static str,
    read: impl Fn(&'a str) -> Result<T, Rejection>,
) -> Result<Vec<Decoded<'a, T>>, Rejection> {
    let text = utf8(body)?.trim_ascii();
    let mut reader = serde_json::Deserializer::from_str(text);
    let split = Split { list }
        .deserialize(&mut reader)
        .and_then(|split| reader.end().map(|()| split));
    let entries = match split {
        Ok(Some(entries)) => entries,
        Ok(None) => vec![text],
        Err(error) => return Err(no_batch(list, &error)),
    };
    if entries.len() > BATCH_MAX {
        return Err(Rejection {
            stage: Stage::Limit,
            reason: RejectionReason::TooLong,
            field: list.to_owned(),
            detail: format!("a batch has at most {BATCH_MAX} entries"),
        });
    }
    Ok(entries
        .into_iter()
        .map(|entry| Decoded {
            raw: entry.as_bytes(),
            value: read(entry),
        })
        .collect())
}

/// Finds the entries of a batch without reading them; `None` if the text is one object without the list.
#[derive(Clone, Copy)]
struct Split {
    list: &'static str,
}

impl<'de> DeserializeSeed<'de> for Split {
    type Value = Option<Vec<&'de str>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Split {
    type Value = Option<Vec<&'de str>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "an object, an array of objects or an object with {}",
            self.list
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Entries.visit_seq(seq).map(Some)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(value::no_text(&self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = None;
        while let Some(name) = map.next_key::<value::Text<'de>>()? {
            if *name == *self.list {
                entries = Some(map.next_value_seed(Entries)?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(entries)
    }
}

/// The entries of an array, each as its own text; no more than the limit and one are kept.
struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = Vec<&'de str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<&'de str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(value::no_text(&self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element::<&RawValue>()? {
            if entries.len() <= BATCH_MAX {
                entries.push(entry.get());
            }
        }
        Ok(entries)
    }
}

fn no_batch(list: &str, error: &serde_json::Error) -> Rejection {
    if error.is_data() {
        return Rejection {
            stage: Stage::Schema,
            reason: RejectionReason::WrongType,
            field: list.to_owned(),
            detail: sentence(error),
        };
    }
    malformed(error)
}

fn utf8(bytes: &[u8]) -> Result<&str, Rejection> {
    let text = std::str::from_utf8(bytes).map_err(|error| Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedJson,
        field: String::new(),
        detail: format!("not UTF-8 from byte {} on", error.valid_up_to()),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cold]
fn malformed(error: &serde_json::Error) -> Rejection {
    Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedJson,
        field: String::new(),
        detail: format!("not JSON: {}", sentence(error)),
    }
}

/// What is wrong and where; a hostile value in it is cut.
pub(super) fn sentence(error: &serde_json::Error) -> String {
    const CHARS_MAX: usize = 200;
    let whole = error.to_string();
    match whole.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!(
            "{}… at line {} column {}",
            whole.get(..end).unwrap_or_default(),
            error.line(),
            error.column()
        ),
        None => whole,
    }
}

/// A text as it is, anything else as its JSON; nothing for `null`.
fn plain_text<T: for<'a> From<&'a str>>(raw: &RawValue) -> Option<T> {
    let json = raw.get();
    match json.as_bytes() {
        b"null" => None,
        [b'"', ..] => serde_json::from_str::<value::Text<'_>>(json)
            .ok()
            .map(|text| T::from(&*text)),
        _ => Some(T::from(json)),
    }
}
