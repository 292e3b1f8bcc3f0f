//! The model of carts and their episodes: for each shopper a line of time, walked from its beginning.
//!
//! Events that came before the watermark passed them stand in the order of their event times, whatever the order of
//! their arrival. An event that came behind the watermark stands where it arrived, after everything settled there.

use std::collections::{BTreeMap, BTreeSet};

use impulse::domain::{
    DAY_MS, Event, EventKind, HOUR_MS, Id, LineItem, MINUTE_MS, Millis, Money, Traceparent,
    TriggerKind, TriggerReason,
};

use super::journal::Journal;

/// The rule that carts are watched by.
#[derive(Clone, Debug)]
pub(crate) struct CartRule {
    /// Silence after which a cart is abandoned.
    pub(crate) wait_ms: i64,
    /// Entering the checkout leaves at least this long.
    pub(crate) checkout_leaves_ms: i64,
    /// A cart worth less is left alone.
    pub(crate) minimum_value: Money,
    /// After the deadline by more than this nothing is said any more.
    pub(crate) expires_after_ms: i64,
}

impl Default for CartRule {
    fn default() -> Self {
        Self {
            wait_ms: HOUR_MS,
            checkout_leaves_ms: 15 * MINUTE_MS,
            minimum_value: Money::ZERO,
            expires_after_ms: DAY_MS,
        }
    }
}

/// A record that the trigger log must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Obligation {
    /// Position of the record that brings it.
    pub(crate) position: usize,
    /// What it says.
    pub(crate) kind: TriggerKind,
    /// Why.
    pub(crate) reason: TriggerReason,
    /// Shopper.
    pub(crate) user: Id,
    /// The event that opened the episode; empty if that event has no id.
    pub(crate) episode: Id,
    /// When it was due.
    pub(crate) deadline: Millis,
    /// Do not deliver after this.
    pub(crate) expires: Millis,
    /// The watermark that brought it.
    pub(crate) fired: Millis,
    /// The cart at the deadline.
    pub(crate) cart: Vec<LineItem>,
    /// Trace of the event behind it.
    pub(crate) trace: Option<Traceparent>,
}

/// An episode that waits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    /// Shopper.
    pub(crate) user: Id,
    /// The event that opened the episode.
    pub(crate) episode: Id,
    /// When it is due.
    pub(crate) deadline: Millis,
    /// The cart.
    pub(crate) cart: Vec<LineItem>,
}

/// What the log obliges the engine to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carts {
    /// Records of the trigger log, by position; the order within one position is not said here.
    pub(crate) obligations: Vec<Obligation>,
    /// Episodes that wait at the end.
    pub(crate) waiting: Vec<Waiting>,
    /// Shoppers to whom something happened that the design leaves open.
    pub(crate) unspecified: BTreeSet<Id>,
    /// The carts at the end as a reader sees them, with what is not settled yet.
    pub(crate) carts: BTreeMap<Id, Vec<LineItem>>,
}

/// Walks the whole journal.
pub(crate) fn carts(journal: &Journal, rule: &CartRule) -> Carts {
    let mut users: BTreeMap<Id, Vec<Step<'_>>> = BTreeMap::new();
    for (index, accepted) in journal.accepted.iter().enumerate() {
        let Some(event) = accepted.event() else {
            continue;
        };
        if !matters(event) && marketing(event).is_none() {
            continue;
        }
        let place = match accepted.watermark_before {
            Some(watermark) if accepted.overdue() => Place::Overdue(watermark, index),
            Some(_) | None => Place::Timely(accepted.time, index),
        };
        let step = Step {
            place,
            time: accepted.time,
            late: accepted.late,
            position: index + 1,
            event,
        };
        users.entry(event.user.clone()).or_default().push(step);
    }
    let mut all = Carts::default();
    for (user, mut steps) in users {
        steps.sort_by_key(|step| step.place.key());
        let mut walk = Walk::new(journal, rule, user.clone());
        for step in &steps {
            walk.step(step);
        }
        walk.finish();
        all.waiting.extend(walk.waiting());
        let mut cart = walk.cart.clone();
        for step in steps.iter().filter(|step| walk.settled(step).is_none()) {
            change(&mut cart, step.event);
        }
        if walk.unspecified {
            all.unspecified.insert(user.clone());
        }
        all.carts.insert(user, cart);
        all.obligations.extend(walk.made);
    }
    all.obligations
        .sort_by_key(|made| (made.position, made.deadline, made.user.clone()));
    all.waiting
        .sort_by_key(|waiting| (waiting.deadline, waiting.user.clone()));
    all
}

