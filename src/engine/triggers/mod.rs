//! Rules about silence: what a shopper did not do, exact in event time.
//!
//! A cart event waits in its shopper's [`CartState`] until the watermark has reached it, and takes effect in the order
//! of event time; so the outcome does not depend on the order of arrival, as long as events are less out of order than
//! the watermark allows. An episode fires at the first step whose watermark is at or past its deadline.
//!
//! An episode fires by the consent that was in force at its deadline, in event time like all else: a refusal that
//! arrives after the firing, within the grace, but was made before the deadline takes the episode back.
//!
//! The caller's part: [`Triggers::on_event`] for each cart event, then [`Triggers::advance`] once for each record of
//! whatever kind. Nothing here reads a clock, and no hash map is walked.

mod cart;
mod consent;
mod episode;
mod rule;
mod state;
mod settle;
mod codec;
mod timers;

use std::sync::Arc;

use bytes::{Buf, BufMut, TryGetError};
use serde::{Deserialize, Serialize};

use crate::domain::{EpisodeView, Id, Millis, Position, Seq, Traceparent, Trigger, TriggerKind};

pub use self::cart::{CartEvent, CartOp, Line};
pub use self::consent::{Choice, Choices};
pub use self::episode::trigger_id;
pub use self::rule::{CartAbandonment, RuleError, Rules};
pub use self::state::CartState;
pub use self::timers::EpisodeIndex;

use super::quality::ConfigError;

use self::settle::{Draft, Terms};
use self::timers::Timers;

/// Settings of the triggers; what is declared for a rule stands in [`Rules`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Lines a cart holds at most; further items are not added, and counted.
    pub lines_max: usize,
    /// Cart events of one shopper that wait for the watermark at most; beyond it the earliest takes effect at once,
    /// and is counted.
    pub pending_max: usize,
    /// Records made in one step, after which those of later deadlines wait for the next step.
    pub records_per_step_max: usize,
    /// Fired episodes of one shopper that are remembered, so that the repetition of an old event fires none twice.
    pub fired_remembered_max: usize,
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let checks = [
            ("lines_max", self.lines_max),
            ("pending_max", self.pending_max),
            ("records_per_step_max", self.records_per_step_max),
            ("fired_remembered_max", self.fired_remembered_max),
        ];
        checks
            .into_iter()
            .find(|(_, value)| !(1..=1_000_000).contains(value))
            .map_or(Ok(()), |(field, value)| {
                Err(ConfigError {
                    field,
                    value: i64::try_from(value).unwrap_or(i64::MAX),
                    expected: "expected 1 to 1000000",
                })
            })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lines_max: 200,
            pending_max: 100,
            records_per_step_max: 1_000,
            fired_remembered_max: 64,
        }
    }
}

/// What was counted; part of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that did not fit into a cart.
    pub lines_refused: u64,
    /// Cart events that took effect early because too many waited, and choices forgotten early for the same reason.
    pub pending_forced: u64,
    /// Cart events that came too late to change the cart.
    pub late_ignored: u64,
    /// Episodes that never fire because one of their id has fired.
    pub episodes_repeated: u64,
    /// Fired episodes forgotten because there were too many.
    pub fired_forgotten: u64,
}

/// Names of dense numbers.
pub trait Names {
    /// The shop's id of a shopper.
    fn user_id(&self, user: u32) -> Id;

    /// The shop's id of an item.
    fn item_id(&self, item: u32) -> Id;
}

/// The shoppers, as [`Triggers::advance`] needs them.
pub trait Shoppers: Names {
    /// Calls `f` with a shopper's cart and the choice about messages in force at `time` (`None`: never asked); `None`
    /// if there is no such shopper. `f` reaches for no other shopper.
    fn with_cart<R>(
        &mut self,
        user: u32,
        time: Millis,
        f: impl FnOnce(&mut CartState, Option<Choice>) -> R,
    ) -> Option<R>;
}

/// The writer's side of all rules.
///
/// Invariant between calls: a shopper has one timer, at the time its cart names as due, or none.
#[derive(Debug)]
pub struct Triggers {
    config: Config,
    rules: Arc<Rules>,
    grace_ms: i64,
    seq: Seq,
    /// Event time up to which every timer was handled: the watermark, unless a step made too many records.
    cleared: Millis,
    counts: Counts,
    timers: Timers,
    drafts: Vec<Draft>,
}

