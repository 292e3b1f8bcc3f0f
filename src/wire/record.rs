//! Records of the input log as bytes and back: what recovery reads is what was written.
//!
//! A record is the protobuf message
//!
//! ```proto
//! message Record {
//!   int64 received_ms = 1;
//!   oneof input {
//!     Event event = 2;
//!     Item item_upsert = 3;
//!     string item_delete = 4;
//!     Tick tick = 5;
//!   }
//! }
//! message Tick {
//!   int64 wall_ms = 1;
//!   bool caught_up = 2;
//! }
//! ```
//!
//! with the input last. An input alone is the same message without `received_ms`. Decoding refuses only what cannot be
//! a record; the gates stand where events come in, not here, so that a log stays readable when a limit changes.

use prost::Message as _;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint,
    encoded_len_varint, skip_field,
};

use crate::domain::{Id, Input, Millis, Record, Rejection, RejectionReason, Stage};
use crate::wire::{event, item, proto};

const RECEIVED: u32 = 1;
const EVENT: u32 = 2;
const ITEM_UPSERT: u32 = 3;
const ITEM_DELETE: u32 = 4;
const TICK: u32 = 5;

const WALL: u32 = 1;
const CAUGHT_UP: u32 = 2;

/// Appends a record to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    if record.received != Millis::default() {
        encode_key(RECEIVED, WireType::Varint, out);
        encode_varint(record.received.0.cast_unsigned(), out);
    }
    encode_input(&record.input, out);
}

/// Appends an input to `out`.
pub fn encode_input(input: &Input, out: &mut Vec<u8>) {
    match input {
        Input::Event(event) => {
            let message = event::to_proto(event);
            prost::encoding::message::encode(EVENT, &message, out);
        }
        Input::ItemUpsert(patch) => {
            let message = item::patch_to_proto(patch);
            prost::encoding::message::encode(ITEM_UPSERT, &message, out);
        }
        Input::ItemDelete(item) => {
            encode_key(ITEM_DELETE, WireType::LengthDelimited, out);
            encode_varint(item.len() as u64, out);
            out.extend_from_slice(item.as_bytes());
        }
        Input::Tick { wall, caught_up } => encode_tick(*wall, *caught_up, out),
    }
}

fn encode_tick(wall: Millis, caught_up: bool, out: &mut Vec<u8>) {
    let wall = wall.0.cast_unsigned();
    let wall_bytes = if wall == 0 {
        0
    } else {
        1 + encoded_len_varint(wall)
    };
    encode_key(TICK, WireType::LengthDelimited, out);
    encode_varint((wall_bytes + 2 * usize::from(caught_up)) as u64, out);
    if wall != 0 {
        encode_key(WALL, WireType::Varint, out);
        encode_varint(wall, out);
    }
    if caught_up {
        encode_key(CAUGHT_UP, WireType::Varint, out);
        encode_varint(1, out);
    }
}

/// The record in these bytes.
///
/// # Errors
///
/// If the bytes are no record.
pub fn decode(bytes: &[u8]) -> Result<Record, Rejection> {
    let (received, input) = decode_parts(bytes)?;
    Ok(Record { received, input })
}

/// The input in these bytes; a time of receipt in them is passed over.
///
/// # Errors
///
/// If the bytes are no input.
pub fn decode_input(bytes: &[u8]) -> Result<Input, Rejection> {
    decode_parts(bytes).map(|(_, input)| input)
}

fn decode_parts(mut bytes: &[u8]) -> Result<(Millis, Input), Rejection> {
    let bad = |error| event::malformed("Record", &error);
    let mut received = Millis::default();
    let mut input = None;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(bad)?;
        match (tag, wire_type) {
            (RECEIVED, WireType::Varint) => {
                received = Millis(decode_varint(&mut bytes).map_err(bad)?.cast_signed());
            }
            (EVENT, WireType::LengthDelimited) => {
                let event = event::draft_of(take_delimited(&mut bytes)?)?.into_trusted()?;
                input = Some(Input::Event(event));
            }
            (ITEM_UPSERT, WireType::LengthDelimited) => {
                let message = proto::Item::decode(take_delimited(&mut bytes)?).map_err(bad)?;
                input = Some(Input::ItemUpsert(Box::new(item::trusted(message))));
            }
            (ITEM_DELETE, WireType::LengthDelimited) => {
                let text = std::str::from_utf8(take_delimited(&mut bytes)?)
                    .map_err(|error| no_record(&error.to_string()))?;
                input = Some(Input::ItemDelete(Id::from(text)));
            }
            (TICK, WireType::LengthDelimited) => {
                input = Some(decode_tick(take_delimited(&mut bytes)?)?);
            }
            _ => skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).map_err(bad)?,
        }
    }
    input
        .map(|input| (received, input))
        .ok_or_else(|| no_record("it has no input"))
}

fn decode_tick(mut bytes: &[u8]) -> Result<Input, Rejection> {
    let bad = |error| event::malformed("Record.Tick", &error);
    let mut wall = Millis::default();
    let mut caught_up = false;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).map_err(bad)?;
        match (tag, wire_type) {
            (WALL, WireType::Varint) => {
                wall = Millis(decode_varint(&mut bytes).map_err(bad)?.cast_signed());
            }
            (CAUGHT_UP, WireType::Varint) => {
                caught_up = decode_varint(&mut bytes).map_err(bad)? != 0;
            }
            _ => skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).map_err(bad)?,
        }
    }
    Ok(Input::Tick { wall, caught_up })
}

/// The bytes of a length-delimited field, cut off the front of `bytes`.
fn take_delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Rejection> {
    let length = decode_varint(bytes).map_err(|error| event::malformed("Record", &error))?;
    let split = usize::try_from(length)
        .ok()
        .and_then(|length| bytes.split_at_checked(length));
    let (field, rest) = split.ok_or_else(|| no_record("a field is longer than the record"))?;
    *bytes = rest;
    Ok(field)
}

#[cold]
fn no_record(why: &str) -> Rejection {
    Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedProtobuf,
        field: String::new(),
        detail: format!("not a log record: {why}"),
    }
}