/// Where an event stands on its shopper's line of time.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At its event time.
    Timely(Millis, usize),
    /// At the watermark that it came behind.
    Overdue(Millis, usize),
}

impl Place {
    /// Timely events of a moment come before what is due at it, overdue ones after.
    fn key(self) -> (Millis, u8, usize) {
        match self {
            Self::Timely(time, index) => (time, 0, index),
            Self::Overdue(watermark, index) => (watermark, 1, index),
        }
    }

    /// Whether a deadline comes before this place.
    fn is_after(self, deadline: Millis) -> bool {
        match self {
            Self::Timely(time, _) => deadline < time,
            Self::Overdue(watermark, _) => deadline <= watermark,
        }
    }
}

/// One event on a line of time.
struct Step<'a> {
    place: Place,
    time: Millis,
    late: bool,
    position: usize,
    event: &'a Event,
}

impl Step<'_> {
    fn trace(&self) -> Option<Traceparent> {
        self.event.details.as_ref()?.traceparent
    }
}

/// The episode of the cart in hand.
#[derive(Clone, Debug)]
struct Episode {
    id: Id,
    opened: Millis,
    deadline: Millis,
    state: State,
    /// Of the event that the deadline is counted from.
    trace: Option<Traceparent>,
}

/// How far an episode is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The deadline lies ahead.
    Waiting,
    /// It was worth too little; the next change of the cart makes it wait again.
    Small,
    /// Nothing more can come of it but a CANCEL of what was said.
    Over,
}

/// A FIRE that could still be taken back.
#[derive(Clone, Debug)]
struct Fired {
    episode: Episode,
    /// When the shopper chose to allow it, if ever asked.
    allowed: Option<Millis>,
    watermark: Millis,
    cart: Vec<LineItem>,
}

/// One shopper's line of time.
struct Walk<'a> {
    journal: &'a Journal,
    rule: &'a CartRule,
    user: Id,
    cart: Vec<LineItem>,
    /// When the cart was last bought or told as a whole.
    whole: Millis,
    /// When the cart was last emptied by a removal.
    removed: Millis,
    /// Whether something came so late that the design does not say what is to become of it.
    unspecified: bool,
    /// The youngest change of the cart.
    changed: Millis,
    /// Position that the last event took effect at.
    last: usize,
    episode: Option<Episode>,
    fired: Vec<Fired>,
    made: Vec<Obligation>,
}

impl<'a> Walk<'a> {
    fn new(journal: &'a Journal, rule: &'a CartRule, user: Id) -> Self {
        Self {
            journal,
            rule,
            user,
            cart: Vec::new(),
            whole: Millis::MIN,
            removed: Millis::MIN,
            unspecified: false,
            changed: Millis::MIN,
            last: 0,
            episode: None,
            fired: Vec::new(),
            made: Vec::new(),
        }
    }

    /// Passes one event, and before it a deadline that lies before it.
    fn step(&mut self, step: &Step<'_>) {
        // What the watermark has not passed can still be overtaken: it is not settled, nor is anything after it.
        let Some(position) = self.settled(step) else {
            return;
        };
        let deadline = self.episode.as_ref().map(|episode| episode.deadline);
        if deadline.is_some_and(|deadline| step.place.is_after(deadline)) {
            self.fall_due();
        }
        if matters(step.event) {
            self.cart_step(step, position);
        }
        if marketing(step.event) == Some(false) {
            self.refused(step, position);
        }
    }