impl Triggers {
    /// No shopper, no episode. `grace_ms` is that of the quality gates: so long after its firing an episode can be
    /// taken back.
    pub fn new(config: Config, rules: Rules, grace_ms: i64) -> Self {
        Self {
            config,
            rules: Arc::new(rules),
            grace_ms,
            seq: 0,
            cleared: Millis::MIN,
            counts: Counts::default(),
            timers: Timers::default(),
            drafts: Vec::new(),
        }
    }

    /// Takes a cart event of a shopper. `late` says that it lies behind the watermark by more than the grace;
    /// `watermark` is that after the event. Returns whether the cart took notice: a late event that only taught counts
    /// gives `false`.
    ///
    /// [`Triggers::advance`] must follow before the next record.
    pub fn on_event(
        &mut self,
        user: u32,
        cart: &mut CartState,
        mut event: CartEvent,
        late: bool,
        watermark: Millis,
    ) -> bool {
        self.counts.lines_refused += event.op.limit_lines(self.config.lines_max);
        if event.id.is_empty() {
            event.id = Id::from(format!("{:016x}", event.key));
        }
        let before = cart.due(self.grace_ms);
        let cleared = self.cleared;
        let mut terms = self.terms(user, watermark);
        let matters = if event.at > cleared {
            cart.take(event, &mut terms);
            true
        } else {
            cart.take_late(&event, late, &mut terms)
        };
        let rule = self.rules.cart_abandonment();
        self.timers.follow(user, cart, before, rule, self.grace_ms);
        matters
    }

