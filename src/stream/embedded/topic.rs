//! Reading topic logs: what subscribers and commands see of triggers, dead letters and late events.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::domain::{Millis, Seq};

use super::frame::FrameError;
use super::segment::{Found, SEGMENT_HEADER_BYTES, Segment, list_segments, segment_path};
use super::{Damage, DataDir, Disk, Entry, Frame, FsDisk, OpenMode, ReadError, Sequences};

/// Distance of the places that the index of a segment remembers.
const INDEX_BYTES: u64 = 64 << 10;

/// A log made from the main log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Trigger records.
    Triggers,
    /// Dead letters.
    DeadLetters,
    /// Events that came too late for triggers.
    Late,
}

/// Some records of a topic log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPage {
    /// In order, without gaps unless `--repair` made one.
    pub records: Vec<TopicRecord>,
    /// The first sequence number that is still kept.
    pub oldest: Seq,
    /// The last sequence number there is.
    pub newest: Seq,
}

/// One record of a topic log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its place.
    pub seq: Seq,
    /// Time of the step that made it; of a late event, when it arrived.
    pub time: Millis,
    /// What was written.
    pub bytes: Bytes,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Triggers, Self::DeadLetters, Self::Late];

    /// Name of its directory, and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::DeadLetters => "dead-letters",
            Self::Late => "late",
        }
    }

    /// Kind of its segments.
    pub(super) const fn kind(self) -> u32 {
        match self {
            Self::Triggers => 1,
            Self::DeadLetters => 2,
            Self::Late => 3,
        }
    }

    /// Its number among the sequences of the main log.
    pub(super) const fn seq(self, sequences: &Sequences) -> Seq {
        match self {
            Self::Triggers => sequences.trigger,
            Self::DeadLetters => sequences.dead_letter,
            Self::Late => sequences.late,
        }
    }

    /// What an entry of the main log means for it: sequence number, time and bytes.
    pub(super) fn record<'a>(
        self,
        entry: &Entry<'a>,
        frame_time: Millis,
    ) -> Option<(Seq, Millis, &'a [u8])> {
        match (self, *entry) {
            (Self::Triggers, Entry::Trigger { seq, bytes })
            | (Self::DeadLetters, Entry::DeadLetter { seq, bytes }) => {
                Some((seq, frame_time, bytes))
            }
            (
                Self::Late,
                Entry::Input {
                    late: Some(seq),
                    received,
                    bytes,
                    ..
                },
            ) => Some((seq, received, bytes)),
            _ => None,
        }
    }
}

/// Reads a topic log, from any thread, while the writer goes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TopicReader {
    shared: Arc<TopicShared>,
}

/// What the writer, readers and retention of a topic share.
#[derive(Debug)]
pub(super) struct TopicShared {
    /// `None` without a writer.
    pub(super) dir: Option<DataDir>,
    /// In order; the writer appends to the last one. Empty only without a writer.
    pub(super) segments: RwLock<Vec<Arc<TopicSegment>>>,
    pub(super) newest: AtomicU64,
    /// The last sequence number known to be on disk.
    pub(super) durable: AtomicU64,
}

/// A segment as readers see it.
#[derive(Debug)]
pub(super) struct TopicSegment {
    pub(super) segment: Segment,
    /// Bytes that hold whole frames; grows while it is written to.
    pub(super) end: AtomicU64,
    index: Mutex<Vec<Place>>,
}

/// A place that the index remembers: a frame with the record before it.
#[derive(Clone, Copy, Debug)]
struct Place {
    before: Seq,
    offset: u64,
}

impl TopicSegment {
    pub(super) fn new(segment: Segment, end: u64) -> Self {
        let start = Place {
            before: segment.header.before.position,
            offset: SEGMENT_HEADER_BYTES,
        };
        Self {
            segment,
            end: AtomicU64::new(end),
            index: Mutex::new(vec![start]),
        }
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The last remembered place at or before the record after `before`.
    fn place(&self, before: Seq) -> Place {
        let index = self.index.lock();
        let behind = index.partition_point(|place| place.before <= before);
        let place = index.get(behind.saturating_sub(1)).copied();
        place.unwrap_or(Place {
            before: self.segment.header.before.position,
            offset: SEGMENT_HEADER_BYTES,
        })
    }

    /// Readers remember places they come by. They start from a remembered one and walk on, so the places stay in
    /// order.
    fn remember(&self, place: Place) {
        let mut index = self.index.lock();
        if index
            .last()
            .is_none_or(|last| last.offset + INDEX_BYTES <= place.offset)
        {
            index.push(place);
        }
    }
}

impl TopicReader {
    pub(super) fn new(shared: Arc<TopicShared>) -> Self {
        Self { shared }
    }