    /// Passes an event that a cart or its episode depends on.
    fn cart_step(&mut self, step: &Step<'_>, position: usize) {
        self.last = position;
        if matches!(step.place, Place::Overdue(..)) {
            self.unspecified |= step.time < self.removed;
            self.take_back(step, position);
            if step.late && !takes_away(step.event) || self.is_outdated(step) {
                if takes_away(step.event) && step.event.kind != EventKind::RemoveFromCart {
                    self.whole = self.whole.max(step.time);
                }
                return;
            }
        }
        let before = self.cart.clone();
        match step.event.kind {
            EventKind::CheckoutStart => {
                self.put_off(step, self.rule.checkout_leaves_ms, false);
                return;
            }
            EventKind::CartView => {
                self.put_off(step, self.rule.wait_ms, false);
                return;
            }
            _ => change(&mut self.cart, step.event),
        }
        let removal = step.event.kind == EventKind::RemoveFromCart;
        let changed = self.cart != before || step.event.kind == EventKind::AddToCart;
        if changed || !removal {
            self.changed = self.changed.max(step.time);
        } else if self.cart.is_empty() {
            return;
        }
        if self.cart.is_empty() && removal {
            self.removed = self.removed.max(step.time);
        }
        if matches!(step.event.kind, EventKind::Purchase | EventKind::CartUpdate) {
            self.whole = self.whole.max(step.time);
        }
        if self.cart.is_empty() {
            self.end(step, position, before);
        } else if self.episode.is_none() {
            self.episode = Some(Episode {
                id: step.event.id.clone(),
                opened: step.time,
                deadline: step.time + self.rule.wait_ms,
                state: State::Waiting,
                trace: step.trace(),
            });
        } else {
            self.put_off(step, self.rule.wait_ms, changed);
        }
    }

    /// Position of the record that settles an event, if one does.
    fn settled(&self, step: &Step<'_>) -> Option<usize> {
        match step.place {
            Place::Timely(time, _) => self.reached(time),
            Place::Overdue(..) => Some(step.position),
        }
    }

    /// Whether what an overdue event says is already in what was said later: that the cart is empty, or what it holds.
    fn is_outdated(&self, step: &Step<'_>) -> bool {
        let before_opening = self.episode.as_ref().is_some_and(|episode| {
            step.event.kind != EventKind::AddToCart && step.time < episode.opened
        });
        let tells_whole = step.event.kind == EventKind::CartUpdate && !takes_away(step.event);
        before_opening || step.time < self.whole || tells_whole && step.time < self.changed
    }

    /// An overdue event that ended an episode before its deadline takes its FIRE back, within the grace.
    fn take_back(&mut self, step: &Step<'_>, position: usize) {
        let reason = match step.event.kind {
            EventKind::Purchase => TriggerReason::Purchased,
            _ => TriggerReason::CartEmptied,
        };
        let now = self.watermark_at(position - 1);
        let Some(index) = self.fired.iter().position(|fired| {
            let mut cart = fired.cart.clone();
            change(&mut cart, step.event);
            cart.is_empty()
                && step.time >= fired.episode.opened
                && step.time <= fired.episode.deadline
                && now.since(fired.watermark) <= self.journal.times.grace_ms
        }) else {
            return;
        };
        let mut in_hand = self.cart.clone();
        change(&mut in_hand, step.event);
        self.unspecified |= !in_hand.is_empty();
        let mut fired = self.fired.remove(index);
        fired.episode.trace = step.trace().or(fired.episode.trace);
        self.make(
            &fired.episode,
            position,
            TriggerKind::Cancel,
            reason,
            fired.cart,
        );
    }

