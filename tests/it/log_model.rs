//! A run on the embedded log that knows what it wrote, and compares it with what recovery finds.
#![expect(
    clippy::indexing_slicing,
    reason = "a model that reads beyond its own plan is to fail"
)]

use std::path::Path;
use std::sync::Arc;

use impulse::domain::{Millis, Seq};
use impulse::stream::embedded::{
    AppendError, Config, DataDir, Entry, FrameBuilder, OpenError, ReadError, Recovery, Repair,
    RetentionError, SegmentRetention, Sequences, SnapshotError, SnapshotInfo, Store, Topic,
    TopicConfig,
};

use crate::sim_disk::{Faults, Op, Random, SimDisk, State};

/// Frames between two snapshots.
pub(crate) const SNAPSHOT_FRAMES: usize = 45;

/// What one step leaves behind.
#[derive(Clone, Debug)]
pub(crate) enum Put {
    Input(i64, bool, Vec<u8>),
    Tick(i64, bool),
    Trigger(Vec<u8>),
    DeadLetter(Vec<u8>),
    SourcePosition(u32, u64),
}

/// What a run writes, and what is true after each frame of it.
pub(crate) struct Plan {
    pub(crate) frames: Vec<Vec<Put>>,
    /// After each frame, beginning with none.
    pub(crate) ends: Vec<Sequences>,
    digests: Vec<u64>,
    topics: [Vec<(Millis, Vec<u8>)>; 3],
}

/// When a run acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledge {
    AfterSync,
    /// As in `os` mode; in `sync` mode a bug.
    AfterWrite,
}

/// The state of an engine that only remembers what it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    at: Sequences,
    digest: u64,
}

