//! What items have to do with each other: co-occurrence, transitions, baskets and popularity, changed by one writer while
//! any number of readers score.
//!
//! Items are dense ids `0..len`. Every row has its own lock, held for one row's update or scan; no two are ever held
//! together. Rows are only added. What a method does to the rows depends on its arguments and the rows alone.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are kept in 32 bits, and ids are dense"
)]

mod config;
mod decay;
mod factors;
mod pairs;
mod row;
mod score;
mod snapshot;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayVec;
use parking_lot::{Mutex, MutexGuard};

use self::decay::{Decay, Era, rebase};
use self::factors::Factors;
use self::row::{Bought, Row};
use self::snapshot::SnapshotState;
use crate::domain::Millis;
use crate::engine::math;
use crate::engine::slots::Slots;

pub use self::config::{Config, ROW_ENTRIES_LIMIT, WINDOW_MAX};
pub use self::score::{Candidate, Contribution, Scratch, Source};
pub use self::snapshot::DecodeError;

/// The items of one shard. The methods that change something are for one thread at a time; the others for all.
#[derive(Debug)]
pub struct Items {
    config: Config,
    decay: Decay,
    popularity_decay: Decay,
    /// By steps back from 1: weight of a pair, weight of a transition.
    step_weights: Vec<(f64, f32)>,
    rows: Slots<Slot>,
    factors: Factors,
    /// Latest era written.
    era: AtomicU32,
    /// Entries in all rows.
    entries: AtomicU64,
    /// Decayed number of baskets, with its era.
    baskets: Mutex<(f64, Era)>,
    snapshot: SnapshotState,
}