    /// A refusal takes back, within the grace, what fired although it was in force at the deadline.
    fn refused(&mut self, step: &Step<'_>, position: usize) {
        let now = self.watermark_at(position - 1);
        let grace_ms = self.journal.times.grace_ms;
        let (back, kept) = std::mem::take(&mut self.fired)
            .into_iter()
            .partition(|fired| {
                step.time <= fired.episode.deadline
                    && fired.allowed.is_none_or(|allowed| step.time >= allowed)
                    && now.since(fired.watermark) <= grace_ms
            });
        self.fired = kept;
        let back: Vec<Fired> = back;
        for mut fired in back {
            fired.episode.trace = step.trace().or(fired.episode.trace);
            self.make(
                &fired.episode,
                position,
                TriggerKind::Cancel,
                TriggerReason::NoConsent,
                fired.cart,
            );
        }
    }

    /// The end of the journal: what is due by its watermark falls due.
    fn finish(&mut self) {
        let deadline = self.episode.as_ref().map(|episode| episode.deadline);
        if deadline.is_some_and(|deadline| self.reached(deadline).is_some()) {
            self.fall_due();
        }
    }

    fn waiting(&self) -> Option<Waiting> {
        let episode = self
            .episode
            .as_ref()
            .filter(|episode| episode.state == State::Waiting)?;
        Some(Waiting {
            user: self.user.clone(),
            episode: episode.id.clone(),
            deadline: episode.deadline,
            cart: self.cart.clone(),
        })
    }

    /// Activity moves the deadline, never back; a change of the cart also wakes an episode that was too small.
    fn put_off(&mut self, step: &Step<'_>, leaves_ms: i64, changed: bool) {
        let Some(episode) = &mut self.episode else {
            return;
        };
        let deadline = step.time + leaves_ms;
        let woken = changed && episode.state == State::Small;
        if woken {
            episode.state = State::Waiting;
        }
        if episode.state == State::Waiting {
            if woken || deadline >= episode.deadline {
                episode.trace = step.trace();
            }
            episode.deadline = episode.deadline.max(deadline);
        }
    }

    /// The deadline of the episode is reached.
    fn fall_due(&mut self) {
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        if episode.state == State::Waiting {
            let position = self.reached(episode.deadline).unwrap().max(self.last);
            let fired = self.watermark_at(position);
            let expires = episode.deadline + self.rule.expires_after_ms;
            let choice = self.marketing_at(position, episode.deadline);
            let (state, kind, reason) = if fired > expires {
                (State::Over, TriggerKind::Expired, TriggerReason::Stale)
            } else if choice.is_some_and(|(_, allowed)| !allowed) {
                (
                    State::Over,
                    TriggerKind::Suppressed,
                    TriggerReason::NoConsent,
                )
            } else if value(&self.cart) < self.rule.minimum_value {
                (
                    State::Small,
                    TriggerKind::Suppressed,
                    TriggerReason::BelowMinimumValue,
                )
            } else {
                self.fired.push(Fired {
                    episode: episode.clone(),
                    allowed: choice.map(|(made, _)| made),
                    watermark: fired,
                    cart: self.cart.clone(),
                });
                (State::Over, TriggerKind::Fire, TriggerReason::Inactivity)
            };
            episode.state = state;
            self.make(&episode, position, kind, reason, self.cart.clone());
        }
        self.episode = Some(episode);
    }

    /// The cart was bought or emptied: that ends its episode.
    fn end(&mut self, step: &Step<'_>, position: usize, cart: Vec<LineItem>) {
        let Some(mut episode) = self.episode.take() else {
            return;
        };
        episode.trace = step.trace().or(episode.trace);
        let reason = match step.event.kind {
            EventKind::Purchase => TriggerReason::Purchased,
            _ => TriggerReason::CartEmptied,
        };
        if episode.state == State::Waiting {
            self.make(&episode, position, TriggerKind::Suppressed, reason, cart);
        }
    }

