//! Opening topic logs: what is ahead of the main log is cut off, what is missing is made from it again.

use std::path::Path;
use std::sync::Arc;

use crate::domain::{Millis, Seq};

use super::recovery::{truncate, write_again};
use super::segment::{Found, SEGMENT_HEADER_BYTES, Segment, list_segments, segment_path};
use super::topic::TopicSegment;
use super::topic_log::{TopicLog, header};
use super::writer::{sync, sync_dir};
use super::{
    Config, Counters, Damage, DataDir, Dropped, MainLog, OpenError, OpenMode, ReadError, Recovery,
    Repair, Sequences, Topic, Topics,
};

/// Recovers the topic logs of a directory, after its main log.
#[derive(Debug)]
pub(super) struct TopicRecovery<'a> {
    pub(super) dir: &'a DataDir,
    pub(super) config: &'a Config,
    pub(super) counters: &'a Arc<Counters>,
    pub(super) log: &'a MainLog,
    pub(super) repair: Repair,
    pub(super) report: &'a mut Recovery,
}

/// A topic log as it was found.
#[derive(Debug)]
struct Tail {
    topic: Topic,
    /// First records of the segments before the last one that is kept.
    closed: Vec<u64>,
    /// The last one that is kept; none if there is none.
    segment: Option<Segment>,
    /// Its size, and the bytes of it that are kept.
    size: u64,
    offset: u64,
    /// Bytes of it that are known to be on disk: the main log has given up what they were made from.
    durable: u64,
    /// First records of the segments that are not kept, newest first.
    ahead: Vec<u64>,
    /// Whether something could not be read.
    is_torn: bool,
    /// The last record that is kept.
    last: Seq,
}

