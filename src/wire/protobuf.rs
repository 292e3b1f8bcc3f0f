//! The protobuf wire format, read in place and written straight from domain values.
//!
//! The generated messages own a `String` for every field and a list as long as the sender likes. Events are the one
//! thing that comes in by the million, so they are read here field by field: nothing is allocated before a limit has
//! been looked at, and short ids not at all. Tests hold both readings and both writings equal.

use std::fmt;

use crate::domain::{Rejection, RejectionReason, Stage};

/// Groups within groups within a field of no name of ours.
const DEPTH_MAX: u32 = 100;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(&'static str);

const ENDS_EARLY: Broken = Broken("it ends in the middle of a field");
const WRONG_TYPE: Broken = Broken("a field has another wire type");

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Broken {
    /// The refusal of a whole message.
    #[cold]
    pub(super) fn refusal(self, message: &str) -> Rejection {
        malformed(message, &self)
    }
}

/// A refusal of bytes that are no message of this name.
#[cold]
pub(super) fn malformed(message: &str, error: &impl fmt::Display) -> Rejection {
    Rejection {
        stage: Stage::Parse,
        reason: RejectionReason::MalformedProtobuf,
        field: String::new(),
        detail: format!("not a protobuf message impulse.v1.{message}: {error}"),
    }
}

/// A value as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    /// Of a type that no message of ours uses.
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn text(self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Broken("a text is not UTF-8"))
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Broken> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Other => Err(WRONG_TYPE),
        }
    }

    pub(super) fn message(self) -> Result<Fields<'a>, Broken> {
        self.bytes().map(Fields)
    }

    pub(super) fn uint64(self) -> Result<u64, Broken> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Other => Err(WRONG_TYPE),
        }
    }

    pub(super) fn int64(self) -> Result<i64, Broken> {
        self.uint64().map(u64::cast_signed)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the format says so")]
    pub(super) fn uint32(self) -> Result<u32, Broken> {
        self.uint64().map(|value| value as u32)
    }

    pub(super) fn int32(self) -> Result<i32, Broken> {
        self.uint32().map(u32::cast_signed)
    }

    pub(super) fn bool(self) -> Result<bool, Broken> {
        self.uint64().map(|value| value != 0)
    }

    pub(super) fn double(self) -> Result<f64, Broken> {
        match self {
            Self::Fixed64(bytes) => Ok(f64::from_le_bytes(bytes)),
            Self::Bytes(_) | Self::Varint(_) | Self::Other => Err(WRONG_TYPE),
        }
    }
}

/// The fields of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.key()?;
        Ok(Some((tag, self.value(tag, wire_type, DEPTH_MAX)?)))
    }

    fn key(&mut self) -> Result<(u32, u32), Broken> {
        const NO_NUMBER: Broken = Broken("a field has no possible number");
        let key = u32::try_from(self.varint()?).map_err(|_| NO_NUMBER)?;
        match key >> 3 {
            0 => Err(NO_NUMBER),
            tag => Ok((tag, key & 7)),
        }
    }

    fn value(&mut self, tag: u32, wire_type: u32, depth: u32) -> Result<Value<'a>, Broken> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => {
                let (value, rest) = self.0.split_first_chunk().ok_or(ENDS_EARLY)?;
                self.0 = rest;
                Ok(Value::Fixed64(*value))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ENDS_EARLY)?;
                let (value, rest) = self.0.split_at_checked(length).ok_or(ENDS_EARLY)?;
                self.0 = rest;
                Ok(Value::Bytes(value))
            }
            3 => self.skip_group(tag, depth).map(|()| Value::Other),
            5 => {
                let (_, rest) = self.0.split_at_checked(4).ok_or(ENDS_EARLY)?;
                self.0 = rest;
                Ok(Value::Other)
            }
            _ => Err(Broken("a field has no possible wire type")),
        }
    }

    fn skip_group(&mut self, group: u32, depth: u32) -> Result<(), Broken> {
        const END_GROUP: u32 = 4;
        let depth = depth.checked_sub(1).ok_or(Broken("groups too deep"))?;
        loop {
            let (tag, wire_type) = self.key()?;
            if wire_type == END_GROUP {
                return if tag == group {
                    Ok(())
                } else {
                    Err(Broken("a group ends that did not begin"))
                };
            }
            self.value(tag, wire_type, depth)?;
        }
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        const LONG: Broken = Broken("a number is longer than 64 bits");
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(ENDS_EARLY)?;
            self.0 = rest;
            if shift == 63 && *byte > 1 {
                return Err(LONG);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(LONG)
    }
}

