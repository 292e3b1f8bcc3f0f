//! The data directory: one owner at a time, and each with an epoch of its own.
//!
//! The file `epoch` is 32 bytes: magic, version, epoch, salt and their crc32c. It is replaced at each open, and the
//! new one is on disk before anything else is written.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fmt, io};

use bytes::{Buf, BufMut};

use super::disk::{read_file, write_all_at};
use super::segment::{Segment, list_segments, remove_temporaries};
use super::snapshot::{list_snapshots, open_snapshot};
use super::{
    Disk, FsDisk, OpenError, OpenMode, ReadError, SnapshotError, SnapshotInfo, SnapshotReader,
    SyncError, Topic,
};

const MAGIC: [u8; 8] = *b"IMPULSEe";
const VERSION: u32 = 1;

/// A data directory that this process alone may change. It stays locked while this value, or a part of the
/// [`Store`](super::Store) made from it, lives. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DataDir(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    epoch: u64,
    salt: u64,
    /// Set by the first fsync that fails; nothing is written after it.
    failed: AtomicBool,
    _lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir")
            .field("path", &self.path)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl DataDir {
    /// Locks a directory, making it if it is not there, and begins a new epoch.
    ///
    /// # Errors
    ///
    /// If another process has it, or the operating system refuses something.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(FsDisk), path)
    }

    /// As [`DataDir::open`], on another disk.
    ///
    /// # Errors
    ///
    /// As [`DataDir::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, OpenError> {
        make_dirs(&*disk, path)?;
        let lock_path = path.join("lock");
        let lock = disk
            .lock(&lock_path)
            .map_err(ReadError::io(&lock_path, "lock"))?;
        let lock = lock.ok_or_else(|| OpenError::Locked {
            path: path.to_owned(),
            holder: holder(&*disk, &lock_path),
        })?;
        for dir in [path.to_owned(), path.join("log"), path.join("snapshots")] {
            remove_temporaries(&*disk, &dir)?;
        }
        for topic in Topic::ALL {
            remove_temporaries(&*disk, &path.join(topic.name()))?;
        }
        let (epoch, salt) = next_epoch(&*disk, path)?;
        write_epoch(&*disk, path, epoch, salt)?;
        Ok(Self(Arc::new(Inner {
            disk,
            path: path.to_owned(),
            epoch,
            salt,
            failed: AtomicBool::new(false),
            _lock: lock,
        })))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Grows with every open.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The snapshots that look complete, newest first. A chunk may still turn out to be damaged while it is read: then
    /// take the next.
    ///
    /// # Errors
    ///
    /// If the operating system refuses something.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, ReadError> {
        list_snapshots(self.disk(), &self.snapshots_dir())
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// If its beginning cannot be read.
    pub fn read_snapshot(&self, snapshot: &SnapshotInfo) -> Result<SnapshotReader, SnapshotError> {
        open_snapshot(self.disk(), &self.snapshots_dir(), snapshot.position)
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    pub(super) fn salt(&self) -> u64 {
        self.0.salt
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.path().join("log")
    }

    pub(super) fn archive_dir(&self) -> PathBuf {
        self.path().join("archive")
    }

    pub(super) fn snapshots_dir(&self) -> PathBuf {
        self.path().join("snapshots")
    }

    pub(super) fn topic_dir(&self, topic: Topic) -> PathBuf {
        self.path().join(topic.name())
    }

    /// Notes that the state of a file is unknown: from now on [`DataDir::check`] fails.
    pub(super) fn fail(&self, path: &Path, action: &'static str, source: io::Error) -> SyncError {
        self.0.failed.store(true, Ordering::SeqCst);
        SyncError {
            path: path.to_owned(),
            action,
            source,
        }
    }

    /// Refuses once something has failed: a second fsync may succeed although data is lost.
    pub(super) fn check(&self, path: &Path) -> Result<(), SyncError> {
        if self.0.failed.load(Ordering::SeqCst) {
            return Err(SyncError {
                path: path.to_owned(),
                action: "go on",
                source: io::Error::other("an earlier write or fsync failed"),
            });
        }
        Ok(())
    }
}

fn make_dirs(disk: &dyn Disk, path: &Path) -> Result<(), OpenError> {
    let is_new = disk.list(path).is_err();
    let topics = Topic::ALL.map(Topic::name);
    for name in ["log", "snapshots"].into_iter().chain(topics) {
        let dir = path.join(name);
        disk.create_dir_all(&dir)
            .map_err(ReadError::io(&dir, "create"))?;
    }
    if let Some(parent) = path.parent().filter(|_| is_new) {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        disk.sync_dir(parent)
            .map_err(ReadError::io(parent, "fsync"))?;
    }
    Ok(())
}

/// What the process that has the lock wrote into the file.
fn holder(disk: &dyn Disk, lock_path: &Path) -> Option<String> {
    let bytes = read_file(disk, lock_path, 32).ok()?;
    let text = String::from_utf8(bytes).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// One more than the epoch in the file and, should the file be lost, than that of the newest segment.
fn next_epoch(disk: &dyn Disk, path: &Path) -> Result<(u64, u64), OpenError> {
    let file = path.join("epoch");
    let known = match read_file(disk, &file, 64) {
        Ok(bytes) => Some(decode(&bytes).ok_or(OpenError::Epoch { path: file })?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(ReadError::io(&file, "read")(error).into()),
    };
    let dir = path.join("log");
    let newest = match list_segments(disk, &dir)?.last() {
        Some(first) => Segment::open(disk, &dir, *first, OpenMode::Read)?,
        None => None,
    };
    let of_segment = newest.map_or(0, |segment| segment.header.epoch);
    let (epoch, salt) = known.unwrap_or_else(|| (0, disk.nonce()));
    Ok((epoch.max(of_segment) + 1, salt))
}

fn write_epoch(disk: &dyn Disk, path: &Path, epoch: u64, salt: u64) -> Result<(), OpenError> {
    let file_path = path.join("epoch");
    let temporary = path.join("epoch.tmp");
    let file = disk
        .open(&temporary, OpenMode::Create)
        .map_err(ReadError::io(&temporary, "create"))?;
    write_all_at(&*file, &encode(epoch, salt), 0).map_err(ReadError::io(&temporary, "write"))?;
    file.sync_data()
        .map_err(ReadError::io(&temporary, "fsync"))?;
    disk.rename(&temporary, &file_path)
        .map_err(ReadError::io(&file_path, "rename"))?;
    disk.sync_dir(path).map_err(ReadError::io(path, "fsync"))?;
    Ok(())
}

fn encode(epoch: u64, salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.put_slice(&MAGIC);
    out.put_u32_le(VERSION);
    out.put_u64_le(epoch);
    out.put_u64_le(salt);
    out.put_u32_le(crc32c::crc32c(&out));
    out
}

fn decode(bytes: &[u8]) -> Option<(u64, u64)> {
    let (checked, mut crc) = bytes.split_at_checked(28)?;
    let mut fields = checked.strip_prefix(&MAGIC)?;
    let is_whole = crc.try_get_u32_le().ok()? == crc32c::crc32c(checked);
    let is_known = fields.try_get_u32_le().ok()? == VERSION;
    let epoch = fields.try_get_u64_le().ok()?;
    let salt = fields.try_get_u64_le().ok()?;
    (is_whole && is_known).then_some((epoch, salt))
}
