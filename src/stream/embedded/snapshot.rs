//! Snapshots: the state after a position, so that recovery need not begin at the first event.
//!
//! ```text
//! 0   8  magic
//! 8   4  version
//! 12  8  salt of the data directory
//! 20  8  time when it was begun
//! 28  32 the four sequences
//! 60  16 segment of the main log, and bytes of it before the state
//! 76  4  crc32c of the above
//! 80  …  chunks: length (4), crc32c (4) of length and bytes, seeded by the crc before, bytes
//!     24 trailer: 0xffff_ffff (4), crc32c (4) likewise, number of chunks (8), their bytes (8)
//! ```
//!
//! A chunk's checksum goes on from the one before it, so that no chunk can be missing, moved or of another file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use parking_lot::Mutex;

use crate::domain::{Millis, Position};

use super::counters::Count;
use super::disk::{read_full_at, write_all_at};
use super::segment::{SYNC, number_in_name, put_sequences, take_sequences};
use super::window::Window;
use super::writer::sync_dir;
use super::{
    Counters, DataDir, Disk, DiskFile, LogMark, OpenMode, ReadError, Sequences, SnapshotError,
    SyncHandle,
};

/// Largest chunk.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Generations kept.
const GENERATIONS: usize = 2;
/// Written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Made durable at once: one large fsync at the end would hold up those of the log.
const SYNC_BYTES: u64 = 8 << 20;

const MAGIC: [u8; 8] = *b"IMPULSEs";
const VERSION: u32 = 1;
const SUFFIX: &str = ".snap";
const HEADER_BYTES: usize = 80;
const CHUNK_HEADER_BYTES: usize = 8;
const TRAILER_BYTES: usize = 24;
/// In place of a length: no more chunks.
const END: u32 = u32::MAX;

/// A snapshot in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The position it holds the state of.
    pub position: Position,
    /// Where all sequences stood.
    pub sequences: Sequences,
    /// When it was begun.
    pub time: Millis,
    /// Size of the file.
    pub bytes: u64,
    pub(super) mark: LogMark,
}

/// Writes snapshots. Cheap to clone; may be used on any thread.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: DataDir,
    counters: Arc<Counters>,
    log: SyncHandle,
    /// The kept generations, newest first.
    kept: Arc<Mutex<Vec<SnapshotInfo>>>,
}

/// Writes one snapshot; unless it is finished, nothing of it remains.
#[derive(Debug)]
pub struct SnapshotWriter {
    owner: Snapshots,
    info: SnapshotInfo,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Bytes written, and bytes made durable.
    offset: u64,
    synced: u64,
    chain: Chain,
    is_finished: bool,
}

/// Reads one snapshot.
#[derive(Debug)]
pub struct SnapshotReader {
    info: SnapshotInfo,
    path: PathBuf,
    window: Window,
    chain: Chain,
}

/// What the checksums of the chunks depend on.
#[derive(Clone, Copy, Debug)]
struct Chain {
    crc: u32,
    chunks: u64,
    bytes: u64,
}

impl Snapshots {
    pub(super) fn new(
        dir: &DataDir,
        counters: &Arc<Counters>,
        log: SyncHandle,
        kept: Vec<SnapshotInfo>,
    ) -> Self {
        Self {
            dir: dir.clone(),
            counters: Arc::clone(counters),
            log,
            kept: Arc::new(Mutex::new(kept)),
        }
    }

    /// Begins a snapshot of the state at `mark`, which [`MainLog::mark`](super::MainLog::mark) gave when the engine
    /// had applied exactly what the log held.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn begin(&self, mark: LogMark, time: Millis) -> Result<SnapshotWriter, SnapshotError> {
        let position = mark.sequences.position;
        let path = snapshot_path(&self.dir.snapshots_dir(), position);
        let temporary = path.with_extension("snap.tmp");
        self.dir.check(&temporary)?;
        let file = self.dir.disk().open(&temporary, OpenMode::Create);
        let file = file.map_err(SnapshotError::io(&temporary, "create"))?;
        let header = encode_header(&mark, time, self.dir.salt());
        Ok(SnapshotWriter {
            owner: self.clone(),
            info: SnapshotInfo {
                position,
                sequences: mark.sequences,
                time,
                bytes: 0,
                mark,
            },
            path,
            temporary,
            file,
            chain: Chain::after(&header),
            buffer: header,
            offset: 0,
            synced: 0,
            is_finished: false,
        })
    }

    /// The newest finished snapshot.
    pub fn newest(&self) -> Option<SnapshotInfo> {
        self.kept.lock().first().cloned()
    }

    /// The oldest one of as many as are to be kept; `None` while there are fewer.
    pub(super) fn oldest_kept(&self) -> Option<SnapshotInfo> {
        self.kept.lock().get(GENERATIONS - 1).cloned()
    }

    /// Enters a finished snapshot and removes the files of all that are not kept.
    fn enter(&self, info: &SnapshotInfo) -> Result<(), SnapshotError> {
        let mut kept = self.kept.lock();
        kept.retain(|other| other.position != info.position);
        kept.insert(0, info.clone());
        kept.truncate(GENERATIONS);
        let kept: Vec<Position> = kept.iter().map(|info| info.position).collect();
        let dir = self.dir.snapshots_dir();
        let names = self
            .dir
            .disk()
            .list(&dir)
            .map_err(SnapshotError::io(&dir, "list"))?;
        for position in names.iter().filter_map(|name| number_in_name(name, SUFFIX)) {
            if !kept.contains(&position) {
                let path = snapshot_path(&dir, position);
                let removed = self.dir.disk().remove(&path);
                removed.map_err(SnapshotError::io(&path, "remove"))?;
            }
        }
        Ok(())
    }
}