impl TopicRecovery<'_> {
    /// Opens all topic logs and appends what the main log has and they have not.
    pub(super) fn run(mut self) -> Result<Topics, OpenError> {
        let oldest = self.log.oldest()?.sequences;
        let mut logs = Vec::new();
        for topic in Topic::ALL {
            let oldest = topic.seq(&oldest);
            let tail = self.find(topic, oldest)?;
            logs.push(self.open(tail, oldest)?);
        }
        let mut topics = Topics { logs };
        let kept: u64 = topics.logs.iter().map(|log| log.last).sum();
        self.complete(&mut topics)?;
        let now: u64 = topics.logs.iter().map(|log| log.last).sum();
        self.report.topic_records_rebuilt += now - kept;
        Ok(topics)
    }

    /// Finds the last record that is readable and that the main log has too. Changes nothing. `oldest` is the record
    /// before which the main log begins.
    fn find(&self, topic: Topic, oldest: Seq) -> Result<Tail, OpenError> {
        let folder = self.dir.topic_dir(topic);
        let wanted = topic.seq(&self.log.end());
        let mut tail = Tail {
            closed: list_segments(self.dir.disk(), &folder)?,
            ..Tail::none(topic)
        };
        while let Some(first) = tail.closed.pop() {
            let opened = Segment::open(self.dir.disk(), &folder, first, OpenMode::Write)?;
            tail.is_torn |= opened.is_none();
            if let Some(segment) = opened.filter(|_| first <= wanted + 1) {
                tail.size = segment.size()?;
                tail.read(&segment, oldest, wanted)?;
                tail.segment = Some(segment);
                break;
            }
            tail.ahead.push(first);
        }
        Ok(tail)
    }

    /// Cuts off what is not kept and opens the log for writing.
    fn open(&mut self, tail: Tail, oldest: Seq) -> Result<TopicLog, OpenError> {
        let topic = tail.topic;
        let start = oldest.min(topic.seq(&self.log.end()));
        // Without any segment, readable or not, nothing was kept and nothing is missing.
        let has_gap = tail.last < start && (tail.segment.is_some() || tail.is_torn);
        if has_gap {
            self.report_gap(&tail, start)?;
        }
        self.cut(&tail)?;
        let mut segments = self.open_closed(&tail)?;
        let segment = tail.segment.inspect(|segment| {
            segments.push(Arc::new(TopicSegment::new(segment.clone(), tail.offset)));
        });
        let (segment, offset, last) = if let Some(segment) = segment.filter(|_| !has_gap) {
            (segment, tail.offset, tail.last)
        } else {
            if let Some(closed) = segments.last() {
                sync(self.dir, &closed.segment)?;
            }
            let segment = self.create(topic, start)?;
            let shared = TopicSegment::new(segment.clone(), SEGMENT_HEADER_BYTES);
            segments.push(Arc::new(shared));
            (segment, SEGMENT_HEADER_BYTES, start)
        };
        let config = match topic {
            Topic::Triggers => &self.config.triggers,
            Topic::DeadLetters => &self.config.dead_letters,
            Topic::Late => &self.config.late,
        };
        let end = (segment, offset);
        Ok(TopicLog::new(
            self.dir,
            topic,
            config,
            self.counters,
            segments,
            end,
            last,
        ))
    }

    /// The segments before the last one. Their records cannot be made again: what is damaged is refused, or dropped.
    fn open_closed(&mut self, tail: &Tail) -> Result<Vec<Arc<TopicSegment>>, OpenError> {
        let folder = self.dir.topic_dir(tail.topic);
        let mut segments = Vec::new();
        for first in tail.closed.iter().copied() {
            let opened = Segment::open(self.dir.disk(), &folder, first, OpenMode::Write)?;
            let Some(segment) = opened else {
                self.drop_segment(&segment_path(&folder, first), first)?;
                continue;
            };
            let mut size = segment.size()?;
            if self.repair == Repair::Cut {
                let kept = Tail::whole(tail.topic, &segment)?;
                if kept.offset < size {
                    self.cut(&kept)?;
                    self.report.dropped.push(Dropped {
                        file: segment.path.clone(),
                        offset: kept.offset,
                        bytes: size - kept.offset,
                        last_kept: kept.last,
                        last_dropped: kept.last,
                    });
                    size = kept.offset;
                }
            }
            segments.push(Arc::new(TopicSegment::new(segment, size)));
        }
        Ok(segments)
    }

    /// Refuses, or removes, a segment whose header cannot be read.
    fn drop_segment(&mut self, path: &Path, first: u64) -> Result<(), OpenError> {
        if self.repair == Repair::Refuse {
            return Err(OpenError::from(ReadError::header_damage(path, first)));
        }
        self.dir
            .disk()
            .remove(path)
            .map_err(ReadError::io(path, "remove"))?;
        self.report.dropped.push(Dropped {
            file: path.to_owned(),
            offset: 0,
            bytes: 0,
            last_kept: first.saturating_sub(1),
            last_dropped: first,
        });
        Ok(())
    }

    /// Refuses, or reports, that records are missing which the main log no longer has.
    fn report_gap(&mut self, tail: &Tail, start: Seq) -> Result<(), OpenError> {
        let folder = self.dir.topic_dir(tail.topic);
        let file = tail
            .segment
            .as_ref()
            .map_or(folder, |segment| segment.path.clone());
        let bytes = tail.size.saturating_sub(tail.offset);
        if self.repair == Repair::Refuse {
            return Err(OpenError::from(ReadError::Damaged(Damage {
                file,
                offset: tail.offset,
                detail: format!(
                    "records up to {start} are missing and the main log no longer has them"
                ),
                bytes,
                frames_behind: 0,
                last_good: tail.last,
            })));
        }
        self.report.dropped.push(Dropped {
            file,
            offset: tail.offset,
            bytes,
            last_kept: tail.last,
            last_dropped: start,
        });
        Ok(())
    }

    /// Removes what is not kept, durably.
    fn cut(&mut self, tail: &Tail) -> Result<(), OpenError> {
        let folder = self.dir.topic_dir(tail.topic);
        for first in &tail.ahead {
            let path = segment_path(&folder, *first);
            let removed = self.dir.disk().remove(&path);
            removed.map_err(ReadError::io(&path, "remove"))?;
        }
        if !tail.ahead.is_empty() {
            sync_dir(self.dir, &folder)?;
        }
        if let Some(segment) = tail.segment.as_ref().filter(|_| tail.offset < tail.size) {
            truncate(self.dir, segment, tail.offset)?;
            self.report.torn_bytes += tail.size - tail.offset;
        }
        self.report.torn_tails += u64::from(tail.is_torn);
        if let Some(segment) = &tail.segment {
            write_again(self.dir, segment, tail.durable, tail.offset)?;
        }
        Ok(())
    }

    fn create(&self, topic: Topic, before: Seq) -> Result<Segment, OpenError> {
        let folder = self.dir.topic_dir(topic);
        let header = header(self.dir, topic, before, Millis(0));
        let created = Segment::create(self.dir.disk(), &folder, header);
        Ok(created.map_err(|(action, error)| ReadError::io(&folder, action)(error))?)
    }

    /// Appends what the main log has and the topic logs have not.
    fn complete(&mut self, topics: &mut Topics) -> Result<(), OpenError> {
        let end = self.log.end();
        if topics
            .logs
            .iter()
            .all(|log| log.last >= log.topic.seq(&end))
        {
            return Ok(());
        }
        let has_missing = |before: &Sequences| {
            topics
                .logs
                .iter()
                .all(|log| log.topic.seq(before) <= log.last)
        };
        let walked = self
            .log
            .reach_back(has_missing)
            .map_err(OpenError::from)
            .and_then(|from| {
                self.log
                    .walk(from, |frame| Ok::<_, OpenError>(topics.append(frame)?))
            });
        match walked {
            Err(OpenError::Read(ReadError::Damaged(damage))) if self.repair == Repair::Cut => {
                self.skip(topics, &end, &damage)
            }
            walked => walked,
        }
    }

    /// Goes on at the end of the main log where it is too damaged to make the records before it.
    fn skip(
        &mut self,
        topics: &mut Topics,
        end: &Sequences,
        damage: &Damage,
    ) -> Result<(), OpenError> {
        for log in &mut topics.logs {
            let wanted = log.topic.seq(end);
            if log.last < wanted {
                self.report.dropped.push(Dropped {
                    file: damage.file.clone(),
                    offset: damage.offset,
                    bytes: 0,
                    last_kept: log.last,
                    last_dropped: wanted,
                });
                log.roll(wanted, Millis(0))?;
            }
        }
        Ok(())
    }
}

