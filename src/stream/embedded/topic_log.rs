//! Writing topic logs: they are made from durable frames of the main log and can be made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::domain::{Millis, Seq};

use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::topic::{TopicSegment, TopicShared};
use super::writer::{SegmentWriter, sync};
use super::{
    AppendError, Counters, DataDir, Frame, FrameBuilder, Sequences, SyncError, Topic, TopicConfig,
    TopicReader,
};

/// The writer's side of all topic logs: for whoever delivers what is durable.
#[derive(Debug)]
pub struct Topics {
    /// One a topic, in the order of [`Topic::ALL`].
    pub(super) logs: Vec<TopicLog>,
}

/// The writer's side of one topic log.
#[derive(Debug)]
pub(super) struct TopicLog {
    pub(super) topic: Topic,
    dir: DataDir,
    segment_bytes: u64,
    writer: SegmentWriter,
    builder: FrameBuilder,
    pub(super) last: Seq,
    shared: Arc<TopicShared>,
}

impl Topics {
    /// Appends what a durable frame of the main log has for each topic; readers see it when this returns. What is
    /// there already is passed over, so a frame may be given again.
    ///
    /// # Errors
    ///
    /// After [`AppendError::DiskFull`] give the same frame again before the next one.
    pub fn append(&mut self, frame: &Frame<'_>) -> Result<(), AppendError> {
        for log in &mut self.logs {
            log.append(frame)?;
        }
        Ok(())
    }

    /// Makes all topic logs durable. Recovery can do without: it makes what is missing again.
    ///
    /// # Errors
    ///
    /// The process must end.
    pub fn sync(&self) -> Result<(), SyncError> {
        self.logs.iter().try_for_each(|log| log.shared.sync())
    }

    /// A reader of a topic.
    pub fn reader(&self, topic: Topic) -> TopicReader {
        let log = self.logs.iter().find(|log| log.topic == topic);
        let shared = log.map_or_else(
            || Arc::new(TopicShared::new(None, Vec::new(), 0)),
            |log| Arc::clone(&log.shared),
        );
        TopicReader::new(shared)
    }

    /// What retention needs of each topic.
    pub(super) fn shared(&self) -> Vec<(Topic, Arc<TopicShared>)> {
        let shared = |log: &TopicLog| (log.topic, Arc::clone(&log.shared));
        self.logs.iter().map(shared).collect()
    }
}

impl TopicLog {
    /// Goes on at `offset` of the last of `segments`, after the record `last`.
    pub(super) fn new(
        dir: &DataDir,
        topic: Topic,
        config: &TopicConfig,
        counters: &Arc<Counters>,
        segments: Vec<Arc<TopicSegment>>,
        (tail, offset): (Segment, u64),
        last: Seq,
    ) -> Self {
        Self {
            topic,
            dir: dir.clone(),
            segment_bytes: config.segment_bytes,
            writer: SegmentWriter::new(
                dir.clone(),
                dir.topic_dir(topic),
                Arc::clone(counters),
                tail,
                offset,
            ),
            builder: FrameBuilder::new(),
            last,
            shared: Arc::new(TopicShared::new(Some(dir.clone()), segments, last)),
        }
    }

    pub(super) fn append(&mut self, frame: &Frame<'_>) -> Result<(), AppendError> {
        let begun = self.topic.seq(&frame.before());
        if self.topic.seq(&frame.after()) <= self.last {
            return Ok(());
        }
        if begun > self.last {
            return Err(AppendError::OutOfOrder {
                begun,
                end: self.last,
            });
        }
        self.builder.begin(at(self.last), frame.time());
        for entry in frame.entries() {
            if let Some((seq, time, bytes)) = self.topic.record(&entry, frame.time())
                && seq > self.last
            {
                self.builder.topic_record(time, bytes);
            }
        }
        if self
            .writer
            .is_full(self.builder.bytes(), self.segment_bytes)
        {
            self.roll(self.last, frame.time())?;
        }
        self.writer.append(&mut self.builder, 0)?;
        self.last = self.builder.after().position;
        if let Some(tail) = self.shared.segments.read().last() {
            tail.end.store(self.writer.offset(), Ordering::Release);
        }
        self.shared.newest.store(self.last, Ordering::Release);
        Ok(())
    }

    /// Begins a segment after the record `before`. Recovery reads the last segment alone, so the one before it is made
    /// durable first.
    pub(super) fn roll(&mut self, before: Seq, time: Millis) -> Result<(), AppendError> {
        self.writer.sync()?;
        self.writer
            .roll(header(&self.dir, self.topic, before, time))?;
        self.last = before;
        let segment = TopicSegment::new(self.writer.segment().clone(), SEGMENT_HEADER_BYTES);
        let mut segments = self.shared.segments.write();
        // Nothing was written to a segment of the same name, which is replaced.
        segments.retain(|other| other.segment.header.first() != before + 1);
        segments.push(Arc::new(segment));
        Ok(())
    }
}

impl TopicShared {
    pub(super) fn new(dir: Option<DataDir>, segments: Vec<Arc<TopicSegment>>, newest: Seq) -> Self {
        Self {
            dir,
            segments: RwLock::new(segments),
            newest: AtomicU64::new(newest),
            durable: AtomicU64::new(0),
        }
    }

    /// Makes everything durable that was appended before this call.
    pub(super) fn sync(&self) -> Result<(), SyncError> {
        let newest = self.newest.load(Ordering::Acquire);
        let tail = self.segments.read().last().cloned();
        if let (Some(dir), Some(tail)) = (&self.dir, tail)
            && newest > self.durable.load(Ordering::Acquire)
        {
            sync(dir, &tail.segment)?;
            self.durable.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(())
    }
}

/// What stands at the beginning of the segment after the record `before`.
pub(super) fn header(dir: &DataDir, topic: Topic, before: Seq, time: Millis) -> SegmentHeader {
    SegmentHeader {
        kind: topic.kind(),
        salt: dir.salt(),
        epoch: dir.epoch(),
        time,
        before: at(before),
    }
}

/// A topic log numbers its records in the first sequence.
fn at(position: Seq) -> Sequences {
    Sequences {
        position,
        ..Sequences::default()
    }
}
