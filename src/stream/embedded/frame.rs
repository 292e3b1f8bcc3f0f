//! A frame: everything one step of the engine leaves behind, under one checksum, all of it or nothing.
//!
//! ```text
//! 0   4  magic
//! 4   4  crc32c of the rest of the header, seeded by the segment's salt
//! 8   4  crc32c of the payload, seeded likewise
//! 12  4  bytes of the payload
//! 16  4  records: inputs and ticks, or records of a topic log
//! 20  8  position (sequence number) of the first record
//! 28  8  bytes of this segment that were known to be on disk when the frame was written
//! 36  …  payload: varints time, trigger, dead letter and late sequence before the frame, then the entries
//! ```
//!
//! Numbers are little-endian; varints are LEB128, signed ones zigzag. An entry is a varint `number << 3 | kind`; the
//! number is the size of its bytes (of a tick: whether it is caught up; of a source position: the partition).

use bytes::{Buf, BufMut};

use crate::domain::{Millis, Position, Seq};

use super::varint::{put, put_signed, take, take_signed};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 36;
/// Largest frame that is written or read.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"IMPf";

const INPUT: u64 = 0;
const LATE_INPUT: u64 = 1;
const TICK: u64 = 2;
const TRIGGER: u64 = 3;
const DEAD_LETTER: u64 = 4;
const SOURCE_POSITION: u64 = 5;
const TOPIC_RECORD: u64 = 6;

/// The last number used in each gap-free sequence; 0 where nothing is yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sequences {
    /// Of the input records.
    pub position: Position,
    /// Of the trigger log.
    pub trigger: Seq,
    /// Of the dead-letter log.
    pub dead_letter: Seq,
    /// Of the log of late events.
    pub late: Seq,
}

/// One thing in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An input record that is not a tick.
    Input {
        /// Its position.
        position: Position,
        /// When it arrived.
        received: Millis,
        /// Its sequence number in the log of late events, if it was late.
        late: Option<Seq>,
        /// What the caller wrote.
        bytes: &'a [u8],
    },
    /// A tick.
    Tick {
        /// Its position.
        position: Position,
        /// The owner's clock.
        wall: Millis,
        /// Whether the log was known to be read to its end.
        caught_up: bool,
    },
    /// A trigger record.
    Trigger {
        /// Its sequence number.
        seq: Seq,
        /// What the caller wrote.
        bytes: &'a [u8],
    },
    /// A dead letter.
    DeadLetter {
        /// Its sequence number.
        seq: Seq,
        /// What the caller wrote.
        bytes: &'a [u8],
    },
    /// How far a source outside was read.
    SourcePosition {
        /// Which part of the source.
        partition: u32,
        /// The next record to read there.
        offset: u64,
    },
    /// A record of a topic log.
    TopicRecord {
        /// Its sequence number.
        seq: Seq,
        /// Time of the step that made it; of a late event, when it arrived.
        time: Millis,
        /// What the caller wrote.
        bytes: &'a [u8],
    },
}

/// Builds one frame after another in one buffer; once warm it does not allocate.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    buffer: Vec<u8>,
    entries_start: usize,
    time: Millis,
    before: Sequences,
    after: Sequences,
}

impl FrameBuilder {
    /// An empty frame after the empty log.
    pub fn new() -> Self {
        let mut builder = Self {
            buffer: Vec::with_capacity(64 << 10),
            entries_start: 0,
            time: Millis(0),
            before: Sequences::default(),
            after: Sequences::default(),
        };
        builder.begin(Sequences::default(), Millis(0));
        builder
    }

    /// Empties the frame and begins the one after `end`, which is [`MainLog::end`](super::MainLog::end) when the
    /// frame is appended. `time` is the time of the step, from which topic records get theirs.
    pub fn begin(&mut self, end: Sequences, time: Millis) {
        self.buffer.clear();
        self.buffer.resize(HEADER_BYTES, 0);
        self.time = time;
        self.before = end;
        self.after = end;
        put_signed(&mut self.buffer, time.0);
        put(&mut self.buffer, end.trigger);
        put(&mut self.buffer, end.dead_letter);
        put(&mut self.buffer, end.late);
        self.entries_start = self.buffer.len();
    }

