//! What the engine decides to say, or not to say, to a shopper.

use std::fmt;

use crate::domain::{CartView, Id, Millis, Position, Seq, Traceparent};

/// 128 bits that never change over the life of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(pub [u8; 16]);

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a trigger record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerKind {
    /// Speak now.
    Fire,
    /// Take the FIRE with this id back.
    Cancel,
    /// The episode ended without a FIRE.
    Suppressed,
    /// It was due while nobody could act, and is too old now.
    Expired,
}

impl TriggerKind {
    /// Its name in metrics and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fire => "fire",
            Self::Cancel => "cancel",
            Self::Suppressed => "suppressed",
            Self::Expired => "expired",
        }
    }
}

/// Why a record was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TriggerReason {
    /// The shopper was silent for the rule's wait.
    Inactivity,
    /// The shopper bought.
    Purchased,
    /// The shopper emptied the cart.
    CartEmptied,
    /// The cart was worth less than the rule's minimum.
    BelowMinimumValue,
    /// The shopper does not allow messages.
    NoConsent,
    /// The expiry had passed.
    Stale,
}

impl TriggerReason {
    /// Its name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactivity => "inactivity",
            Self::Purchased => "purchased",
            Self::CartEmptied => "cart_emptied",
            Self::BelowMinimumValue => "below_minimum_value",
            Self::NoConsent => "no_consent",
            Self::Stale => "stale",
        }
    }
}

/// One record of the trigger log.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Place in the log.
    pub seq: Seq,
    /// What it says.
    pub kind: TriggerKind,
    /// Same for every record of an episode.
    pub id: TriggerId,
    /// 0, or 1 for a CANCEL.
    pub revision: u32,
    /// The rule.
    pub rule: Id,
    /// The rule's major version.
    pub rule_version: u32,
    /// The shopper.
    pub user: Id,
    /// The event that opened the episode.
    pub episode: Id,
    /// Why.
    pub reason: TriggerReason,
    /// The cart at the deadline.
    pub cart: CartView,
    /// What else to offer.
    pub recommendations: Vec<Id>,
    /// When it was due, in event time.
    pub deadline: Millis,
    /// The watermark when it was made.
    pub fired: Millis,
    /// Do not deliver after this.
    pub expires: Millis,
    /// Input position that brought it.
    pub position: Position,
    /// Trace of the event that caused it, if that had one.
    pub traceparent: Option<Traceparent>,
}

/// An open episode, as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeView {
    /// The id its FIRE would have.
    pub id: TriggerId,
    /// The rule.
    pub rule: Id,
    /// The shopper.
    pub user: Id,
    /// When it fires unless something happens.
    pub deadline: Millis,
    /// The cart.
    pub cart: CartView,
}
