//! A partition's state in the compacted snapshots topic: chunks of two generations in turn, and a manifest that says
//! which of them counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::{Millis, Position, Seq};

use super::OutputTopic;

/// Bytes of a chunk.
pub const CHUNK_BYTES: usize = 512 << 10;
/// Bytes of the generation before each chunk's own.
const GENERATION_BYTES: usize = 8;

/// What counts: written in a transaction after all chunks of its generation are committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Grows by one with each snapshot.
    pub generation: u64,
    /// First offset of the events topic that is not in the state.
    pub offset: i64,
    /// Last transaction that is in it.
    pub txn: u64,
    /// Number of the last trigger record that is in it.
    pub seq: Seq,
    /// Chain of hashes up to that transaction.
    pub digest: String,
    /// Records applied.
    pub position: Position,
    /// Number of chunks.
    pub chunks: u32,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// crc32c of all bytes.
    pub crc: u32,
    /// Offset in the commits topic behind the commit record of `txn`.
    pub commits: i64,
    /// Offsets behind the outputs up to `txn`, in the order of [`OutputTopic::ALL`].
    pub outputs: [i64; OutputTopic::ALL.len()],
    /// The owner's clock when the state was frozen.
    pub time: Millis,
    /// The owner's clock as last logged.
    pub last_tick: Option<Millis>,
}

/// Key of a record of the snapshots topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKey {
    /// `<partition>/manifest`
    Manifest {
        /// The partition.
        partition: u32,
    },
    /// `<partition>/<generation mod 2>/<chunk>`
    Chunk {
        /// The partition.
        partition: u32,
        /// The generation modulo 2: compaction keeps two.
        slot: u64,
        /// Its place.
        chunk: u32,
    },
}

impl std::fmt::Display for SnapshotKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Manifest { partition } => write!(f, "{partition}/manifest"),
            Self::Chunk {
                partition,
                slot,
                chunk,
            } => write!(f, "{partition}/{slot}/{chunk}"),
        }
    }
}

impl SnapshotKey {
    /// The key of a chunk.
    pub const fn chunk(partition: u32, generation: u64, chunk: u32) -> Self {
        Self::Chunk {
            partition,
            slot: generation % 2,
            chunk,
        }
    }

    /// The key in these bytes; `None` if it is none of ours.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split('/');
        let partition = parts.next()?.parse().ok()?;
        let key = match (parts.next()?, parts.next()) {
            ("manifest", None) => Self::Manifest { partition },
            (slot, Some(chunk)) => Self::Chunk {
                partition,
                slot: slot.parse().ok()?,
                chunk: chunk.parse().ok()?,
            },
            _ => return None,
        };
        parts.next().is_none().then_some(key)
    }
}

impl Manifest {
    /// The manifest as JSON.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and texts always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A chunk with its generation before it.
pub fn framed(generation: u64, bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(GENERATION_BYTES + bytes.len());
    framed.extend_from_slice(&generation.to_le_bytes());
    framed.extend_from_slice(bytes);
    framed
}

/// What was read from the snapshots topic, in order.
#[derive(Debug, Default)]
pub struct Stored {
    manifest: Option<(Manifest, i64)>,
    chunks: BTreeMap<(u64, u32), Vec<u8>>,
    first: BTreeMap<u64, i64>,
}

impl Stored {
    /// Takes a record in.
    pub fn take(&mut self, offset: i64, key: &[u8], value: &[u8]) {
        match SnapshotKey::parse(key) {
            Some(SnapshotKey::Manifest { .. }) => {
                if let Ok(manifest) = serde_json::from_slice::<Manifest>(value) {
                    let first = self.first.get(&(manifest.generation % 2));
                    self.manifest = Some((manifest, first.copied().unwrap_or(offset)));
                }
            }
            Some(SnapshotKey::Chunk { slot, chunk, .. }) => {
                if chunk == 0 {
                    self.first.insert(slot, offset);
                }
                self.chunks.insert((slot, chunk), value.to_vec());
            }
            None => {}
        }
    }

    /// The newest manifest with the bytes it stands for, and the offset where its chunks begin. `None` if there is no
    /// manifest.
    ///
    /// # Errors
    ///
    /// If a chunk is missing or damaged.
    pub fn newest(mut self) -> Result<Option<(Manifest, i64, Vec<u8>)>, String> {
        let Some((manifest, first)) = self.manifest.take() else {
            return Ok(None);
        };
        let mut bytes =
            Vec::with_capacity(usize::try_from(manifest.bytes).unwrap_or(0).min(1 << 30));
        for chunk in 0..manifest.chunks {
            let framed = self.chunks.remove(&(manifest.generation % 2, chunk));
            let body = framed.as_deref().and_then(|framed| {
                framed.strip_prefix(manifest.generation.to_le_bytes().as_slice())
            });
            bytes.extend_from_slice(body.ok_or_else(|| {
                format!(
                    "chunk {chunk} of generation {} is missing",
                    manifest.generation
                )
            })?);
        }
        if bytes.len() as u64 != manifest.bytes || crc32c::crc32c(&bytes) != manifest.crc {
            return Err(format!("generation {} is damaged", manifest.generation));
        }
        Ok(Some((manifest, first, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(stored: &mut Stored, generation: u64, parts: &[&[u8]], complete: bool) {
        let whole: Vec<u8> = parts.concat();
        let mut offset = i64::try_from(generation).unwrap() * 100;
        for (chunk, part) in (0..).zip(parts) {
            let key = SnapshotKey::chunk(3, generation, chunk).to_string();
            stored.take(offset, key.as_bytes(), &framed(generation, part));
            offset += 1;
        }
        if complete {
            let manifest = Manifest {
                generation,
                chunks: u32::try_from(parts.len()).unwrap(),
                bytes: whole.len() as u64,
                crc: crc32c::crc32c(&whole),
                ..Manifest::default()
            };
            stored.take(offset, b"3/manifest", &manifest.encode());
        }
    }

    #[test]
    fn the_newest_complete_generation_counts() {
        let mut stored = Stored::default();
        write(&mut stored, 1, &[b"old", b"er"], true);
        write(&mut stored, 2, &[b"new", b"est", b"!"], true);
        write(&mut stored, 3, &[b"never finished"], false);
        let (manifest, first, bytes) = stored.newest().unwrap().unwrap();
        assert_eq!((manifest.generation, first), (2, 200));
        assert_eq!(bytes, b"newest!");
    }

    #[test]
    fn what_is_missing_or_damaged_is_told() {
        let mut stored = Stored::default();
        write(&mut stored, 2, &[b"a", b"b"], true);
        stored.take(900, b"3/0/1", &framed(4, b"b"));
        assert!(stored.newest().unwrap_err().contains("chunk 1"));

        let mut stored = Stored::default();
        write(&mut stored, 2, &[b"a", b"b"], true);
        stored.take(900, b"3/0/1", &framed(2, b"c"));
        assert!(stored.newest().unwrap_err().contains("damaged"));
        assert_eq!(Stored::default().newest(), Ok(None));
    }

    #[test]
    fn keys_read_back_as_they_were() {
        for key in [
            SnapshotKey::Manifest { partition: 7 },
            SnapshotKey::chunk(7, 5, 12),
        ] {
            assert_eq!(SnapshotKey::parse(key.to_string().as_bytes()), Some(key));
        }
        for foreign in ["", "7", "7/1", "x/manifest", "7/1/2/3"] {
            assert_eq!(SnapshotKey::parse(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
