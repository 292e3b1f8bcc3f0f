//! Topic logs: what subscribers read. They are made from the main log and can be made again.

use std::path::Path;

use bytes::Bytes;

use crate::domain::{Millis, Seq};

use super::{AppendError, Frame, ReadError, SyncError};

/// A log made from the main log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Trigger records.
    Triggers,
    /// Dead letters.
    DeadLetters,
    /// Events that came too late for triggers.
    Late,
}

/// The writer's side of all topic logs: for whoever delivers what is durable.
#[derive(Debug)]
pub struct Topics {}

/// The writer's side of one topic log.
#[derive(Debug)]
pub struct TopicLog {}

/// Reads a topic log, from any thread, while the writer goes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TopicReader {}

/// Some records of a topic log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPage {
    /// In order, without gaps unless `--repair` made one.
    pub records: Vec<TopicRecord>,
    /// The first sequence number that is still kept.
    pub oldest: Seq,
    /// The last sequence number there is.
    pub newest: Seq,
}

/// One record of a topic log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its place.
    pub seq: Seq,
    /// Time of the step that made it; of a late event, when it arrived.
    pub time: Millis,
    /// What was written.
    pub bytes: Bytes,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Triggers, Self::DeadLetters, Self::Late];

    /// Name of its directory, and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Triggers => "triggers",
            Self::DeadLetters => "dead-letters",
            Self::Late => "late",
        }
    }
}

impl Topics {
    /// Appends what a durable frame of the main log has for each topic; readers see it when this returns. What is
    /// there already is passed over, so a frame may be given again.
    ///
    /// # Errors
    ///
    /// After [`AppendError::DiskFull`] give the same frame again before the next one.
    pub fn append(&mut self, _frame: &Frame<'_>) -> Result<(), AppendError> {
        unimplemented!()
    }

    /// Makes all topic logs durable.
    ///
    /// # Errors
    ///
    /// The process must end.
    pub fn sync(&self) -> Result<(), SyncError> {
        unimplemented!()
    }

    /// A reader of a topic.
    pub fn reader(&self, _topic: Topic) -> TopicReader {
        unimplemented!()
    }
}

impl TopicReader {
    /// Opens a topic log without the lock, for a command that looks at a directory which a server may have open. It
    /// sees what is there now.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn open(_data_dir: &Path, _topic: Topic) -> Result<Self, ReadError> {
        unimplemented!()
    }

    /// Records from `from` (or the oldest kept, if that is later) on: at most `limit`, and no more once they take
    /// `bytes_max`, but at least one if there is one.
    ///
    /// # Errors
    ///
    /// If the log is damaged there or the operating system refuses something.
    pub fn read(
        &self,
        _from: Seq,
        _limit: usize,
        _bytes_max: usize,
    ) -> Result<TopicPage, ReadError> {
        unimplemented!()
    }

    /// The last sequence number there is; 0 if there is none yet.
    pub fn newest(&self) -> Seq {
        unimplemented!()
    }
}
