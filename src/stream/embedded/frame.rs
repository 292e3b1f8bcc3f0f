//! A frame: everything one step of the engine leaves behind, under one checksum, all of it or nothing.
//!
//! ```text
//! 0   4  magic
//! 4   4  crc32c of all that follows, seeded by the segment's salt
//! 8   4  bytes of the payload
//! 12  4  records: inputs and ticks, or records of a topic log
//! 16  8  position (sequence number) of the first record
//! 24  8  bytes of this segment that were known to be on disk when the frame was written
//! 32  …  payload: varints time, trigger, dead letter and late sequence before the frame, then the entries
//! ```
//!
//! Numbers are little-endian; varints are LEB128, signed ones zigzag. An entry is a varint `number << 3 | kind`; the
//! number is the size of its bytes (of a tick: whether it is caught up; of a source position: the partition).

use bytes::{Buf, BufMut};

use crate::domain::{Millis, Position, Seq};

use super::varint::{put, put_signed, take, take_signed};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 32;
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
        let payload_bytes = self.buffer.len().saturating_sub(HEADER_BYTES);
        if let Some((header, payload)) = self.buffer.split_first_chunk_mut::<HEADER_BYTES>() {
            let mut out = header.as_mut_slice();
            out.put_slice(&MAGIC);
            out.put_u32_le(0);
            out.put_u32_le(u32::try_from(payload_bytes).unwrap_or(u32::MAX));
            out.put_u32_le(
                u32::try_from(self.after.position - self.before.position).unwrap_or(u32::MAX),
            );
            out.put_u64_le(self.before.position + 1);
            out.put_u64_le(synced);
            let crc = checksum(seed, header, payload);
            for (to, from) in header.iter_mut().skip(MAGIC.len()).zip(crc.to_le_bytes()) {
                *to = from;
            }
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
    #[error("the frame claims to be larger than frames can be")]
    Length,
    #[error("the checksum is wrong")]
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
        let size = frame_bytes(bytes)?;
        let bytes = bytes.get(..size).ok_or(FrameError::Short)?;
        let (header, payload) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(FrameError::Short)?;
        let mut fields = header.get(MAGIC.len()..).ok_or(FrameError::Short)?;
        if fields.get_u32_le() != checksum(seed, header, payload) {
            return Err(FrameError::Checksum);
        }
        let _payload_bytes = fields.get_u32_le();
        let records = fields.get_u32_le();
        let first = fields.get_u64_le();
        let synced = fields.get_u64_le();
        let frame = Self::parse_payload(payload, first, records, synced)?;
        Ok((frame, size))
    }

    fn parse_payload(
        payload: &'a [u8],
        first: Position,
        records: u32,
        synced: u64,
    ) -> Result<Self, FrameError> {
        let mut rest = payload;
        let mut preamble = || {
            let time = Millis(take_signed(&mut rest)?);
            let before = Sequences {
                position: first.checked_sub(1)?,
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
        if after.position - before.position != u64::from(records) {
            return Err(FrameError::Entries);
        }
        Ok(Self {
            time,
            before,
            after,
            synced,
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

/// Size of the frame that begins with these bytes, by its header alone.
pub(super) fn frame_bytes(bytes: &[u8]) -> Result<usize, FrameError> {
    let known = bytes.len().min(MAGIC.len());
    if bytes.get(..known) != MAGIC.get(..known) {
        return Err(FrameError::Magic);
    }
    let mut length = bytes.get(8..HEADER_BYTES).ok_or(FrameError::Short)?;
    let size = HEADER_BYTES + length.get_u32_le() as usize;
    if size > FRAME_BYTES_MAX {
        return Err(FrameError::Length);
    }
    Ok(size)
}

/// Reads `bytes` as frames one after the other and, apart from that, as the entries of one; how many entries there
/// were. It must come back from whatever is given to it: fuzzing calls it.
pub fn check_frames(bytes: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    while let Ok((frame, size)) = Frame::parse(rest, 0) {
        count += frame.entries().count();
        rest = rest.get(size..).unwrap_or_default();
    }
    for records in 0..4 {
        if let Ok(frame) = Frame::parse_payload(bytes, 1, records, 0) {
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

/// Of everything behind the checksum's own place.
fn checksum(seed: u32, header: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let header = header.get(8..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c_append(seed, header), payload)
}