    /// Adds an input record that is not a tick; `late` also puts it into the log of late events.
    pub fn input(&mut self, received: Millis, late: bool, bytes: &[u8]) -> Position {
        self.after.position += 1;
        self.after.late += u64::from(late);
        self.put_tag(bytes.len() as u64, if late { LATE_INPUT } else { INPUT });
        put_signed(&mut self.buffer, received.0.wrapping_sub(self.time.0));
        self.buffer.extend_from_slice(bytes);
        self.after.position
    }

    /// Adds a tick.
    pub fn tick(&mut self, wall: Millis, caught_up: bool) -> Position {
        self.after.position += 1;
        self.put_tag(u64::from(caught_up), TICK);
        put_signed(&mut self.buffer, wall.0.wrapping_sub(self.time.0));
        self.after.position
    }

    /// Adds a trigger record.
    pub fn trigger(&mut self, bytes: &[u8]) -> Seq {
        self.after.trigger += 1;
        self.put_bytes(TRIGGER, bytes);
        self.after.trigger
    }

    /// Adds a dead letter.
    pub fn dead_letter(&mut self, bytes: &[u8]) -> Seq {
        self.after.dead_letter += 1;
        self.put_bytes(DEAD_LETTER, bytes);
        self.after.dead_letter
    }

    /// Notes how far a source outside was read.
    pub fn source_position(&mut self, partition: u32, offset: u64) {
        self.put_tag(u64::from(partition), SOURCE_POSITION);
        put(&mut self.buffer, offset);
    }

    /// Where the sequences stood before this frame.
    pub fn before(&self) -> Sequences {
        self.before
    }

    /// Where the sequences stand after what was added so far: the next dead letter gets one more than is here.
    pub fn after(&self) -> Sequences {
        self.after
    }

    /// Inputs and ticks added so far.
    pub fn records(&self) -> u64 {
        self.after.position - self.before.position
    }

    /// Size in bytes, everything counted.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.buffer.len() == self.entries_start
    }

    /// What was added so far.
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            time: self.time,
            before: self.before,
            after: self.after,
            synced: 0,
            entries: self.buffer.get(self.entries_start..).unwrap_or_default(),
        }
    }

    /// Adds a record of a topic log; its sequence number counts as the position.
    pub(super) fn topic_record(&mut self, time: Millis, bytes: &[u8]) -> Seq {
        self.after.position += 1;
        self.put_tag(bytes.len() as u64, TOPIC_RECORD);
        put_signed(&mut self.buffer, time.0.wrapping_sub(self.time.0));
        self.buffer.extend_from_slice(bytes);
        self.after.position
    }

    /// Completes the header; gives the bytes to write. May be done again after more was added.
    pub(super) fn seal(&mut self, seed: u32, synced: u64) -> &[u8] {
        let header = Header {
            payload_crc: 0,
            payload_bytes: self.buffer.len().saturating_sub(HEADER_BYTES),
            records: self.after.position - self.before.position,
            first: self.before.position + 1,
            synced,
        };
        if let Some((to, payload)) = self.buffer.split_first_chunk_mut::<HEADER_BYTES>() {
            *to = Header {
                payload_crc: crc32c::crc32c_append(seed, payload),
                ..header
            }
            .encode(seed);
        }
        &self.buffer
    }

    fn put_bytes(&mut self, kind: u64, bytes: &[u8]) {
        self.put_tag(bytes.len() as u64, kind);
        self.buffer.extend_from_slice(bytes);
    }

    fn put_tag(&mut self, number: u64, kind: u64) {
        put(&mut self.buffer, number << 3 | kind);
    }
}

impl Default for FrameBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the file ends within a frame")]
    Short,
    #[error("no frame begins there")]
    Magic,
    #[error("the checksum of a frame's header is wrong")]
    Header,
    #[error("the frame claims to be larger than frames can be")]
    Length,
    #[error("the checksum of a frame is wrong")]
    Checksum,
    #[error("the checksum is right but the entries cannot be read")]
    Entries,
    #[error("the frame belongs to another place in the log")]
    Place,
}

