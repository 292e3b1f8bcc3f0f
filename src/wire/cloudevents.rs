//! `CloudEvents` 1.0 over Kafka: trigger records out, and whatever producers send in.
//!
//! What comes in is read leniently. In this order: `content-type: application/cloudevents+json` is the structured mode; a
//! header `ce_specversion` (or another of `CloudEvents`) the binary mode, whose data `content-type` names; without a
//! type the bytes tell: JSON begins with a brace, and is the structured mode if it has `specversion` and data. Names of
//! headers are read in any case. What the data leaves out of an event, the attributes give: the id with its source, the
//! time, the shopper from the subject, the kind from the type. What goes out follows the specification to the letter.

mod write;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::{Event, EventKind, ID_BYTES_MAX, Id, Input};
use crate::domain::{Rejection, RejectionReason, Stage, Traceparent};
use crate::wire::draft::{Draft, Kind, Stamp};
use crate::wire::{check, event, item, json, time, traceparent};

pub use self::write::{Form, Message, Writer, encode_trigger};

/// `ce_type` of an event, as we write it; the kind is in the data.
pub const EVENT: &str = "impulse.event.v1";
/// `ce_type` of an item that is added or changed.
pub const ITEM_UPSERT: &str = "impulse.item.upsert.v1";
/// `ce_type` of an item that is taken out; the data is its id.
pub const ITEM_DELETE: &str = "impulse.item.delete.v1";

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";
const STRUCTURED: &str = "application/cloudevents+json";

/// The trace that a message belongs to: the attribute of `CloudEvents`, or the header of W3C Trace Context.
pub fn traceparent(headers: &[(&str, &[u8])]) -> Option<Traceparent> {
    let names = [
        &["ce_traceparent", "ce-traceparent"] as &[&str],
        &[traceparent::NAME],
    ];
    let mut found = names.into_iter().filter_map(|names| find(headers, names));
    found.find_map(traceparent::parse)
}

/// The event in the headers and the value of a record.
///
/// # Errors
///
/// If they are of no form that is read, if the event does not pass the gates, or if the record is about an item.
pub fn decode_event(headers: &[(&str, &[u8])], value: &[u8]) -> Result<Event, Rejection> {
    match decode(headers, value)? {
        Input::Event(event) => Ok(event),
        Input::ItemUpsert(_) | Input::ItemDelete(_) | Input::Tick { .. } => Err(refused(
            Stage::Schema,
            RejectionReason::UnknownKind,
            "ce_type",
            "the record is about an item, not an event".to_owned(),
        )),
    }
}

/// What the headers and the value of a record say: an event, or, where the type says so, the change of an item.
///
/// # Errors
///
/// If they are of no form that is read, or if what they say does not pass the gates.
pub fn decode(headers: &[(&str, &[u8])], value: &[u8]) -> Result<Input, Rejection> {
    let content = text(headers, "content-type", &["content-type", "content_type"])?;
    let content = content.unwrap_or_default();
    if starts_with_word(content, "application/cloudevents") {
        if content.to_ascii_lowercase().contains("json") && !content.contains("-batch") {
            return structured(headers, value);
        }
        return Err(unsupported("content-type", content));
    }
    let attributes = Attributes {
        id: text(headers, "ce_id", &["ce_id", "ce-id"])?,
        source: text(headers, "ce_source", &["ce_source", "ce-source"])?,
        kind: text(headers, "ce_type", &["ce_type", "ce-type"])?,
        time: text(headers, "ce_time", &["ce_time", "ce-time"])?,
        subject: text(headers, "ce_subject", &["ce_subject", "ce-subject"])?,
        trace: traceparent(headers),
    };
    match data_form(content) {
        Some(form) => read(&attributes, form, value),
        None if looks_like_json(value) => {
            if find(headers, &["ce_specversion", "ce-specversion"]).is_none() && is_envelope(value)
            {
                return structured(headers, value);
            }
            match read(&attributes, Data::Json, value) {
                // A line feed also begins a protobuf message with an event id.
                Err(refusal) if is_ambiguous(value, &refusal) => {
                    read(&attributes, Data::Protobuf, value)
                }
                read => read,
            }
        }
        None => read(&attributes, Data::Protobuf, value),
    }
}

/// What the data is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    Json,
    Protobuf,
}

