//! What a transaction writes, as Kafka records: triggers as `CloudEvents`, dead letters and late events as they came.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::domain::{Millis, Rejection, Trigger, TriggerKind};
use crate::stream::kafka::{Output, OutputTopic};
use crate::wire;

type Header = (String, Option<Vec<u8>>);

/// A trigger record, with the number it has in its partition.
pub(super) fn trigger(trigger: &Trigger, epoch: u64, app: &str) -> Output {
    let topic = match trigger.kind {
        TriggerKind::Suppressed => OutputTopic::Suppressions,
        TriggerKind::Fire | TriggerKind::Cancel | TriggerKind::Expired => OutputTopic::Triggers,
    };
    let kind = trigger.kind.name();
    let text = |name: &str, value: String| (name.to_owned(), Some(value.into_bytes()));
    let message = wire::trigger::to_proto(trigger, epoch);
    // Our messages have text keys and finite numbers, so that writing them cannot fail.
    let value = serde_json::to_vec(&message).unwrap_or_default();
    Output {
        topic,
        identity: format!("{kind}/{}", trigger.id),
        seq: trigger.seq,
        key: Some(trigger.user.as_bytes().to_vec()),
        value: Some(value),
        headers: vec![
            text("ce_specversion", "1.0".to_owned()),
            text("ce_id", trigger.id.to_string()),
            text(
                "ce_type",
                format!("impulse.trigger.{}.{kind}.v1", trigger.rule),
            ),
            text("ce_source", format!("//impulse/{app}")),
            text("ce_time", rfc3339(trigger.fired)),
            text("ce_subject", format!("user/{}", trigger.user)),
            text("ce_partitionkey", trigger.user.to_string()),
            text("content-type", "application/json".to_owned()),
        ],
        time: trigger.fired,
    }
}

/// A record that was refused: key, value and headers byte for byte, and the reason in headers after them.
pub(super) fn dead_letter(
    message: &BorrowedMessage<'_>,
    rejection: &Rejection,
    bytes_max: usize,
) -> Output {
    let mut headers = headers_of(message);
    let mut add = |name: &str, value: String| {
        headers.push((name.to_owned(), Some(value.into_bytes())));
    };
    add("__connect.errors.topic", message.topic().to_owned());
    add(
        "__connect.errors.partition",
        message.partition().to_string(),
    );
    add("__connect.errors.offset", message.offset().to_string());
    add("__connect.errors.stage", rejection.stage.name().to_owned());
    add(
        "__connect.errors.exception.class.name",
        rejection.reason.name().to_owned(),
    );
    add(
        "__connect.errors.exception.message",
        rejection.detail.clone(),
    );
    add("impulse-reason", rejection.reason.name().to_owned());
    add("impulse-field", rejection.field.clone());
    let value = message.payload().map(|value| {
        if value.len() > bytes_max {
            add("impulse-truncated", value.len().to_string());
        }
        value.iter().take(bytes_max).copied().collect()
    });
    as_it_came(message, OutputTopic::DeadLetters, value, headers)
}

/// An event that came too late for triggers.
pub(super) fn late(message: &BorrowedMessage<'_>) -> Output {
    let value = message.payload().map(<[u8]>::to_vec);
    as_it_came(message, OutputTopic::Late, value, headers_of(message))
}

fn as_it_came(
    message: &BorrowedMessage<'_>,
    topic: OutputTopic,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
) -> Output {
    Output {
        topic,
        identity: format!("offset/{}", message.offset()),
        seq: 0,
        key: message.key().map(<[u8]>::to_vec),
        value,
        headers,
        time: super::decode::received(message),
    }
}

fn headers_of(message: &BorrowedMessage<'_>) -> Vec<Header> {
    message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    })
}

fn rfc3339(time: Millis) -> String {
    // A time of ours always has this form.
    match serde_json::to_value(wire::event::timestamp(time)) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(
            rfc3339(Millis(1_700_000_000_123)),
            "2023-11-14T22:13:20.123Z"
        );
    }
}
