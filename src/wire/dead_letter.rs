//! Refused messages, byte for byte and with the reason, as protobuf messages in and out.

use crate::domain::{Millis, Rejection, RejectionReason, Seq, Stage};
use crate::wire::event::{stamp, timestamp};
use crate::wire::proto;
use crate::wire::protobuf::malformed;

const STAGES: [Stage; 6] = [
    Stage::Parse,
    Stage::Schema,
    Stage::Required,
    Stage::Value,
    Stage::Clock,
    Stage::Limit,
];

/// One entry of the dead-letter log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Place in the log.
    pub seq: Seq,
    /// When it arrived.
    pub received: Millis,
    /// The way it came.
    pub source: String,
    /// Why it was refused.
    pub rejection: Rejection,
    /// As it came.
    pub payload: Vec<u8>,
    /// Media type of `payload`.
    pub content_type: String,
}

/// The message of a dead letter.
pub fn to_proto(letter: &DeadLetter) -> proto::DeadLetter {
    proto::DeadLetter {
        seq: letter.seq,
        received_at: Some(timestamp(letter.received)),
        source: letter.source.clone(),
        stage: letter.rejection.stage.name().to_owned(),
        reason: letter.rejection.reason.name().to_owned(),
        field: letter.rejection.field.clone(),
        detail: letter.rejection.detail.clone(),
        payload: letter.payload.clone(),
        content_type: letter.content_type.clone(),
    }
}

/// The dead letter of a message that we ourselves have written.
///
/// # Errors
///
/// If the message has a stage or a reason that no version of ours writes.
pub fn from_proto(message: proto::DeadLetter) -> Result<DeadLetter, Rejection> {
    let stage = STAGES
        .into_iter()
        .find(|stage| stage.name() == message.stage)
        .ok_or_else(|| unknown("stage", &message.stage))?;
    let reason = RejectionReason::ALL
        .into_iter()
        .find(|reason| reason.name() == message.reason)
        .ok_or_else(|| unknown("reason", &message.reason))?;
    Ok(DeadLetter {
        seq: message.seq,
        received: message
            .received_at
            .map_or(Millis::default(), |time| stamp(time).millis()),
        source: message.source,
        rejection: Rejection {
            stage,
            reason,
            field: message.field,
            detail: message.detail,
        },
        payload: message.payload,
        content_type: message.content_type,
    })
}

/// Appends the letter's `impulse.v1.DeadLetter` to `out`.
pub fn encode(letter: &DeadLetter, out: &mut Vec<u8>) {
    prost::Message::encode_raw(&to_proto(letter), out);
}

/// The dead letter in the bytes of an `impulse.v1.DeadLetter`.
///
/// # Errors
///
/// If the bytes are no such message, or as [`from_proto`].
pub fn decode(bytes: &[u8]) -> Result<DeadLetter, Rejection> {
    let message: proto::DeadLetter =
        prost::Message::decode(bytes).map_err(|error| malformed("DeadLetter", &error))?;
    from_proto(message)
}

fn unknown(field: &str, value: &str) -> Rejection {
    Rejection {
        stage: Stage::Schema,
        reason: RejectionReason::InvalidValue,
        field: field.to_owned(),
        detail: format!("no dead letter has {field} {value:?}"),
    }
}