    fn terms(&mut self, user: u32, watermark: Millis) -> Terms<'_> {
        Terms {
            rule: self.rules.cart_abandonment(),
            config: &self.config,
            grace_ms: self.grace_ms,
            counts: &mut self.counts,
            drafts: &mut self.drafts,
            user,
            watermark,
        }
    }

    /// A shopper refused messages at `made`, in an event of this trace: what fired although it was refused is taken
    /// back. The cart is that of [`Triggers::on_event`]; [`Triggers::advance`] must follow before the next record.
    pub fn on_refusal(
        &mut self,
        user: u32,
        cart: &mut CartState,
        (made, trace): (Millis, Option<Traceparent>),
        watermark: Millis,
    ) {
        let before = cart.due(self.grace_ms);
        let Some(shopping) = cart.shopping() else {
            return;
        };
        let mut terms = self.terms(user, watermark);
        shopping.refuse(made, trace, &mut terms);
        let rule = self.rules.cart_abandonment();
        self.timers.follow(user, cart, before, rule, self.grace_ms);
    }

    /// Counts a choice that may be asked for and had to be forgotten, if that was so.
    pub fn note_choice(&mut self, forgotten: bool) {
        self.counts.pending_forced += u64::from(forgotten);
    }

    /// Nothing before this event time will be asked for any more.
    pub fn settled(&self) -> Millis {
        self.cleared
    }

    /// Does everything that is due at `watermark`, in the order of event time, then of the shoppers' ids. The records
    /// are added to `out`; `position` is that of the record whose step this is.
    pub fn advance(
        &mut self,
        watermark: Millis,
        position: Position,
        shoppers: &mut impl Shoppers,
        out: &mut Vec<Trigger>,
    ) {
        let first = out.len();
        loop {
            self.emit(watermark, position, shoppers, out);
            let Some(time) = self.timers.earliest().filter(|&time| time <= watermark) else {
                self.cleared = self.cleared.max(watermark);
                return;
            };
            if out.len() - first >= self.config.records_per_step_max {
                return;
            }
            self.clear(time, watermark, shoppers);
            self.cleared = self.cleared.max(time);
        }
    }

    /// Registers a shopper whose cart was decoded from a snapshot.
    pub fn restore(&mut self, user: u32, cart: &mut CartState) {
        let rule = self.rules.cart_abandonment();
        self.timers.follow(user, cart, None, rule, self.grace_ms);
    }

    /// Forgets a shopper whose profile is about to go. One with an open episode must not go.
    pub fn forget(&mut self, user: u32, cart: &mut CartState) {
        let before = cart.due(self.grace_ms);
        cart.clear();
        self.timers.follow(user, cart, before, None, self.grace_ms);
    }

    /// Records made so far.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The earliest event time at which something is to be done; `None` if nothing waits, and a tick can change
    /// nothing here.
    pub fn earliest_timer(&self) -> Option<Millis> {
        self.timers.earliest()
    }

    /// How many shoppers wait for something.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The readers' view of the open episodes; cheap to clone, and goes on following them.
    pub fn episodes(&self) -> EpisodeIndex {
        self.timers.index(Arc::clone(&self.rules))
    }

    /// Writes what is not part of any shopper.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.seq);
        out.put_i64_le(self.cleared.0);
        out.put_u64_le(self.counts.lines_refused);
        out.put_u64_le(self.counts.pending_forced);
        out.put_u64_le(self.counts.late_ignored);
        out.put_u64_le(self.counts.episodes_repeated);
        out.put_u64_le(self.counts.fired_forgotten);
    }

    /// Reads what [`Triggers::encode`] wrote; [`Triggers::restore`] for every shopper must follow.
    ///
    /// # Errors
    ///
    /// If `input` ends too early.
    pub fn decode(
        config: Config,
        rules: Rules,
        grace_ms: i64,
        input: &mut &[u8],
    ) -> Result<Self, TryGetError> {
        let mut triggers = Self::new(config, rules, grace_ms);
        triggers.seq = input.try_get_u64_le()?;
        triggers.cleared = Millis(input.try_get_i64_le()?);
        triggers.counts = Counts {
            lines_refused: input.try_get_u64_le()?,
            pending_forced: input.try_get_u64_le()?,
            late_ignored: input.try_get_u64_le()?,
            episodes_repeated: input.try_get_u64_le()?,
            fired_forgotten: input.try_get_u64_le()?,
        };
        Ok(triggers)
    }

    /// Handles every timer of one moment.
    fn clear(&mut self, time: Millis, watermark: Millis, shoppers: &mut impl Shoppers) {
        let mut due: Vec<(Id, u32)> = self
            .timers
            .take(time)
            .into_iter()
            .map(|user| (shoppers.user_id(user), user))
            .collect();
        due.sort_unstable();
        for (_, user) in due {
            let mut terms = Terms {
                rule: self.rules.cart_abandonment(),
                config: &self.config,
                grace_ms: self.grace_ms,
                counts: &mut self.counts,
                drafts: &mut self.drafts,
                user,
                watermark,
            };
            let timers = &mut self.timers;
            // An episode opened so late that its deadline has passed already goes by what holds now.
            shoppers.with_cart(user, time.max(self.cleared), |cart, marketing| {
                cart.settle(time, marketing, &mut terms);
                timers.follow(user, cart, None, terms.rule, terms.grace_ms);
            });
        }
    }

    /// Turns what was drafted into records.
    fn emit(
        &mut self,
        watermark: Millis,
        position: Position,
        names: &impl Names,
        out: &mut Vec<Trigger>,
    ) {
        let Some(rule) = self.rules.cart_abandonment() else {
            self.drafts.clear();
            return;
        };
        for draft in self.drafts.drain(..) {
            self.seq += 1;
            let user = names.user_id(draft.user);
            out.push(Trigger {
                seq: self.seq,
                kind: draft.kind,
                id: trigger_id(&rule.rule, rule.major, &user, &draft.episode),
                revision: u32::from(draft.kind == TriggerKind::Cancel),
                rule: rule.rule.clone(),
                rule_version: rule.major,
                user,
                episode: draft.episode,
                reason: draft.reason,
                cart: draft.contents.view(names),
                recommendations: Vec::new(),
                deadline: draft.deadline,
                fired: watermark,
                expires: draft.deadline + rule.expires_after_ms,
                position,
                traceparent: draft.trace.map(|trace| *trace),
            });
        }
    }
}

impl EpisodeIndex {
    /// A shopper's open episode as of now, or `None` if it ended meanwhile.
    pub fn view(&self, user_id: &Id, cart: &CartState, names: &impl Names) -> Option<EpisodeView> {
        let rule = self.rules.cart_abandonment()?;
        let (episode, cart) = cart.open_episode(rule, names)?;
        Some(EpisodeView {
            id: trigger_id(&rule.rule, rule.major, user_id, &episode.id),
            rule: rule.rule.clone(),
            user: user_id.clone(),
            deadline: episode.deadline,
            cart,
        })
    }
}

#[cfg(test)]
mod tests;
