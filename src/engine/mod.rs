//! Decisions: the whole state and every rule that changes or reads it.
//!
//! State changes only through [`Engine::apply`] and is read only through a [`View`]. Both take facts and return
//! values; the same records give the same state and the same answers, byte for byte.

pub mod quality;
pub mod items;
pub mod triggers;
pub mod recommend;
mod profile;
mod catalog;
mod interner;
mod slots;
mod state;
mod step;
mod sessions;
mod snapshot;
mod codec;
pub mod math;

use std::convert::Infallible;
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

pub use self::codec::Corrupt;
use self::quality::{Admission, Gates};
use self::recommend::Placements;
use self::sessions::SessionTimers;
pub use self::snapshot::{Restore, SnapshotJob};
use self::state::State;
use self::step::Step;
use self::triggers::{EpisodeIndex, Rules, Triggers};
use crate::domain::{
    Answer, EpisodeView, Explanation, Id, Input, Item, ItemPatch, MINUTE_MS, Millis, Outcome,
    Position, ProfileView, Query, Record, Seq, Trigger,
};

/// Settings of the engine; every part owns its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Silence that ends a session, in milliseconds. Default: 30 minutes.
    pub session_gap_ms: i64,
    /// Events of one shopper within a minute that teach co-occurrence; the rest are profiled, not taught, so that a
    /// bot teaches little. Default: 300.
    pub taught_events_per_minute_max: u32,
    /// The gates.
    pub quality: quality::Config,
    /// Co-occurrence and popularity.
    pub items: items::Config,
    /// Limits of carts and episodes.
    pub triggers: triggers::Config,
    /// When to speak to a shopper; from `topology/triggers.yaml`.
    #[serde(skip)]
    pub rules: Rules,
    /// Where recommendations appear; from `topology/placements.yaml`.
    #[serde(skip)]
    pub placements: Placements,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session_gap_ms: 30 * MINUTE_MS,
            taught_events_per_minute_max: 300,
            quality: quality::Config::default(),
            items: items::Config::default(),
            triggers: triggers::Config::default(),
            rules: Rules::default(),
            placements: Placements::default(),
        }
    }
}

impl Config {
    /// Everything that is wrong with the settings, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.session_gap_ms <= 0 {
            mistakes.push("session_gap_ms: must be above 0".to_owned());
        }
        let quality = self
            .quality
            .validate()
            .err()
            .map(|error| format!("quality.{error}"));
        mistakes.extend(quality);
        mistakes.extend(
            self.items
                .problems()
                .into_iter()
                .map(|problem| format!("items.{problem}")),
        );
        mistakes
    }
}

/// The writer's side: one per shard.
#[derive(Debug)]
pub struct Engine {
    state: Arc<State>,
    gates: Gates,
    triggers: Triggers,
    sessions: SessionTimers,
    position: Position,
    /// The latest event time, or what a caught-up tick made of it.
    now: Millis,
    /// Alive while a snapshot is written out.
    job: Weak<()>,
}

/// The readers' side: cheap to clone, usable from every thread while the writer goes on.
#[derive(Clone, Debug)]
pub struct View {
    state: Arc<State>,
    episodes: EpisodeIndex,
}

/// What the engine wants done after an [`Engine::apply`].
#[derive(Debug, Default)]
pub struct Outbox {
    /// Records for the trigger log, in order, with their sequence numbers.
    pub triggers: Vec<Trigger>,
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The placement is not in the configuration.
    #[error("no placement `{0}`; the configuration has: {1}")]
    PlacementNotFound(String, String),
}

