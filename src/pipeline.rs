//! Poll, apply, deliver, commit: the one writer of the state and the door to it.

use bytes::Bytes;

use crate::domain::{Input, Position, Rejection, Seq};

/// The way a record came in; labels metrics and dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// gRPC.
    Grpc,
    /// HTTP.
    Http,
    /// A file.
    Import,
    /// The demo's own visitors.
    Demo,
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it says, or why it cannot be read.
    pub content: Result<Input, Rejection>,
    /// The bytes as they came, for the dead-letter log; without them the canonical protobuf form is written.
    pub raw: Option<(Bytes, &'static str)>,
}

/// Entries that are acknowledged together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The way they came.
    pub origin: Origin,
    /// History: the time of creation counts as the time of receipt.
    pub historical: bool,
    /// In order.
    pub entries: Vec<Entry>,
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Part of the log and of the state.
    Accepted,
    /// Known before.
    Duplicate,
    /// In the dead-letter log.
    Rejected(Rejection),
}

/// The acknowledgement of a batch: everything accepted is as durable as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// One status an entry, in order.
    pub statuses: Vec<Status>,
    /// Log position after the batch.
    pub position: Position,
}

/// Why a batch was not taken. Nothing of it is acknowledged; the caller may send it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("the intake queue is full")]
    Overloaded,
    /// The disk is full.
    #[error("the disk under the data directory is full")]
    DiskFull,
    /// The server is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// How safe an acknowledged event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// On disk: the acknowledgement comes after `fdatasync`.
    #[default]
    Sync,
    /// With the operating system: the acknowledgement comes after `write`.
    Os,
}

/// Takes batches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ingest {}

impl Ingest {
    /// Submits a batch and waits until it is as durable as configured.
    ///
    /// # Errors
    ///
    /// If the batch was not taken.
    pub async fn submit(&self, _batch: Batch) -> Result<Receipt, Refused> {
        unimplemented!()
    }

    /// While the guard lives, silence does not advance event time: history is being read.
    pub fn hold_idle(&self) -> IdleHold {
        unimplemented!()
    }

    /// How safe an acknowledged event is.
    pub fn durability(&self) -> Durability {
        unimplemented!()
    }

    /// Sequence number of the last committed trigger record; changes wake the receiver.
    pub fn trigger_seq(&self) -> tokio::sync::watch::Receiver<Seq> {
        unimplemented!()
    }
}

/// Keeps silence from advancing event time.
#[derive(Debug)]
pub struct IdleHold {}
