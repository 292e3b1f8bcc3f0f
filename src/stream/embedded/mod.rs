//! The embedded log: inputs, ticks, triggers, dead letters and positions of one shard in one directory.
//!
//! ```text
//! lock                      held by flock while the directory is open
//! epoch                     grows with every open
//! synced                    how far the log is known to be on disk
//! log/<position>.log        the truth: frames, each one step of the engine
//! snapshots/<position>.snap the state after a position; two generations
//! triggers/<seq>.log        what subscribers read; made from log/, as are
//! dead-letters/<seq>.log
//! late/<seq>.log
//! archive/<position>.log    segments no longer needed, if they are to be kept
//! ```
//!
//! The order of things at a start:
//!
//! 1. [`DataDir::open`] takes the lock and a new epoch.
//! 2. The engine loads the first of [`DataDir::snapshots`] that it can read.
//! 3. [`Store::open`] checks the log after that snapshot, cuts a torn tail off and completes the topic logs.
//! 4. [`MainLog::replay`] gives the frames after the snapshot to the engine.
//!
//! And at every step: [`FrameBuilder::begin`] with [`MainLog::end`], the entries, [`MainLog::append`],
//! [`SyncHandle::sync`], acknowledge, [`Topics::append`]. After a snapshot: [`Retention::run`].

mod disk;
mod frame;
mod varint;
mod window;
mod segment;
mod writer;
mod directory;
mod log;
mod synced;
mod recovery;
mod topic;
mod topic_log;
mod topic_recovery;
mod snapshot;
mod retention;
mod store;
mod config;
mod counters;
mod error;

pub use self::config::{Config, SegmentRetention, TopicConfig};
pub use self::counters::{Counters, CountersView};
pub use self::directory::DataDir;
pub use self::disk::{Disk, DiskFile, FsDisk, OpenMode};
pub use self::error::{AppendError, Damage, OpenError, ReadError, SnapshotError, SyncError};
pub use self::frame::{Entries, Entry, Frame, FrameBuilder, Sequences, check_frames};
pub use self::log::{LogMark, MainLog, SyncHandle};
pub use self::retention::{Removed, Retention, RetentionError};
pub use self::snapshot::{SnapshotInfo, SnapshotReader, SnapshotWriter, Snapshots};
pub use self::store::{Dropped, Recovery, Repair, Store};
pub use self::topic::{Topic, TopicPage, TopicReader, TopicRecord};
pub use self::topic_log::Topics;