/// Sizes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Shoppers known.
    pub profiles: u64,
    /// Items known.
    pub items: u64,
    /// Entries in co-occurrence and transition rows.
    pub pairs: u64,
    /// Episodes that wait for their deadline.
    pub episodes_open: u64,
    /// Estimated bytes of all profiles.
    pub profile_bytes: u64,
    /// Estimated bytes of all item rows.
    pub item_bytes: u64,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            gates: Gates::new(config.quality.clone()),
            triggers: Triggers::new(
                config.triggers.clone(),
                config.rules.clone(),
                config.quality.grace_ms,
            ),
            sessions: SessionTimers::new(config.session_gap_ms),
            position: 0,
            now: Millis(0),
            job: Weak::new(),
            state: Arc::new(State::new(config)),
        }
    }

    /// Applies one record; what is to be done about it is added to `outbox`.
    pub fn apply(&mut self, record: &Record, outbox: &mut Outbox) -> Outcome {
        let (at, time_rule, late, key) = match self.gates.admit(record) {
            Admission::Duplicate => return Outcome::Duplicate,
            Admission::Rejected(rejection) => return Outcome::Rejected(rejection),
            Admission::Applied {
                at,
                time_rule,
                late,
                key,
            } => (at, time_rule, late, key),
        };
        self.position += 1;
        match &record.input {
            Input::Event(event) => {
                let watermark = self.gates.watermark();
                let step = Step {
                    event,
                    at,
                    key,
                    late,
                    watermark,
                };
                if let Some(user) = step.apply(&self.state, &mut self.triggers) {
                    self.sessions.watch(user, at);
                }
                self.now = self.now.max(at);
            }
            Input::ItemUpsert(patch) => self.upsert(patch, at),
            Input::ItemDelete(id) => self.delete(id, at),
            Input::Tick { .. } => {}
        }
        self.advance(outbox);
        Outcome::Applied { time_rule, late }
    }

    /// A reader of this engine's state.
    pub fn view(&self) -> View {
        View {
            state: Arc::clone(&self.state),
            episodes: self.triggers.episodes(),
        }
    }

    /// Records applied so far.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Trigger records made so far.
    pub fn trigger_seq(&self) -> Seq {
        self.triggers.seq()
    }

    /// Whether a tick could change anything: an episode waits or a cart change is not settled.
    pub fn wants_ticks(&self) -> bool {
        self.triggers.earliest_timer().is_some()
    }

    /// Freezes the state as of now, at the cost of its small parts; the job writes it out on another thread while
    /// this engine goes on. `None` while another job lives: there is at most one at a time.
    pub fn begin_snapshot(&mut self) -> Option<SnapshotJob> {
        if self.job.strong_count() > 0 {
            return None;
        }
        let token = Arc::new(());
        self.job = Arc::downgrade(&token);
        Some(SnapshotJob::begin(self, token))
    }

    /// The whole state in one canonical form: equal states have equal bytes. Empty while a snapshot job lives.
    pub fn state_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(job) = self.begin_snapshot() else {
            return bytes;
        };
        let collect = |chunk: &[u8]| -> Result<(), Infallible> {
            bytes.extend_from_slice(chunk);
            Ok(())
        };
        match job.write(collect) {
            Ok(()) => bytes,
        }
    }

    fn upsert(&self, patch: &ItemPatch, at: Millis) {
        let state = &self.state;
        let item = state.intern_item(&patch.id, patch.created.unwrap_or(at));
        let categories: Vec<u32> = patch
            .categories
            .iter()
            .take(catalog::CATEGORIES_MAX)
            .map(|name| state.categories.intern(name))
            .collect();
        let brand = patch.brand.as_ref().map(|name| state.brands.intern(name));
        let (created, moved) = state.catalog.read(item, |entry| {
            let moved = !categories.is_empty() && entry.categories.as_slice() != categories
                || brand.is_some() && entry.brand() != brand;
            (entry.created, moved)
        });
        if moved {
            state.withdraw(item);
        }
        state.catalog.upsert(item, patch, &categories, brand);
        if let Some(news) = patch.created.filter(|&news| news != created) {
            state.lists.arrive(item, Some(created), news);
        }
        if moved {
            state.enlist(item);
        }
    }

    fn delete(&self, id: &Id, at: Millis) {
        let item = self.state.intern_item(id, at);
        self.state.catalog.delete(item);
    }

    /// Follows the watermark: carts settle, triggers fire, sessions end; then the step becomes visible.
    fn advance(&mut self, outbox: &mut Outbox) {
        let watermark = self.gates.watermark();
        let first = outbox.triggers.len();
        let mut shoppers = step::Shoppers(&self.state);
        self.triggers.advance(
            watermark,
            self.position,
            &mut shoppers,
            &mut outbox.triggers,
        );
        self.sessions.close_until(watermark, &self.state);
        let b = self.state.config.quality.out_of_orderness_ms;
        self.now = self.now.max(watermark.plus(b));
        self.state.publish(self.position, watermark, self.now);
        for trigger in outbox.triggers.iter_mut().skip(first) {
            recommend::enrich(&self.state, trigger);
        }
    }
}

impl View {
    /// Answers a query.
    ///
    /// # Errors
    ///
    /// If the placement is unknown; nothing else is an error.
    pub fn recommend(&self, query: &Query) -> Result<Answer, QueryError> {
        recommend::answer(&self.state, query)
    }

    /// Why `item` would be in the answer to `query`, or not. `None` if the item is unknown.
    ///
    /// # Errors
    ///
    /// As [`View::recommend`].
    pub fn explain(&self, query: &Query, item: &str) -> Result<Option<Explanation>, QueryError> {
        recommend::explain(&self.state, query, item)
    }

    /// Names the formulas and the placements behind the answers.
    pub fn model_version(&self) -> &str {
        self.state.config.placements.version()
    }

    /// What is known of a shopper; `None` if nothing is.
    pub fn profile(&self, user: &str) -> Option<ProfileView> {
        let state = &*self.state;
        let number = step::follow_alias(state.users.get(user)?, state);
        let name = state.users.name(number);
        state
            .profiles
            .read(number, |profile| profile.view(name, state.now(), state))
    }

    /// One item; `None` if it was never seen.
    pub fn item(&self, item: &str) -> Option<Item> {
        Some(self.state.item(self.state.items.get(item)?))
    }

    /// Open episodes, soonest deadline first.
    pub fn episodes(&self, limit: usize) -> Vec<EpisodeView> {
        step::episodes(&self.state, &self.episodes, limit)
    }

    /// Records applied so far: visible in every answer that begins after this returns.
    pub fn position(&self) -> Position {
        self.state.position()
    }

    /// Event time up to which the state is complete.
    pub fn watermark(&self) -> Millis {
        self.state.watermark()
    }

    /// Bytes of all profiles and of their ids, slack of the tables included. Walks everything: for reports.
    pub fn profile_bytes(&self) -> u64 {
        self.state.profiles.bytes() + self.state.users.bytes()
    }

    /// Sizes, for metrics; walks nothing large.
    pub fn stats(&self) -> Stats {
        let state = &self.state;
        Stats {
            profiles: u64::from(state.profiles.len()),
            items: u64::from(state.items.len()),
            pairs: state.counts.entries(),
            episodes_open: self.episodes.len() as u64,
            profile_bytes: state.profiles.estimated_bytes() + state.users.bytes(),
            item_bytes: state.counts.bytes() + state.items.bytes(),
        }
    }
}
