//! An episode: from the first item in an empty cart until the cart is bought, emptied or given up.

use crate::domain::{Id, Millis, Traceparent, TriggerId};

use super::cart::{CartEvent, Contents};

/// How far an episode has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It fires at its deadline.
    Waiting,
    /// Its cart was worth too little at the deadline; the next change makes it wait again.
    BelowMinimum,
    /// It has fired, or has missed its time: nothing more comes of it.
    Over,
}

/// An episode of a cart that is not empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Episode {
    /// Id of the event that opened it.
    pub(super) id: Id,
    /// Time of that event.
    pub(super) opened: Millis,
    /// When it fires.
    pub(super) deadline: Millis,
    pub(super) phase: Phase,
    /// Trace of the event that began the wait last; few have one.
    pub(super) trace: Option<Box<Traceparent>>,
}

impl Episode {
    pub(super) fn waits(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// Moves the deadline away from a sign of life; never back.
    pub(super) fn touch(&mut self, event: &CartEvent, leaves_ms: i64) {
        let deadline = event.at + leaves_ms;
        if self.waits() && deadline >= self.deadline {
            self.deadline = deadline;
            self.trace.clone_from(&event.trace);
        }
    }

    /// Lets an episode that was worth too little wait again.
    pub(super) fn rearm(&mut self, event: &CartEvent, wait_ms: i64) {
        if self.phase == Phase::BelowMinimum {
            self.phase = Phase::Waiting;
            self.deadline = self.deadline.max(event.at + wait_ms);
            self.trace.clone_from(&event.trace);
        }
    }
}

/// An episode that fired so recently that it can still be taken back.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fired {
    pub(super) id: Id,
    pub(super) opened: Millis,
    pub(super) deadline: Millis,
    /// When the shopper chose to allow it; [`Millis::MIN`] if never asked.
    pub(super) allowed: Millis,
    /// The watermark at which it fired.
    pub(super) watermark: Millis,
    /// The cart at the deadline.
    pub(super) contents: Contents,
    /// What the FIRE has.
    pub(super) trace: Option<Box<Traceparent>>,
}

/// The id of everything that is said about an episode: 128 bits of a BLAKE3 hash. Every text goes in with its length,
/// so that no two different episodes read the same.
pub fn trigger_id(rule: &str, major: u32, user: &str, episode: &str) -> TriggerId {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(rule);
    text(&major.to_string());
    text(user);
    text(episode);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    TriggerId(id)
}

#[cfg(test)]
mod tests {
    use super::trigger_id;

    #[test]
    fn an_id_never_changes() {
        let id = trigger_id("cart_abandonment", 1, "ann", "e1");
        assert_eq!(id.to_string(), "4ec44c2508e3c4601dad73ec764ec810");
    }

    #[test]
    fn different_episodes_have_different_ids() {
        let ids = [
            trigger_id("a", 1, "b", "c"),
            trigger_id("a", 1, "bc", ""),
            trigger_id("a", 1, "", "bc"),
            trigger_id("a", 11, "b", "c"),
            trigger_id("a1", 1, "b", "c"),
            trigger_id("a", 1, "1b", "c"),
            trigger_id("ab", 1, "", "c"),
        ];
        for (place, id) in ids.iter().enumerate() {
            assert!(!ids[..place].contains(id), "{place}");
        }
    }
}
