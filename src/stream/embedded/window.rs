//! Reads a file from front to back through one buffer.

use std::io;
use std::sync::Arc;

use super::DiskFile;
use super::disk::read_full_at;

/// What is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// A place in a file and the bytes after it.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    /// Place in the file of `buffer[start]`.
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    start: usize,
}

impl Window {
    /// Reads `file` from `offset` up to `end`.
    pub(super) fn new(file: Arc<dyn DiskFile>, offset: u64, end: u64) -> Self {
        Self {
            file,
            offset,
            end,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// Where it stands.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes from there to the end.
    pub(super) fn left(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// The next `count` bytes, or fewer at the end. Memory is taken only for bytes that are there.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let count = usize::try_from(self.left()).map_or(count, |left| left.min(count));
        let have = self.buffer.len() - self.start;
        if have < count {
            self.buffer.drain(..self.start);
            self.start = 0;
            let left = usize::try_from(self.left()).unwrap_or(usize::MAX);
            self.buffer.resize(count.max(CHUNK_BYTES.min(left)), 0);
            let read = match self.buffer.get_mut(have..) {
                Some(rest) => read_full_at(&*self.file, rest, self.offset + have as u64),
                None => Ok(0),
            };
            self.buffer.truncate(have + *read.as_ref().unwrap_or(&0));
            read?;
        }
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        Ok(rest.get(..count).unwrap_or(rest))
    }

    /// Moves on by `count` of the bytes that [`Window::peek`] gave, and gives them.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = self.buffer.len().min(start.saturating_add(count));
        self.offset += (self.start - start) as u64;
        self.buffer.get(start..self.start).unwrap_or_default()
    }
}