/// The attributes that an event can take something from.
#[derive(Clone, Copy, Debug, Default)]
struct Attributes<'a> {
    id: Option<&'a str>,
    source: Option<&'a str>,
    kind: Option<&'a str>,
    time: Option<&'a str>,
    subject: Option<&'a str>,
    trace: Option<Traceparent>,
}

fn read(attributes: &Attributes<'_>, form: Data, value: &[u8]) -> Result<Input, Rejection> {
    let upsert = |patch| Input::ItemUpsert(Box::new(patch));
    match (attributes.kind, form) {
        (Some(ITEM_UPSERT), Data::Json) => json::item(value).map(upsert),
        (Some(ITEM_UPSERT), Data::Protobuf) => item::decode(value).map(upsert),
        (Some(ITEM_DELETE), _) => item_id(value).map(Input::ItemDelete),
        (_, Data::Json) => attributes
            .complete(json::event_draft(value)?)
            .map(Input::Event),
        (_, Data::Protobuf) => attributes
            .complete(event::draft_of(value)?)
            .map(Input::Event),
    }
}

impl Attributes<'_> {
    /// The event, with what its data leaves out.
    fn complete(&self, mut draft: Draft) -> Result<Event, Rejection> {
        let source_given = draft
            .details
            .as_deref()
            .is_some_and(|details| !details.source.is_empty());
        if draft.event_id.is_empty()
            && let Some(id) = self.id
        {
            draft.event_id = id.into();
            if !source_given && let Some(source) = self.source {
                draft.details().source = source.into();
            }
        }
        if matches!(draft.kind, Kind::Missing) {
            draft.kind = self.kind.map_or(Kind::Missing, kind_of);
        }
        if draft.created.is_none()
            && let Some(text) = self.time
        {
            let time = time::parse(text).ok_or_else(|| {
                refused(
                    Stage::Value,
                    RejectionReason::InvalidValue,
                    "ce_time",
                    format!("{} is no time of RFC 3339", check::quoted(text)),
                )
            })?;
            draft.created = Some(Stamp::from(time));
        }
        if draft.user_id.is_empty()
            && draft.visitor_id.is_empty()
            && let Some(subject) = self.subject
        {
            draft.user_id = subject.strip_prefix("user/").unwrap_or(subject).into();
        }
        let own = draft.details.as_deref().and_then(|own| own.traceparent);
        if let Some(trace) = self.trace.filter(|_| own.is_none()) {
            draft.details().traceparent = Some(trace);
        }
        draft.into_checked()
    }
}

/// The kind that a type such as `com.example.shop.add_to_cart.v2` ends with.
fn kind_of(name: &str) -> Kind {
    let is_version = |word: &&str| {
        let digits = word.strip_prefix('v').unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let last = name.rsplit('.').find(|word| !is_version(word));
    match last.and_then(EventKind::from_name) {
        Some(kind) => Kind::Known(kind),
        // The type of every event of ours, and of producers who say the kind in the data alone.
        None => Kind::Missing,
    }
}

/// The structured mode: attributes and data in one object.
#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: Option<std::borrow::Cow<'a, str>>,
    id: Option<std::borrow::Cow<'a, str>>,
    source: Option<std::borrow::Cow<'a, str>>,
    r#type: Option<std::borrow::Cow<'a, str>>,
    time: Option<std::borrow::Cow<'a, str>>,
    subject: Option<std::borrow::Cow<'a, str>>,
    datacontenttype: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<&'a RawValue>,
    data_base64: Option<std::borrow::Cow<'a, str>>,
}

impl Envelope<'_> {
    /// A value that is no trace, of whatever type, is passed over.
    fn trace(&self) -> Option<Traceparent> {
        traceparent::parse(self.traceparent?.get().trim_matches('"').as_bytes())
    }
}

/// Whether JSON without a type is meant as an envelope. A look at the bytes spares all others a second reading.
fn is_envelope(value: &[u8]) -> bool {
    const WORD: &str = "\"specversion\"";
    std::str::from_utf8(value).is_ok_and(|text| text.contains(WORD))
        && serde_json::from_slice::<Envelope<'_>>(without_mark(value)).is_ok_and(|envelope| {
            envelope.specversion.is_some()
                && (envelope.data.is_some() || envelope.data_base64.is_some())
        })
}

