//! Opening the main log: what can be read is kept, a torn tail is cut off, damage is refused or cut on request.
//!
//! A frame that cannot be read is a **torn tail** if nothing says that it was on disk once; it is **damage** if
//!
//! - a later segment exists, for a segment is made durable before its successor begins; or
//! - the file `synced`, the snapshot or a frame behind it says that the log was on disk beyond that place.
//!
//! Frames that can be read behind a torn one and that nobody vouches for were written after the last fsync and got to
//! the disk in another order; they were never acknowledged in `sync` mode and go with the tail.

use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::Millis;

use super::disk::write_all_at;
use super::frame::FrameError;
use super::log::{KIND, LogMark, Recovered};
use super::segment::{
    Behind, Found, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, list_segments, segment_path,
};
use super::synced::{SyncedFile, SyncedMark};
use super::window::Window;
use super::writer::{sync, sync_dir};
use super::{
    Damage, DataDir, Dropped, OpenError, OpenMode, ReadError, Recovery, Repair, Sequences,
    SnapshotInfo,
};

/// What is written again at once.
const REWRITE_BYTES: usize = 256 << 10;

/// Recovers the main log of a directory.
#[derive(Debug)]
pub(super) struct MainRecovery<'a> {
    dir: &'a DataDir,
    snapshot: LogMark,
    repair: Repair,
    /// What the file `synced` says.
    vouched: SyncedMark,
    report: &'a mut Recovery,
}

/// Why a segment cannot be read on.
#[derive(Debug)]
struct Break {
    /// Where.
    offset: u64,
    detail: String,
    /// Whether it was readable once.
    is_damage: bool,
    /// Whether the sequences are not known at `offset`, so that nothing can be appended there.
    is_gap: bool,
}

/// How far the log could be read.
#[derive(Debug)]
struct Reach {
    /// The last segment that could be opened, and where it ends or breaks.
    tail: Option<(Segment, u64)>,
    end: Sequences,
    /// The break, and which of the segments has it.
    broken: Option<(usize, Break)>,
}

/// What cannot be kept.
#[derive(Debug)]
struct Loss {
    path: PathBuf,
    bytes: u64,
    behind: Behind,
}

/// Finds the end of the main log and makes everything before it durable.
pub(super) fn recover(
    dir: &DataDir,
    snapshot: Option<&SnapshotInfo>,
    repair: Repair,
    report: &mut Recovery,
) -> Result<Recovered, OpenError> {
    let (synced, vouched) = SyncedFile::open(dir)?;
    let mut firsts = list_segments(dir.disk(), &dir.log_dir())?;
    let mut recovery = MainRecovery {
        dir,
        snapshot: snapshot.map(|snapshot| snapshot.mark).unwrap_or_default(),
        repair,
        vouched,
        report,
    };
    let start = recovery.start(&firsts)?;
    let reach = recovery.read(&firsts, start)?;
    let is_repaired = reach
        .broken
        .as_ref()
        .is_some_and(|(_, broken)| broken.is_damage);
    let (tail, end) = recovery.settle(&mut firsts, reach)?;
    let end = LogMark {
        segment: tail.header.first(),
        offset: end.0,
        sequences: end.1,
    };
    let known = [vouched, start.synced()]
        .into_iter()
        .filter(|mark| mark.segment == end.segment);
    let known = known.map(|mark| mark.offset).max().unwrap_or(0);
    write_again(dir, &tail, known.max(SEGMENT_HEADER_BYTES), end.offset)?;
    sync(dir, &tail)?;
    if is_repaired {
        synced.note_durably(end.synced())?;
    }
    Ok(Recovered {
        segments: firsts,
        tail,
        start,
        end,
        synced,
    })
}

