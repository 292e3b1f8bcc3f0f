//! Decisions: the whole state and every rule that changes or reads it.
//!
//! State changes only through [`Engine::apply`] and is read only through a [`View`]. Both take facts and return
//! values; the same records give the same state and the same answers, byte for byte.

pub mod math;
pub mod quality;
pub mod items;
pub mod triggers;

use std::sync::Arc;

use crate::domain::{
    Answer, EpisodeView, Explanation, Item, Millis, Outcome, Position, ProfileView, Query, Record,
    Seq, Trigger,
};

/// The writer's side: one per shard.
#[derive(Debug)]
pub struct Engine {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {}

/// The readers' side: cheap to clone, usable from every thread while the writer goes on.
#[derive(Clone, Debug)]
pub struct View {
    state: Arc<State>,
}

/// What the engine wants done after an [`Engine::apply`].
#[derive(Debug, Default)]
pub struct Outbox {
    /// Records for the trigger log, in order, with their sequence numbers.
    pub triggers: Vec<Trigger>,
}

/// Settings of the engine; every part owns its own.
#[derive(Clone, Debug, Default)]
pub struct Config {}

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
    pub fn new(_config: Config) -> Self {
        Self {
            state: Arc::new(State {}),
        }
    }

    /// Applies one record; what is to be done about it is added to `outbox`.
    pub fn apply(&mut self, _record: &Record, _outbox: &mut Outbox) -> Outcome {
        unimplemented!()
    }

    /// A reader of this engine's state.
    pub fn view(&self) -> View {
        View {
            state: Arc::clone(&self.state),
        }
    }

    /// Records applied so far.
    pub fn position(&self) -> Position {
        unimplemented!()
    }

    /// Trigger records made so far.
    pub fn trigger_seq(&self) -> Seq {
        unimplemented!()
    }

    /// Whether a tick could change anything: an episode waits or a cart change is not settled.
    pub fn wants_ticks(&self) -> bool {
        unimplemented!()
    }
}

impl View {
    /// Answers a query.
    ///
    /// # Errors
    ///
    /// If the placement is unknown; nothing else is an error.
    pub fn recommend(&self, _query: &Query) -> Result<Answer, QueryError> {
        unimplemented!()
    }

    /// Why `item` would be in the answer to `query`, or not. `None` if the item is unknown.
    ///
    /// # Errors
    ///
    /// As [`View::recommend`].
    pub fn explain(&self, _query: &Query, _item: &str) -> Result<Option<Explanation>, QueryError> {
        unimplemented!()
    }

    /// What is known of a shopper; `None` if nothing is.
    pub fn profile(&self, _user: &str) -> Option<ProfileView> {
        unimplemented!()
    }

    /// One item; `None` if it was never seen.
    pub fn item(&self, _item: &str) -> Option<Item> {
        unimplemented!()
    }

    /// Open episodes, soonest deadline first.
    pub fn episodes(&self, _limit: usize) -> Vec<EpisodeView> {
        unimplemented!()
    }

    /// Records applied so far: visible in every answer that begins after this returns.
    pub fn position(&self) -> Position {
        unimplemented!()
    }

    /// Event time up to which the state is complete.
    pub fn watermark(&self) -> Millis {
        unimplemented!()
    }

    /// Sizes, for metrics; walks nothing large.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
}
