//! A disk in memory that keeps no more promises than POSIX: what is not synced may be lost, torn or reordered in a
//! crash. It records every operation, so that one run gives a crash at every site of it.
#![expect(
    clippy::indexing_slicing,
    reason = "a disk that loses a file by itself is to fail"
)]

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use impulse::stream::embedded::{Disk, DiskFile, OpenMode};
use parking_lot::Mutex;

/// What disks write at once.
pub(crate) const SECTOR_BYTES: usize = 512;

/// Numbers that look random and are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

type FileId = u64;

/// Something that changes the disk: a site where a crash can come before or after.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Bytes written to a file.
    Write(FileId, u64, Arc<[u8]>),
    /// A file cut or extended.
    Truncate(FileId, u64),
    /// A file made durable.
    SyncData(FileId),
    /// A name given to a new file.
    Create(PathBuf, FileId),
    /// Another name given to a file.
    Rename(PathBuf, PathBuf, FileId),
    /// A name removed.
    Remove(PathBuf),
    /// The names in a directory made durable.
    SyncDir(PathBuf),
    /// Not of the disk: the run notes how far it has come.
    Note(u64),
}

/// What a power loss leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// Nothing.
    Lost,
    /// Everything.
    Kept,
    /// What came first, up to some point.
    Prefix,
    /// Some operations, and of the last some sectors.
    Some,
    /// All but the last write, which ends after so many sectors.
    Torn(usize),
}

/// When the disk is to fail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// From this write or create on it is full for the given number of them.
    pub(crate) full: Option<(u64, u64)>,
    /// This sync of a file fails, and what it should have written is lost though it can still be read.
    pub(crate) sync_failure: Option<u64>,
    /// Syncs of files do nothing and report success.
    pub(crate) is_lying: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What reading gives. Shared between copies of the disk until it changes.
    now: Arc<Vec<u8>>,
    /// What is on the platter.
    durable: Arc<Vec<u8>>,
    /// Writes and truncates since.
    pending: Vec<Op>,
}

/// The whole disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    inodes: BTreeMap<FileId, Inode>,
    names: BTreeMap<PathBuf, FileId>,
    durable_names: BTreeMap<PathBuf, FileId>,
    pending_names: Vec<Op>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    next_file: FileId,
    trace: Vec<Op>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
    writes: u64,
    syncs: u64,
}

/// A handle of the disk; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

