//! Cart events on their way into the cart: in time by way of the watermark, late ones at once.
//!
//! A late event takes effect on the cart as it stands, with these exceptions, because nothing is known any more of the
//! cart as it stood then:
//!
//! - What happened before the cart was last bought or replaced is part of that and changes nothing.
//! - A removal or purchase from before the cart's episode was opened concerns an earlier cart.
//! - A whole cart older than the last change does not undo that change; it is a sign of life.
//! - Behind the watermark by more than the grace, only removals and purchases take effect: no episode is ever opened or
//!   kept alive that late, but none is left to fire against better knowledge.

use crate::domain::{Id, Millis, Traceparent, TriggerKind, TriggerReason};

use super::cart::{CartEvent, CartOp, Contents};
use super::consent::Choice;
use super::episode::{Episode, Fired, Phase};
use super::rule::CartAbandonment;
use super::state::{CartState, Shopping, episode_hash};
use super::{Config, Counts};

/// What a shopper's cart needs to know of the world.
pub(super) struct Terms<'a> {
    pub(super) rule: Option<&'a CartAbandonment>,
    pub(super) config: &'a Config,
    pub(super) grace_ms: i64,
    pub(super) counts: &'a mut Counts,
    pub(super) drafts: &'a mut Vec<Draft>,
    pub(super) user: u32,
    pub(super) watermark: Millis,
}

/// A record for the trigger log that lacks its number and names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) kind: TriggerKind,
    pub(super) reason: TriggerReason,
    pub(super) user: u32,
    pub(super) episode: Id,
    pub(super) deadline: Millis,
    pub(super) contents: Contents,
    pub(super) trace: Option<Box<Traceparent>>,
}

impl CartState {
    /// Takes an event that the watermark has not reached.
    pub(super) fn take(&mut self, event: CartEvent, terms: &mut Terms<'_>) {
        let shopping = self.shopping_or_new();
        let place = shopping
            .pending
            .partition_point(|other| (other.at, other.key) <= (event.at, event.key));
        shopping.pending.insert(place, event);
        if shopping.pending.len() > terms.config.pending_max {
            terms.counts.pending_forced += 1;
            let first = shopping.pending.remove(0);
            shopping.settle_event(&first, terms);
        }
    }

    /// Takes an event that the watermark has passed; returns whether it still mattered.
    pub(super) fn take_late(
        &mut self,
        event: &CartEvent,
        beyond_grace: bool,
        terms: &mut Terms<'_>,
    ) -> bool {
        let ends = event.op.closes_cart() || matches!(event.op, CartOp::Remove { .. });
        let matters = if beyond_grace && (!ends || self.is_empty()) {
            false
        } else {
            self.shopping_or_new().settle_late(event, ends, terms)
        };
        terms.counts.late_ignored += u64::from(!matters);
        matters
    }

    /// Does everything that is due at `time`, before which nothing is due any more.
    pub(super) fn settle(
        &mut self,
        time: Millis,
        marketing: Option<Choice>,
        terms: &mut Terms<'_>,
    ) {
        let Some(shopping) = self.shopping() else {
            return;
        };
        while shopping
            .pending
            .first()
            .is_some_and(|event| event.at <= time)
        {
            let event = shopping.pending.remove(0);
            shopping.settle_event(&event, terms);
        }
        shopping.reach_deadline(time, marketing, terms);
        shopping
            .fired
            .retain(|fired| time <= fired.watermark + terms.grace_ms);
        if shopping.nothing_but_replaced() && time > shopping.cart.replaced + terms.grace_ms {
            shopping.cart.replaced = Millis::MIN;
        }
        shopping.compact();
    }
}

impl Shopping {
    /// Lets an event take effect on the settled cart.
    fn settle_event(&mut self, event: &CartEvent, terms: &mut Terms<'_>) {
        let lines_max = terms.config.lines_max;
        let effect = Self::apply(
            &self.fired_before,
            &mut self.cart,
            event,
            terms.rule,
            lines_max,
        );
        terms.counts.lines_refused += effect.lines_refused;
        terms.counts.episodes_repeated += u64::from(effect.repeated);
        if let Some(ended) = effect.ended
            && let Some(episode) = ended.episode.filter(Episode::waits)
        {
            terms.drafts.push(Draft {
                kind: TriggerKind::Suppressed,
                reason: ended.reason,
                user: terms.user,
                episode: episode.id,
                deadline: episode.deadline,
                contents: ended.contents,
                trace: event.trace.clone().or(episode.trace),
            });
        }
    }