/// One frame as it lies in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    time: Millis,
    before: Sequences,
    after: Sequences,
    synced: u64,
    entries: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame that `bytes` begin with; also its size.
    pub(super) fn parse(bytes: &'a [u8], seed: u32) -> Result<(Self, usize), FrameError> {
        let header = Header::decode(bytes, seed)?;
        let size = HEADER_BYTES + header.payload_bytes;
        let payload = bytes.get(HEADER_BYTES..size).ok_or(FrameError::Short)?;
        if crc32c::crc32c_append(seed, payload) != header.payload_crc {
            return Err(FrameError::Checksum);
        }
        Ok((Self::parse_payload(payload, &header)?, size))
    }

    fn parse_payload(payload: &'a [u8], header: &Header) -> Result<Self, FrameError> {
        let mut rest = payload;
        let mut preamble = || {
            let time = Millis(take_signed(&mut rest)?);
            let before = Sequences {
                position: header.first.checked_sub(1)?,
                trigger: take(&mut rest)?,
                dead_letter: take(&mut rest)?,
                late: take(&mut rest)?,
            };
            Some((time, before))
        };
        let (time, before) = preamble().ok_or(FrameError::Entries)?;
        let mut entries = Entries {
            rest,
            time,
            at: before,
        };
        while !entries.rest.is_empty() {
            entries.read().ok_or(FrameError::Entries)?;
        }
        let after = entries.at;
        if after.position - before.position != header.records {
            return Err(FrameError::Entries);
        }
        Ok(Self {
            time,
            before,
            after,
            synced: header.synced,
            entries: rest,
        })
    }

    /// Bytes of its segment that were known to be on disk when it was written.
    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// Time of the step.
    pub fn time(&self) -> Millis {
        self.time
    }

    /// Where the sequences stood before it.
    pub fn before(&self) -> Sequences {
        self.before
    }

    /// Where the sequences stand after it.
    pub fn after(&self) -> Sequences {
        self.after
    }

    /// What is in it, in order.
    pub fn entries(&self) -> Entries<'a> {
        Entries {
            rest: self.entries,
            time: self.time,
            at: self.before,
        }
    }
}

/// Walks the entries of a [`Frame`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    time: Millis,
    at: Sequences,
}

impl<'a> Entries<'a> {
    fn read(&mut self) -> Option<Entry<'a>> {
        let tag = take(&mut self.rest)?;
        let number = tag >> 3;
        match tag & 7 {
            kind @ (INPUT | LATE_INPUT) => {
                let received = self.take_time()?;
                let bytes = self.take_bytes(number)?;
                let late = match kind {
                    LATE_INPUT => Some(next(&mut self.at.late)?),
                    _ => None,
                };
                Some(Entry::Input {
                    position: next(&mut self.at.position)?,
                    received,
                    late,
                    bytes,
                })
            }
            TICK => Some(Entry::Tick {
                wall: self.take_time()?,
                caught_up: match number {
                    0 => false,
                    1 => true,
                    _ => return None,
                },
                position: next(&mut self.at.position)?,
            }),
            TRIGGER => Some(Entry::Trigger {
                bytes: self.take_bytes(number)?,
                seq: next(&mut self.at.trigger)?,
            }),
            DEAD_LETTER => Some(Entry::DeadLetter {
                bytes: self.take_bytes(number)?,
                seq: next(&mut self.at.dead_letter)?,
            }),
            SOURCE_POSITION => Some(Entry::SourcePosition {
                partition: u32::try_from(number).ok()?,
                offset: take(&mut self.rest)?,
            }),
            TOPIC_RECORD => Some(Entry::TopicRecord {
                time: self.take_time()?,
                bytes: self.take_bytes(number)?,
                seq: next(&mut self.at.position)?,
            }),
            _ => None,
        }
    }

    fn take_time(&mut self) -> Option<Millis> {
        let delta = take_signed(&mut self.rest)?;
        Some(Millis(self.time.0.wrapping_add(delta)))
    }

    fn take_bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(count).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        // Every entry was walked once when the frame was parsed; one that cannot be read was refused there.
        self.read()
    }
}

/// What stands before the payload.
#[derive(Clone, Copy, Debug)]
struct Header {
    payload_crc: u32,
    payload_bytes: usize,
    records: u64,
    first: Position,
    synced: u64,
}

impl Header {
    /// Numbers too large for their field stay at its end; [`FRAME_BYTES_MAX`] keeps them far from it.
    fn encode(&self, seed: u32) -> [u8; HEADER_BYTES] {
        let mut rest = [0; HEADER_BYTES - 8];
        let mut out = rest.as_mut_slice();
        out.put_u32_le(self.payload_crc);
        out.put_u32_le(u32::try_from(self.payload_bytes).unwrap_or(u32::MAX));
        out.put_u32_le(u32::try_from(self.records).unwrap_or(u32::MAX));
        out.put_u64_le(self.first);
        out.put_u64_le(self.synced);
        let mut header = [0; HEADER_BYTES];
        let mut out = header.as_mut_slice();
        out.put_slice(&MAGIC);
        out.put_u32_le(crc32c::crc32c_append(seed, &rest));
        out.put_slice(&rest);
        header
    }

