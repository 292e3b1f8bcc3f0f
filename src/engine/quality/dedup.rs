//! Recognises what was seen before, within a window of event time and a bound of memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::{Event, Millis};

/// Keys a chunk holds at most: small enough that copying the open one or forgetting a closed one is no pause.
const CHUNK_KEYS_MAX: usize = 2_048;
/// Parts of the window a chunk covers at most, so that keys live at most so much longer than the window.
const WINDOW_PARTS: i64 = 24;
/// Tables the keys are spread over: each grows on its own, so that no single insertion moves millions of keys.
const TABLES: usize = 256;
const TABLE_SHIFT: u32 = 48;

const SEED_WITH_ID: u64 = 0x0069_6d70_756c_7365;
const SEED_WITHOUT_ID: u64 = 0x0069_6d70_756c_7366;

/// A hash of the event's identity: source and event id; without an event id the shopper, kind, item and event time.
///
/// It lives in snapshots and in episode ids, so it must never change. Two different events share a key once in 2^64.
pub(super) fn key(event: &Event, at: Millis) -> u64 {
    if event.id.is_empty() {
        let user = xxh3_64_with_seed(event.user.as_bytes(), SEED_WITHOUT_ID);
        let item = xxh3_64_with_seed(event.item.as_bytes(), user);
        let kind = xxh3_64_with_seed(event.kind.name().as_bytes(), item);
        xxh3_64_with_seed(&at.0.to_le_bytes(), kind)
    } else {
        let source = event
            .details
            .as_ref()
            .map_or("", |details| details.source.as_str());
        xxh3_64_with_seed(
            event.id.as_bytes(),
            xxh3_64_with_seed(source.as_bytes(), SEED_WITH_ID),
        )
    }
}

/// Keys that came one after another.
#[derive(Clone, Debug, Default, PartialEq)]
struct Chunk {
    /// Watermark when the first key came; `Millis::MIN` while nothing is known of time.
    oldest: Millis,
    /// Watermark when the last key came.
    newest: Millis,
    keys: Vec<u64>,
}

/// The keys of the events seen in the window.
///
/// A key is remembered at least until the watermark has moved by the window; keys go in chunks, oldest chunk first,
/// when a chunk's last key is older than the window, or early when there are too many.
///
/// Invariant: `tables` holds exactly the keys of `closed` and `open`; no key is in two chunks.
#[derive(Debug)]
pub(super) struct Dedup {
    window_ms: i64,
    entries_max: usize,
    chunk_keys_max: usize,
    tables: Box<[HashTable<u64>]>,
    closed: VecDeque<Arc<Chunk>>,
    open: Chunk,
    entries: usize,
    evicted: u64,
}

impl Dedup {
    pub(super) fn new(window_ms: i64, entries_max: usize) -> Self {
        Self {
            window_ms,
            entries_max,
            chunk_keys_max: (entries_max / 16).clamp(1, CHUNK_KEYS_MAX),
            tables: (0..TABLES).map(|_| HashTable::new()).collect(),
            closed: VecDeque::new(),
            open: Chunk::default(),
            entries: 0,
            evicted: 0,
        }
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.table(key).find(key, |&known| known == key).is_some()
    }

    /// Remembers a key that is not known yet.
    pub(super) fn insert(&mut self, key: u64, watermark: Millis) {
        if self.open.keys.is_empty() {
            self.open.oldest = watermark;
        } else if self.open.keys.len() >= self.chunk_keys_max
            || watermark.since(self.open.oldest) >= self.window_ms / WINDOW_PARTS
        {
            self.close(watermark);
        }
        self.open.newest = watermark;
        self.open.keys.push(key);
        self.remember(key);
        while self.entries > self.entries_max {
            self.evict();
        }
    }

