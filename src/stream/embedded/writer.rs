//! Appends frames to the last segment of a log, and begins the next segment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::counters::Count;
use super::disk::{is_disk_full, write_all_at};
use super::frame::FRAME_BYTES_MAX;
use super::segment::{SEGMENT_HEADER_BYTES, SYNC, Segment, SegmentHeader};
use super::{AppendError, Counters, DataDir, FrameBuilder, SyncError};

/// The end of a log. Invariant: everything before `offset` is whole frames; what may lie behind it is garbage that the
/// next append cuts off or overwrites.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    dir: DataDir,
    folder: PathBuf,
    counters: Arc<Counters>,
    segment: Segment,
    offset: u64,
    is_tail_dirty: bool,
}

impl SegmentWriter {
    /// Goes on at `offset` of `segment`.
    pub(super) fn new(
        dir: DataDir,
        folder: PathBuf,
        counters: Arc<Counters>,
        segment: Segment,
        offset: u64,
    ) -> Self {
        Self {
            dir,
            folder,
            counters,
            segment,
            offset,
            is_tail_dirty: false,
        }
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether `bytes` more would make the segment larger than wanted. A segment takes at least one frame.
    pub(super) fn is_full(&self, bytes: usize, segment_bytes: u64) -> bool {
        self.offset > SEGMENT_HEADER_BYTES && self.offset + bytes as u64 > segment_bytes
    }

    /// Writes a frame behind the last one: all of it, or nothing that is not cut off again.
    pub(super) fn append(
        &mut self,
        frame: &mut FrameBuilder,
        synced: u64,
    ) -> Result<(), AppendError> {
        self.dir.check(&self.segment.path)?;
        if frame.bytes() > FRAME_BYTES_MAX {
            return Err(AppendError::TooLarge {
                bytes: frame.bytes() as u64,
                bytes_max: FRAME_BYTES_MAX as u64,
            });
        }
        if self.is_tail_dirty {
            self.cut_tail()?;
        }
        let bytes = frame.seal(self.segment.header.seed(), synced);
        match write_all_at(&*self.segment.file, bytes, self.offset) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if is_disk_full(&error) => {
                self.is_tail_dirty = true;
                self.cut_tail()?;
                Err(self.disk_full())
            }
            Err(error) => Err(self.dir.fail(&self.segment.path, "write", error).into()),
        }
    }

    /// Begins the next segment; the one before must be durable.
    pub(super) fn roll(&mut self, header: SegmentHeader) -> Result<(), AppendError> {
        self.dir.check(&self.segment.path)?;
        match Segment::create(self.dir.disk(), &self.folder, header) {
            Ok(segment) => {
                self.segment = segment;
                self.offset = SEGMENT_HEADER_BYTES;
                self.is_tail_dirty = false;
                Ok(())
            }
            Err((action, error)) if action != SYNC && is_disk_full(&error) => Err(self.disk_full()),
            Err((action, error)) => Err(self.dir.fail(&self.folder, action, error).into()),
        }
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> Result<(), SyncError> {
        sync(&self.dir, &self.segment)
    }

    fn cut_tail(&mut self) -> Result<(), SyncError> {
        let cut = self.segment.file.truncate(self.offset);
        cut.map_err(|error| self.dir.fail(&self.segment.path, "truncate", error))?;
        self.is_tail_dirty = false;
        Ok(())
    }

    fn disk_full(&self) -> AppendError {
        self.counters.add(Count::DiskFull, 1);
        AppendError::DiskFull {
            path: self.segment.path.clone(),
        }
    }
}

/// Makes a segment durable. The first failure is the last: nothing is written or made durable after it.
pub(super) fn sync(dir: &DataDir, segment: &Segment) -> Result<(), SyncError> {
    dir.check(&segment.path)?;
    let synced = segment.file.sync_data();
    synced.map_err(|error| dir.fail(&segment.path, SYNC, error))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &DataDir, folder: &Path) -> Result<(), SyncError> {
    dir.check(folder)?;
    let synced = dir.disk().sync_dir(folder);
    synced.map_err(|error| dir.fail(folder, SYNC, error))
}