    fn settle_late(&mut self, event: &CartEvent, ends: bool, terms: &mut Terms<'_>) -> bool {
        let opened = self
            .cart
            .episode
            .as_ref()
            .map_or(Millis::MIN, |episode| episode.opened);
        let is_past = event.at < self.cart.replaced || (ends && event.at < opened);
        let is_stale =
            matches!(event.op, CartOp::Update(_)) && !ends && event.at < self.cart.contents.updated;
        if event.op.closes_cart() {
            self.cart.replaced = self.cart.replaced.max(event.at);
        }
        if !is_past && is_stale {
            self.cart.touch(event, terms.rule);
        } else if !is_past {
            self.settle_event(event, terms);
        }
        self.cancel(event, terms) || !is_past
    }

    /// Takes back the episode that fired although, as `event` shows, its cart was bought or emptied before its
    /// deadline.
    fn cancel(&mut self, event: &CartEvent, terms: &mut Terms<'_>) -> bool {
        let place = self.fired.iter().position(|fired| {
            (fired.opened..=fired.deadline).contains(&event.at)
                && terms.watermark <= fired.watermark + terms.grace_ms
                && event.op.empties(&fired.contents)
        });
        let Some(place) = place else { return false };
        let fired = self.fired.remove(place);
        let reason = match event.op {
            CartOp::Purchase => TriggerReason::Purchased,
            CartOp::Add(_)
            | CartOp::Remove { .. }
            | CartOp::Update(_)
            | CartOp::View
            | CartOp::CheckoutStart => TriggerReason::CartEmptied,
        };
        terms.drafts.push(Draft {
            kind: TriggerKind::Cancel,
            reason,
            user: terms.user,
            episode: fired.id,
            deadline: fired.deadline,
            contents: fired.contents,
            trace: event.trace.clone().or(fired.trace),
        });
        true
    }

    /// Ends the wait of an episode whose deadline is `time`.
    fn reach_deadline(&mut self, time: Millis, marketing: Option<Choice>, terms: &mut Terms<'_>) {
        let Some(episode) = &mut self.cart.episode else {
            return;
        };
        if !episode.waits() || episode.deadline > time {
            return;
        }
        episode.phase = Phase::Over;
        // Whatever makes it wait again brings its own.
        let trace = episode.trace.take();
        let Some(rule) = terms.rule else { return };
        let (kind, reason) = if terms.watermark > episode.deadline + rule.expires_after_ms {
            (TriggerKind::Expired, TriggerReason::Stale)
        } else if marketing.is_some_and(|choice| !choice.allowed) {
            (TriggerKind::Suppressed, TriggerReason::NoConsent)
        } else if self.cart.contents.value() < rule.minimum_value {
            episode.phase = Phase::BelowMinimum;
            (TriggerKind::Suppressed, TriggerReason::BelowMinimumValue)
        } else {
            self.fired.push(Fired {
                id: episode.id.clone(),
                opened: episode.opened,
                deadline: episode.deadline,
                allowed: marketing.map_or(Millis::MIN, |choice| choice.made),
                watermark: terms.watermark,
                contents: self.cart.contents.clone(),
                trace: trace.clone(),
            });
            self.fired_before.push(episode_hash(&episode.id));
            if self.fired_before.len() > terms.config.fired_remembered_max {
                self.fired_before.remove(0);
                terms.counts.fired_forgotten += 1;
            }
            (TriggerKind::Fire, TriggerReason::Inactivity)
        };
        terms.drafts.push(Draft {
            kind,
            reason,
            user: terms.user,
            episode: episode.id.clone(),
            deadline: episode.deadline,
            contents: self.cart.contents.clone(),
            trace,
        });
    }
}
