//! What a transaction writes, as Kafka records: triggers as `CloudEvents`, dead letters and late events as they came.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::domain::{Rejection, Trigger, TriggerKind};
use crate::stream::kafka::{Output, OutputTopic};
use crate::wire::cloudevents::{Form, Writer, encode_trigger};
use crate::wire::connect::{self, Failed};

type Header = (String, Option<Vec<u8>>);

/// A trigger record, with the number it has in its partition.
pub(super) fn trigger(trigger: &Trigger, epoch: u64, app: &str) -> Output {
    let topic = match trigger.kind {
        TriggerKind::Suppressed => OutputTopic::Suppressions,
        TriggerKind::Fire | TriggerKind::Cancel | TriggerKind::Expired => OutputTopic::Triggers,
    };
    let writer = Writer {
        cluster: app,
        epoch,
        // Silence has no cause whose trace it could belong to.
        traceparent: None,
    };
    let message = encode_trigger(trigger, writer, Form::default());
    Output {
        topic,
        identity: format!("{}/{}", trigger.kind.name(), trigger.id),
        seq: trigger.seq,
        key: Some(trigger.user.as_bytes().to_vec()),
        value: Some(message.value),
        headers: owned(message.headers),
        time: trigger.fired,
    }
}

/// A record that was refused: key, value and headers byte for byte, and the reason in headers after them.
pub(super) fn dead_letter(
    message: &BorrowedMessage<'_>,
    rejection: &Rejection,
    bytes_max: usize,
) -> Output {
    let value = message.payload();
    let len = value.map_or(0, <[u8]>::len);
    let failed = Failed {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        rejection: rejection.clone(),
        truncated_from: (len > bytes_max).then_some(len as u64),
    };
    let mut headers = headers_of(message);
    headers.extend(owned(connect::encode(&failed)));
    let kept = value.map(|value| value.iter().take(bytes_max).copied().collect());
    as_it_came(message, OutputTopic::DeadLetters, kept, headers)
}

fn owned(headers: Vec<(&'static str, String)>) -> Vec<Header> {
    let headers = headers.into_iter();
    headers
        .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
        .collect()
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
