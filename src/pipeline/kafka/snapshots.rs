//! Writes a partition's state into its transactions, a few chunks at a time, while the partition goes on.

use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::domain::Millis;
use crate::engine::SnapshotJob;
use crate::stream::kafka::{
    CHUNK_BYTES, Config, Manifest, Placed, SnapshotKey, SnapshotPart, framed,
};

use super::fold::Fold;
use super::takeover::Standing;

/// Chunks that wait to be written.
const CHUNKS_WAITING: usize = 4;

/// A snapshot that is due by records begins at the earliest this many times after the last one as that one took.
const PAUSE_FACTOR: u32 = 4;

/// The snapshots of one partition.
#[derive(Debug)]
pub(super) struct Snapshots {
    partition: u32,
    interval: Duration,
    records_max: u64,
    bytes_per_s: usize,
    since: Stopwatch,
    /// How long the last one took.
    took: Duration,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    parts: Receiver<Part>,
    manifest: Manifest,
    /// Where the first chunk came to lie.
    first: Option<i64>,
    ended: bool,
    took: Stopwatch,
    /// Since chunks were last written: they are rate-limited.
    last: Stopwatch,
}

#[derive(Debug)]
enum Part {
    Chunk(Vec<u8>),
    End,
}

/// What a transaction holds of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    Nothing,
    Chunks,
    Manifest,
}

impl Snapshots {
    pub(super) fn new(config: &Config, partition: u32) -> Self {
        Self {
            partition,
            interval: Duration::from_secs(config.snapshot_interval_s),
            records_max: config.snapshot_records_max,
            bytes_per_s: config.snapshot_bytes_per_s,
            since: Stopwatch::start(),
            took: Duration::ZERO,
            writing: None,
        }
    }

    /// Whether one is being written: transactions are then made for it.
    pub(super) fn under_way(&self) -> bool {
        self.writing.is_some()
    }

    /// Drops the one that is being written: some of its chunks may be missing in the log.
    pub(super) fn give_up(&mut self) {
        self.writing = None;
    }

    /// Freezes the state, if there is anything new in it. Everything applied must be committed.
    pub(super) fn begin(&mut self, fold: &mut Fold, standing: &Standing, now: Millis) {
        let news = fold.engine.position() - standing.snapshot_position;
        if self.writing.is_some() || news == 0 {
            return;
        }
        let manifest = Manifest {
            generation: standing.generation + 1,
            offset: fold.next,
            txn: standing.txn,
            seq: fold.seq,
            digest: standing.digest.clone(),
            position: fold.engine.position(),
            commits: standing.commits,
            outputs: standing.outputs,
            time: now,
            last_tick: fold.last_tick,
            ..Manifest::default()
        };
        // A job of an engine before this one may still be ending.
        let Some(job) = fold.engine.begin_snapshot() else {
            return;
        };
        let (sender, parts) = mpsc::sync_channel(CHUNKS_WAITING);
        let name = format!("snapshot-{}", self.partition);
        let thread = std::thread::Builder::new().name(name);
        if let Err(error) = thread.spawn(move || encode(job, &sender)) {
            tracing::warn!(%error, "no snapshot; the next one comes in time");
            return;
        }
        self.since = Stopwatch::start();
        self.writing = Some(Writing {
            parts,
            manifest,
            first: None,
            ended: false,
            took: Stopwatch::start(),
            last: Stopwatch::start(),
        });
    }

    /// After a while; sooner if there is much to replay, but not so soon that writing snapshots becomes the main work.
    fn is_due(&self, news: u64) -> bool {
        let elapsed = self.since.elapsed();
        elapsed >= self.interval || news >= self.records_max && elapsed >= self.took * PAUSE_FACTOR
    }

    /// Whether one is to begin as soon as everything applied is committed.
    pub(super) fn is_wanted(&self, fold: &Fold, standing: &Standing) -> bool {
        let news = fold.engine.position() - standing.snapshot_position;
        self.writing.is_none() && news > 0 && self.is_due(news)
    }

    /// Gives what is ready and allowed to a transaction; the manifest when everything else is committed.
    pub(super) fn add(&mut self, parts: &mut Vec<SnapshotPart>) -> Added {
        let Some(writing) = &mut self.writing else {
            return Added::Nothing;
        };
        if writing.ended {
            let key = SnapshotKey::Manifest {
                partition: self.partition,
            };
            parts.push(SnapshotPart {
                key: key.to_string(),
                value: writing.manifest.encode(),
            });
            return Added::Manifest;
        }
        let seconds = writing.last.lap().as_secs_f64().min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a number of bytes"
        )]
        let mut room = (self.bytes_per_s as f64 * seconds) as usize;
        let mut added = Added::Nothing;
        loop {
            match writing.parts.try_recv() {
                Ok(Part::Chunk(chunk)) => {
                    room = room.saturating_sub(chunk.len());
                    parts.push(writing.part(self.partition, &chunk));
                    added = Added::Chunks;
                    if room == 0 {
                        return added;
                    }
                }
                Ok(Part::End) => {
                    writing.ended = true;
                    return added;
                }
                Err(TryRecvError::Empty) => return added,
                Err(TryRecvError::Disconnected) => {
                    tracing::error!("a snapshot was not finished; the next one comes in time");
                    self.writing = None;
                    return added;
                }
            }
        }
    }

    /// The transaction is committed; gives the time that the snapshot took if it is complete now.
    pub(super) fn committed(
        &mut self,
        added: Added,
        placed: &Placed,
        standing: &mut Standing,
    ) -> Option<Stopwatch> {
        let writing = self.writing.as_mut()?;
        if added == Added::Chunks && writing.first.is_none() {
            writing.first = placed.chunk;
        }
        if added != Added::Manifest {
            return None;
        }
        standing.generation = writing.manifest.generation;
        standing.snapshot = writing.first;
        standing.snapshot_txn = writing.manifest.txn;
        standing.snapshot_position = writing.manifest.position;
        self.took = writing.took.elapsed();
        self.writing.take().map(|writing| writing.took)
    }
}

impl Writing {
    fn part(&mut self, partition: u32, chunk: &[u8]) -> SnapshotPart {
        let manifest = &mut self.manifest;
        let key = SnapshotKey::chunk(partition, manifest.generation, manifest.chunks);
        manifest.chunks += 1;
        manifest.bytes += chunk.len() as u64;
        manifest.crc = crc32c::crc32c_append(manifest.crc, chunk);
        SnapshotPart {
            key: key.to_string(),
            value: framed(manifest.generation, chunk),
        }
    }
}

/// Encodes the frozen state into chunks of one size.
fn encode(job: SnapshotJob, parts: &SyncSender<Part>) {
    let mut buffer = Vec::with_capacity(2 * CHUNK_BYTES);
    let encoded = job.write(|bytes| {
        buffer.extend_from_slice(bytes);
        while buffer.len() >= CHUNK_BYTES {
            let rest = buffer.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut buffer, rest);
            parts.send(Part::Chunk(chunk))?;
        }
        Ok(())
    });
    let ended = encoded.and_then(|()| {
        if !buffer.is_empty() {
            parts.send(Part::Chunk(buffer))?;
        }
        parts.send(Part::End)
    });
    if ended.is_err() {
        tracing::debug!("a snapshot was given up with its partition");
    }
}