    /// Forgets the chunks that lie behind the window of `watermark`.
    pub(super) fn expire(&mut self, watermark: Millis) {
        self.date_first_chunks(watermark);
        while self
            .closed
            .front()
            .is_some_and(|chunk| self.is_over(chunk, watermark))
        {
            self.forget_oldest();
        }
        if !self.open.keys.is_empty() && self.is_over(&self.open, watermark) {
            self.forget_open();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn bytes(&self) -> u64 {
        let tables: usize = self.tables.iter().map(HashTable::allocation_size).sum();
        let chunks =
            (self.closed.len() + 1) * (CHUNK_KEYS_MAX * size_of::<u64>() + size_of::<Chunk>());
        (tables + chunks) as u64
    }

    pub(super) fn freeze(&self) -> FrozenDedup {
        FrozenDedup {
            evicted: self.evicted,
            closed: self.closed.iter().cloned().collect(),
            open: self.open.clone(),
        }
    }

    pub(super) fn decode(
        window_ms: i64,
        entries_max: usize,
        input: &mut &[u8],
    ) -> Result<Self, TryGetError> {
        let mut dedup = Self::new(window_ms, entries_max);
        dedup.evicted = input.try_get_u64_le()?;
        for _ in 0..input.try_get_u32_le()? {
            dedup.closed.push_back(Arc::new(Chunk::decode(input)?));
        }
        dedup.open = Chunk::decode(input)?;
        let entries: usize = dedup.closed.iter().map(|chunk| chunk.keys.len()).sum();
        for table in &mut dedup.tables {
            // Keys spread evenly; a quarter more than the mean spares nearly every table its growth.
            table.reserve(entries / TABLES * 5 / 4, |&known| known);
        }
        for chunk in std::mem::take(&mut dedup.closed) {
            chunk.keys.iter().for_each(|&key| dedup.remember(key));
            dedup.closed.push_back(chunk);
        }
        let keys = std::mem::take(&mut dedup.open.keys);
        for &key in &keys {
            dedup.remember(key);
        }
        dedup.open.keys = keys;
        Ok(dedup)
    }

    fn close(&mut self, watermark: Millis) {
        let next = Chunk {
            oldest: watermark,
            newest: watermark,
            keys: Vec::with_capacity(self.chunk_keys_max),
        };
        let full = std::mem::replace(&mut self.open, next);
        self.closed.push_back(Arc::new(full));
    }

    /// Chunks from before anything was known of time begin their window with the first watermark.
    fn date_first_chunks(&mut self, watermark: Millis) {
        let first = self
            .closed
            .front()
            .map_or(self.open.newest, |chunk| chunk.newest);
        if first != Millis::MIN || self.entries == 0 {
            return;
        }
        for chunk in self
            .closed
            .iter_mut()
            .map(Arc::make_mut)
            .chain([&mut self.open])
        {
            chunk.oldest = chunk.oldest.max(watermark);
            chunk.newest = chunk.newest.max(watermark);
        }
    }

    fn is_over(&self, chunk: &Chunk, watermark: Millis) -> bool {
        watermark.since(chunk.newest) > self.window_ms
    }

    fn evict(&mut self) {
        let before = self.entries;
        self.forget_oldest();
        if before == self.entries {
            self.forget_open();
        }
        self.evicted += (before - self.entries) as u64;
    }

    fn forget_oldest(&mut self) {
        if let Some(chunk) = self.closed.pop_front() {
            chunk.keys.iter().for_each(|&key| self.forget(key));
        }
    }

    fn forget_open(&mut self) {
        let mut keys = std::mem::take(&mut self.open.keys);
        for &key in &keys {
            self.forget(key);
        }
        keys.clear();
        self.open.keys = keys;
    }

    fn remember(&mut self, key: u64) {
        let table = self.table_mut(key);
        if let Entry::Vacant(place) = table.entry(key, |&known| known == key, |&known| known) {
            place.insert(key);
            self.entries += 1;
        }
    }

    fn forget(&mut self, key: u64) {
        let table = self.table_mut(key);
        if let Ok(place) = table.find_entry(key, |&known| known == key) {
            place.remove();
            self.entries -= 1;
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index below the number of tables, which never changes"
    )]
    fn table(&self, key: u64) -> &HashTable<u64> {
        &self.tables[table_index(key)]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "an index below the number of tables, which never changes"
    )]
    fn table_mut(&mut self, key: u64) -> &mut HashTable<u64> {
        &mut self.tables[table_index(key)]
    }
}

/// Takes bits that the table itself, which uses the lowest and the seven highest, can spare.
fn table_index(key: u64) -> usize {
    (key >> TABLE_SHIFT) as usize % TABLES
}

/// The known keys at one moment; shares the closed chunks.
#[derive(Clone, Debug)]
pub(super) struct FrozenDedup {
    evicted: u64,
    closed: Vec<Arc<Chunk>>,
    open: Chunk,
}

impl FrozenDedup {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.evicted);
        out.put_u32_le(u32::try_from(self.closed.len()).unwrap_or(u32::MAX));
        for chunk in &self.closed {
            chunk.encode(out);
        }
        self.open.encode(out);
    }
}

