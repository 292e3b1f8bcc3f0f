//! When something is due: the writer's timers, and the list of open episodes that readers share.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::Millis;

use super::rule::{CartAbandonment, Rules};
use super::state::CartState;

/// Deadlines of open episodes with their shoppers, soonest first.
type Deadlines = Mutex<BTreeSet<(Millis, u32)>>;

/// One timer a shopper with something to wait for.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Millis, u32)>,
    listed: Arc<Deadlines>,
}

impl Timers {
    /// Brings a shopper's timer, which stood at `before`, and the readers' list up to date with the shopper's cart.
    pub(super) fn follow(
        &mut self,
        user: u32,
        cart: &mut CartState,
        before: Option<Millis>,
        rule: Option<&CartAbandonment>,
        grace_ms: i64,
    ) {
        if let Some((before, after)) = cart.relist(rule) {
            let mut listed = self.listed.lock();
            if let Some(time) = before {
                listed.remove(&(time, user));
            }
            if let Some(time) = after {
                listed.insert((time, user));
            }
        }
        cart.release();
        let after = cart.due(grace_ms);
        if before != after {
            if let Some(time) = before {
                self.due.remove(&(time, user));
            }
            if let Some(time) = after {
                self.due.insert((time, user));
            }
        }
    }

    /// How many shoppers have a timer.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    pub(super) fn earliest(&self) -> Option<Millis> {
        self.due.first().map(|&(time, _)| time)
    }

    /// Takes all timers of the moment `time`, which is the earliest.
    pub(super) fn take(&mut self, time: Millis) -> Vec<u32> {
        let mut users = Vec::new();
        while let Some(&(next, user)) = self.due.first()
            && next == time
        {
            self.due.pop_first();
            users.push(user);
        }
        users
    }

    pub(super) fn index(&self, rules: Arc<Rules>) -> EpisodeIndex {
        EpisodeIndex {
            rules,
            listed: Arc::clone(&self.listed),
        }
    }
}

/// The open episodes, for readers on any thread. What has arrived counts at once here, whether or not the watermark
/// has reached it.
#[derive(Clone, Debug)]
pub struct EpisodeIndex {
    pub(super) rules: Arc<Rules>,
    listed: Arc<Deadlines>,
}

impl EpisodeIndex {
    /// At most `limit` deadlines with their shoppers, soonest first. Holds a lock that the writer needs, for the time
    /// of a copy.
    pub fn soonest(&self, limit: usize) -> Vec<(Millis, u32)> {
        self.listed.lock().iter().take(limit).copied().collect()
    }

    /// How many episodes are open.
    pub fn len(&self) -> usize {
        self.listed.lock().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