impl Items {
    /// No items.
    pub fn new(config: Config) -> Self {
        let step_weights = (1..=config.window.min(WINDOW_MAX))
            .map(|steps| {
                let steps = f64::from(steps);
                let pair = math::exp(-steps / config.distance_scale);
                (pair, math::pow(steps, -config.transition_exponent) as f32)
            })
            .collect();
        Self {
            decay: Decay::new(config.half_life_days),
            popularity_decay: Decay::new(config.popularity_half_life_days),
            step_weights,
            rows: Slots::default(),
            factors: Factors::default(),
            era: AtomicU32::new(0),
            entries: AtomicU64::new(0),
            baskets: Mutex::new((0.0, 0)),
            snapshot: SnapshotState::default(),
            config,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of items; every id is below it.
    pub fn len(&self) -> u32 {
        self.rows.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries in all rows.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Estimated bytes of all rows.
    pub fn bytes(&self) -> u64 {
        // Lists grow by doubling and are three quarters full in the mean; an entry has 8 bytes, and 2 of support.
        let rows = u64::from(self.len()) * (size_of::<Slot>() as u64 + 16);
        rows + self.entries() * 40 / 3
    }

    /// Adds items until there are `len`; what changes an item that is not there adds it too.
    pub fn ensure(&self, len: u32) {
        self.factors.ensure(len as usize);
        self.rows
            .ensure(len, || Slot(Mutex::new(Row::new(0))), |_| ());
    }

    /// A view of `item`, after `session`: the earlier views of the same session, oldest first, with repeats. Answers
    /// the popularity key of the item after it.
    pub fn view(&self, session: &[u32], item: u32, at: Millis) -> f64 {
        let (era, growth) = self.advance(at);
        let entries_max = self.config.row_entries_max;
        let fresh = !session.contains(&item);
        let window = self.step_weights.len();
        let recent = session
            .get(session.len().saturating_sub(window)..)
            .unwrap_or_default();
        let (mut rows, steps) = self.lock_window(recent, item, era);
        let Some(((_, own), others)) = rows.split_first_mut() else {
            return f64::NEG_INFINITY;
        };
        let mut appended = 0;
        if fresh {
            own.sessions += growth;
            if !self.config.count_repeats {
                appended += u64::from(own.viewed.add(item, growth as f32, entries_max));
            }
            self.factors
                .set(item, self.candidate_factor(own.sessions), era);
        }
        let mut counted = 0;
        for (place, (pair_weight, transition_weight)) in steps.iter().zip(&self.step_weights) {
            let place = usize::from(*place);
            let Some(before) = place.checked_sub(1) else {
                appended += u64::from(own.transitions.add(item, *transition_weight, entries_max));
                if self.config.count_repeats {
                    let forward = growth * pair_weight;
                    appended += u64::from(own.viewed.add(item, forward as f32, entries_max));
                    let backward = forward * self.config.backward_weight;
                    appended += u64::from(own.viewed.add(item, backward as f32, entries_max));
                }
                continue;
            };
            let Some((earlier, row)) = others.get_mut(before) else {
                continue;
            };
            appended += u64::from(row.transitions.add(item, *transition_weight, entries_max));
            // Rows stand in the order of their first use: a place not reached before is new.
            let first = place > counted;
            counted = counted.max(place);
            if self.config.count_repeats || fresh && first {
                let forward = growth * pair_weight;
                appended += u64::from(row.viewed.add(item, forward as f32, entries_max));
                let backward = forward * self.config.backward_weight;
                appended += u64::from(own.viewed.add(*earlier, backward as f32, entries_max));
            }
        }
        self.entries.fetch_add(appended, Ordering::Relaxed);
        own.count(1.0, at, self.popularity_decay)
    }

    /// Locks the row of `item` and, behind it, those of the items in `recent`, each once and newest first; answers for each
    /// step back the place of its row.
    ///
    /// A lock is a barrier: with one row after the other, each would wait for memory alone. Here all the rows are
    /// asked for before the first is used.
    fn lock_window(&self, recent: &[u32], item: u32, era: Era) -> (LockedRows<'_>, Steps) {
        let highest = recent
            .iter()
            .fold(item, |highest, earlier| highest.max(*earlier));
        if highest >= self.len() {
            self.ensure(highest.saturating_add(1));
        }
        let mut wanted: ArrayVec<(u32, &Mutex<Row>), { WINDOW_MAX as usize + 1 }> = ArrayVec::new();
        let mut steps = Steps::new();
        wanted.extend(self.row(item).map(|row| (item, row)));
        for earlier in recent.iter().rev() {
            let known = wanted.iter().position(|(id, _)| id == earlier);
            steps.push(known.unwrap_or(wanted.len()) as u8);
            if known.is_none() {
                wanted.extend(self.row(*earlier).map(|row| (*earlier, row)));
            }
        }
        let mut near = 0;
        for (_, row) in &wanted {
            near += u32::from(row.is_locked());
        }
        let mut rows: LockedRows<'_> = ArrayVec::new();
        for (id, row) in wanted {
            let mut row = row.lock();
            self.before_change(id, &mut row, era);
            rows.push((id, row));
        }
        if let Some(((_, own), others)) = rows.split_first() {
            for (earlier, row) in others {
                near ^= row.viewed.touch(item)
                    ^ row.transitions.touch(item)
                    ^ own.viewed.touch(*earlier);
            }
        }
        std::hint::black_box(near);
        (rows, steps)
    }

    /// Something other than a view that makes `item` popular, such as a cart or a purchase. Answers its popularity key
    /// after it.
    pub fn interaction(&self, item: u32, weight: f64, at: Millis) -> f64 {
        let (era, _) = self.advance(at);
        self.write(item, era, |row| {
            row.count(weight, at, self.popularity_decay)
        })
    }

    /// A whole basket: repeats count once, and what is beyond `basket_entries_max` does not count.
    pub fn basket(&self, items: &[u32], at: Millis) {
        let mut distinct =
            Vec::with_capacity(items.len().min(self.config.basket_entries_max as usize));
        for item in items {
            if !distinct.contains(item) {
                self.basket_item(&distinct, *item, at);
                distinct.push(*item);
            }
        }
    }

    /// One more item of a basket that holds the distinct items `earlier`, for shops that tell of a purchase line by line.
    pub fn basket_item(&self, earlier: &[u32], item: u32, at: Millis) {
        if earlier.len() >= self.config.basket_entries_max as usize || earlier.contains(&item) {
            return;
        }
        let (era, growth) = self.advance(at);
        if earlier.is_empty() {
            let mut baskets = self.baskets.lock();
            *baskets = (baskets.0 * rebase(baskets.1, era) + growth, era);
        }
        let entries_max = self.config.row_entries_max;
        let mut appended = 0;
        for other in earlier {
            self.write(*other, era, |row| {
                let bought = row.bought.get_or_insert_default();
                appended += u64::from(bought.together.add(item, growth as f32, entries_max));
            });
        }
        self.write(item, era, |row| {
            let bought: &mut Bought = row.bought.get_or_insert_default();
            bought.baskets += growth;
            for other in earlier {
                appended += u64::from(bought.together.add(*other, growth as f32, entries_max));
            }
        });
        self.entries.fetch_add(appended, Ordering::Relaxed);
    }

    /// Says when `item` came into the shop; without it the first event says so.
    pub fn set_created(&self, item: u32, created: Millis) {
        self.write(item, self.era.load(Ordering::Relaxed), |row| {
            row.created = created;
        });
    }

    /// Grows with the decayed number of events of `item`, and is comparable between items at any time without asking
    /// what time it is. Negative infinity without events.
    pub fn popularity_key(&self, item: u32) -> f64 {
        self.read(item, |row| row.popularity.key())
            .unwrap_or(f64::NEG_INFINITY)
    }

    /// Events of `item` with the half-life of popularity, decayed to `at`.
    pub fn popularity(&self, item: u32, at: Millis) -> f64 {
        self.read(item, |row| row.popularity.value(at, self.popularity_decay))
            .unwrap_or_default()
    }

    /// Distinct sessions with a view of `item`, decayed to `at`.
    pub fn sessions(&self, item: u32, at: Millis) -> f64 {
        self.read(item, |row| row.sessions / self.decay.growth(at, row.era))
            .unwrap_or_default()
    }

    /// Distinct baskets with `item`, decayed to `at`.
    pub fn baskets(&self, item: u32, at: Millis) -> f64 {
        let baskets = |row: &Row| row.bought.as_ref().map_or(0.0, |bought| bought.baskets);
        self.read(item, |row| baskets(row) / self.decay.growth(at, row.era))
            .unwrap_or_default()
    }

    /// Events of `item`, not decayed.
    pub fn events(&self, item: u32) -> u32 {
        self.read(item, |row| row.events).unwrap_or_default()
    }

    /// The latest event of `item`.
    pub fn last_event(&self, item: u32) -> Option<Millis> {
        self.read(item, |row| row.last_event)
            .filter(|at| *at != Millis::MIN)
    }

    /// When `item` came into the shop, or was first seen.
    pub fn created(&self, item: u32) -> Option<Millis> {
        self.read(item, |row| row.created)
            .filter(|at| *at != Millis::MIN)
    }

    /// Distinct sessions in which both were viewed within the window: a lower bound, at most 65,535.
    pub fn support(&self, source: u32, candidate: u32) -> u32 {
        let support = self.read(source, |row| row.viewed.get(candidate)).flatten();
        support.map_or(0, |(_, support)| u32::from(support))
    }

    /// The factor for the sessions of a candidate.
    fn candidate_factor(&self, sessions: f64) -> f32 {
        if sessions > 0.0 {
            math::pow(sessions, -self.config.candidate_exponent) as f32
        } else {
            0.0
        }
    }

    /// The era to write in, and what a contribution at `at` weighs in it.
    fn advance(&self, at: Millis) -> (Era, f64) {
        let era = self.era.load(Ordering::Relaxed).max(self.decay.era(at));
        self.era.store(era, Ordering::Release);
        (era, self.decay.growth(at, era))
    }

    /// Changes a row.
    fn write<T>(&self, item: u32, era: Era, change: impl FnOnce(&mut Row) -> T) -> T {
        if item >= self.len() {
            self.ensure(item.saturating_add(1));
        }
        let Some(row) = self.row(item) else {
            // Only the id 2^32 - 1 has no row.
            return change(&mut Row::new(0));
        };
        let mut row = row.lock();
        self.before_change(item, &mut row, era);
        change(&mut row)
    }

    /// Hands the pre-image of a row to a snapshot under way and brings it to `era`.
    fn before_change(&self, item: u32, row: &mut Row, era: Era) {
        self.snapshot.before_change(item, row);
        if row.era < era {
            row.rebase(era);
            self.factors
                .set(item, self.candidate_factor(row.sessions), era);
        }
    }

    fn read<T>(&self, item: u32, look: impl FnOnce(&Row) -> T) -> Option<T> {
        self.row(item).map(|row| look(&row.lock()))
    }

    fn row(&self, item: u32) -> Option<&Mutex<Row>> {
        self.rows.get(item).map(|slot| &slot.0)
    }
}

/// Rows of a view, the viewed item's first.
type LockedRows<'a> = ArrayVec<(u32, MutexGuard<'a, Row>), { WINDOW_MAX as usize + 1 }>;

/// By steps back from 1: the place in [`LockedRows`].
type Steps = ArrayVec<u8, { WINDOW_MAX as usize }>;

/// A row that begins with a cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Slot(Mutex<Row>);

impl Row {
    /// Counts an event; answers the popularity key after it.
    fn count(&mut self, weight: f64, at: Millis, decay: Decay) -> f64 {
        self.popularity.add(weight, at, decay);
        self.events = self.events.saturating_add(1);
        self.last_event = self.last_event.max(at);
        if self.created == Millis::MIN {
            self.created = at;
        }
        self.popularity.key()
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Items, Scratch, Source};
    use crate::domain::{DAY_MS, Millis};

    const NOW: Millis = Millis(1_800_000_000_000);

    fn items(config: Config) -> Items {
        assert_eq!(config.problems(), Vec::<String>::new());
        Items::new(config)
    }

    /// Views `session` from its beginning.
    fn walk(items: &Items, session: &[u32], at: Millis) {
        for (index, item) in session.iter().enumerate() {
            items.view(&session[..index], *item, at);
        }
    }

    /// Decayed co-occurrence of a pair.
    fn co_occurrence(items: &Items, source: u32, candidate: u32) -> f64 {
        let sources = [Source {
            item: source,
            weight: 1.0,
        }];
        let found = items.contributions(&sources, candidate, NOW);
        found
            .first()
            .map_or(0.0, |contribution| contribution.co_occurrence)
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
            "{found}, not {expected}"
        );
    }

    #[test]
    fn a_pair_counts_once_a_session_by_its_distance_and_direction() {
        let items = items(Config::default());
        walk(&items, &[0, 1, 2, 1], NOW);
        let weight = |steps: f64| (-steps / 2.5).exp();
        close(co_occurrence(&items, 0, 1), weight(1.0));
        close(co_occurrence(&items, 1, 0), 0.8 * weight(1.0));
        close(co_occurrence(&items, 0, 2), weight(2.0));
        close(co_occurrence(&items, 2, 1), 0.8 * weight(1.0));
        close(co_occurrence(&items, 1, 1), 1.0);
        assert_eq!(items.support(0, 1), 1);
        close(items.sessions(1, NOW), 1.0);
        assert_eq!(items.events(1), 2);
    }

    #[test]
    fn a_repeated_source_counts_at_its_nearest_place() {
        let items = items(Config::default());
        walk(&items, &[0, 0, 1], NOW);
        close(co_occurrence(&items, 0, 1), (-1.0_f64 / 2.5).exp());
        assert_eq!(items.support(0, 1), 1);
    }

    #[test]
    fn transitions_count_repeats_and_self() {
        let items = items(Config::default());
        walk(&items, &[0, 1, 1], NOW);
        let mut scratch = Scratch::new();
        items.score_transitions(0, &mut scratch);
        close(scratch.score(1), 1.0 + 0.5);
        items.score_transitions(1, &mut scratch);
        close(scratch.score(1), 1.0);
        close(scratch.score(0), 0.0);
    }

    #[test]
    fn the_window_ends_the_pairs() {
        let items = items(Config {
            window: 2,
            ..Config::default()
        });
        walk(&items, &[0, 1, 2, 3], NOW);
        close(co_occurrence(&items, 0, 3), 0.0);
        assert!(co_occurrence(&items, 1, 3) > 0.0);
    }

    #[test]
    fn contributions_add_up_to_the_score() {
        let items = items(Config::default());
        walk(&items, &[0, 1, 2, 3], NOW - 40 * DAY_MS);
        walk(&items, &[3, 2, 0, 4], NOW);
        let mut sources = Vec::new();
        items.session_sources(&[0, 1, 2, 1], &mut sources);
        let order: Vec<u32> = sources.iter().map(|source| source.item).collect();
        assert_eq!(order, [1, 2, 0]);
        close(sources[0].weight, 1.0);
        close(sources[2].weight, (-1.5_f64).exp());
        let mut scratch = Scratch::new();
        items.score_session(&sources, NOW, &mut scratch);
        for candidate in 0..5 {
            let shares = items.contributions(&sources, candidate, NOW);
            let sum = shares
                .iter()
                .fold(0.0, |sum, share| sum + share.contribution);
            assert_eq!(sum.to_bits(), scratch.score(candidate).to_bits());
            for share in shares {
                let by_hand = share.position_weight * share.co_occurrence
                    / (share.source_sessions.sqrt() * share.candidate_sessions.powf(0.2));
                close(share.contribution, by_hand);
            }
        }
    }

    #[test]
    fn the_best_are_those_of_a_full_sort() {
        let items = items(Config::default());
        for session in 0..200_u32 {
            walk(
                &items,
                &[0, 1 + session * 7 % 90, 1 + session * 31 % 90],
                NOW,
            );
        }
        let mut scratch = Scratch::new();
        items.score_session(
            &[Source {
                item: 0,
                weight: 1.0,
            }],
            NOW,
            &mut scratch,
        );
        let mut all = scratch.top(usize::MAX, |_| true).to_vec();
        assert!(all.len() > 60, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0].order(&pair[1]).is_lt()));
        for (index, candidate) in all.iter().enumerate() {
            assert_eq!(
                scratch.rank(candidate.item, |_| true),
                Some(index as u32 + 1)
            );
        }
        for limit in [0, 1, 3, 20, 59] {
            assert_eq!(scratch.top(limit, |_| true), &all[..limit]);
        }
        all.retain(|candidate| candidate.item % 2 == 0);
        assert_eq!(scratch.top(10, |item| item % 2 == 0), &all[..10]);
    }

    #[test]
    fn baskets_teach_what_is_bought_together() {
        let items = items(Config::default());
        for basket in 0..20 {
            items.basket(&[0, 1, 1], NOW);
            items.basket(&[2, 3 + basket], NOW);
        }
        let mut scratch = Scratch::new();
        items.score_bought_together(&[0], NOW, &mut scratch);
        assert_eq!(scratch.candidates(), [1]);
        close(scratch.score(1), 20.0 / 20.0_f64.powf(0.3));
        let shares = items.bought_together_contributions(&[0], 1, NOW);
        assert_eq!((shares.len(), shares[0].support), (1, 20));
        close(shares[0].contribution, scratch.score(1));
        close(items.baskets(0, NOW), 20.0);
        // Once together is too little support.
        items.score_bought_together(&[2], NOW, &mut scratch);
        assert_eq!(scratch.candidates(), [] as [u32; 0]);
    }

    #[test]
    fn rebasing_does_not_change_a_score() {
        let config = || Config {
            half_life_days: 1.0,
            ..Config::default()
        };
        let boundary = Millis(20_040 * DAY_MS);
        let (early, late) = (items(config()), items(config()));
        for items in [&early, &late] {
            walk(items, &[0, 1, 2], boundary - 2 * DAY_MS);
            walk(items, &[1, 2, 0], boundary - DAY_MS);
        }
        // Another item brings the new era; only one of the two touches the old rows in it.
        early.view(&[], 9, boundary);
        late.view(&[], 9, boundary);
        for item in 0..3 {
            early.set_created(item, boundary);
        }
        let mut scratches = [Scratch::new(), Scratch::new()];
        let mut sources = Vec::new();
        early.session_sources(&[0, 1], &mut sources);
        early.score_session(&sources, boundary, &mut scratches[0]);
        late.score_session(&sources, boundary, &mut scratches[1]);
        for item in 0..3 {
            assert!(scratches[0].score(item) > 0.0);
            close(scratches[0].score(item), scratches[1].score(item));
            assert_eq!(
                early.sessions(item, boundary).to_bits(),
                late.sessions(item, boundary).to_bits()
            );
        }
    }

    #[test]
    fn popularity_compares_items_without_the_time() {
        let items = items(Config::default());
        assert!(items.popularity_key(0).is_infinite());
        items.view(&[], 0, NOW);
        items.view(&[], 0, NOW);
        items.view(&[], 1, NOW + 2 * DAY_MS);
        assert!(items.popularity_key(1) > items.popularity_key(0));
        close(items.popularity(0, NOW + 2 * DAY_MS), 0.5);
        items.interaction(0, 3.0, NOW + 2 * DAY_MS);
        assert!(items.popularity_key(0) > items.popularity_key(1));
        assert_eq!(items.created(0), Some(NOW));
        assert_eq!(items.last_event(0), Some(NOW + 2 * DAY_MS));
        assert_eq!(
            (items.created(7), items.last_event(7), items.events(7)),
            (None, None, 0)
        );
    }
}