impl Chunk {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.oldest.0);
        out.put_i64_le(self.newest.0);
        out.put_u32_le(u32::try_from(self.keys.len()).unwrap_or(u32::MAX));
        for &key in &self.keys {
            out.put_u64_le(key);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, TryGetError> {
        let oldest = Millis(input.try_get_i64_le()?);
        let newest = Millis(input.try_get_i64_le()?);
        let len = input.try_get_u32_le()? as usize;
        let mut keys = Vec::with_capacity(len.min(CHUNK_KEYS_MAX));
        for _ in 0..len {
            keys.push(input.try_get_u64_le()?);
        }
        Ok(Self {
            oldest,
            newest,
            keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{CHUNK_KEYS_MAX, Dedup, key};
    use crate::domain::{Event, EventDetails, EventKind, Id, Millis};

    const WINDOW_MS: i64 = 24_000;

    fn event(id: &str, source: &str) -> Event {
        let details = EventDetails {
            source: Id::from(source),
            ..EventDetails::default()
        };
        Event {
            kind: EventKind::AddToCart,
            id: Id::from(id),
            user: Id::from("ann"),
            session: Id::default(),
            item: Id::from("shoe"),
            quantity: 0,
            price: None,
            created: None,
            sent: None,
            details: (!source.is_empty()).then(|| Box::new(details)),
        }
    }

    fn known(dedup: &Dedup, keys: std::ops::Range<u64>) -> usize {
        keys.filter(|&key| dedup.contains(key << 40 | key)).count()
    }

    /// Inserts keys that fall into different tables.
    fn insert(dedup: &mut Dedup, keys: std::ops::Range<u64>, watermark: i64) {
        for key in keys {
            dedup.insert(key << 40 | key, Millis(watermark));
        }
    }

    #[test]
    fn a_key_never_changes() {
        let at = Millis(1_700_000_000_000);
        assert_eq!(key(&event("e1", ""), at), 5_047_503_921_416_964_195);
        assert_eq!(key(&event("e1", "web"), at), 14_949_187_466_593_257_348);
        assert_eq!(key(&event("", ""), at), 17_783_031_357_551_266_487);
    }

    #[test]
    fn an_event_is_known_by_source_and_id() {
        let at = Millis(5);
        assert_eq!(
            key(&event("e1", "web"), at),
            key(&event("e1", "web"), Millis(6))
        );
        assert_ne!(key(&event("e1", "web"), at), key(&event("e1", "app"), at));
        assert_ne!(key(&event("e1", ""), at), key(&event("", "e1"), at));
    }

    #[test]
    fn an_event_without_an_id_is_known_by_what_happened() {
        let at = Millis(5);
        let first = event("", "");
        assert_ne!(key(&first, at), key(&first, Millis(6)));
        assert_ne!(
            key(&first, at),
            key(
                &Event {
                    item: Id::from("sock"),
                    ..first.clone()
                },
                at
            )
        );
        assert_ne!(
            key(&first, at),
            key(
                &Event {
                    user: Id::from("bob"),
                    ..first.clone()
                },
                at
            )
        );
        let kind = EventKind::CartView;
        assert_ne!(
            key(&first, at),
            key(
                &Event {
                    kind,
                    ..first.clone()
                },
                at
            )
        );
        assert_eq!(
            key(&first, at),
            key(
                &Event {
                    quantity: 3,
                    ..event("", "web")
                },
                at
            )
        );
    }

    #[test]
    fn keys_go_when_the_watermark_has_left_the_window() {
        let mut dedup = Dedup::new(WINDOW_MS, 1_000);
        insert(&mut dedup, 0..10, 100);
        insert(&mut dedup, 10..20, 1_100);
        dedup.expire(Millis(100 + WINDOW_MS));
        assert_eq!(dedup.len(), 20);
        dedup.expire(Millis(101 + WINDOW_MS));
        assert_eq!((dedup.len(), known(&dedup, 10..20)), (10, 10));
        dedup.expire(Millis(1_101 + WINDOW_MS));
        assert_eq!((dedup.len(), dedup.evicted()), (0, 0));
    }

    #[test]
    fn keys_from_before_time_was_known_begin_their_window_with_it() {
        let mut dedup = Dedup::new(WINDOW_MS, 100_000);
        insert(&mut dedup, 0..5_000, i64::MIN);
        dedup.expire(Millis(1_000));
        dedup.expire(Millis(1_000 + WINDOW_MS));
        assert_eq!(dedup.len(), 5_000);
        dedup.expire(Millis(1_001 + WINDOW_MS));
        assert_eq!(dedup.len(), 0);
    }

    #[test]
    fn too_many_keys_push_the_oldest_out_and_are_counted() {
        for entries_max in [1, 10, 3_000, 50_000] {
            let mut dedup = Dedup::new(WINDOW_MS, entries_max);
            let total = 3 * entries_max as u64 + 7;
            insert(&mut dedup, 0..total, 0);
            assert!(dedup.len() <= entries_max);
            assert!(dedup.len() > entries_max - entries_max.div_ceil(16).min(CHUNK_KEYS_MAX));
            assert_eq!(dedup.evicted(), total - dedup.len() as u64);
            assert_eq!(
                known(&dedup, total - dedup.len() as u64..total),
                dedup.len()
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_forgotten_early_or_kept_for_long(
            steps in prop::collection::vec((0..400_i64, 0..2_000_u64), 1..400),
            cut in 0..400_usize,
        ) {
            let mut dedup = Dedup::new(WINDOW_MS, 1_000_000);
            let mut last_seen = BTreeMap::new();
            let mut watermark = 0;
            for (step, (gap_ms, key)) in steps.into_iter().enumerate() {
                watermark += gap_ms;
                dedup.expire(Millis(watermark));
                let age_ms = last_seen.get(&key).map(|seen| watermark - seen);
                let is_known = dedup.contains(key);
                prop_assert!(is_known || age_ms.is_none_or(|age_ms| age_ms > WINDOW_MS));
                prop_assert!(!is_known || age_ms.is_some_and(|age_ms| age_ms <= WINDOW_MS + WINDOW_MS / 24));
                if !is_known {
                    dedup.insert(key, Millis(watermark));
                    last_seen.insert(key, watermark);
                }
                if step == cut {
                    let mut bytes = Vec::new();
                    dedup.freeze().encode(&mut bytes);
                    let mut input = bytes.as_slice();
                    dedup = Dedup::decode(WINDOW_MS, 1_000_000, &mut input).unwrap();
                    prop_assert!(input.is_empty());
                    let mut again = Vec::new();
                    dedup.freeze().encode(&mut again);
                    prop_assert_eq!(&again, &bytes);
                }
            }
        }
    }
}
