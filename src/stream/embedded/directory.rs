//! The data directory: one owner at a time, and each with an epoch of its own.

use std::path::Path;
use std::sync::Arc;

use super::{Disk, OpenError, SnapshotError, SnapshotInfo, SnapshotReader};

/// A data directory that this process alone may change. It stays locked while this value, or a part of the
/// [`Store`](super::Store) made from it, lives.
#[derive(Clone, Debug)]
pub struct DataDir {}

impl DataDir {
    /// Locks a directory, making it if it is not there, and begins a new epoch.
    ///
    /// # Errors
    ///
    /// If another process has it, or the operating system refuses something.
    pub fn open(_path: &Path) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// As [`DataDir::open`], on another disk.
    ///
    /// # Errors
    ///
    /// As [`DataDir::open`].
    pub fn open_on(_disk: Arc<dyn Disk>, _path: &Path) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        unimplemented!()
    }

    /// Grows with every open.
    pub fn epoch(&self) -> u64 {
        unimplemented!()
    }

    /// The snapshots that look complete, newest first. A chunk may still turn out to be damaged while it is read: then
    /// take the next.
    ///
    /// # Errors
    ///
    /// If the operating system refuses something.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, OpenError> {
        unimplemented!()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// If its beginning cannot be read.
    pub fn read_snapshot(&self, _snapshot: &SnapshotInfo) -> Result<SnapshotReader, SnapshotError> {
        unimplemented!()
    }
}
