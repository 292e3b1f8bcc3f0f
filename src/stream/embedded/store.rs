//! Opening everything: the log after the snapshot is checked, cut where it is torn, and the topic logs are completed.

use std::path::PathBuf;
use std::sync::Arc;

use crate::domain::Position;

use super::counters::Count;
use super::recovery::recover;
use super::topic_recovery::TopicRecovery;
use super::writer::sync_dir;
use super::{
    Config, Counters, DataDir, MainLog, OpenError, Retention, Sequences, SnapshotInfo, Snapshots,
    Topic, Topics,
};

/// The parts of an open embedded log. Take them apart and give each to the thread that uses it; the directory stays
/// locked until the last is gone.
#[derive(Debug)]
pub struct Store {
    /// For the writer.
    pub log: MainLog,
    /// For whoever delivers what is durable.
    pub topics: Topics,
    /// For whoever takes snapshots.
    pub snapshots: Snapshots,
    /// For whoever cleans up.
    pub retention: Retention,
    /// For whoever exports metrics.
    pub counters: Arc<Counters>,
}

/// What to do about damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repair {
    /// Refuse to open.
    #[default]
    Refuse,
    /// Cut the log before the damage and report what is lost.
    Cut,
}

/// What was found and done when opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Owner's epoch.
    pub epoch: u64,
    /// The snapshot's position; 0 without one.
    pub snapshot: Position,
    /// Where the log ends.
    pub end: Sequences,
    /// Frames found after the snapshot.
    pub frames: u64,
    /// Torn tails that were cut off, of the main log and the topic logs.
    pub torn_tails: u64,
    /// Bytes in them.
    pub torn_bytes: u64,
    /// Frames in the torn tail of the main log that could be read behind the one that could not: they were never made
    /// durable.
    pub torn_frames: u64,
    /// Records that were missing in topic logs and were written again.
    pub topic_records_rebuilt: u64,
    /// What `--repair` dropped.
    pub dropped: Vec<Dropped>,
}

/// What was dropped to repair a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The file.
    pub file: PathBuf,
    /// Where it was cut.
    pub offset: u64,
    /// Bytes dropped.
    pub bytes: u64,
    /// Last position (sequence number in a topic log) that is kept.
    pub last_kept: Position,
    /// Highest position (sequence number) that could still be read behind the cut; `last_kept` if none could.
    pub last_dropped: Position,
}

impl Store {
    /// Opens the logs of a directory. `snapshot` is the one the engine has loaded, if any.
    ///
    /// # Errors
    ///
    /// If acknowledged data is damaged and `repair` says to refuse; if a file is of an unknown version; if the
    /// operating system refuses something.
    pub fn open(
        dir: &DataDir,
        config: &Config,
        snapshot: Option<&SnapshotInfo>,
        repair: Repair,
    ) -> Result<(Self, Recovery), OpenError> {
        let counters = Arc::new(Counters::default());
        let mut report = Recovery {
            epoch: dir.epoch(),
            snapshot: snapshot.map_or(0, |snapshot| snapshot.position),
            ..Recovery::default()
        };
        let recovered = recover(dir, snapshot, repair, &mut report)?;
        let log = MainLog::new(dir, config, &counters, recovered);
        let recovery = TopicRecovery {
            dir,
            config,
            counters: &counters,
            log: &log,
            repair,
            report: &mut report,
        };
        let topics = recovery.run()?;
        // A name that can be seen need not be on disk: the last process may have died before it was.
        for folder in [dir.log_dir(), dir.snapshots_dir()] {
            sync_dir(dir, &folder)?;
        }
        for topic in Topic::ALL {
            sync_dir(dir, &dir.topic_dir(topic))?;
        }
        report.end = log.end();
        counters.add(Count::TornTails, report.torn_tails);
        let dropped: u64 = report.dropped.iter().map(|dropped| dropped.bytes).sum();
        counters.add(Count::TruncatedBytes, report.torn_bytes + dropped);
        // A snapshot newer than the one that could be loaded is damaged, and is not counted on.
        let mut kept = dir.snapshots()?;
        kept.retain(|other| other.position <= report.snapshot);
        let snapshots = Snapshots::new(dir, &counters, log.sync_handle(), kept);
        let retention = Retention::new(
            dir,
            &counters,
            config,
            log.shared(),
            snapshots.clone(),
            topics.shared(),
        );
        let store = Self {
            log,
            topics,
            snapshots,
            retention,
            counters,
        };
        Ok((store, report))
    }
}
