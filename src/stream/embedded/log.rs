//! The main log: what it says has happened, and nothing else has.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::Position;

use super::counters::Count;
use super::frame::FrameError;
use super::segment::{Found, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, segment_path};
use super::synced::{SyncedFile, SyncedMark};
use super::writer::{SegmentWriter, sync};
use super::{
    AppendError, Config, Counters, Damage, DataDir, Frame, FrameBuilder, OpenMode, ReadError,
    Sequences, SyncError,
};

/// Kind of the segments of the main log.
pub(super) const KIND: u32 = 0;

/// The writer's side of the main log: one per directory.
#[derive(Debug)]
pub struct MainLog {
    dir: DataDir,
    segment_bytes: u64,
    writer: SegmentWriter,
    end: Sequences,
    /// The end of the snapshot that was loaded, or the beginning of the log.
    start: LogMark,
    shared: Arc<Shared>,
}

/// Makes the main log durable, from any thread, while the writer goes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    shared: Arc<Shared>,
}

/// A place between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogMark {
    /// First position of the segment.
    pub(super) segment: u64,
    /// Bytes of the segment before the place.
    pub(super) offset: u64,
    pub(super) sequences: Sequences,
}

/// What the writer, the syncing thread and retention share.
#[derive(Debug)]
pub(super) struct Shared {
    dir: DataDir,
    counters: Arc<Counters>,
    /// First positions of the segments, in order; the last one is written to.
    pub(super) segments: Mutex<Vec<u64>>,
    /// Where the writer stands.
    tail: Mutex<(Segment, LogMark)>,
    durable: Mutex<Durable>,
}

#[derive(Debug)]
struct Durable {
    mark: LogMark,
    file: SyncedFile,
}

/// What recovery found.
#[derive(Debug)]
pub(super) struct Recovered {
    /// First positions of the segments.
    pub(super) segments: Vec<u64>,
    /// The last of them.
    pub(super) tail: Segment,
    pub(super) start: LogMark,
    /// The end, all of it durable.
    pub(super) end: LogMark,
    pub(super) synced: SyncedFile,
}

impl MainLog {
    pub(super) fn new(
        dir: &DataDir,
        config: &Config,
        counters: &Arc<Counters>,
        recovered: Recovered,
    ) -> Self {
        let Recovered {
            segments,
            tail,
            start,
            end,
            synced,
        } = recovered;
        synced.note(end.synced());
        let shared = Shared {
            dir: dir.clone(),
            counters: Arc::clone(counters),
            segments: Mutex::new(segments),
            tail: Mutex::new((tail.clone(), end)),
            durable: Mutex::new(Durable {
                mark: end,
                file: synced,
            }),
        };
        Self {
            dir: dir.clone(),
            segment_bytes: config.segment_bytes,
            writer: SegmentWriter::new(
                dir.clone(),
                dir.log_dir(),
                Arc::clone(counters),
                tail,
                end.offset,
            ),
            end: end.sequences,
            start,
            shared: Arc::new(shared),
        }
    }

    /// Where the sequences stand after the last frame: begin the next one here.
    pub fn end(&self) -> Sequences {
        self.end
    }

    /// The end as a snapshot needs it.
    pub fn mark(&self) -> LogMark {
        LogMark {
            segment: self.writer.segment().header.first(),
            offset: self.writer.offset(),
            sequences: self.end,
        }
    }