impl Tail {
    fn none(topic: Topic) -> Self {
        Self {
            topic,
            closed: Vec::new(),
            segment: None,
            size: 0,
            offset: SEGMENT_HEADER_BYTES,
            durable: SEGMENT_HEADER_BYTES,
            ahead: Vec::new(),
            is_torn: false,
            last: 0,
        }
    }

    /// A whole segment, up to what is not readable.
    fn whole(topic: Topic, segment: &Segment) -> Result<Self, OpenError> {
        let mut tail = Self {
            size: segment.size()?,
            segment: Some(segment.clone()),
            ..Self::none(topic)
        };
        tail.read(segment, Seq::MAX, Seq::MAX)?;
        Ok(tail)
    }

    /// Reads `segment` up to the last record that is readable and not beyond `wanted`.
    fn read(&mut self, segment: &Segment, oldest: Seq, wanted: Seq) -> Result<(), OpenError> {
        self.last = segment.header.before.position;
        let mut frames = segment.frames(self.offset, self.size);
        loop {
            match frames
                .next()
                .map_err(ReadError::io(&segment.path, "read"))?
            {
                Found::Frame(frame, at, bytes) if frame.before().position == self.last => {
                    if frame.after().position > wanted {
                        return Ok(());
                    }
                    self.last = frame.after().position;
                    self.offset = at + bytes;
                    if self.last <= oldest {
                        self.durable = self.offset;
                    }
                }
                Found::Frame(..) | Found::Bad(..) => {
                    self.is_torn = true;
                    return Ok(());
                }
                Found::End => return Ok(()),
            }
        }
    }
}
