//! The main log: what it says has happened, and nothing else has.

use crate::domain::Position;

use super::{AppendError, Frame, FrameBuilder, ReadError, Sequences, SyncError};

/// The writer's side of the main log: one per directory.
#[derive(Debug)]
pub struct MainLog {}

/// Makes the main log durable, from any thread, while the writer goes on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncHandle {}

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark {
    pub(super) sequences: Sequences,
}

impl MainLog {
    /// Where the sequences stand after the last frame: begin the next one here.
    pub fn end(&self) -> Sequences {
        unimplemented!()
    }

    /// The end as a snapshot needs it.
    pub fn mark(&self) -> LogMark {
        unimplemented!()
    }

    /// Writes a frame; it is durable after the next [`SyncHandle::sync`]. A frame without entries is not written.
    /// Gives the new end.
    ///
    /// # Errors
    ///
    /// After [`AppendError::DiskFull`] nothing of it is in the log and the same frame may be appended again. After
    /// [`AppendError::Fatal`] the process must end.
    pub fn append(&mut self, _frame: &mut FrameBuilder) -> Result<Sequences, AppendError> {
        unimplemented!()
    }

    /// Makes this log durable, from another thread.
    pub fn sync_handle(&self) -> SyncHandle {
        unimplemented!()
    }

    /// Gives every frame that ends after `after` to `each`, in order. The first one may begin before: skip what is at
    /// or below `after`.
    ///
    /// # Errors
    ///
    /// What `each` returns; and [`ReadError`] if the log does not reach back that far or is damaged.
    pub fn replay<E: From<ReadError>>(
        &self,
        _after: Position,
        _each: impl FnMut(&Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        unimplemented!()
    }
}

impl SyncHandle {
    /// Makes everything durable that was appended before this call; where the log stood then. One `fdatasync` serves
    /// all frames before it.
    ///
    /// # Errors
    ///
    /// The process must end without acknowledging anything; every later call fails too.
    pub fn sync(&self) -> Result<Sequences, SyncError> {
        unimplemented!()
    }

    /// What is known to be durable.
    pub fn durable(&self) -> Sequences {
        unimplemented!()
    }
}