fn structured(headers: &[(&str, &[u8])], value: &[u8]) -> Result<Input, Rejection> {
    let envelope: Envelope<'_> = serde_json::from_slice(without_mark(value)).map_err(|error| {
        refused(
            Stage::Parse,
            RejectionReason::MalformedJson,
            "",
            format!("not a CloudEvent in JSON: {}", json::sentence(&error)),
        )
    })?;
    let attributes = Attributes {
        id: envelope.id.as_deref(),
        source: envelope.source.as_deref(),
        kind: envelope.r#type.as_deref(),
        time: envelope.time.as_deref(),
        subject: envelope.subject.as_deref(),
        trace: envelope.trace().or_else(|| traceparent(headers)),
    };
    let content = envelope.datacontenttype.as_deref().unwrap_or_default();
    match (envelope.data, envelope.data_base64.as_deref()) {
        (Some(data), _) if attributes.kind == Some(ITEM_DELETE) => {
            let id: Id = serde_json::from_str(data.get()).map_err(|_| no_item_id())?;
            item_id(id.as_bytes()).map(Input::ItemDelete)
        }
        (Some(data), _) => read(&attributes, Data::Json, data.get().as_bytes()),
        (None, Some(encoded)) => {
            let data = base64::engine::general_purpose::STANDARD.decode(encoded);
            let data = data.map_err(|error| {
                refused(
                    Stage::Parse,
                    RejectionReason::InvalidValue,
                    "data_base64",
                    format!("not base64: {error}"),
                )
            })?;
            let form = data_form(content).unwrap_or(if looks_like_json(&data) {
                Data::Json
            } else {
                Data::Protobuf
            });
            read(&attributes, form, &data)
        }
        (None, None) => Err(refused(
            Stage::Required,
            RejectionReason::MissingField,
            "data",
            "a CloudEvent of ours has `data` or `data_base64`".to_owned(),
        )),
    }
}

/// What a media type says of the data; `None` if it leaves it open.
fn data_form(content: &str) -> Option<Data> {
    let content = content.to_ascii_lowercase();
    if content.contains("protobuf") {
        Some(Data::Protobuf)
    } else if content.contains("json") {
        Some(Data::Json)
    } else {
        None
    }
}

fn looks_like_json(value: &[u8]) -> bool {
    without_mark(value).trim_ascii_start().starts_with(b"{")
}

fn is_ambiguous(value: &[u8], refusal: &Rejection) -> bool {
    value.starts_with(b"\n") && refusal.reason == RejectionReason::MalformedJson
}

fn without_mark(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\xef\xbb\xbf").unwrap_or(value)
}

fn item_id(value: &[u8]) -> Result<Id, Rejection> {
    std::str::from_utf8(value)
        .ok()
        .filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.contains(char::is_control))
        .map(Id::from)
        .ok_or_else(no_item_id)
}

fn no_item_id() -> Rejection {
    refused(
        Stage::Value,
        RejectionReason::InvalidValue,
        "item_id",
        "the data is no id of an item".to_owned(),
    )
}

/// The last header of one of these names, in any case.
fn find<'a>(headers: &[(&str, &'a [u8])], names: &[&str]) -> Option<&'a [u8]> {
    let is_named = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut last = headers.iter().rev().filter(|(name, _)| is_named(name));
    last.next().map(|(_, value)| *value)
}

