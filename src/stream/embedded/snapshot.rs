//! Snapshots: the state after a position, so that recovery need not begin at the first event.

use crate::domain::{Millis, Position};

use super::{LogMark, Sequences, SnapshotError};

/// A snapshot in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The position it holds the state of.
    pub position: Position,
    /// Where the other sequences stood.
    pub sequences: Sequences,
    /// When it was begun.
    pub time: Millis,
    /// Size of the file.
    pub bytes: u64,
}

/// Writes snapshots. Cheap to clone; may be used on any thread.
#[derive(Clone, Debug)]
pub struct Snapshots {}

/// Writes one snapshot; unless it is finished, nothing of it remains.
#[derive(Debug)]
pub struct SnapshotWriter {}

/// Reads one snapshot.
#[derive(Debug)]
pub struct SnapshotReader {}

impl Snapshots {
    /// Begins a snapshot of the state at `mark`, which [`MainLog::mark`](super::MainLog::mark) gave when the engine
    /// had applied exactly what the log held.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn begin(&self, _mark: LogMark, _time: Millis) -> Result<SnapshotWriter, SnapshotError> {
        unimplemented!()
    }

    /// The newest finished snapshot.
    pub fn newest(&self) -> Option<SnapshotInfo> {
        unimplemented!()
    }
}

impl SnapshotWriter {
    /// Appends a chunk of at most 16 MiB; the reader gives back the same chunks.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the snapshot is then lost, the log is not.
    pub fn chunk(&mut self, _bytes: &[u8]) -> Result<(), SnapshotError> {
        unimplemented!()
    }

    /// Makes it durable under its name, the log before it too, and removes all but the newest two.
    ///
    /// # Errors
    ///
    /// If it cannot be written; [`SnapshotError::Fatal`] ends the process.
    pub fn finish(self) -> Result<SnapshotInfo, SnapshotError> {
        unimplemented!()
    }
}

impl SnapshotReader {
    /// What it is.
    pub fn info(&self) -> &SnapshotInfo {
        unimplemented!()
    }

    /// The next chunk; `None` after the last, once the trailer is found to agree.
    ///
    /// # Errors
    ///
    /// If it is damaged: forget what was read and take an older one.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>, SnapshotError> {
        unimplemented!()
    }
}