    fn make(
        &mut self,
        episode: &Episode,
        position: usize,
        kind: TriggerKind,
        reason: TriggerReason,
        cart: Vec<LineItem>,
    ) {
        self.made.push(Obligation {
            position,
            kind,
            reason,
            user: self.user.clone(),
            episode: episode.id.clone(),
            deadline: episode.deadline,
            expires: episode.deadline + self.rule.expires_after_ms,
            fired: self.watermark_at(position),
            cart,
            trace: episode.trace,
        });
    }

    /// Position of the first record after which the watermark has reached `time`.
    fn reached(&self, time: Millis) -> Option<usize> {
        let index = self.journal.accepted.iter().position(|accepted| {
            accepted
                .watermark
                .is_some_and(|watermark| watermark >= time)
        })?;
        Some(index + 1)
    }

    /// What the shopper allowed at a deadline, and since when, as far as the log tells up to the position at which it
    /// is reached. Of two choices the later made counts, not the later told; of two of one moment the refusal. An
    /// episode that was opened after its deadline had passed goes by what was known of the time until then.
    fn marketing_at(&self, position: usize, deadline: Millis) -> Option<(Millis, bool)> {
        let until = deadline.max(self.watermark_at(position - 1));
        let known = self.journal.accepted[..position]
            .iter()
            .filter(|accepted| accepted.time <= until)
            .filter_map(|accepted| {
                let event = accepted.event().filter(|event| event.user == self.user)?;
                Some((accepted.time, marketing(event)?))
            });
        known.max_by_key(|(time, allowed)| (*time, !allowed))
    }

    fn watermark_at(&self, position: usize) -> Millis {
        let accepted = position
            .checked_sub(1)
            .and_then(|index| self.journal.accepted.get(index));
        accepted
            .and_then(|accepted| accepted.watermark)
            .unwrap_or(Millis::MIN)
    }
}

/// Whether the event can only take away from a cart: so much is believed however late it comes.
fn takes_away(event: &Event) -> bool {
    match event.kind {
        EventKind::Purchase | EventKind::RemoveFromCart => true,
        EventKind::CartUpdate => event
            .details
            .as_ref()
            .is_none_or(|details| details.lines.is_empty()),
        _ => false,
    }
}

/// What the event says about messages.
fn marketing(event: &Event) -> Option<bool> {
    event.details.as_ref()?.consent.marketing
}

/// Whether a cart or its episode depends on the event.
fn matters(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::AddToCart
            | EventKind::RemoveFromCart
            | EventKind::CartView
            | EventKind::CartUpdate
            | EventKind::CheckoutStart
            | EventKind::Purchase
    )
}

/// What an event does to a cart.
pub(crate) fn change(cart: &mut Vec<LineItem>, event: &Event) {
    match event.kind {
        EventKind::AddToCart => {
            let quantity = event.quantity.max(1);
            if let Some(line) = cart.iter_mut().find(|line| line.item == event.item) {
                line.quantity = line.quantity.saturating_add(quantity);
                line.price = event.price.or(line.price);
            } else {
                cart.push(LineItem {
                    item: event.item.clone(),
                    quantity,
                    price: event.price,
                });
            }
        }
        EventKind::RemoveFromCart => {
            for line in cart.iter_mut().filter(|line| line.item == event.item) {
                let all = event.quantity == 0;
                line.quantity = if all {
                    0
                } else {
                    line.quantity.saturating_sub(event.quantity)
                };
            }
            cart.retain(|line| line.quantity > 0);
        }
        EventKind::CartUpdate => {
            *cart = event
                .details
                .as_ref()
                .map(|details| details.lines.clone())
                .unwrap_or_default();
        }
        EventKind::Purchase => cart.clear(),
        _ => {}
    }
}

/// Sum of the lines whose price is known.
pub(crate) fn value(cart: &[LineItem]) -> Money {
    let mut sum = Money::ZERO;
    for line in cart {
        sum += line.price.unwrap_or(Money::ZERO) * line.quantity;
    }
    sum
}
