//! What may go, and when.

use crate::domain::Millis;

use super::{ReadError, SyncError};

/// Removes what nothing needs any more. Cheap to clone; may run on any thread.
#[derive(Clone, Debug)]
pub struct Retention {}

/// What [`Retention::run`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Segments of the main log that were removed or archived.
    pub segments: u64,
    /// Segments of topic logs that were removed.
    pub topic_segments: u64,
    /// Snapshots that were removed.
    pub snapshots: u64,
}

/// Why [`Retention::run`] ended early.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// Something could not be removed; it will be tried again.
    #[error(transparent)]
    Io(#[from] ReadError),
    /// The process must end.
    #[error(transparent)]
    Fatal(#[from] SyncError),
}

impl Retention {
    /// Makes the topic logs durable, then removes segments of the main log that neither kept snapshot needs, and
    /// segments of topic logs beyond their age or size at `now`. Run it after each snapshot.
    ///
    /// # Errors
    ///
    /// If something could not be removed, which does no harm, or could not be made durable, which is fatal.
    pub fn run(&self, _now: Millis) -> Result<Removed, RetentionError> {
        unimplemented!()
    }
}
