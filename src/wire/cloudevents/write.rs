//! Trigger records as `CloudEvents`: to the letter of the specification.

use crate::domain::{Millis, Trigger};
use crate::wire::cloudevents::{JSON, PROTOBUF, STRUCTURED};
use crate::wire::{event, proto, traceparent, trigger};

const SPEC_VERSION: &str = "1.0";

/// A message to be written: headers in their order, and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names and values of the headers.
    pub headers: Vec<(&'static str, String)>,
    /// The value.
    pub value: Vec<u8>,
}

/// How a trigger record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Attributes in headers, the value canonical JSON of `impulse.v1.Trigger`.
    #[default]
    BinaryJson,
    /// Attributes in headers, the value bytes of `impulse.v1.Trigger`.
    BinaryProtobuf,
    /// Attributes and data in one JSON object.
    Structured,
}

/// Who writes, and on whose behalf.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The cluster: `ce_source` is `//impulse/<cluster>`.
    pub cluster: &'a str,
    /// The owner's epoch.
    pub epoch: u64,
}

/// The message of a trigger record. Its key is the shopper.
pub fn encode_trigger(record: &Trigger, writer: Writer<'_>, form: Form) -> Message {
    let message = trigger::to_proto(record, writer.epoch);
    let attributes = [
        ("ce_specversion", SPEC_VERSION.to_owned()),
        ("ce_id", record.id.to_string()),
        (
            "ce_type",
            format!("impulse.trigger.{}.{}.v1", record.rule, record.kind.name()),
        ),
        ("ce_source", format!("//impulse/{}", writer.cluster)),
        ("ce_time", rfc3339(record.fired)),
        ("ce_subject", format!("user/{}", record.user)),
        ("ce_partitionkey", record.user.to_string()),
    ];
    let trace = record
        .traceparent
        .map(|trace| (traceparent::NAME, trace.to_string()));
    let (headers, value) = match form {
        Form::BinaryJson => {
            let content = ("content-type", JSON.to_owned());
            let headers = attributes.into_iter().chain([content]).chain(trace);
            (headers.collect(), to_json(&message))
        }
        Form::BinaryProtobuf => {
            let content = ("content-type", PROTOBUF.to_owned());
            let headers = attributes.into_iter().chain([content]).chain(trace);
            (headers.collect(), prost::Message::encode_to_vec(&message))
        }
        Form::Structured => {
            let content = ("content-type", format!("{STRUCTURED}; charset=UTF-8"));
            let value = envelope(&attributes, trace.as_ref(), &message);
            ([content].into_iter().chain(trace).collect(), value)
        }
    };
    Message { headers, value }
}

fn envelope(
    attributes: &[(&'static str, String)],
    trace: Option<&(&'static str, String)>,
    message: &proto::Trigger,
) -> Vec<u8> {
    let mut object = serde_json::Map::new();
    for (name, value) in attributes.iter().chain(trace) {
        let name = name.strip_prefix("ce_").unwrap_or(name);
        object.insert(name.to_owned(), value.as_str().into());
    }
    object.insert("datacontenttype".to_owned(), JSON.into());
    // Our messages have text keys and finite numbers, so that writing them cannot fail.
    let data = serde_json::to_value(message).unwrap_or_default();
    object.insert("data".to_owned(), data);
    to_json(&object)
}

fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// With `Z`, which readers of a few forms know better than `+00:00`.
fn rfc3339(time: Millis) -> String {
    match serde_json::to_value(event::timestamp(time)) {
        Ok(serde_json::Value::String(text)) => match text.strip_suffix("+00:00") {
            Some(stem) => format!("{stem}Z"),
            None => text,
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CartView, TriggerId, TriggerKind, TriggerReason};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    const WRITER: Writer<'_> = Writer {
        cluster: "shop-1",
        epoch: 3,
    };

    fn record(kind: TriggerKind, revision: u32) -> Trigger {
        Trigger {
            seq: 7,
            kind,
            id: TriggerId([0xab; 16]),
            revision,
            rule: "cart_abandonment".into(),
            rule_version: 1,
            user: "ann".into(),
            episode: "e1".into(),
            reason: TriggerReason::Inactivity,
            cart: CartView::default(),
            recommendations: vec!["shoe".into()],
            deadline: Millis(1_700_000_000_000),
            fired: Millis(1_700_000_000_123),
            expires: Millis(1_700_086_400_000),
            position: 42,
            traceparent: traceparent::parse(TRACE.as_bytes()),
        }
    }

    #[test]
    fn a_trigger_goes_out_in_binary_mode() {
        let message = encode_trigger(&record(TriggerKind::Fire, 0), WRITER, Form::BinaryJson);
        let id = "ab".repeat(16);
        let expected = [
            ("ce_specversion", "1.0"),
            ("ce_id", id.as_str()),
            ("ce_type", "impulse.trigger.cart_abandonment.fire.v1"),
            ("ce_source", "//impulse/shop-1"),
            ("ce_time", "2023-11-14T22:13:20.123Z"),
            ("ce_subject", "user/ann"),
            ("ce_partitionkey", "ann"),
            ("content-type", "application/json"),
            ("traceparent", TRACE),
        ];
        assert_eq!(
            message.headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        let value: proto::Trigger = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(trigger::from_proto(value), Ok(record(TriggerKind::Fire, 0)));
    }

    #[test]
    fn a_trigger_goes_out_as_protobuf_and_in_structured_mode() {
        let fire = record(TriggerKind::Fire, 0);
        let binary = encode_trigger(&fire, WRITER, Form::BinaryProtobuf);
        assert_eq!(trigger::decode(&binary.value), Ok((fire.clone(), 3)));
        assert!(
            binary
                .headers
                .contains(&("content-type", PROTOBUF.to_owned()))
        );
        let structured = encode_trigger(&fire, WRITER, Form::Structured);
        let value: serde_json::Value = serde_json::from_slice(&structured.value).unwrap();
        assert_eq!(value["specversion"], "1.0");
        assert_eq!(value["type"], "impulse.trigger.cart_abandonment.fire.v1");
        assert_eq!(value["data"]["userId"], "ann");
        assert_eq!(value["traceparent"], TRACE);
        assert_eq!(
            structured.headers[0].1,
            "application/cloudevents+json; charset=UTF-8"
        );
    }

    #[test]
    fn a_cancel_has_the_id_of_its_fire_and_a_type_of_its_own() {
        let cancel = encode_trigger(&record(TriggerKind::Cancel, 1), WRITER, Form::BinaryJson);
        let fire = encode_trigger(&record(TriggerKind::Fire, 0), WRITER, Form::BinaryJson);
        assert_eq!(cancel.headers[1], fire.headers[1]);
        assert_eq!(
            cancel.headers[2].1,
            "impulse.trigger.cart_abandonment.cancel.v1"
        );
    }

    #[test]
    fn a_trigger_without_a_trace_says_nothing_of_one() {
        let untraced = Trigger {
            traceparent: None,
            ..record(TriggerKind::Fire, 0)
        };
        let message = encode_trigger(&untraced, WRITER, Form::BinaryJson);
        let is_trace = |name: &str| name == traceparent::NAME;
        assert!(!message.headers.iter().any(|(name, _)| is_trace(name)));
        let value: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
        assert_eq!(value.get(traceparent::NAME), None);
    }
}
