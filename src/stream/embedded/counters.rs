//! What the embedded log counts, for whoever exports it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters shared by all parts of a store; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    frames: AtomicU64,
    syncs: AtomicU64,
    disk_full: AtomicU64,
    torn_tails: AtomicU64,
    truncated_bytes: AtomicU64,
    segments_created: AtomicU64,
    segments_removed: AtomicU64,
    snapshots: AtomicU64,
}

/// The values of [`Counters`] at one moment. Seconds of fsync are measured by who calls
/// [`SyncHandle::sync`](super::SyncHandle::sync): this module reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountersView {
    /// Bytes appended to the main log.
    pub bytes: u64,
    /// Frames appended to the main log.
    pub frames: u64,
    /// Times the main log was made durable.
    pub syncs: u64,
    /// Appends refused because the disk was full, in the main log and the topic logs.
    pub disk_full: u64,
    /// Torn tails found when opening, in the main log and the topic logs.
    pub torn_tails: u64,
    /// Bytes cut off when opening.
    pub truncated_bytes: u64,
    /// Segments of the main log begun.
    pub segments_created: u64,
    /// Segments of the main log removed or archived.
    pub segments_removed: u64,
    /// Snapshots finished.
    pub snapshots: u64,
}

/// One of the counters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Bytes,
    Frames,
    Syncs,
    DiskFull,
    TornTails,
    TruncatedBytes,
    SegmentsCreated,
    SegmentsRemoved,
    Snapshots,
}

impl Counters {
    pub(super) fn add(&self, count: Count, by: u64) {
        let counter = match count {
            Count::Bytes => &self.bytes,
            Count::Frames => &self.frames,
            Count::Syncs => &self.syncs,
            Count::DiskFull => &self.disk_full,
            Count::TornTails => &self.torn_tails,
            Count::TruncatedBytes => &self.truncated_bytes,
            Count::SegmentsCreated => &self.segments_created,
            Count::SegmentsRemoved => &self.segments_removed,
            Count::Snapshots => &self.snapshots,
        };
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// The values now.
    pub fn view(&self) -> CountersView {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CountersView {
            bytes: read(&self.bytes),
            frames: read(&self.frames),
            syncs: read(&self.syncs),
            disk_full: read(&self.disk_full),
            torn_tails: read(&self.torn_tails),
            truncated_bytes: read(&self.truncated_bytes),
            segments_created: read(&self.segments_created),
            segments_removed: read(&self.segments_removed),
            snapshots: read(&self.snapshots),
        }
    }
}
