//! What may go, and when.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::domain::{HOUR_MS, Millis};

use super::counters::Count;
use super::log::Shared;
use super::segment::{Segment, segment_path};
use super::topic::{TopicSegment, TopicShared};
use super::writer::sync_dir;
use super::{
    Config, Counters, DataDir, OpenMode, ReadError, SegmentRetention, Sequences, Snapshots,
    SyncError, Topic, TopicConfig,
};

/// Removes what nothing needs any more. Cheap to clone; may run on any thread.
#[derive(Clone, Debug)]
pub struct Retention {
    dir: DataDir,
    counters: Arc<Counters>,
    segments: SegmentRetention,
    log: Arc<Shared>,
    snapshots: Snapshots,
    topics: Vec<(Topic, TopicConfig, Arc<TopicShared>)>,
}

/// What [`Retention::run`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments of the main log that were removed or archived.
    pub segments: u64,
    /// Segments of topic logs that were removed.
    pub topic_segments: u64,
}

/// Why [`Retention::run`] ended early.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// Something could not be removed; it will be tried again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The process must end.
    #[error(transparent)]
    Fatal(#[from] SyncError),
}

impl Retention {
    pub(super) fn new(
        dir: &DataDir,
        counters: &Arc<Counters>,
        config: &Config,
        log: Arc<Shared>,
        snapshots: Snapshots,
        topics: Vec<(Topic, Arc<TopicShared>)>,
    ) -> Self {
        let with_config = |(topic, shared)| {
            let config = match topic {
                Topic::Triggers => &config.triggers,
                Topic::DeadLetters => &config.dead_letters,
                Topic::Late => &config.late,
            };
            (topic, config.clone(), shared)
        };
        Self {
            dir: dir.clone(),
            counters: Arc::clone(counters),
            segments: config.segment_retention,
            log,
            snapshots,
            topics: topics.into_iter().map(with_config).collect(),
        }
    }

    /// Makes the topic logs durable, then removes segments of the main log that neither kept snapshot needs, and
    /// segments of topic logs beyond their age or size at `now`. Run it after each snapshot.
    ///
    /// # Errors
    ///
    /// If something could not be removed, which does no harm, or could not be made durable, which is fatal.
    pub fn run(&self, now: Millis) -> Result<Removed, RetentionError> {
        for (_, _, shared) in &self.topics {
            shared.sync()?;
        }
        let mut removed = Removed {
            segments: self.run_log()?,
            topic_segments: 0,
        };
        for (topic, config, shared) in &self.topics {
            removed.topic_segments += self.run_topic(*topic, config, shared, now)?;
        }
        Ok(removed)
    }

    /// Removes segments of the main log; how many.
    fn run_log(&self) -> Result<u64, RetentionError> {
        let Some(snapshot) = self.snapshots.oldest_kept() else {
            return Ok(0);
        };
        if self.segments == SegmentRetention::Keep {
            return Ok(0);
        }
        let folder = self.dir.log_dir();
        let archive = self.dir.archive_dir();
        if self.segments == SegmentRetention::Archive {
            let made = self.dir.disk().create_dir_all(&archive);
            made.map_err(ReadError::io(&archive, "create"))?;
        }
        let mut count = 0;
        loop {
            let (first, next) = match self.log.segments.lock().as_slice() {
                [first, next, ..] => (*first, *next),
                _ => break,
            };
            if !self.is_spare(next, &snapshot.sequences)? {
                break;
            }
            let path = segment_path(&folder, first);
            let gone = match self.segments {
                SegmentRetention::Archive => self
                    .dir
                    .disk()
                    .rename(&path, &segment_path(&archive, first)),
                SegmentRetention::Remove | SegmentRetention::Keep => self.dir.disk().remove(&path),
            };
            gone.map_err(ReadError::io(&path, "remove"))?;
            self.log.segments.lock().retain(|kept| *kept != first);
            self.counters.add(Count::SegmentsRemoved, 1);
            count += 1;
        }
        if count > 0 {
            if self.segments == SegmentRetention::Archive {
                sync_dir(&self.dir, &archive)?;
            }
            sync_dir(&self.dir, &folder)?;
        }
        Ok(count)
    }

    /// Whether all before the segment that begins with `next` is in the snapshot and, on disk, in the topic logs.
    fn is_spare(&self, next: u64, snapshot: &Sequences) -> Result<bool, ReadError> {
        let folder = self.dir.log_dir();
        let segment = Segment::open(self.dir.disk(), &folder, next, OpenMode::Read)?;
        let Some(segment) = segment else {
            return Ok(false);
        };
        let before = segment.header.before;
        let is_delivered = self
            .topics
            .iter()
            .all(|(topic, _, shared)| topic.seq(&before) <= shared.durable.load(Ordering::Acquire));
        Ok(is_delivered && before.position <= snapshot.position)
    }

    /// Removes segments of a topic log; how many. The last one stays.
    fn run_topic(
        &self,
        topic: Topic,
        config: &TopicConfig,
        shared: &TopicShared,
        now: Millis,
    ) -> Result<u64, RetentionError> {
        let folder = self.dir.topic_dir(topic);
        let horizon = now - i64::from(config.age_max_hours) * HOUR_MS;
        let mut count = 0;
        loop {
            let segments = shared.segments.read().clone();
            let [oldest, next, ..] = segments.as_slice() else {
                break;
            };
            let bytes: u64 = segments.iter().map(|segment| segment.bytes()).sum();
            let is_old = next.segment.header.time < horizon;
            if !is_old && bytes <= config.bytes_max {
                break;
            }
            self.remove_topic_segment(&folder, oldest)?;
            let first = oldest.segment.header.first();
            let is_other = |other: &Arc<TopicSegment>| other.segment.header.first() != first;
            shared.segments.write().retain(is_other);
            count += 1;
        }
        if count > 0 {
            sync_dir(&self.dir, &folder)?;
        }
        Ok(count)
    }

    fn remove_topic_segment(&self, folder: &Path, segment: &TopicSegment) -> Result<(), ReadError> {
        let path = segment_path(folder, segment.segment.header.first());
        self.dir
            .disk()
            .remove(&path)
            .map_err(ReadError::io(&path, "remove"))
    }
}