/// Frames of the plan at a crash: acknowledged at least, begun at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) acknowledged: usize,
    pub(crate) begun: usize,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("cannot open: {0}")]
    Open(#[from] OpenError),
    #[error("cannot read: {0}")]
    Read(#[from] ReadError),
    #[error("cannot append: {0}")]
    Append(#[from] AppendError),
    #[error("snapshot: {0}")]
    Snapshot(#[from] SnapshotError),
    #[error("retention: {0}")]
    Retention(#[from] RetentionError),
    #[error("{0}")]
    Wrong(String),
}

pub(crate) fn path() -> &'static Path {
    Path::new("shop/data")
}

pub(crate) fn config() -> Config {
    let topic = TopicConfig {
        segment_bytes: 4 << 10,
        bytes_max: 24 << 10,
        ..TopicConfig::default()
    };
    Config {
        segment_bytes: 48 << 10,
        segment_retention: SegmentRetention::Remove,
        triggers: topic.clone(),
        dead_letters: topic.clone(),
        late: topic,
    }
}

pub(crate) fn time(frame: usize) -> Millis {
    Millis(1_700_000_000_000 + i64::try_from(frame).unwrap() * 40)
}

impl Plan {
    pub(crate) fn new(frames: usize, seed: u64) -> Self {
        let mut plan = Self {
            frames: Vec::new(),
            ends: vec![Sequences::default()],
            digests: vec![0],
            topics: [Vec::new(), Vec::new(), Vec::new()],
        };
        plan.extend(frames, seed);
        plan
    }

    /// The same up to frame `at`, and something else after it.
    pub(crate) fn fork(&self, at: usize, more: usize) -> Self {
        let end = self.ends[at];
        let lengths = [end.trigger, end.dead_letter, end.late];
        let mut topics = self.topics.clone();
        for (topic, length) in topics.iter_mut().zip(lengths) {
            topic.truncate(usize::try_from(length).unwrap());
        }
        let mut plan = Self {
            frames: self.frames[..at].to_vec(),
            ends: self.ends[..=at].to_vec(),
            digests: self.digests[..=at].to_vec(),
            topics,
        };
        plan.extend(more, at as u64 ^ 0xf0_0d00);
        plan
    }

    fn extend(&mut self, more: usize, seed: u64) {
        let mut random = Random::new(seed);
        let mut builder = FrameBuilder::new();
        let mut fold = Fold {
            at: self.ends[self.frames.len()],
            digest: self.digests[self.frames.len()],
        };
        for _ in 0..more {
            let frame = self.frames.len();
            let puts = plan_frame(frame, &mut random);
            build(&mut builder, fold.at, frame, &puts);
            for entry in builder.frame().entries() {
                fold.add(&entry);
                self.remember(&entry, time(frame));
            }
            fold.at = builder.after();
            self.frames.push(puts);
            self.ends.push(fold.at);
            self.digests.push(fold.digest);
        }
    }

    fn remember(&mut self, entry: &Entry<'_>, time: Millis) {
        let [triggers, dead_letters, late] = &mut self.topics;
        match *entry {
            Entry::Trigger { bytes, .. } => triggers.push((time, bytes.to_vec())),
            Entry::DeadLetter { bytes, .. } => dead_letters.push((time, bytes.to_vec())),
            Entry::Input {
                received,
                late: Some(_),
                bytes,
                ..
            } => late.push((received, bytes.to_vec())),
            Entry::Input { .. }
            | Entry::Tick { .. }
            | Entry::SourcePosition { .. }
            | Entry::TopicRecord { .. } => {}
        }
    }
}

fn plan_frame(frame: usize, random: &mut Random) -> Vec<Put> {
    let text = |random: &mut Random, what: &str, bytes: u64| {
        let size = usize::try_from(40 + random.below(bytes)).unwrap();
        let mut text = format!("{what} {frame} {} ", random.below(1 << 40)).into_bytes();
        text.resize(size.max(text.len()), b'.');
        text
    };
    let now = time(frame).0;
    // Now and then a step in which everything was refused: it moves no position.
    if frame % 23 == 5 {
        return vec![Put::DeadLetter(text(random, "letter", 700))];
    }
    let mut puts = Vec::new();
    if frame.is_multiple_of(3) {
        puts.push(Put::Tick(now, frame.is_multiple_of(2)));
    }
    for _ in 0..=random.below(20) {
        let received = now + i64::try_from(random.below(50)).unwrap();
        let is_late = random.below(12) == 0;
        puts.push(Put::Input(received, is_late, text(random, "event", 120)));
        match random.below(14) {
            0 => puts.push(Put::Trigger(text(random, "trigger", 200))),
            1 => puts.push(Put::DeadLetter(text(random, "letter", 200))),
            2 => puts.push(Put::SourcePosition(3, frame as u64)),
            _ => {}
        }
    }
    puts
}

fn build(builder: &mut FrameBuilder, end: Sequences, frame: usize, puts: &[Put]) {
    builder.begin(end, time(frame));
    for put in puts {
        match put {
            Put::Input(received, late, bytes) => {
                builder.input(Millis(*received), *late, bytes);
            }
            Put::Tick(wall, caught_up) => {
                builder.tick(Millis(*wall), *caught_up);
            }
            Put::Trigger(bytes) => {
                builder.trigger(bytes);
            }
            Put::DeadLetter(bytes) => {
                builder.dead_letter(bytes);
            }
            Put::SourcePosition(partition, offset) => builder.source_position(*partition, *offset),
        }
    }
}

impl Fold {
    fn add(&mut self, entry: &Entry<'_>) {
        // The order, the numbers and the bytes of everything count.
        let (numbers, bytes) = match *entry {
            Entry::Input {
                position,
                received,
                late,
                bytes,
            } => (
                [1, position, received.0.cast_unsigned(), late.unwrap_or(0)],
                bytes,
            ),
            Entry::Tick {
                position,
                wall,
                caught_up,
            } => (
                [2, position, wall.0.cast_unsigned(), u64::from(caught_up)],
                &[][..],
            ),
            Entry::Trigger { seq, bytes } => ([3, seq, 0, 0], bytes),
            Entry::DeadLetter { seq, bytes } => ([4, seq, 0, 0], bytes),
            Entry::SourcePosition { partition, offset } => {
                ([5, u64::from(partition), offset, 0], &[][..])
            }
            Entry::TopicRecord { .. } => panic!("the main log has no such entry"),
        };
        let mut digest = self.digest;
        for number in numbers
            .into_iter()
            .chain([u64::from(crc32c::crc32c(bytes))])
        {
            digest = (digest ^ number)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(23);
        }
        self.digest = digest;
    }

    fn is_behind(&self, after: Sequences) -> bool {
        self.at.position < after.position
            || self.at.trigger < after.trigger
            || self.at.dead_letter < after.dead_letter
            || self.at.late < after.late
    }
}

/// A store in use, with the engine's state.
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) recovery: Recovery,
    fold: Fold,
    /// Frames that are written and not yet durable.
    waiting: Vec<FrameBuilder>,
    spare: Vec<FrameBuilder>,
    /// The next frame of the plan.
    pub(crate) next: usize,
}

impl Session {
    pub(crate) fn open(disk: &SimDisk, repair: Repair) -> Result<Self, Trouble> {
        Self::open_with(disk, repair, &config())
    }

    /// As the engine does: the lock, the newest snapshot that can be read, the log after it.
    pub(crate) fn open_with(
        disk: &SimDisk,
        repair: Repair,
        config: &Config,
    ) -> Result<Self, Trouble> {
        let dir = DataDir::open_on(Arc::new(disk.clone()), path())?;
        let mut fold = Fold::default();
        let mut snapshot = None;
        for info in dir.snapshots()? {
            if let Ok(digest) = load(&dir, &info) {
                fold = Fold {
                    at: info.sequences,
                    digest,
                };
                snapshot = Some(info);
                break;
            }
        }
        let (store, recovery) = Store::open(&dir, config, snapshot.as_ref(), repair)?;
        store.log.replay(fold.at.position, |frame| {
            if fold.is_behind(frame.after()) {
                if frame.before() != fold.at {
                    return Err(Trouble::Wrong(format!("gap before {:?}", frame.before())));
                }
                frame.entries().for_each(|entry| fold.add(&entry));
                fold.at = frame.after();
            }
            Ok(())
        })?;
        Ok(Self {
            store,
            recovery,
            fold,
            waiting: Vec::new(),
            spare: Vec::new(),
            next: 0,
        })
    }

    /// Writes the frames of the plan up to `to`.
    pub(crate) fn run(
        &mut self,
        disk: &SimDisk,
        plan: &Plan,
        to: usize,
        acknowledge: Acknowledge,
    ) -> Result<(), Trouble> {
        let mut random = Random::new(self.next as u64);
        while self.next < to {
            let frame = self.next;
            disk.note(note(false, frame + 1));
            let builder = self.append(plan, frame)?;
            self.waiting.push(builder);
            self.next += 1;
            match acknowledge {
                Acknowledge::AfterSync => {
                    if random.below(3) == 0 || self.waiting.len() > 4 {
                        self.commit(disk)?;
                    }
                }
                Acknowledge::AfterWrite => {
                    disk.note(note(true, self.next));
                    self.deliver()?;
                    if random.below(6) == 0 {
                        self.store
                            .log
                            .sync_handle()
                            .sync()
                            .map_err(AppendError::from)?;
                    }
                }
            }
            if self.next.is_multiple_of(SNAPSHOT_FRAMES) {
                self.snapshot(time(frame))?;
            }
        }
        self.commit(disk)
    }

    /// Writes a frame, however long the disk is full.
    pub(crate) fn append(&mut self, plan: &Plan, frame: usize) -> Result<FrameBuilder, Trouble> {
        let mut builder = self.spare.pop().unwrap_or_default();
        build(
            &mut builder,
            self.store.log.end(),
            frame,
            &plan.frames[frame],
        );
        retry(|| self.store.log.append(&mut builder).map(|_| ()))?;
        for entry in builder.frame().entries() {
            self.fold.add(&entry);
        }
        self.fold.at = builder.after();
        Ok(builder)
    }

    /// Makes what waits durable, acknowledges it and delivers it.
    pub(crate) fn commit(&mut self, disk: &SimDisk) -> Result<(), Trouble> {
        self.store
            .log
            .sync_handle()
            .sync()
            .map_err(AppendError::from)?;
        disk.note(note(true, self.next));
        self.deliver()
    }

    fn deliver(&mut self) -> Result<(), Trouble> {
        for builder in self.waiting.drain(..) {
            retry(|| self.store.topics.append(&builder.frame()))?;
            self.spare.push(builder);
        }
        Ok(())
    }

    /// Takes a snapshot, unless the disk is full, and cleans up.
    pub(crate) fn snapshot(&mut self, now: Millis) -> Result<(), Trouble> {
        match self.write_snapshot(now) {
            Err(Trouble::Snapshot(SnapshotError::DiskFull { .. })) => return Ok(()),
            written => written?,
        }
        self.store.retention.run(now)?;
        Ok(())
    }

    fn write_snapshot(&mut self, now: Millis) -> Result<(), Trouble> {
        let mut writer = self.store.snapshots.begin(self.store.log.mark(), now)?;
        writer.chunk(&self.fold.digest.to_le_bytes())?;
        writer.chunk(&[7; 3_000])?;
        writer.finish()?;
        Ok(())
    }
}

fn load(dir: &DataDir, info: &SnapshotInfo) -> Result<u64, Trouble> {
    let mut reader = dir.read_snapshot(info)?;
    let mut digest = 0;
    let mut chunks = 0;
    while let Some(chunk) = reader.next_chunk()? {
        if chunks == 0 {
            digest = u64::from_le_bytes(chunk.try_into().unwrap());
        }
        chunks += 1;
    }
    assert_eq!(chunks, 2, "a snapshot gives back its chunks");
    Ok(digest)
}

fn retry(mut attempt: impl FnMut() -> Result<(), AppendError>) -> Result<(), AppendError> {
    loop {
        match attempt() {
            Err(AppendError::DiskFull { .. }) => {}
            done => return done,
        }
    }
}

fn note(is_acknowledged: bool, frames: usize) -> u64 {
    (frames as u64) << 1 | u64::from(is_acknowledged)
}

impl Trouble {
    /// Whether the log refused to be opened or read, rather than being wrong.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Open(OpenError::Read(ReadError::Damaged(_)) | OpenError::Epoch { .. })
                | Self::Read(ReadError::Damaged(_))
        )
    }
}