/// Appends a varint.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_key(tag: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(tag << 3 | wire_type), out);
}

/// Appends a number, unless it is 0, which is what an absent field means.
pub(super) fn put_uint(tag: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        put_key(tag, 0, out);
        put_varint(value, out);
    }
}

/// Appends a choice if one was made.
pub(super) fn put_choice(tag: u32, choice: Option<bool>, out: &mut Vec<u8>) {
    if let Some(choice) = choice {
        put_key(tag, 0, out);
        out.push(u8::from(choice));
    }
}

/// Appends an amount if there is one.
pub(super) fn put_double(tag: u32, value: Option<f64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        put_key(tag, 1, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a text, unless it is empty, which is what an absent field means.
pub(super) fn put_text(tag: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_entry(tag, text, out);
    }
}

/// Appends an entry of a list of texts, or of a choice of one, where empty is not absent.
pub(super) fn put_entry(tag: u32, text: &str, out: &mut Vec<u8>) {
    put_key(tag, 2, out);
    put_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a message that `write` appends field by field.
pub(super) fn put_message(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put_key(tag, 2, out);
    let start = out.len();
    // Nearly all messages are shorter than 128 bytes; the longer ones are moved to make room for their length.
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(length)
        && let Some(place) = out.get_mut(start)
    {
        *place = short;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    put_varint(length as u64, &mut prefix);
    out.splice(start..=start, prefix);
}

#[cfg(test)]
mod tests {
    use super::{Fields, Value, put_message, put_text, put_uint, put_varint};

    #[test]
    fn varints_of_every_length_are_read_back() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1_u64 << shift).wrapping_sub(1), u64::MAX] {
                let mut bytes = Vec::new();
                put_varint(value, &mut bytes);
                let mut expected = Vec::new();
                prost::encoding::encode_varint(value, &mut expected);
                assert_eq!(bytes, expected);
                let mut fields = Fields(&bytes);
                assert_eq!(fields.varint(), Ok(value));
                assert!(fields.0.is_empty());
            }
        }
    }

    #[test]
    fn long_messages_make_room_for_their_length() {
        for length in [0, 1, 126, 127, 128, 16_383, 16_384, 100_000] {
            let text = "x".repeat(length);
            let mut bytes = Vec::new();
            put_uint(1, 7, &mut bytes);
            put_message(2, &mut bytes, |out| put_text(1, &text, out));
            put_uint(3, 8, &mut bytes);
            let mut fields = Fields(&bytes);
            fields.next().unwrap();
            let (tag, value) = fields.next().unwrap().unwrap();
            let inner = value.message().unwrap().next().unwrap();
            assert_eq!(tag, 2);
            assert_eq!(inner.map_or("", |(_, value)| value.text().unwrap()), text);
            assert!(matches!(
                fields.next().unwrap(),
                Some((3, Value::Varint(8)))
            ));
        }
    }

    #[test]
    fn broken_bytes_are_refused() {
        let deep: Vec<u8> = std::iter::repeat_n(0x0b, 200).collect();
        for broken in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x0a, 5, 1],
            &[0x09, 1, 2, 3],
            &[0x0d, 1, 2],
            &[0x00, 0],
            &[0x0e, 0],
            &[0x0c],
            &[0x0b, 0x14],
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &deep,
        ] {
            assert!(Fields(broken).next().is_err(), "{broken:?}");
        }
        let group = [0x0b, 0x10, 1, 0x13, 0x14, 0x0c, 0x10, 9];
        let mut fields = Fields(&group);
        assert!(matches!(fields.next().unwrap(), Some((1, Value::Other))));
        assert!(matches!(
            fields.next().unwrap(),
            Some((2, Value::Varint(9)))
        ));
    }
}