/// As [`find`], as text; an empty one is as good as none.
fn text<'a>(
    headers: &[(&str, &'a [u8])],
    field: &str,
    names: &[&str],
) -> Result<Option<&'a str>, Rejection> {
    let Some(value) = find(headers, names) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value).map_err(|_| {
        refused(
            Stage::Value,
            RejectionReason::InvalidValue,
            field,
            format!("the header `{field}` is not UTF-8"),
        )
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn starts_with_word(content: &str, word: &str) -> bool {
    let start = content.trim_start().as_bytes().get(..word.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

fn unsupported(field: &str, found: &str) -> Rejection {
    refused(
        Stage::Schema,
        RejectionReason::InvalidValue,
        field,
        format!(
            "{} is not read; {JSON}, {PROTOBUF} and {STRUCTURED} are",
            check::quoted(found)
        ),
    )
}

fn refused(stage: Stage, reason: RejectionReason, field: &str, detail: String) -> Rejection {
    Rejection {
        stage,
        reason,
        field: field.to_owned(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn headers<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
        let bytes = |&(name, value): &(&'a str, &'a str)| (name, value.as_bytes());
        pairs.iter().map(bytes).collect()
    }

    fn decoded(pairs: &[(&str, &str)], value: &[u8]) -> Event {
        decode_event(&headers(pairs), value).unwrap()
    }

    fn refusal(pairs: &[(&str, &str)], value: &[u8]) -> (String, RejectionReason) {
        let rejection = decode(&headers(pairs), value).unwrap_err();
        assert!(!rejection.detail.is_empty());
        (rejection.field, rejection.reason)
    }

    const VIEW: &[u8] = br#"{"eventId":"1","kind":"product_view","userId":"ann","itemId":"shoe"}"#;

    fn view_in_protobuf() -> Vec<u8> {
        let mut bytes = Vec::new();
        event::encode(&json::event(VIEW).unwrap(), &mut bytes);
        bytes
    }

    #[test]
    fn every_form_of_an_event_is_the_same_event() {
        let plain = json::event(VIEW).unwrap();
        let protobuf = view_in_protobuf();
        let binary = [("CE_SpecVersion", "1.0"), ("ce_type", "x.y")];
        let envelope = format!(
            r#"{{"specversion":"1.0","id":"9","source":"s","type":"t","data":{}}}"#,
            std::str::from_utf8(VIEW).unwrap()
        );
        let encoded = base64::engine::general_purpose::STANDARD.encode(&protobuf);
        let in_base64 = format!(
            r#"{{"specversion":"1.0","datacontenttype":"application/protobuf","data_base64":"{encoded}"}}"#
        );
        let structured = [(
            "Content-Type",
            "application/CloudEvents+json; charset=utf-8",
        )];
        let forms: [(Pairs<'_>, &[u8]); 9] = [
            (&[], VIEW),
            (&[], &protobuf),
            (&[("content-type", "application/json")], VIEW),
            (&[("content-type", "application/x-protobuf")], &protobuf),
            (&[("content-type", "application/octet-stream")], &protobuf),
            (&binary, VIEW),
            (&[], envelope.as_bytes()),
            (&structured, envelope.as_bytes()),
            (&structured, in_base64.as_bytes()),
        ];
        for (headers, value) in forms {
            assert_eq!(decoded(headers, value), plain, "{headers:?}");
        }
    }

    #[test]
    fn attributes_give_what_the_data_leaves_out() {
        let attributes = [
            ("ce_specversion", "1.0"),
            ("ce_id", "7"),
            ("ce_source", "//shop/web"),
            ("ce_type", "com.example.add_to_cart.v2"),
            ("ce_time", "2026-03-01T12:00:00Z"),
            ("ce_subject", "user/ann"),
        ];
        let event = decoded(&attributes, br#"{"itemId":"shoe"}"#);
        assert_eq!((event.id.as_str(), event.kind), ("7", EventKind::AddToCart));
        assert_eq!(event.details.unwrap().source, "//shop/web");
        assert_eq!(event.user, "ann");
        assert_eq!(event.created, Some(Millis(1_772_366_400_000)));
        let own = br#"{"eventId":"own","kind":"product_view","visitorId":"v","itemId":"shoe"}"#;
        let event = decoded(&attributes, own);
        assert_eq!((event.id.as_str(), event.user.as_str()), ("own", "v"));
        assert_eq!((event.kind, event.details), (EventKind::ProductView, None));
    }

    #[test]
    fn the_last_of_two_headers_counts() {
        let twice = [("ce_id", "1"), ("ce_id", "2")];
        let event = decoded(&twice, br#"{"kind":"cart_view","userId":"u"}"#);
        assert_eq!(event.id, "2");
    }

    #[test]
    fn a_line_feed_before_protobuf_or_json_is_no_trap() {
        let id = "{".repeat(123);
        let json = format!(r#"{{"kind":"cart_view","userId":"u","eventId":"{id}"}}"#);
        let event = json::event(json.as_bytes()).unwrap();
        let mut protobuf = Vec::new();
        event::encode(&event, &mut protobuf);
        assert!(protobuf.starts_with(b"\n{"));
        assert_eq!(decoded(&[], &protobuf), event);
        assert_eq!(decoded(&[], format!("\n {json}").as_bytes()), event);
    }

    #[test]
    fn the_type_says_that_a_record_is_about_an_item() {
        let of = |kind, value: &[u8]| decode(&headers(&[("ce_type", kind)]), value);
        let item = br#"{"itemId":"shoe","title":"Shoe"}"#;
        assert!(matches!(of(ITEM_UPSERT, item), Ok(Input::ItemUpsert(_))));
        assert_eq!(
            of(ITEM_DELETE, b"shoe"),
            Ok(Input::ItemDelete("shoe".into()))
        );
        assert!(of(ITEM_DELETE, b"").is_err());
        assert!(decode_event(&headers(&[("ce_type", ITEM_DELETE)]), b"shoe").is_err());
        let envelope = br#"{"specversion":"1.0","type":"impulse.item.delete.v1","data":"shoe"}"#;
        assert_eq!(decode(&[], envelope), Ok(Input::ItemDelete("shoe".into())));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_field() {
        use RejectionReason as R;
        let structured = ("content-type", "application/cloudevents+json");
        let batch = ("content-type", "application/cloudevents-batch+json");
        let avro = ("content-type", "application/cloudevents+avro");
        let missing = |field: &str| (field.to_owned(), R::MissingField);
        assert_eq!(
            refusal(&[structured], br#"{"specversion":"1.0"}"#),
            missing("data")
        );
        assert_eq!(refusal(&[structured], b"{").1, R::MalformedJson);
        for unread in [batch, avro] {
            assert_eq!(
                refusal(&[unread], b"[]"),
                ("content-type".into(), R::InvalidValue)
            );
        }
        assert_eq!(refusal(&[], b"").1, R::MissingField);
        assert_eq!(refusal(&[], b"{\"kind\":").1, R::MalformedJson);
        assert_eq!(refusal(&[], b"\xff\xff").1, R::MalformedProtobuf);
        let bad_time = refusal(
            &[("ce_time", "soon")],
            br#"{"kind":"cart_view","userId":"u"}"#,
        );
        assert_eq!(bad_time, ("ce_time".to_owned(), R::InvalidValue));
        let latin: [(&str, &[u8]); 1] = [("ce_id", b"\xe9")];
        assert_eq!(decode(&latin, VIEW).unwrap_err().field, "ce_id");
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let value = br#"{"kind":"cart_view","userId":"u"}"#;
        assert_eq!(refusal(&[("ce_id", &long)], value).0, "event_id");
    }

    #[test]
    fn a_trace_comes_from_the_data_the_attributes_or_the_record() {
        let other = TRACE.replace("-01", "-00");
        let of = |pairs: Pairs<'_>, value: &str| {
            let trace = decoded(pairs, value.as_bytes()).traceparent();
            trace.map(|trace| trace.to_string())
        };
        let plain = std::str::from_utf8(VIEW).unwrap();
        let own = plain.replace('{', &format!(r#"{{"traceparent":"{other}","#));
        for name in ["traceparent", "TraceParent", "ce_traceparent"] {
            assert_eq!(of(&[(name, TRACE)], plain).as_deref(), Some(TRACE));
            assert_eq!(of(&[(name, TRACE)], &own), Some(other.clone()), "{name}");
            assert_eq!(of(&[(name, "00-no-trace-01")], plain), None);
        }
        for (attribute, header) in [(TRACE, other.as_str()), ("none", TRACE)] {
            let both = [("traceparent", header), ("ce_traceparent", attribute)];
            assert_eq!(of(&both, plain).as_deref(), Some(TRACE));
        }
        let latin: [(&str, &[u8]); 1] = [("traceparent", b"\xe9")];
        assert_eq!(decode_event(&latin, VIEW).unwrap().details, None);
        let envelope = |trace: &str| {
            format!(r#"{{"specversion":"1.0","type":"t","traceparent":{trace},"data":{plain}}}"#)
        };
        let header = [("traceparent", TRACE)];
        assert_eq!(of(&header, &envelope(&format!("{other:?}"))), Some(other));
        for none in ["\"none\"", "7", "null", "{}"] {
            assert_eq!(of(&[], &envelope(none)), None, "{none}");
            assert_eq!(of(&header, &envelope(none)).as_deref(), Some(TRACE));
        }
    }
}
