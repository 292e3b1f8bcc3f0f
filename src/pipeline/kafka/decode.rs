//! From a Kafka record to an input.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::domain::{Input, Millis, Rejection, RejectionReason, Stage};
use crate::wire;

/// What a record says: an event or an item.
pub(super) fn decode(message: &BorrowedMessage<'_>, bytes_max: usize) -> Result<Input, Rejection> {
    let Some(value) = message.payload() else {
        return Err(Rejection {
            stage: Stage::Parse,
            reason: RejectionReason::MissingField,
            field: String::new(),
            detail: "the record has no value".to_owned(),
        });
    };
    if value.len() > bytes_max {
        return Err(Rejection {
            stage: Stage::Limit,
            reason: RejectionReason::TooLong,
            field: String::new(),
            detail: format!(
                "the record has {} bytes; the limit is {bytes_max}",
                value.len()
            ),
        });
    }
    let headers: Vec<(&str, &[u8])> = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect()
    });
    wire::cloudevents::decode(&headers, value)
}

/// When the record arrived, by its own timestamp: the same whoever reads it.
pub(super) fn received(message: &BorrowedMessage<'_>) -> Millis {
    Millis(message.timestamp().to_millis().unwrap_or_default())
}