impl SnapshotWriter {
    /// Appends a chunk of at most 16 MiB; the reader gives back the same chunks.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the snapshot is then lost, the log is not.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if bytes.len() > CHUNK_BYTES_MAX {
            return Err(SnapshotError::Damaged {
                path: self.temporary.clone(),
                offset: self.offset,
                detail: "a chunk of more than 16 MiB",
            });
        }
        let length = u32::try_from(bytes.len()).unwrap_or(END);
        self.chain.add(length, bytes);
        self.buffer.put_u32_le(length);
        self.buffer.put_u32_le(self.chain.crc);
        self.buffer.put_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        if self.offset - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes it durable under its name, the log before it too, and removes all but the newest two.
    ///
    /// # Errors
    ///
    /// If it cannot be written; [`SnapshotError::Fatal`] ends the process.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.put_u64_le(self.chain.chunks);
        trailer.put_u64_le(self.chain.bytes);
        let crc = chained_crc(self.chain.crc, END, &trailer);
        self.buffer.put_u32_le(END);
        self.buffer.put_u32_le(crc);
        self.buffer.put_slice(&trailer);
        self.flush()?;
        self.sync()?;
        // A state must not be ahead of the log that it comes from.
        self.owner.log.sync_to(self.info.mark)?;
        let dir = self.owner.dir.clone();
        let renamed = dir.disk().rename(&self.temporary, &self.path);
        renamed.map_err(SnapshotError::io(&self.path, "rename"))?;
        self.is_finished = true;
        sync_dir(&dir, &dir.snapshots_dir())?;
        self.info.bytes = self.offset;
        self.owner.enter(&self.info)?;
        self.owner.counters.add(Count::Snapshots, 1);
        Ok(self.info.clone())
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        self.owner.dir.check(&self.temporary)?;
        let written = write_all_at(&*self.file, &self.buffer, self.offset);
        written.map_err(SnapshotError::io(&self.temporary, "write"))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SnapshotError> {
        let dir = &self.owner.dir;
        dir.check(&self.temporary)?;
        let synced = self.file.sync_data();
        synced.map_err(|error| dir.fail(&self.temporary, SYNC, error))?;
        self.synced = self.offset;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // What stays now goes at the next open.
            self.owner.dir.disk().remove(&self.temporary).ok();
        }
    }
}

impl SnapshotReader {
    /// What it is.
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// The next chunk; `None` after the last, once the trailer is found to agree.
    ///
    /// # Errors
    ///
    /// If it is damaged: forget what was read and take an older one.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>, SnapshotError> {
        let offset = self.window.offset();
        let damaged = |path: &Path, detail| SnapshotError::Damaged {
            path: path.to_owned(),
            offset,
            detail,
        };
        let header = self.window.peek(CHUNK_HEADER_BYTES);
        let mut header = header.map_err(SnapshotError::io(&self.path, "read"))?;
        let (Ok(length), Ok(crc)) = (header.try_get_u32_le(), header.try_get_u32_le()) else {
            return Err(damaged(&self.path, "the file ends too early"));
        };
        if length == END {
            let trailer = self.window.peek(TRAILER_BYTES + 1);
            let trailer = trailer.map_err(SnapshotError::io(&self.path, "read"))?;
            return if self.chain.ends_with(trailer) {
                Ok(None)
            } else {
                Err(damaged(
                    &self.path,
                    "the trailer does not agree with the chunks",
                ))
            };
        }
        let length = length as usize;
        let whole = CHUNK_HEADER_BYTES + length;
        if length > CHUNK_BYTES_MAX {
            return Err(damaged(
                &self.path,
                "a chunk claims to be larger than chunks can be",
            ));
        }
        self.window
            .peek(whole)
            .map_err(SnapshotError::io(&self.path, "read"))?;
        let chunk = self
            .window
            .take(whole)
            .get(CHUNK_HEADER_BYTES..)
            .unwrap_or_default();
        if chunk.len() < length {
            return Err(damaged(&self.path, "the file ends within a chunk"));
        }
        self.chain.add(u32::try_from(length).unwrap_or(END), chunk);
        if self.chain.crc != crc {
            return Err(damaged(&self.path, "the checksum of a chunk is wrong"));
        }
        Ok(Some(chunk))
    }
}

