//! From a data directory to an engine that knows everything acknowledged.

use std::path::Path;

use crate::clock::Stopwatch;
use crate::domain::{Input, Millis, Outcome, Position, Record, Seq};
use crate::engine::{self, Engine, Outbox, Restore};
use crate::metrics::Metrics;
use crate::stream::embedded::{
    self, DataDir, Entry, Frame, OpenError, ReadError, Recovery, Repair, SnapshotInfo, Store,
};
use crate::wire;

/// Why the state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record in the log cannot be understood, although its checksum is right.
    #[error(
        "record {position} of the log is none that this program knows: {detail}; start the version that wrote it"
    )]
    Record {
        /// Its position.
        position: Position,
        /// What is wrong with it.
        detail: String,
    },
}

/// Everything that recovery found.
#[derive(Debug)]
pub struct Recovered {
    /// The state after the whole log.
    pub engine: Engine,
    /// The open log.
    pub store: Store,
    /// The directory, locked.
    pub dir: DataDir,
    /// What was found and done.
    pub recovery: Recovery,
    /// The clock as last logged.
    pub last_tick: Option<Millis>,
    /// Outputs that replay computed differently from what the log says.
    pub divergences: u64,
}

/// Opens a directory, loads the newest snapshot that can be read and replays the log after it. `progress` is told the
/// position reached now and then.
///
/// # Errors
///
/// If the directory is in use, or something acknowledged is damaged and `repair` says to refuse.
pub fn recover(
    path: &Path,
    log: &embedded::Config,
    engine: &engine::Config,
    repair: Repair,
    metrics: &Metrics,
    mut progress: impl FnMut(Position),
) -> Result<Recovered, StartError> {
    let watch = Stopwatch::start();
    let dir = DataDir::open(path)?;
    let (engine, snapshot) = load_snapshot(&dir, engine)?;
    let (store, recovery) = Store::open(&dir, log, snapshot.as_ref(), repair)?;
    let mut replay = Replay {
        engine,
        outbox: Outbox::default(),
        scratch: Vec::new(),
        last_tick: None,
        divergences: 0,
    };
    let after = replay.engine.position();
    store.log.replay(after, |frame| {
        replay.frame(frame)?;
        progress(replay.engine.position());
        Ok::<(), StartError>(())
    })?;
    metrics.replay_divergence.inc_by(replay.divergences);
    metrics.log_truncated.inc_by(recovery.torn_tails);
    metrics.restore_progress.set(1.0);
    metrics.restore_seconds.observe(watch.seconds());
    Ok(Recovered {
        engine: replay.engine,
        store,
        dir,
        recovery,
        last_tick: replay.last_tick,
        divergences: replay.divergences,
    })
}

/// The newest snapshot that can be read, or an empty engine.
fn load_snapshot(
    dir: &DataDir,
    config: &engine::Config,
) -> Result<(Engine, Option<SnapshotInfo>), StartError> {
    for info in dir.snapshots()? {
        match read_snapshot(dir, &info, config) {
            Ok(engine) => return Ok((engine, Some(info))),
            Err(error) => {
                let position = info.position;
                tracing::warn!(
                    position,
                    error,
                    "a snapshot cannot be used; an older one is tried"
                );
            }
        }
    }
    Ok((Engine::new(config.clone()), None))
}

fn read_snapshot(
    dir: &DataDir,
    info: &SnapshotInfo,
    config: &engine::Config,
) -> Result<Engine, String> {
    let mut reader = dir.read_snapshot(info).map_err(|error| error.to_string())?;
    let mut restore = Restore::new(config.clone());
    while let Some(chunk) = reader.next_chunk().map_err(|error| error.to_string())? {
        restore.feed(chunk).map_err(|error| error.to_string())?;
    }
    restore.finish().map_err(|error| error.to_string())
}

/// Applies what the log holds and compares what comes out with what came out then.
#[derive(Debug)]
struct Replay {
    engine: Engine,
    outbox: Outbox,
    scratch: Vec<u8>,
    last_tick: Option<Millis>,
    divergences: u64,
}

impl Replay {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), StartError> {
        let reached = self.engine.position();
        for entry in frame.entries() {
            match entry {
                Entry::Input {
                    position,
                    received,
                    bytes,
                    ..
                } if position > reached => {
                    let input = wire::record::decode_input(bytes).map_err(|rejection| {
                        StartError::Record {
                            position,
                            detail: rejection.detail,
                        }
                    })?;
                    self.apply(position, &Record { received, input });
                }
                Entry::Tick {
                    position,
                    wall,
                    caught_up,
                } if position > reached => {
                    self.last_tick = Some(wall);
                    let input = Input::Tick { wall, caught_up };
                    self.apply(
                        position,
                        &Record {
                            received: wall,
                            input,
                        },
                    );
                }
                Entry::Trigger { seq, bytes } => self.compare(seq, bytes),
                Entry::Input { .. }
                | Entry::Tick { .. }
                | Entry::DeadLetter { .. }
                | Entry::SourcePosition { .. }
                | Entry::TopicRecord { .. } => {}
            }
        }
        self.divergences += self.outbox.triggers.len() as u64;
        self.outbox.triggers.clear();
        Ok(())
    }

    fn apply(&mut self, position: Position, record: &Record) {
        let outcome = self.engine.apply(record, &mut self.outbox);
        let as_logged = matches!(outcome, Outcome::Applied { .. });
        if !as_logged || self.engine.position() != position {
            self.divergences += 1;
        }
    }

    /// The trigger made by replay must be the one in the log. Those of a snapshot's own frame may lie before it.
    fn compare(&mut self, seq: Seq, bytes: &[u8]) {
        let Some(computed) = self
            .outbox
            .triggers
            .first()
            .filter(|trigger| trigger.seq <= seq)
        else {
            self.divergences += u64::from(seq > self.engine.trigger_seq());
            return;
        };
        self.scratch.clear();
        let same = computed.seq == seq
            && wire::trigger::decode(bytes).is_ok_and(|(_, epoch)| {
                wire::trigger::encode(computed, epoch, &mut self.scratch);
                self.scratch == bytes
            });
        self.outbox.triggers.remove(0);
        self.divergences += u64::from(!same);
    }
}
