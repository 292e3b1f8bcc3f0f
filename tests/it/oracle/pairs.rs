//! The model of items seen together: unbounded tables, filled by walking every session of the journal.

use std::collections::BTreeMap;

use impulse::domain::{DAY_MS, EventKind, Id, Millis};

use super::journal::{Accepted, Journal};

/// Half-life of what an item's sessions count.
const HALF_LIFE_MS: i64 = 60 * DAY_MS;
/// How far back a new item of a session reaches.
const REACH: usize = 10;

/// Weights without bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs {
    /// Decayed distinct sessions with an item, as of the first record's time.
    pub(crate) sessions: BTreeMap<Id, f64>,
    /// Decayed co-occurrence of a pair, the diagonal included.
    pub(crate) together: BTreeMap<(Id, Id), f64>,
    /// Transitions from an item to a later one.
    pub(crate) transitions: BTreeMap<(Id, Id), f64>,
}

impl Pairs {
    /// `co[a][c]`, 0 if they never met.
    pub(crate) fn co(&self, a: &Id, c: &Id) -> f64 {
        self.together
            .get(&(a.clone(), c.clone()))
            .copied()
            .unwrap_or(0.0)
    }

    /// `n[a]`, 0 if it was never seen.
    pub(crate) fn n(&self, a: &Id) -> f64 {
        self.sessions.get(a).copied().unwrap_or(0.0)
    }

    /// `S[c]` of every candidate, for a session of these items, oldest first, repeats included.
    pub(crate) fn scores(&self, session: &[Id]) -> BTreeMap<Id, f64> {
        let mut newest: Vec<(usize, Id)> = Vec::new();
        for (steps, item) in session.iter().rev().enumerate() {
            if newest.len() < 20 && !newest.iter().any(|(_, seen)| seen == item) {
                newest.push((steps, item.clone()));
            }
        }
        let mut scores = BTreeMap::new();
        for (steps, a) in newest {
            let weight = (-to_f64(steps) / 2.0).exp();
            for ((source, c), co) in &self.together {
                if *source == a {
                    let term = weight * co / (self.n(&a).sqrt() * self.n(c).powf(0.2));
                    *scores.entry(c.clone()).or_insert(0.0) += term;
                }
            }
        }
        scores
    }

    /// One more item in a session.
    fn view(&mut self, session: &mut Vec<Id>, item: &Id, gain: f64) {
        for (steps, earlier) in session.iter().rev().take(REACH).enumerate() {
            let key = (earlier.clone(), item.clone());
            *self.transitions.entry(key).or_insert(0.0) += 1.0 / to_f64(steps + 1);
        }
        if !session.contains(item) {
            *self.sessions.entry(item.clone()).or_insert(0.0) += gain;
            *self
                .together
                .entry((item.clone(), item.clone()))
                .or_insert(0.0) += gain;
            let mut met: Vec<&Id> = Vec::new();
            for (steps, earlier) in session.iter().rev().take(REACH).enumerate() {
                if met.contains(&earlier) {
                    continue;
                }
                met.push(earlier);
                let weight = gain * (-to_f64(steps + 1) / 2.5).exp();
                *self
                    .together
                    .entry((earlier.clone(), item.clone()))
                    .or_insert(0.0) += weight;
                *self
                    .together
                    .entry((item.clone(), earlier.clone()))
                    .or_insert(0.0) += 0.8 * weight;
            }
        }
        session.push(item.clone());
    }
}

/// A session as the log tells it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// The tracker's id, if it gave one.
    pub(crate) id: Id,
    /// Its events, in the order of the log.
    pub(crate) events: Vec<Accepted>,
}

impl Session {
    /// The earliest event time in it.
    pub(crate) fn started(&self) -> Millis {
        self.events.iter().map(|event| event.time).min().unwrap()
    }

    /// The latest event time in it.
    pub(crate) fn last_event(&self) -> Millis {
        self.events.iter().map(|event| event.time).max().unwrap()
    }

    /// Its items in the order seen, with repeats.
    pub(crate) fn items(&self) -> Vec<Id> {
        self.events.iter().filter_map(seen_item).collect()
    }
}

/// The sessions of every shopper, each in the order of the log.
pub(crate) fn sessions(journal: &Journal) -> BTreeMap<Id, Vec<Session>> {
    let mut users: BTreeMap<Id, Vec<Session>> = BTreeMap::new();
    for accepted in &journal.accepted {
        let Some(event) = accepted.event() else {
            continue;
        };
        let sessions = users.entry(event.user.clone()).or_default();
        let goes_on = sessions.last().is_some_and(|session| {
            let silent = accepted.time.since(session.last_event());
            let other =
                !event.session.is_empty() && !session.id.is_empty() && event.session != session.id;
            silent <= journal.times.session_gap_ms && !other
        });
        if !goes_on {
            sessions.push(Session::default());
        }
        let session = sessions.last_mut().unwrap();
        if session.id.is_empty() {
            session.id.clone_from(&event.session);
        }
        session.events.push(accepted.clone());
    }
    users
}

/// The item that an event shows its shopper; `None` if it shows none. Who puts an item into a cart or on a wish list
/// has seen it.
pub(crate) fn seen_item(accepted: &Accepted) -> Option<Id> {
    let event = accepted.event()?;
    matches!(
        event.kind,
        EventKind::ProductView | EventKind::AddToCart | EventKind::WishlistAdd
    )
    .then(|| event.item.clone())
}

/// Everything seen together in the journal.
pub(crate) fn pairs(journal: &Journal) -> Pairs {
    let mut pairs = Pairs::default();
    let Some(origin) = journal
        .accepted
        .iter()
        .find(|accepted| accepted.event().is_some())
    else {
        return pairs;
    };
    for sessions in sessions(journal).values() {
        for session in sessions {
            let mut seen = Vec::new();
            for event in &session.events {
                if let Some(item) = seen_item(event) {
                    let age = to_f64(event.time.since(origin.time)) / to_f64(HALF_LIFE_MS);
                    pairs.view(&mut seen, &item, age.exp2());
                }
            }
        }
    }
    pairs
}

/// A number as `f64`; every number here is small enough to be exact.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn to_f64(number: impl TryInto<i64>) -> f64 {
    number.try_into().unwrap_or(i64::MAX) as f64
}