impl Chain {
    fn after(header: &[u8]) -> Self {
        Self {
            crc: crc32c::crc32c(header),
            chunks: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, length: u32, bytes: &[u8]) {
        self.crc = chained_crc(self.crc, length, bytes);
        self.chunks += 1;
        self.bytes += u64::from(length);
    }

    /// Whether these are the trailer after these chunks and nothing else.
    fn ends_with(&self, trailer: &[u8]) -> bool {
        let mut expected = Vec::with_capacity(TRAILER_BYTES);
        expected.put_u64_le(self.chunks);
        expected.put_u64_le(self.bytes);
        let crc = chained_crc(self.crc, END, &expected);
        let head = END.to_le_bytes().into_iter().chain(crc.to_le_bytes());
        trailer.iter().copied().eq(head.chain(expected))
    }
}

fn chained_crc(before: u32, length: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(before, &length.to_le_bytes()), bytes)
}

fn snapshot_path(dir: &Path, position: Position) -> PathBuf {
    dir.join(format!("{position:020}{SUFFIX}"))
}

fn encode_header(mark: &LogMark, time: Millis, salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
    out.put_slice(&MAGIC);
    out.put_u32_le(VERSION);
    out.put_u64_le(salt);
    out.put_i64_le(time.0);
    put_sequences(&mut out, &mark.sequences);
    out.put_u64_le(mark.segment);
    out.put_u64_le(mark.offset);
    out.put_u32_le(crc32c::crc32c(&out));
    out
}

fn decode_header(bytes: &[u8]) -> Option<(u32, Millis, LogMark)> {
    let (checked, mut crc) = bytes.split_at_checked(HEADER_BYTES - 4)?;
    let mut fields = checked.strip_prefix(&MAGIC)?;
    if crc.try_get_u32_le().ok()? != crc32c::crc32c(checked) {
        return None;
    }
    let version = fields.try_get_u32_le().ok()?;
    fields.try_get_u64_le().ok()?;
    let time = Millis(fields.try_get_i64_le().ok()?);
    let sequences = take_sequences(&mut fields)?;
    let mark = LogMark {
        segment: fields.try_get_u64_le().ok()?,
        offset: fields.try_get_u64_le().ok()?,
        sequences,
    };
    Some((version, time, mark))
}

/// The snapshots that look complete, newest first.
pub(super) fn list_snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<SnapshotInfo>, ReadError> {
    let names = disk.list(dir).map_err(ReadError::io(dir, "list"))?;
    let mut found = Vec::new();
    for position in names.iter().filter_map(|name| number_in_name(name, SUFFIX)) {
        match open_snapshot(disk, dir, position) {
            Ok(reader) => found.push(reader.info),
            Err(SnapshotError::Damaged { .. }) => {}
            Err(SnapshotError::Version(error)) => return Err(error),
            Err(error) => {
                let path = snapshot_path(dir, position);
                return Err(ReadError::io(&path, "read")(io::Error::other(error)));
            }
        }
    }
    found.reverse();
    Ok(found)
}

/// Opens a snapshot whose header and trailer are whole.
pub(super) fn open_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    position: Position,
) -> Result<SnapshotReader, SnapshotError> {
    let path = snapshot_path(dir, position);
    let damaged = |detail| SnapshotError::Damaged {
        path: path.clone(),
        offset: 0,
        detail,
    };
    let file = disk
        .open(&path, OpenMode::Read)
        .map_err(SnapshotError::io(&path, "open"))?;
    let bytes = file
        .size()
        .map_err(SnapshotError::io(&path, "read the size of"))?;
    let mut header = [0; HEADER_BYTES];
    read_full_at(&*file, &mut header, 0).map_err(SnapshotError::io(&path, "read"))?;
    let (version, time, mark) =
        decode_header(&header).ok_or_else(|| damaged("the header is not readable"))?;
    if version != VERSION {
        return Err(SnapshotError::Version(ReadError::Version {
            path,
            found: version,
            known: VERSION,
        }));
    }
    let mut trailer = [0; TRAILER_BYTES];
    let behind = bytes.saturating_sub(TRAILER_BYTES as u64);
    read_full_at(&*file, &mut trailer, behind).map_err(SnapshotError::io(&path, "read"))?;
    let mut fields = trailer.as_slice();
    let (end, _crc) = (fields.get_u32_le(), fields.get_u32_le());
    let (chunks, content) = (fields.get_u64_le(), fields.get_u64_le());
    let expected = chunks
        .checked_mul(CHUNK_HEADER_BYTES as u64)
        .and_then(|heads| heads.checked_add(content))
        .and_then(|all| all.checked_add((HEADER_BYTES + TRAILER_BYTES) as u64));
    if end != END || expected != Some(bytes) || mark.sequences.position != position {
        return Err(damaged("the file is not complete"));
    }
    Ok(SnapshotReader {
        info: SnapshotInfo {
            position,
            sequences: mark.sequences,
            time,
            bytes,
            mark,
        },
        window: Window::new(file, HEADER_BYTES as u64, bytes),
        chain: Chain::after(&header),
        path,
    })
}