    fn decode(bytes: &[u8], seed: u32) -> Result<Self, FrameError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err(FrameError::Magic);
        }
        let mut crc = bytes.get(4..8).ok_or(FrameError::Short)?;
        let mut rest = bytes.get(8..HEADER_BYTES).ok_or(FrameError::Short)?;
        if crc.get_u32_le() != crc32c::crc32c_append(seed, rest) {
            return Err(FrameError::Header);
        }
        let header = Self {
            payload_crc: rest.get_u32_le(),
            payload_bytes: rest.get_u32_le() as usize,
            records: u64::from(rest.get_u32_le()),
            first: rest.get_u64_le(),
            synced: rest.get_u64_le(),
        };
        if HEADER_BYTES + header.payload_bytes > FRAME_BYTES_MAX {
            return Err(FrameError::Length);
        }
        Ok(header)
    }
}

/// Size of the frame that begins with these bytes, by its header alone.
pub(super) fn frame_bytes(bytes: &[u8], seed: u32) -> Result<usize, FrameError> {
    Ok(HEADER_BYTES + Header::decode(bytes, seed)?.payload_bytes)
}

/// Where in `bytes` a frame may begin.
pub(super) fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(MAGIC.len())
        .position(|window| window == MAGIC)
}

/// Reads `bytes` as frames one after the other and, apart from that, as the payload of one; how many entries there
/// were. It must come back from whatever is given to it: fuzzing calls it.
pub fn check_frames(bytes: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    while let Ok((frame, size)) = Frame::parse(rest, 0) {
        count += frame.entries().count();
        rest = rest.get(size..).unwrap_or_default();
    }
    for records in 0..4 {
        let header = Header {
            payload_crc: 0,
            payload_bytes: bytes.len(),
            records,
            first: 1,
            synced: 0,
        };
        if let Ok(frame) = Frame::parse_payload(bytes, &header) {
            count += frame.entries().count();
        }
    }
    count
}

