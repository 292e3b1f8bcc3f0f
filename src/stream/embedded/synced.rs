//! How far the main log is known to be on disk.
//!
//! The file `synced` is overwritten after each fsync of the log and never made durable itself, but for repairs: after
//! a crash of the process it is exact, after a power loss it may be old. It says too little then, never too much.
//! What lies before the place it names was acknowledged once, so that it is damage and no torn tail if it cannot be
//! read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::disk::{read_full_at, write_all_at};
use super::{DataDir, DiskFile, OpenMode, ReadError};

const FILE_BYTES: usize = 28;

/// The open file.
#[derive(Debug)]
pub(super) struct SyncedFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    salt: u64,
}

/// A place in the main log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SyncedMark {
    /// First position of the segment.
    pub(super) segment: u64,
    /// Bytes of it.
    pub(super) offset: u64,
}

impl SyncedFile {
    /// Opens the file, and makes it if it is not there; also what it says.
    pub(super) fn open(dir: &DataDir) -> Result<(Self, SyncedMark), ReadError> {
        let path = dir.path().join("synced");
        let file = match dir.disk().open(&path, OpenMode::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                dir.disk().open(&path, OpenMode::Create)
            }
            opened => opened,
        };
        let file = file.map_err(ReadError::io(&path, "open"))?;
        let mut bytes = [0; FILE_BYTES];
        read_full_at(&*file, &mut bytes, 0).map_err(ReadError::io(&path, "read"))?;
        let synced = Self {
            path,
            file,
            salt: dir.salt(),
        };
        let mark = synced.decode(&bytes).unwrap_or_default();
        Ok((synced, mark))
    }

    /// Notes that the log is on disk up to `mark`. That it cannot be noted does no harm.
    pub(super) fn note(&self, mark: SyncedMark) {
        write_all_at(&*self.file, &self.encode(mark), 0).ok();
    }

    /// Notes it durably: after a repair the log is shorter than it was.
    pub(super) fn note_durably(&self, mark: SyncedMark) -> Result<(), ReadError> {
        write_all_at(&*self.file, &self.encode(mark), 0)
            .and_then(|()| self.file.sync_data())
            .map_err(ReadError::io(&self.path, "write"))
    }

    fn encode(&self, mark: SyncedMark) -> [u8; FILE_BYTES] {
        let mut bytes = [0; FILE_BYTES];
        let mut out = bytes.as_mut_slice();
        out.put_u64_le(self.salt);
        out.put_u64_le(mark.segment);
        out.put_u64_le(mark.offset);
        let crc = crc32c::crc32c(bytes.get(..FILE_BYTES - 4).unwrap_or_default());
        let mut out = bytes.get_mut(FILE_BYTES - 4..).unwrap_or_default();
        out.put_u32_le(crc);
        bytes
    }

    fn decode(&self, bytes: &[u8; FILE_BYTES]) -> Option<SyncedMark> {
        let (checked, mut crc) = bytes.split_at_checked(FILE_BYTES - 4)?;
        let mut fields = checked;
        let is_ours = fields.try_get_u64_le().ok()? == self.salt;
        let is_whole = crc.try_get_u32_le().ok()? == crc32c::crc32c(checked);
        let mark = SyncedMark {
            segment: fields.try_get_u64_le().ok()?,
            offset: fields.try_get_u64_le().ok()?,
        };
        (is_ours && is_whole).then_some(mark)
    }
}
