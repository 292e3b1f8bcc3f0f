//! What a transaction writes, as Kafka records: triggers as `CloudEvents`, dead letters and late events as they came.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::domain::{Rejection, Trigger, TriggerKind};
use crate::stream::kafka::{Output, OutputTopic};
use crate::wire::cloudevents::{Form, Writer, encode_trigger};
use crate::wire::connect::{self, Failed, Source};

/// Longest key that is kept of a record that is written on.
const KEY_BYTES_MAX: usize = 64 << 10;
/// Most bytes of headers that are kept; beyond it none is.
const HEADER_BYTES_MAX: usize = 64 << 10;

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
    let len = message.payload_len();
    let failed = Failed {
        source: Source::Record {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        },
        rejection: rejection.clone(),
        truncated_from: (len > bytes_max).then_some(len as u64),
    };
    let reasons = owned(connect::encode(&failed));
    as_it_came(message, OutputTopic::DeadLetters, bytes_max, reasons)
}

/// An event that came too late for triggers.
pub(super) fn late(message: &BorrowedMessage<'_>, bytes_max: usize) -> Output {
    as_it_came(message, OutputTopic::Late, bytes_max, Vec::new())
}

fn owned(headers: Vec<(&'static str, String)>) -> Vec<Header> {
    let headers = headers.into_iter();
    headers
        .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
        .collect()
}

/// The record with further headers. It must fit where it goes, or its partition would stand still for good: what is too
/// long is cut.
fn as_it_came(
    message: &BorrowedMessage<'_>,
    topic: OutputTopic,
    bytes_max: usize,
    more: Vec<Header>,
) -> Output {
    let cut = |bytes: &[u8], max: usize| bytes.iter().take(max).copied().collect::<Vec<u8>>();
    let mut headers = headers_of(message);
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
        .sum();
    if bytes > HEADER_BYTES_MAX {
        headers.clear();
    }
    headers.extend(more);
    Output {
        topic,
        identity: format!("offset/{}", message.offset()),
        seq: 0,
        key: message.key().map(|key| cut(key, KEY_BYTES_MAX)),
        value: message.payload().map(|value| cut(value, bytes_max)),
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