    /// Writes a frame; it is durable after the next [`SyncHandle::sync`]. A frame without entries is not written.
    /// Gives the new end.
    ///
    /// # Errors
    ///
    /// After [`AppendError::DiskFull`] nothing of it is in the log and the same frame may be appended again. After
    /// [`AppendError::Fatal`] the process must end.
    pub fn append(&mut self, frame: &mut FrameBuilder) -> Result<Sequences, AppendError> {
        if frame.before() != self.end {
            return Err(AppendError::OutOfOrder {
                begun: frame.before().position,
                end: self.end.position,
            });
        }
        if frame.is_empty() {
            return Ok(self.end);
        }
        // A segment is named by its first position, so one without any record cannot have a successor.
        let has_record = self.end.position >= self.writer.segment().header.first();
        if has_record && self.writer.is_full(frame.bytes(), self.segment_bytes) {
            self.roll(frame)?;
        }
        let durable = self.shared.durable.lock().mark;
        let synced = if durable.segment == self.writer.segment().header.first() {
            durable.offset
        } else {
            SEGMENT_HEADER_BYTES
        };
        self.writer.append(frame, synced)?;
        self.end = frame.after();
        let mark = self.mark();
        self.shared.tail.lock().1 = mark;
        self.shared.counters.add(Count::Bytes, frame.bytes() as u64);
        self.shared.counters.add(Count::Frames, 1);
        Ok(self.end)
    }

