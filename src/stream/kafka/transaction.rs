//! What one transaction writes.

use super::{CommitRecord, Output};

/// All that one transaction writes, together with the position that its commit record names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Says what it is.
    pub record: CommitRecord,
    /// Outputs of earlier transactions that the log lost.
    pub repaired: Vec<Output>,
    /// Its own outputs.
    pub outputs: Vec<Output>,
    /// Parts of a snapshot.
    pub parts: Vec<SnapshotPart>,
}

/// One record of the snapshots topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotPart {
    /// Its key.
    pub key: String,
    /// A framed chunk, or the manifest.
    pub value: Vec<u8>,
}