impl Progress {
    /// A run that came as far as this frame, and acknowledged all.
    pub(crate) fn all(frames: usize) -> Self {
        Self {
            acknowledged: frames,
            begun: frames,
        }
    }

    /// What the notes of a run say.
    pub(crate) fn of(trace: &[Op]) -> Self {
        let mut progress = Self::default();
        for op in trace {
            progress.note(op);
        }
        progress
    }

    pub(crate) fn note(&mut self, op: &Op) {
        if let Op::Note(note) = op {
            let frames = usize::try_from(note >> 1).unwrap();
            if note & 1 == 1 {
                self.acknowledged = frames;
            } else {
                self.begun = frames;
            }
        }
    }
}

/// A recorded run from an empty disk, and how it ended.
pub(crate) fn record(
    plan: &Plan,
    acknowledge: Acknowledge,
    faults: Faults,
) -> (SimDisk, Result<(), Trouble>) {
    let disk = SimDisk::new(State::default(), faults);
    let ran = Session::open(&disk, Repair::Refuse)
        .and_then(|mut session| session.run(&disk, plan, plan.frames.len(), acknowledge));
    (disk, ran)
}

/// Recovers and compares; the session and how many frames of the plan are there.
pub(crate) fn check(
    disk: &SimDisk,
    plan: &Plan,
    progress: Progress,
    repair: Repair,
) -> Result<Session, Trouble> {
    let mut session = Session::open(disk, repair)?;
    let end = session.store.log.end();
    let wrong = |what: String| Err(Trouble::Wrong(what));
    if let Some((temporary, _)) = disk.state().files(".tmp").first() {
        return wrong(format!("{} was left", temporary.display()));
    }
    let Some(frames) = plan.ends.iter().position(|other| *other == end) else {
        return wrong(format!("the log ends at {end:?}, where no frame does"));
    };
    if frames < progress.acknowledged {
        return wrong(format!(
            "{} frames acknowledged, {frames} there",
            progress.acknowledged
        ));
    }
    if frames > progress.begun {
        return wrong(format!("{} frames begun, {frames} there", progress.begun));
    }
    if session.fold.at != end || session.fold.digest != plan.digests[frames] {
        return wrong(format!(
            "the state after frame {frames} is not what was written"
        ));
    }
    for (topic, expected) in Topic::ALL.into_iter().zip(&plan.topics) {
        check_topic(&session, topic, expected, end)?;
    }
    session.next = frames;
    Ok(session)
}