    /// Opens a topic log without the lock, for a command that looks at a directory which a server may have open. It
    /// sees what is there now.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn open(data_dir: &Path, topic: Topic) -> Result<Self, ReadError> {
        Self::open_on(&FsDisk, data_dir, topic)
    }

    /// As [`TopicReader::open`], on another disk.
    ///
    /// # Errors
    ///
    /// As [`TopicReader::open`].
    pub fn open_on(disk: &dyn Disk, data_dir: &Path, topic: Topic) -> Result<Self, ReadError> {
        let folder = data_dir.join(topic.name());
        let mut segments = Vec::new();
        for first in list_segments(disk, &folder)? {
            let opened = Segment::open(disk, &folder, first, OpenMode::Read)?;
            let segment = opened
                .ok_or_else(|| ReadError::header_damage(&segment_path(&folder, first), first))?;
            let size = segment.size()?;
            segments.push(Arc::new(TopicSegment::new(segment, size)));
        }
        let mut newest = 0;
        if let Some(last) = segments.last() {
            // The writer may be in the middle of a frame.
            let mut end = SEGMENT_HEADER_BYTES;
            newest = last.segment.header.before.position;
            let mut frames = last.segment.frames(end, last.end.load(Ordering::Acquire));
            while let Found::Frame(frame, offset, bytes) = frames
                .next()
                .map_err(ReadError::io(&last.segment.path, "read"))?
            {
                newest = frame.after().position;
                end = offset + bytes;
            }
            last.end.store(end, Ordering::Release);
        }
        Ok(Self::new(Arc::new(TopicShared::new(
            None, segments, newest,
        ))))
    }

    /// Records from `from` (or the oldest kept, if that is later) on: at most `limit`, and no more once they take
    /// `bytes_max`, but at least one if there is one.
    ///
    /// # Errors
    ///
    /// If the log is damaged there or the operating system refuses something.
    pub fn read(&self, from: Seq, limit: usize, bytes_max: usize) -> Result<TopicPage, ReadError> {
        let segments = self.shared.segments.read().clone();
        let mut page = TopicPage {
            records: Vec::new(),
            oldest: segments
                .first()
                .map_or(1, |oldest| oldest.segment.header.first()),
            newest: self.newest(),
        };
        let from = from.max(page.oldest);
        let begin = segments.partition_point(|segment| segment.segment.header.first() <= from);
        let mut room = Room {
            records: limit,
            bytes: bytes_max,
        };
        for segment in segments.iter().skip(begin.saturating_sub(1)) {
            if !read_segment(segment, from, &mut room, &mut page)? {
                break;
            }
        }
        Ok(page)
    }

    /// The last sequence number there is; 0 if there is none yet.
    pub fn newest(&self) -> Seq {
        self.shared.newest.load(Ordering::Acquire)
    }
}

/// What a page may still take.
#[derive(Debug)]
struct Room {
    records: usize,
    bytes: usize,
}

/// Reads what a segment has from `from` on; whether there is room for more.
fn read_segment(
    segment: &TopicSegment,
    from: Seq,
    room: &mut Room,
    page: &mut TopicPage,
) -> Result<bool, ReadError> {
    let place = segment.place(from - 1);
    let mut before = place.before;
    let end = segment.end.load(Ordering::Acquire);
    let mut frames = segment.segment.frames(place.offset, end);
    loop {
        if room.records == 0 {
            return Ok(false);
        }
        let found = frames
            .next()
            .map_err(ReadError::io(&segment.segment.path, "read"))?;
        let (offset, detail) = match found {
            Found::End => return Ok(true),
            Found::Frame(frame, offset, _) if frame.before().position == before => {
                segment.remember(Place { before, offset });
                before = frame.after().position;
                if before >= from && !read_frame(&frame, from, room, page) {
                    return Ok(false);
                }
                continue;
            }
            Found::Frame(_, offset, _) => (offset, FrameError::Place.to_string()),
            Found::Bad(error, offset) => (offset, error.to_string()),
        };
        return Err(ReadError::Damaged(Damage {
            file: segment.segment.path.clone(),
            offset,
            detail,
            bytes: end - offset,
            frames_behind: 0,
            last_good: before,
        }));
    }
}

/// Takes what a frame has from `from` on; whether there is room for more.
fn read_frame(frame: &Frame<'_>, from: Seq, room: &mut Room, page: &mut TopicPage) -> bool {
    for entry in frame.entries() {
        let Entry::TopicRecord { seq, time, bytes } = entry else {
            continue;
        };
        if seq < from {
            continue;
        }
        if room.records == 0 || (bytes.len() > room.bytes && !page.records.is_empty()) {
            return false;
        }
        room.records -= 1;
        room.bytes = room.bytes.saturating_sub(bytes.len());
        page.newest = page.newest.max(seq);
        page.records.push(TopicRecord {
            seq,
            time,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
    true
}