impl MainRecovery<'_> {
    /// Where the log is to be read from.
    fn start(&self, firsts: &[u64]) -> Result<LogMark, OpenError> {
        let snapshot = self.snapshot;
        let position = snapshot.sequences.position;
        let Some(oldest) = firsts.first().copied() else {
            return Ok(snapshot);
        };
        if firsts.contains(&snapshot.segment) {
            return Ok(snapshot);
        }
        let found = firsts.iter().rev().find(|first| **first <= position + 1);
        let segment = *found.ok_or_else(|| OpenError::Gap {
            path: self.dir.log_dir(),
            oldest,
            snapshot: position,
        })?;
        let opened = self.open(segment)?;
        Ok(LogMark {
            segment,
            offset: SEGMENT_HEADER_BYTES,
            sequences: opened.map_or(snapshot.sequences, |segment| segment.header.before),
        })
    }

    /// Reads from `start` as far as possible.
    fn read(&mut self, firsts: &[u64], start: LogMark) -> Result<Reach, OpenError> {
        let mut reach = Reach {
            tail: None,
            end: start.sequences,
            broken: None,
        };
        for (index, first) in firsts.iter().copied().enumerate() {
            if first < start.segment {
                continue;
            }
            let opened = self.open(first)?;
            let Some(segment) = opened
                .filter(|segment| first == start.segment || segment.header.before == reach.end)
            else {
                let detail =
                    "the segment cannot be read or does not go on where the one before ends";
                reach.broken = Some((index, Break::damage(0, detail)));
                return Ok(reach);
            };
            let is_last = index + 1 == firsts.len();
            let (end, sequences, broken) =
                self.read_segment(&segment, start, reach.end, is_last)?;
            reach.end = sequences;
            reach.tail = Some((segment, end));
            if let Some(broken) = broken {
                reach.broken = Some((index, broken));
                return Ok(reach);
            }
        }
        let is_short = reach.end.position < self.snapshot.sequences.position;
        let last = firsts.last().copied().unwrap_or_default();
        if is_short
            || self.vouched.segment > last
            || (firsts.is_empty() && start != LogMark::default())
        {
            let broken = Break {
                is_gap: is_short || firsts.is_empty(),
                ..Break::damage(0, "the log ends before records that were on disk")
            };
            reach.broken = Some((firsts.len(), broken));
        }
        Ok(reach)
    }

    /// Reads the frames of a segment; where they end, and why.
    fn read_segment(
        &mut self,
        segment: &Segment,
        start: LogMark,
        before: Sequences,
        is_last: bool,
    ) -> Result<(u64, Sequences, Option<Break>), OpenError> {
        let first = segment.header.first();
        let size = segment.size()?;
        let from = if first == start.segment {
            start.offset
        } else {
            SEGMENT_HEADER_BYTES
        };
        let mut known = if first == self.vouched.segment {
            self.vouched.offset
        } else {
            0
        };
        known = known.max(from);
        let mut end = before;
        let mut frames = segment.frames(from.min(size), size);
        let reading = ReadError::io(&segment.path, "read");
        let (offset, detail) = loop {
            match frames.next() {
                Err(error) => return Err(reading(error).into()),
                Ok(Found::End) => break (size, None),
                Ok(Found::Bad(error, offset)) => break (offset, Some(error.to_string())),
                Ok(Found::Frame(frame, offset, _)) if frame.before() != end => {
                    break (offset, Some(FrameError::Place.to_string()));
                }
                Ok(Found::Frame(frame, ..)) => {
                    known = known.max(frame.synced());
                    end = frame.after();
                    self.report.frames += 1;
                }
            }
        };
        let Some(detail) = detail else {
            let broken = (size < known).then(|| Break {
                is_gap: size < from,
                ..Break::damage(size, "the file ends before records that were on disk")
            });
            return Ok((size, end, broken));
        };
        let behind = segment.look_behind(offset + 1, size);
        let behind = behind.map_err(ReadError::io(&segment.path, "read"))?;
        let broken = Break {
            offset,
            detail,
            is_damage: !is_last || offset < known.max(behind.synced),
            is_gap: false,
        };
        Ok((offset, end, Some(broken)))
    }

    /// Cuts off what cannot be kept; gives the segment to go on with and the end in it.
    fn settle(
        &mut self,
        firsts: &mut Vec<u64>,
        reach: Reach,
    ) -> Result<(Segment, (u64, Sequences)), OpenError> {
        let Reach {
            tail,
            mut end,
            broken,
        } = reach;
        let mut tail = tail;
        if let Some((index, broken)) = broken {
            let loss = self.loss(firsts, index, &broken)?;
            if broken.is_damage {
                self.cut(firsts, index, &broken, loss, end)?;
            } else {
                self.report.torn_tails += 1;
                self.report.torn_bytes += loss.bytes;
                self.report.torn_frames += loss.behind.frames;
            }
            if let Some((segment, offset)) = &tail {
                truncate(self.dir, segment, *offset)?;
            }
            tail = tail.filter(|_| !broken.is_gap);
        }
        if let Some((segment, offset)) = tail
            && end.position >= self.snapshot.sequences.position
        {
            return Ok((segment, (offset, end)));
        }
        if end.position < self.snapshot.sequences.position {
            end = self.snapshot.sequences;
        }
        let segment = self.create(end)?;
        firsts.retain(|first| *first < segment.header.first());
        firsts.push(segment.header.first());
        Ok((segment, (SEGMENT_HEADER_BYTES, end)))
    }

    /// What lies behind a break, to the end of the log.
    fn loss(&self, firsts: &[u64], index: usize, broken: &Break) -> Result<Loss, OpenError> {
        let mut path = self.dir.log_dir();
        let mut bytes = 0;
        let mut behind = Behind::default();
        for (nth, first) in firsts.iter().copied().enumerate().skip(index) {
            let from = if nth == index { broken.offset } else { 0 };
            let file = segment_path(&self.dir.log_dir(), first);
            if nth == index {
                path.clone_from(&file);
            }
            let Some(segment) = self.open(first)? else {
                continue;
            };
            let size = segment.size()?;
            bytes += size.saturating_sub(from);
            let found = segment.look_behind((from + 1).max(SEGMENT_HEADER_BYTES), size);
            let found = found.map_err(ReadError::io(&file, "read"))?;
            behind.frames += found.frames;
            behind.last = behind.last.max(found.last);
        }
        Ok(Loss {
            path,
            bytes,
            behind,
        })
    }

    /// Refuses, or removes what lies behind a break in damaged data. Later segments go first, so that a crash in
    /// between leaves damage that is found again.
    fn cut(
        &mut self,
        firsts: &mut Vec<u64>,
        index: usize,
        broken: &Break,
        loss: Loss,
        end: Sequences,
    ) -> Result<(), OpenError> {
        if self.repair == Repair::Refuse {
            return Err(OpenError::from(ReadError::Damaged(Damage {
                file: loss.path,
                offset: broken.offset,
                detail: broken.detail.clone(),
                bytes: loss.bytes,
                frames_behind: loss.behind.frames,
                last_good: end.position,
            })));
        }
        let kept = index + usize::from(broken.offset >= SEGMENT_HEADER_BYTES);
        while firsts.len() > kept {
            let first = firsts.pop().unwrap_or_default();
            let path = segment_path(&self.dir.log_dir(), first);
            let removed = self.dir.disk().remove(&path);
            removed.map_err(ReadError::io(&path, "remove"))?;
        }
        sync_dir(self.dir, &self.dir.log_dir())?;
        self.report.dropped.push(Dropped {
            file: loss.path,
            offset: broken.offset,
            bytes: loss.bytes,
            last_kept: end.position.max(self.snapshot.sequences.position),
            last_dropped: loss.behind.last.max(end.position),
        });
        Ok(())
    }

    fn open(&self, first: u64) -> Result<Option<Segment>, ReadError> {
        let folder = self.dir.log_dir();
        Segment::open(self.dir.disk(), &folder, first, OpenMode::Write)
    }

    /// Begins a segment where none can be gone on with.
    fn create(&self, before: Sequences) -> Result<Segment, OpenError> {
        let header = SegmentHeader {
            kind: KIND,
            salt: self.dir.salt(),
            epoch: self.dir.epoch(),
            time: Millis(0),
            before,
        };
        let folder = self.dir.log_dir();
        let created = Segment::create(self.dir.disk(), &folder, header);
        Ok(created.map_err(|(action, error)| ReadError::io(&folder, action)(error))?)
    }
}

