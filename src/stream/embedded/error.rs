//! What can go wrong, and what the caller is to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::{Position, Seq};

use super::disk::is_disk_full;

/// Why a data directory or the log in it cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the data directory {} is in use by another process{}; stop that process, or give this one a data directory \
         of its own",
        path.display(),
        holder.as_ref().map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that has it, if it said so.
        holder: Option<String>,
    },
    /// The file that holds the epoch cannot be read.
    #[error(
        "{}: not readable; if log/ beside it is whole, remove this file and start again: the epoch is then found there",
        path.display()
    )]
    Epoch {
        /// The file.
        path: PathBuf,
    },
    /// The log begins after the snapshot, or there is no snapshot and the log does not begin at the first record.
    #[error(
        "{}: the log begins at {oldest} but the newest usable snapshot ends at {snapshot}; restore the segments or the \
         snapshot between them from a copy",
        path.display()
    )]
    Gap {
        /// The directory of the log.
        path: PathBuf,
        /// Its first position.
        oldest: Position,
        /// The snapshot's position, 0 without one.
        snapshot: Position,
    },
    /// Something that was on disk is not readable any more, or not by this program, or the operating system refused
    /// something.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was cut or completed could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was found could not be made durable.
    #[error(transparent)]
    Fatal(#[from] SyncError),
}

/// Acknowledged data that is not readable any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where the damage begins, in bytes from the start of the file.
    pub offset: u64,
    /// What is wrong there.
    pub detail: String,
    /// Bytes from there to the end of the log.
    pub bytes: u64,
    /// Complete frames found behind the damage.
    pub frames_behind: u64,
    /// The last position (in a topic log: sequence number) before the damage.
    pub last_good: Position,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: damaged at byte {}: {}; {} bytes and {} readable frames lie from there to the end of the log. \
             Restore the file from a copy, or start once with --repair: it keeps everything up to {} and drops the rest",
            self.file.display(),
            self.offset,
            self.detail,
            self.bytes,
            self.frames_behind,
            self.last_good
        )
    }
}

/// Why a frame was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full. Nothing of the frame is in the log; append the same frame again once there is room.
    #[error("{}: the disk is full", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The frame is larger than readers accept. Nothing of it is in the log.
    #[error("a frame of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The largest size.
        bytes_max: u64,
    },
    /// The frame was begun at another end of the log than the one it would be appended to.
    #[error("the frame was begun after position {begun} but the log ends at {end}")]
    OutOfOrder {
        /// Position where the frame was begun.
        begun: Position,
        /// Position where the log ends.
        end: Position,
    },
    /// The state of the file is unknown: the process must end, and recovery will find out.
    #[error(transparent)]
    Fatal(#[from] SyncError),
}

/// What was written may or may not be on disk. The process must end without acknowledging anything more: after a
/// failed fsync a second one may succeed although the data is lost.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}; the process must end", path.display())]
pub struct SyncError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the operating system said.
    pub source: io::Error,
}

/// Why a log cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What was written is not readable any more.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The log does not reach back that far.
    #[error("records from {wanted} are wanted but the log begins with {oldest}")]
    Gone {
        /// The first record wanted.
        wanted: Seq,
        /// The first record there is.
        oldest: Seq,
    },
    /// A file is of a version that this program does not read.
    #[error("{}: format version {found}, but this program reads version {known}; use the program that wrote it, or a newer one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The version expected.
        known: u32,
    },
    /// The operating system refused something.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk is full; the unfinished snapshot is removed.
    #[error("{}: the disk is full", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The file is not a complete snapshot: use an older one.
    #[error("{}: damaged at byte {offset}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        detail: &'static str,
    },
    /// The operating system refused something.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The file is of a version that this program does not read.
    #[error(transparent)]
    Version(ReadError),
    /// The process must end.
    #[error(transparent)]
    Fatal(#[from] SyncError),
}

impl ReadError {
    /// Of a segment whose header cannot be read.
    pub(super) fn header_damage(path: &Path, first: u64) -> Self {
        Self::Damaged(Damage {
            file: path.to_owned(),
            offset: 0,
            detail: "the header of the segment is not readable".to_owned(),
            bytes: 0,
            frames_behind: 0,
            last_good: first.saturating_sub(1),
        })
    }

    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }
}

impl SnapshotError {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| {
            if is_disk_full(&source) {
                Self::DiskFull { path }
            } else {
                Self::Io {
                    path,
                    action,
                    source,
                }
            }
        }
    }
}