impl State {
    /// Carries an operation out.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Write(file, ..) | Op::Truncate(file, _) => {
                let inode = self.inodes.entry(*file).or_default();
                change(Arc::make_mut(&mut inode.now), op, &mut |_| true);
                inode.pending.push(op.clone());
            }
            Op::SyncData(file) => {
                let inode = self.inodes.entry(*file).or_default();
                for op in std::mem::take(&mut inode.pending) {
                    change(Arc::make_mut(&mut inode.durable), &op, &mut |_| true);
                }
            }
            Op::Create(..) | Op::Rename(..) | Op::Remove(_) => {
                if let Op::Create(_, file) = op {
                    self.inodes.entry(*file).or_default();
                }
                rename(&mut self.names, op);
                self.pending_names.push(op.clone());
            }
            Op::SyncDir(dir) => {
                let (synced, pending) = std::mem::take(&mut self.pending_names)
                    .into_iter()
                    .partition(|op| is_in(op, dir));
                self.pending_names = pending;
                let synced: Vec<Op> = synced;
                for op in &synced {
                    rename(&mut self.durable_names, op);
                }
            }
            Op::Note(_) => {}
        }
    }

    /// The disk after a power loss.
    pub(crate) fn after_power_loss(&self, unsynced: Unsynced, random: &mut Random) -> Self {
        let mut after = Self {
            dirs: self.dirs.clone(),
            ..Self::default()
        };
        let mut names = self.durable_names.clone();
        for op in survivors(&self.pending_names, unsynced, random) {
            rename(&mut names, op);
        }
        for id in names.values() {
            let inode = self.inodes.get(id).cloned().unwrap_or_default();
            let mut bytes = inode.durable;
            for op in survivors(&inode.pending, unsynced, random) {
                change(Arc::make_mut(&mut bytes), op, &mut |_| true);
            }
            let torn = inode
                .pending
                .last()
                .filter(|op| matches!(op, Op::Write(..)));
            match (torn, unsynced) {
                (Some(op), Unsynced::Torn(sectors)) => {
                    change(Arc::make_mut(&mut bytes), op, &mut |sector| {
                        sector < sectors
                    });
                }
                (Some(op), Unsynced::Some) => {
                    change(Arc::make_mut(&mut bytes), op, &mut |_| random.below(2) == 0);
                }
                _ => {}
            }
            let inode = Inode {
                now: Arc::clone(&bytes),
                durable: bytes,
                pending: Vec::new(),
            };
            after.inodes.insert(*id, inode);
        }
        after.durable_names.clone_from(&names);
        after.names = names;
        after
    }

    /// Files whose path contains `part`, with their content.
    pub(crate) fn files(&self, part: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let is_wanted = |path: &&PathBuf| path.to_string_lossy().contains(part);
        let names = self.names.keys().filter(is_wanted);
        let content = |path: &PathBuf| self.inodes[&self.names[path]].now.to_vec();
        names.map(|path| (path.clone(), content(path))).collect()
    }

    /// Flips a bit of a file.
    pub(crate) fn flip(&mut self, path: &Path, byte: usize, bit: u64) {
        let inode = self.inodes.get_mut(&self.names[path]).unwrap();
        Arc::make_mut(&mut inode.now)[byte] ^= 1 << bit;
        inode.durable = Arc::clone(&inode.now);
        inode.pending.clear();
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, path: &Path) {
        self.names.remove(path).unwrap();
        self.durable_names.remove(path);
    }
}

/// The operations that a power loss spares, but for the last write where that is torn.
fn survivors<'a>(pending: &'a [Op], unsynced: Unsynced, random: &mut Random) -> Vec<&'a Op> {
    let count = pending.len();
    let all_but_last = pending.iter().take(count.saturating_sub(1));
    match unsynced {
        Unsynced::Lost => Vec::new(),
        Unsynced::Kept => pending.iter().collect(),
        Unsynced::Prefix => {
            let kept = random.below(count as u64 + 1);
            pending
                .iter()
                .take(usize::try_from(kept).unwrap())
                .collect()
        }
        Unsynced::Some => all_but_last.filter(|_| random.below(2) == 0).collect(),
        Unsynced::Torn(_) => all_but_last.collect(),
    }
}

/// Changes the content of a file; of a write only the sectors that `has_sector` names.
fn change(bytes: &mut Vec<u8>, op: &Op, has_sector: &mut dyn FnMut(usize) -> bool) {
    match op {
        Op::Write(_, offset, written) => {
            let offset = usize::try_from(*offset).unwrap();
            for (sector, chunk) in written.chunks(SECTOR_BYTES).enumerate() {
                let from = offset + sector * SECTOR_BYTES;
                if has_sector(sector) {
                    let end = from + chunk.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[from..end].copy_from_slice(chunk);
                }
            }
        }
        Op::Truncate(_, size) => bytes.resize(usize::try_from(*size).unwrap(), 0),
        Op::SyncData(_)
        | Op::Create(..)
        | Op::Rename(..)
        | Op::Remove(_)
        | Op::SyncDir(_)
        | Op::Note(_) => {}
    }
}

fn rename(names: &mut BTreeMap<PathBuf, FileId>, op: &Op) {
    match op {
        Op::Create(path, file) => {
            names.insert(path.clone(), *file);
        }
        Op::Rename(from, to, file) => {
            if names.get(from) == Some(file) {
                names.remove(from);
            }
            names.insert(to.clone(), *file);
        }
        Op::Remove(path) => {
            names.remove(path);
        }
        Op::Write(..) | Op::Truncate(..) | Op::SyncData(_) | Op::SyncDir(_) | Op::Note(_) => {}
    }
}

