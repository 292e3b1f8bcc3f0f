//! A segment: a header that says where it belongs, then frames.
//!
//! ```text
//! 0   8  magic
//! 8   4  version
//! 12  4  kind: 0 main log, 1 triggers, 2 dead letters, 3 late events
//! 16  8  salt, which seeds the checksums of its frames
//! 24  8  epoch of the owner that began it
//! 32  8  time of the step that began it
//! 40  32 where the four sequences stood before it (in a topic log: the first alone)
//! 72  4  crc32c of the above
//! ```
//!
//! A segment gets its name only once its header is on disk, and the one before it was made durable first: whatever is
//! unreadable in a segment that has a successor was readable once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};

use crate::domain::Millis;

use super::disk::{read_full_at, write_all_at};
use super::frame::{Frame, FrameError, HEADER_BYTES, find_magic, frame_bytes};
use super::window::Window;
use super::{Disk, DiskFile, OpenMode, ReadError, Sequences};

/// Version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Where the first frame begins.
pub(super) const SEGMENT_HEADER_BYTES: u64 = SEGMENT_HEADER_SIZE as u64;
const SEGMENT_HEADER_SIZE: usize = 76;

const MAGIC: [u8; 8] = *b"IMPULSEl";
const SUFFIX: &str = ".log";
/// Of files that have not got their name yet.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) kind: u32,
    pub(super) salt: u64,
    pub(super) epoch: u64,
    pub(super) time: Millis,
    pub(super) before: Sequences,
}

/// A segment, opened.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) header: SegmentHeader,
}

impl SegmentHeader {
    /// The number in its name.
    pub(super) fn first(&self) -> u64 {
        self.before.position + 1
    }

    /// Seed of the checksums of its frames: those of another segment or directory do not pass.
    pub(super) fn seed(&self) -> u32 {
        let mut bytes = [0; 20];
        let mut out = bytes.as_mut_slice();
        out.put_u64_le(self.salt);
        out.put_u64_le(self.before.position);
        out.put_u32_le(self.kind);
        crc32c::crc32c(&bytes)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_SIZE);
        out.put_slice(&MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(self.kind);
        out.put_u64_le(self.salt);
        out.put_u64_le(self.epoch);
        out.put_i64_le(self.time.0);
        put_sequences(&mut out, &self.before);
        out.put_u32_le(crc32c::crc32c(&out));
        out
    }

    /// The header and the version; `None` if it is damaged.
    fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let (checked, mut crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let mut fields = checked.strip_prefix(&MAGIC)?;
        if crc.try_get_u32_le().ok()? != crc32c::crc32c(checked) {
            return None;
        }
        let version = fields.try_get_u32_le().ok()?;
        let header = Self {
            kind: fields.try_get_u32_le().ok()?,
            salt: fields.try_get_u64_le().ok()?,
            epoch: fields.try_get_u64_le().ok()?,
            time: Millis(fields.try_get_i64_le().ok()?),
            before: take_sequences(&mut fields)?,
        };
        Some((header, version))
    }
}

impl Segment {
    /// Begins a segment: temporary file, header, fsync, rename, fsync of the directory.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        header: SegmentHeader,
    ) -> Result<Self, (&'static str, io::Error)> {
        let path = segment_path(dir, header.first());
        let temporary = path.with_extension("log.tmp");
        let file = disk
            .open(&temporary, OpenMode::Create)
            .map_err(|error| ("create", error))?;
        write_all_at(&*file, &header.encode(), 0).map_err(|error| ("write", error))?;
        file.sync_data().map_err(|error| (SYNC, error))?;
        disk.rename(&temporary, &path)
            .map_err(|error| ("rename", error))?;
        disk.sync_dir(dir).map_err(|error| (SYNC, error))?;
        Ok(Self { path, file, header })
    }

    /// Opens a segment; `Ok(None)` if its header is damaged.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        first: u64,
        mode: OpenMode,
    ) -> Result<Option<Self>, ReadError> {
        let path = segment_path(dir, first);
        let file = disk
            .open(&path, mode)
            .map_err(ReadError::io(&path, "open"))?;
        let mut bytes = [0; SEGMENT_HEADER_SIZE];
        let read = read_full_at(&*file, &mut bytes, 0).map_err(ReadError::io(&path, "read"))?;
        let decoded = SegmentHeader::decode(bytes.get(..read).unwrap_or_default());
        let Some((header, version)) = decoded else {
            return Ok(None);
        };
        if version != VERSION {
            return Err(ReadError::Version {
                path,
                found: version,
                known: VERSION,
            });
        }
        Ok((header.first() == first).then_some(Self { path, file, header }))
    }

    /// Size of the file.
    pub(super) fn size(&self) -> Result<u64, ReadError> {
        self.file
            .size()
            .map_err(ReadError::io(&self.path, "read the size of"))
    }

    /// Its frames from `offset` up to `end`.
    pub(super) fn frames(&self, offset: u64, end: u64) -> FrameReader {
        FrameReader {
            window: Window::new(Arc::clone(&self.file), offset, end),
            seed: self.header.seed(),
        }
    }
}

