//! Ends sessions whose shopper fell silent, so that an idle shopper costs little.

use std::collections::BTreeMap;

use crate::domain::{MINUTE_MS, Millis};
use crate::engine::profile::Profile;
use crate::engine::state::State;

/// Shoppers with an open session, by the minute in which it may end. A shopper who went on is moved to a later minute
/// when theirs comes, so an event costs nothing here. Which step ends a session depends on its last event alone.
#[derive(Debug)]
pub(crate) struct SessionTimers {
    gap_ms: i64,
    minutes: BTreeMap<i64, Vec<u32>>,
    /// Minutes before this one were looked at.
    closed: i64,
}

impl SessionTimers {
    pub(crate) fn new(gap_ms: i64) -> Self {
        Self {
            gap_ms,
            minutes: BTreeMap::new(),
            closed: i64::MIN,
        }
    }

    /// A session began or was found open, with its last event at `at`.
    pub(crate) fn watch(&mut self, user: u32, at: Millis) {
        let minute = at.plus(self.gap_ms).0.div_euclid(MINUTE_MS);
        self.minutes.entry(minute).or_default().push(user);
        self.closed = self.closed.min(minute);
    }

    /// Ends the sessions that were silent for the gap at the beginning of the watermark's minute.
    pub(crate) fn close_until(&mut self, watermark: Millis, state: &State) {
        let now = watermark.0.div_euclid(MINUTE_MS);
        if now <= self.closed {
            return;
        }
        self.closed = now;
        while let Some(entry) = self.minutes.first_entry() {
            if *entry.key() >= now {
                return;
            }
            for user in entry.remove() {
                self.close_or_wait(user, now, state);
            }
        }
    }

    fn close_or_wait(&mut self, user: u32, now: i64, state: &State) {
        let last_event = state
            .profiles
            .read(user, |profile| {
                profile.session.as_ref().map(|session| session.last_event)
            })
            .flatten();
        let Some(last_event) = last_event else {
            return;
        };
        if last_event.plus(self.gap_ms).0.div_euclid(MINUTE_MS) < now {
            state.profiles.change(user, Profile::rest);
        } else {
            self.watch(user, last_event);
        }
    }
}
