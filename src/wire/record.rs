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

use crate::domain::{Id, Input, Millis, Record, Rejection};
use crate::wire::protobuf::{
    Broken, Fields, malformed, put_choice, put_entry, put_message, put_uint,
};
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
    put_uint(RECEIVED, record.received.0.cast_unsigned(), out);
    encode_input(&record.input, out);
}

/// Appends an input to `out`.
pub fn encode_input(input: &Input, out: &mut Vec<u8>) {
    match input {
        Input::Event(event) => put_message(EVENT, out, |out| event::encode(event, out)),
        Input::ItemUpsert(patch) => {
            let message = item::patch_to_proto(patch);
            put_message(ITEM_UPSERT, out, |out| message.encode_raw(out));
        }
        Input::ItemDelete(item) => put_entry(ITEM_DELETE, item, out),
        Input::Tick { wall, caught_up } => put_message(TICK, out, |out| {
            put_uint(WALL, wall.0.cast_unsigned(), out);
            put_choice(CAUGHT_UP, caught_up.then_some(true), out);
        }),
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

fn decode_parts(bytes: &[u8]) -> Result<(Millis, Input), Rejection> {
    let broken = |broken: Broken| broken.refusal("Record");
    let mut fields = Fields(bytes);
    let mut received = Millis::default();
    let mut input = None;
    while let Some((tag, value)) = fields.next().map_err(broken)? {
        match tag {
            RECEIVED => received = Millis(value.int64().map_err(broken)?),
            EVENT => {
                let draft = event::draft_of(value.bytes().map_err(broken)?)?;
                input = Some(Input::Event(draft.into_trusted()?));
            }
            ITEM_UPSERT => {
                let message = proto::Item::decode(value.bytes().map_err(broken)?)
                    .map_err(|error| malformed("Item", &error))?;
                input = Some(Input::ItemUpsert(Box::new(item::trusted(message))));
            }
            ITEM_DELETE => {
                input = Some(Input::ItemDelete(Id::from(value.text().map_err(broken)?)));
            }
            TICK => input = Some(decode_tick(value.message().map_err(broken)?).map_err(broken)?),
            _ => {}
        }
    }
    input
        .map(|input| (received, input))
        .ok_or_else(|| malformed("Record", &"it has no input"))
}

fn decode_tick(mut fields: Fields<'_>) -> Result<Input, Broken> {
    let mut wall = Millis::default();
    let mut caught_up = false;
    while let Some((tag, value)) = fields.next()? {
        match tag {
            WALL => wall = Millis(value.int64()?),
            CAUGHT_UP => caught_up = value.bool()?,
            _ => {}
        }
    }
    Ok(Input::Tick { wall, caught_up })
}