/// What is said of a failed fsync.
pub(super) const SYNC: &str = "fsync";

/// What a [`FrameReader`] finds.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A frame, its place and its size.
    Frame(Frame<'a>, u64, u64),
    /// No frame, though the file goes on.
    Bad(FrameError, u64),
    /// The end of the file.
    End,
}

/// Reads the frames of a segment one after the other.
#[derive(Debug)]
pub(super) struct FrameReader {
    window: Window,
    seed: u32,
}

impl FrameReader {
    /// The next frame. There is none after [`Found::Bad`].
    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        let offset = self.window.offset();
        if self.window.left() == 0 {
            return Ok(Found::End);
        }
        let size = match frame_bytes(self.window.peek(HEADER_BYTES)?, self.seed) {
            Ok(size) => size,
            Err(error) => return Ok(Found::Bad(error, offset)),
        };
        self.window.peek(size)?;
        let bytes = self.window.take(size);
        Ok(match Frame::parse(bytes, self.seed) {
            Ok((frame, size)) => Found::Frame(frame, offset, size as u64),
            Err(error) => Found::Bad(error, offset),
        })
    }

    /// Moves on, past what is no frame, to the next place where one can be read; `false` if there is none. Only a
    /// header whose seeded checksum is right is followed, so that no content can make this slow.
    fn seek_frame(&mut self) -> io::Result<bool> {
        loop {
            let bytes = self.window.peek(SEARCH_BYTES)?;
            let searched = bytes.len();
            let Some(at) = find_magic(bytes) else {
                if searched < SEARCH_BYTES {
                    return Ok(false);
                }
                // The magic may begin in these bytes and end in the next.
                self.window.take(searched - 3);
                continue;
            };
            self.window.take(at);
            if let Ok(size) = frame_bytes(self.window.peek(HEADER_BYTES)?, self.seed)
                && Frame::parse(self.window.peek(size)?, self.seed).is_ok()
            {
                return Ok(true);
            }
            self.window.take(1);
        }
    }
}

/// What can still be read behind a place that cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// Complete frames.
    pub(super) frames: u64,
    /// The last position (sequence number) in them; 0 if there are none.
    pub(super) last: u64,
    /// Bytes of the segment that one of them says were on disk when it was written.
    pub(super) synced: u64,
}

impl Segment {
    /// Looks for frames between `from`, where none begins, and `end`.
    pub(super) fn look_behind(&self, from: u64, end: u64) -> io::Result<Behind> {
        let mut behind = Behind::default();
        let mut reader = self.frames(from, end);
        while reader.seek_frame()? {
            if let Found::Frame(frame, ..) = reader.next()? {
                behind.frames += 1;
                behind.last = behind.last.max(frame.after().position);
                behind.synced = behind.synced.max(frame.synced());
            }
        }
        Ok(behind)
    }
}

/// How much is searched at once.
const SEARCH_BYTES: usize = 64 << 10;

/// Path of the segment that begins with `first`.
pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SUFFIX}"))
}

/// First numbers of the segments in a directory, in order.
pub(super) fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, ReadError> {
    let names = disk.list(dir).map_err(ReadError::io(dir, "list"))?;
    Ok(names
        .iter()
        .filter_map(|name| number_in_name(name, SUFFIX))
        .collect())
}

/// The number in the name of a segment or snapshot.
pub(super) fn number_in_name(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

/// Removes files that never got their name.
pub(super) fn remove_temporaries(disk: &dyn Disk, dir: &Path) -> Result<(), ReadError> {
    let names = disk.list(dir).map_err(ReadError::io(dir, "list"))?;
    for name in names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(ReadError::io(&path, "remove"))?;
    }
    Ok(())
}

/// Appends the four numbers.
pub(super) fn put_sequences(out: &mut Vec<u8>, sequences: &Sequences) {
    out.put_u64_le(sequences.position);
    out.put_u64_le(sequences.trigger);
    out.put_u64_le(sequences.dead_letter);
    out.put_u64_le(sequences.late);
}

/// Takes the four numbers off the front.
pub(super) fn take_sequences(bytes: &mut &[u8]) -> Option<Sequences> {
    Some(Sequences {
        position: bytes.try_get_u64_le().ok()?,
        trigger: bytes.try_get_u64_le().ok()?,
        dead_letter: bytes.try_get_u64_le().ok()?,
        late: bytes.try_get_u64_le().ok()?,
    })
}