fn is_in(op: &Op, dir: &Path) -> bool {
    match op {
        Op::Create(path, _) | Op::Remove(path) => path.parent() == Some(dir),
        Op::Rename(from, to, _) => from.parent() == Some(dir) || to.parent() == Some(dir),
        Op::Write(..) | Op::Truncate(..) | Op::SyncData(_) | Op::SyncDir(_) | Op::Note(_) => false,
    }
}

impl SimDisk {
    /// A disk that begins as `state`.
    pub(crate) fn new(state: State, faults: Faults) -> Self {
        let next_file = state.inodes.keys().max().map_or(0, |last| last + 1);
        Self(Arc::new(Mutex::new(Inner {
            state,
            next_file,
            faults,
            ..Inner::default()
        })))
    }

    /// The disk as it is.
    pub(crate) fn state(&self) -> State {
        self.0.lock().state.clone()
    }

    /// Everything that was done to it.
    pub(crate) fn trace(&self) -> Vec<Op> {
        self.0.lock().trace.clone()
    }

    /// Syncs of files so far, and writes and creates.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let inner = self.0.lock();
        (inner.syncs, inner.writes)
    }

    /// Notes how far the run has come.
    pub(crate) fn note(&self, note: u64) {
        self.0.lock().act(Op::Note(note));
    }
}

impl Inner {
    fn act(&mut self, op: Op) {
        self.state.apply(&op);
        self.trace.push(op);
    }

    fn find(&self, path: &Path) -> io::Result<FileId> {
        let found = self.state.names.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether there is room for this write: all of it, half of it (as a write that runs into the end), or none.
    fn room(&mut self, bytes: usize) -> io::Result<usize> {
        let nth = self.writes;
        self.writes += 1;
        match self.faults.full {
            Some((from, _)) if nth == from && bytes > 1 => Ok(bytes / 2),
            Some((from, count)) if (from..from + count).contains(&nth) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(bytes),
        }
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let inner = self.0.lock();
        if !inner.state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let paths = inner
            .state
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir));
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        Ok(paths.map(name).collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.0.lock();
        let found = inner.find(path);
        let file = match (mode, found) {
            (OpenMode::Create, Ok(file)) => {
                inner.act(Op::Truncate(file, 0));
                file
            }
            (OpenMode::Create, Err(_)) => {
                inner.room(1)?;
                let file = inner.next_file;
                inner.next_file += 1;
                inner.act(Op::Create(path.to_owned(), file));
                file
            }
            (OpenMode::Read | OpenMode::Write, found) => found?,
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
            is_writable: mode != OpenMode::Read,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        let file = inner.find(from)?;
        inner.act(Op::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.find(path)?;
        inner.act(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().act(Op::SyncDir(dir.to_owned()));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let is_free = self.0.lock().locks.insert(path.to_owned());
        Ok(is_free.then(|| {
            let guard: Box<dyn Any + Send + Sync> = Box::new(Guard(self.clone(), path.to_owned()));
            guard
        }))
    }

    fn nonce(&self) -> u64 {
        0x5eed
    }
}

#[derive(Debug)]
struct Guard(SimDisk, PathBuf);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.lock().locks.remove(&self.1);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: FileId,
    is_writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.0.lock();
        let bytes = &inner.state.inodes[&self.file].now;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let mut inner = self.disk.0.lock();
        let count = inner.room(bytes.len())?;
        inner.act(Op::Write(self.file, offset, bytes[..count].into()));
        Ok(count)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().state.inodes[&self.file].now.len() as u64)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.0.lock().act(Op::Truncate(self.file, bytes));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        let nth = inner.syncs;
        inner.syncs += 1;
        if inner.faults.is_lying {
            return Ok(());
        }
        if inner.faults.sync_failure == Some(nth) {
            // The system drops the dirty mark of the pages and keeps them.
            let inode = inner.state.inodes.get_mut(&self.file).unwrap();
            inode.pending.clear();
            return Err(io::Error::from_raw_os_error(5));
        }
        inner.act(Op::SyncData(self.file));
        Ok(())
    }
}