    /// Makes this log durable, from another thread.
    pub fn sync_handle(&self) -> SyncHandle {
        SyncHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Gives every frame that ends after `after` to `each`, in order. The first one may begin before: skip what is at
    /// or below `after`.
    ///
    /// # Errors
    ///
    /// What `each` returns; and [`ReadError`] if the log does not reach back that far or is damaged.
    pub fn replay<E: From<ReadError>>(
        &self,
        after: Position,
        mut each: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let from = if self.start.sequences.position == after {
            self.start
        } else {
            self.segment_with(|before| before.position <= after)?
        };
        self.walk(from, |frame| {
            if frame.after().position > after || frame.before().position >= after {
                each(frame)?;
            }
            Ok(())
        })
    }

    /// The newest known place before which the sequences stood as `is_wanted` says: the snapshot's, or the beginning
    /// of a segment.
    pub(super) fn reach_back(
        &self,
        is_wanted: impl Fn(&Sequences) -> bool,
    ) -> Result<LogMark, ReadError> {
        if is_wanted(&self.start.sequences) {
            return Ok(self.start);
        }
        self.segment_with(is_wanted)
    }

    /// The beginning of the newest segment before which the sequences stood as `is_wanted` says.
    fn segment_with(&self, is_wanted: impl Fn(&Sequences) -> bool) -> Result<LogMark, ReadError> {
        let firsts = self.shared.segments.lock().clone();
        let mut oldest = Sequences::default();
        for first in firsts.into_iter().rev() {
            let segment = open_segment(&self.dir, first)?;
            let before = segment.header.before;
            if is_wanted(&before) {
                return Ok(LogMark {
                    segment: first,
                    offset: SEGMENT_HEADER_BYTES,
                    sequences: before,
                });
            }
            oldest = before;
        }
        Err(ReadError::Gone {
            wanted: 1,
            oldest: oldest.position + 1,
        })
    }

    /// The beginning of the oldest segment.
    pub(super) fn oldest(&self) -> Result<LogMark, ReadError> {
        let first = self.shared.segments.lock().first().copied();
        let segment = open_segment(&self.dir, first.unwrap_or(1))?;
        Ok(LogMark {
            segment: segment.header.first(),
            offset: SEGMENT_HEADER_BYTES,
            sequences: segment.header.before,
        })
    }

    /// Gives every frame from `from` on to `each`.
    pub(super) fn walk<E: From<ReadError>>(
        &self,
        from: LogMark,
        mut each: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut firsts = self.shared.segments.lock().clone();
        firsts.retain(|first| *first >= from.segment);
        let mut expected = from.sequences;
        for first in firsts {
            let segment = open_segment(&self.dir, first)?;
            let (offset, end) = self.limits(&segment, from)?;
            if segment.header.before != expected && first != from.segment {
                return Err(damage(
                    &segment,
                    0,
                    "it does not go on where the one before ends",
                    expected,
                )
                .into());
            }
            let mut frames = segment.frames(offset, end);
            loop {
                let found = frames
                    .next()
                    .map_err(ReadError::io(&segment.path, "read"))?;
                match found {
                    Found::Frame(frame, ..) if frame.before() == expected => {
                        each(&frame)?;
                        expected = frame.after();
                    }
                    Found::Frame(_, offset, _) => {
                        let detail = FrameError::Place.to_string();
                        return Err(damage(&segment, offset, &detail, expected).into());
                    }
                    Found::Bad(error, offset) => {
                        return Err(damage(&segment, offset, &error.to_string(), expected).into());
                    }
                    Found::End => break,
                }
            }
        }
        Ok(())
    }

    /// From where to where a segment is to be read.
    fn limits(&self, segment: &Segment, from: LogMark) -> Result<(u64, u64), ReadError> {
        let first = segment.header.first();
        let offset = if first == from.segment {
            from.offset
        } else {
            SEGMENT_HEADER_BYTES
        };
        let tail = self.mark();
        let end = if first == tail.segment {
            tail.offset
        } else {
            let size = segment.file.size();
            size.map_err(ReadError::io(&segment.path, "read the size of"))?
        };
        Ok((offset, end))
    }

    /// Begins a new segment for `frame`.
    fn roll(&mut self, frame: &FrameBuilder) -> Result<(), AppendError> {
        // First the old one: recovery takes whatever is unreadable before the last segment for damage.
        self.sync_handle().sync()?;
        self.writer.roll(SegmentHeader {
            kind: KIND,
            salt: self.dir.salt(),
            epoch: self.dir.epoch(),
            time: frame.frame().time(),
            before: self.end,
        })?;
        let segment = self.writer.segment().clone();
        self.shared.segments.lock().push(segment.header.first());
        *self.shared.tail.lock() = (segment, self.mark());
        self.shared.counters.add(Count::SegmentsCreated, 1);
        Ok(())
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl SyncHandle {
    /// Makes everything durable that was appended before this call; where the log stood then. One `fdatasync` serves
    /// all frames before it.
    ///
    /// # Errors
    ///
    /// The process must end without acknowledging anything; every later call fails too.
    pub fn sync(&self) -> Result<Sequences, SyncError> {
        let shared = &self.shared;
        let (segment, mark) = shared.tail.lock().clone();
        shared.dir.check(&segment.path)?;
        if shared.durable.lock().mark.synced() >= mark.synced() {
            return Ok(mark.sequences);
        }
        sync(&shared.dir, &segment)?;
        shared.counters.add(Count::Syncs, 1);
        let mut durable = shared.durable.lock();
        if durable.mark.synced() < mark.synced() {
            durable.mark = mark;
            durable.file.note(mark.synced());
        }
        Ok(mark.sequences)
    }

    /// Makes everything before `mark` durable.
    pub(super) fn sync_to(&self, mark: LogMark) -> Result<(), SyncError> {
        if self.shared.durable.lock().mark.synced() < mark.synced() {
            self.sync()?;
        }
        Ok(())
    }

    /// What is known to be durable.
    pub fn durable(&self) -> Sequences {
        self.shared.durable.lock().mark.sequences
    }
}

impl LogMark {
    /// The place as the file `synced` has it; places in one log are ordered by it.
    pub(super) fn synced(&self) -> SyncedMark {
        SyncedMark {
            segment: self.segment,
            offset: self.offset,
        }
    }
}

fn open_segment(dir: &DataDir, first: u64) -> Result<Segment, ReadError> {
    let folder = dir.log_dir();
    let opened = Segment::open(dir.disk(), &folder, first, OpenMode::Read)?;
    opened.ok_or_else(|| ReadError::header_damage(&segment_path(&folder, first), first))
}

fn damage(segment: &Segment, offset: u64, detail: &str, expected: Sequences) -> ReadError {
    let size = segment.file.size().unwrap_or(offset);
    ReadError::Damaged(Damage {
        file: PathBuf::clone(&segment.path),
        offset,
        detail: detail.to_owned(),
        bytes: size.saturating_sub(offset),
        frames_behind: segment
            .look_behind(offset + 1, size)
            .map_or(0, |behind| behind.frames),
        last_good: expected.position,
    })
}
