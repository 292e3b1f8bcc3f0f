//! The words everything else is said in: plain values without behaviour of their own.

mod event;
mod ids;
mod item;
mod money;
mod profile;
mod recommendation;
mod record;
mod time;
mod trace;
mod trigger;

pub use self::event::{Consent, Event, EventDetails, EventKind, LineItem};
pub use self::ids::{ID_BYTES_MAX, Id, Position, Seq};
pub use self::item::{Item, ItemPatch};
pub use self::money::Money;
pub use self::profile::{Affinity, CartView, PriceBand, ProfileView, SessionView};
pub use self::recommendation::{
    Answer, Explanation, LadderStep, Query, Reason, ReasonCode, Recommendation, ScoreTerm,
};
pub use self::record::{Input, Outcome, Record, Rejection, RejectionReason, Stage, TimeRule};
pub use self::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
pub use self::trace::Traceparent;
pub use self::trigger::{EpisodeView, Trigger, TriggerId, TriggerKind, TriggerReason};