impl Break {
    fn damage(offset: u64, detail: &str) -> Self {
        Self {
            offset,
            detail: detail.to_owned(),
            is_damage: true,
            is_gap: false,
        }
    }
}

/// Cuts a segment, durably: what is appended next must not be followed by what was there.
pub(super) fn truncate(dir: &DataDir, segment: &Segment, bytes: u64) -> Result<(), OpenError> {
    let cut = segment.file.truncate(bytes);
    cut.map_err(ReadError::io(&segment.path, "truncate"))?;
    Ok(sync(dir, segment)?)
}

/// Writes what is not known to be on disk again, for the next fsync to make durable. Should one have failed before, the
/// system may hold pages that look clean and are on no disk: an fsync alone would not write them.
pub(super) fn write_again(
    dir: &DataDir,
    segment: &Segment,
    from: u64,
    to: u64,
) -> Result<(), OpenError> {
    let mut window = Window::new(Arc::clone(&segment.file), from, to);
    while window.left() > 0 {
        let offset = window.offset();
        let peeked = window.peek(REWRITE_BYTES).map(<[u8]>::len);
        let count = peeked.map_err(ReadError::io(&segment.path, "read"))?;
        let written = write_all_at(&*segment.file, window.take(count), offset);
        written.map_err(|error| dir.fail(&segment.path, "write", error))?;
        if count == 0 {
            break;
        }
    }
    Ok(())
}