/// The next number of a sequence, which then stands there.
fn next(sequence: &mut u64) -> Option<u64> {
    *sequence = sequence.checked_add(1)?;
    Some(*sequence)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Put {
        Input(i64, bool, Vec<u8>),
        Tick(i64, bool),
        Trigger(Vec<u8>),
        DeadLetter(Vec<u8>),
        SourcePosition(u32, u64),
        TopicRecord(i64, Vec<u8>),
    }

    fn put() -> impl Strategy<Value = Put> {
        let bytes = || vec(any::<u8>(), 0..300);
        prop_oneof![
            (any::<i64>(), any::<bool>(), bytes()).prop_map(|(t, l, b)| Put::Input(t, l, b)),
            (any::<i64>(), any::<bool>()).prop_map(|(t, c)| Put::Tick(t, c)),
            bytes().prop_map(Put::Trigger),
            bytes().prop_map(Put::DeadLetter),
            (any::<u32>(), any::<u64>()).prop_map(|(p, o)| Put::SourcePosition(p, o)),
            (any::<i64>(), bytes()).prop_map(|(t, b)| Put::TopicRecord(t, b)),
        ]
    }

    fn apply<'a>(builder: &mut FrameBuilder, puts: &'a [Put]) -> Vec<Entry<'a>> {
        let mut entries = Vec::new();
        for put in puts {
            entries.push(match put {
                Put::Input(received, late, bytes) => {
                    let received = Millis(*received);
                    let position = builder.input(received, *late, bytes);
                    Entry::Input {
                        position,
                        received,
                        late: late.then(|| builder.after().late),
                        bytes,
                    }
                }
                Put::Tick(wall, caught_up) => Entry::Tick {
                    position: builder.tick(Millis(*wall), *caught_up),
                    wall: Millis(*wall),
                    caught_up: *caught_up,
                },
                Put::Trigger(bytes) => Entry::Trigger {
                    seq: builder.trigger(bytes),
                    bytes,
                },
                Put::DeadLetter(bytes) => Entry::DeadLetter {
                    seq: builder.dead_letter(bytes),
                    bytes,
                },
                Put::SourcePosition(partition, offset) => {
                    builder.source_position(*partition, *offset);
                    Entry::SourcePosition {
                        partition: *partition,
                        offset: *offset,
                    }
                }
                Put::TopicRecord(time, bytes) => Entry::TopicRecord {
                    seq: builder.topic_record(Millis(*time), bytes),
                    time: Millis(*time),
                    bytes,
                },
            });
        }
        entries
    }

    fn sequences() -> impl Strategy<Value = Sequences> {
        let number = || 0..u64::MAX / 2;
        (number(), number(), number(), number()).prop_map(
            |(position, trigger, dead_letter, late)| Sequences {
                position,
                trigger,
                dead_letter,
                late,
            },
        )
    }

    proptest! {
        #[test]
        fn a_frame_is_read_as_it_was_built(
            puts in vec(put(), 0..40),
            begin in sequences(),
            time: i64,
            seed: u32,
            synced: u64,
        ) {
            let mut builder = FrameBuilder::new();
            builder.begin(begin, Millis(time));
            let entries = apply(&mut builder, &puts);
            let bytes = builder.seal(seed, synced).to_vec();
            let (frame, size) = Frame::parse(&bytes, seed).unwrap();
            prop_assert_eq!(size, bytes.len());
            prop_assert_eq!(frame.synced(), synced);
            prop_assert_eq!(frame.time(), Millis(time));
            prop_assert_eq!((frame.before(), frame.after()), (begin, builder.after()));
            prop_assert_eq!(frame.entries().collect::<Vec<_>>(), entries.clone());
            prop_assert_eq!(builder.frame().entries().collect::<Vec<_>>(), entries);
        }

        #[test]
        fn a_flipped_bit_is_seen(puts in vec(put(), 1..10), at: prop::sample::Index, bit in 0..8_u32) {
            let mut builder = FrameBuilder::new();
            apply(&mut builder, &puts);
            let mut bytes = builder.seal(7, 0).to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Frame::parse(&bytes, 7).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..2_000)) {
            check_frames(&bytes);
        }

        #[test]
        fn a_damaged_payload_under_a_right_checksum_is_read_without_panic(
            puts in vec(put(), 1..10),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut builder = FrameBuilder::new();
            apply(&mut builder, &puts);
            let at = HEADER_BYTES + at.index(builder.buffer.len() - HEADER_BYTES);
            builder.buffer[at] = byte;
            let bytes = builder.seal(0, 0).to_vec();
            check_frames(&bytes);
        }
    }

    #[test]
    fn bytes_of_another_segment_are_no_frame() {
        let mut builder = FrameBuilder::new();
        builder.trigger(b"cart");
        let bytes = builder.seal(1, 0).to_vec();
        assert_eq!(Frame::parse(&bytes, 2).unwrap_err(), FrameError::Header);
    }

    #[test]
    fn every_short_form_of_a_frame_is_short() {
        let mut builder = FrameBuilder::new();
        builder.input(Millis(5), false, b"event");
        let bytes = builder.seal(0, 0).to_vec();
        for size in 0..bytes.len() {
            assert_eq!(
                Frame::parse(&bytes[..size], 0).unwrap_err(),
                FrameError::Short
            );
        }
    }

    #[test]
    fn an_event_of_100_bytes_takes_at_most_112() {
        let mut builder = FrameBuilder::new();
        builder.begin(Sequences::default(), Millis(1_700_000_000_000));
        let events = 500;
        for index in 0..events {
            builder.input(Millis(1_700_000_000_000 + index), false, &[b'x'; 100]);
        }
        let each = builder.bytes() / usize::try_from(events).unwrap();
        assert!(each <= 112, "{each} bytes each");
    }

    #[test]
    fn a_frame_is_built_in_the_same_buffer_again() {
        let mut builder = FrameBuilder::new();
        builder.input(Millis(1), false, &[0; 1_000]);
        let capacity = builder.buffer.capacity();
        let first = builder.seal(3, 0).to_vec();
        builder.begin(Sequences::default(), Millis(0));
        assert!(builder.is_empty());
        builder.input(Millis(1), false, &[0; 1_000]);
        assert_eq!(builder.seal(3, 0), first);
        assert_eq!(builder.buffer.capacity(), capacity);
    }
}