fn check_topic(
    session: &Session,
    topic: Topic,
    expected: &[(Millis, Vec<u8>)],
    end: Sequences,
) -> Result<(), Trouble> {
    let wrong = |what: String| Err(Trouble::Wrong(format!("{}: {what}", topic.name())));
    let wanted = match topic {
        Topic::Triggers => end.trigger,
        Topic::DeadLetters => end.dead_letter,
        Topic::Late => end.late,
    };
    let reader = session.store.topics.reader(topic);
    if reader.newest() != wanted {
        return wrong(format!(
            "ends at {}, the main log at {wanted}",
            reader.newest()
        ));
    }
    let mut next: Seq = 1;
    let mut bytes = 0;
    loop {
        let page = reader.read(next, 50, 10_000)?;
        if next == 1 {
            next = page.oldest;
        }
        if page.records.is_empty() {
            break;
        }
        for record in page.records {
            let (time, content) = &expected[usize::try_from(record.seq - 1).unwrap()];
            if record.seq != next || record.time != *time || record.bytes != *content {
                return wrong(format!("{next} expected, {record:?} found"));
            }
            bytes += content.len();
            next += 1;
        }
    }
    if next != wanted + 1 {
        return wrong(format!("read up to {next}, not {wanted}"));
    }
    let all: usize = expected
        .iter()
        .take(usize::try_from(wanted).unwrap())
        .map(|(_, b)| b.len())
        .sum();
    if bytes < all.min(12 << 10) {
        return wrong(format!("only {bytes} bytes of {all} are kept"));
    }
    Ok(())
}
