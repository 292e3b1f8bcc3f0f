//! What is in a cart, and the episode that goes with it.
//!
//! An addition adds; a removal takes away; an update replaces the whole cart; a purchase empties it, whatever was
//! bought, because an order closes its cart. The first line in an empty cart opens an episode, and the cart's becoming
//! empty ends it.

use crate::domain::{
    CartView, Event, EventKind, Id, LineItem, Millis, Money, Traceparent, TriggerReason,
};

use super::Names;
use super::episode::{Episode, Phase};
use super::rule::CartAbandonment;

/// One line of a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The item's dense number.
    pub item: u32,
    /// How many, at least 1.
    pub quantity: u32,
    /// Price of one, if known.
    pub price: Option<Money>,
}

/// What a cart event does.
#[derive(Clone, Debug, PartialEq)]
pub enum CartOp {
    /// Puts an item into the cart; a known price replaces the line's.
    Add(Line),
    /// Takes an item out.
    Remove {
        /// The item's dense number.
        item: u32,
        /// How many; 0 for all.
        quantity: u32,
    },
    /// Says what the whole cart is; no item twice.
    Update(Vec<Line>),
    /// Closes the cart.
    Purchase,
    /// The cart was looked at.
    View,
    /// The checkout was entered.
    CheckoutStart,
}

impl CartOp {
    /// The kind of event that does it.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Add(_) => EventKind::AddToCart,
            Self::Remove { .. } => EventKind::RemoveFromCart,
            Self::Update(_) => EventKind::CartUpdate,
            Self::Purchase => EventKind::Purchase,
            Self::View => EventKind::CartView,
            Self::CheckoutStart => EventKind::CheckoutStart,
        }
    }

    /// Whether the cart is empty afterwards, whatever was in it.
    pub(super) fn closes_cart(&self) -> bool {
        match self {
            Self::Purchase => true,
            Self::Update(lines) => lines.is_empty(),
            Self::Add(_) | Self::Remove { .. } | Self::View | Self::CheckoutStart => false,
        }
    }

    /// Whether a cart with these contents is empty afterwards.
    pub(super) fn empties(&self, contents: &Contents) -> bool {
        let Self::Remove { item, quantity } = self else {
            return self.closes_cart();
        };
        matches!(
            contents.lines.as_slice(),
            [line] if line.item == *item && (*quantity == 0 || *quantity >= line.quantity)
        )
    }

    /// Joins lines of one item and cuts off what no cart holds; returns how many lines that were.
    pub(super) fn limit_lines(&mut self, lines_max: usize) -> u64 {
        let Self::Update(lines) = self else { return 0 };
        let mut cart = Cart::default();
        let refused = lines.iter().map(|line| cart.add(*line, lines_max)).sum();
        *lines = cart.contents.lines;
        refused
    }
}

/// An event that concerns a cart.
#[derive(Clone, Debug, PartialEq)]
pub struct CartEvent {
    /// Event time.
    pub at: Millis,
    /// Orders events of one time: the hash of the event's identity.
    pub key: u64,
    /// Id of the event; if it is empty, `key` in hexadecimal digits takes its place.
    pub id: Id,
    /// Currency of the prices; empty if not given.
    pub currency: Id,
    /// What it does.
    pub op: CartOp,
    /// The trace it belongs to; few have one.
    pub trace: Option<Box<Traceparent>>,
}

impl CartEvent {
    /// The cart's part of an event; `None` if it has none. `at` and `key` are what the quality gates found, `item`
    /// gives an item its dense number.
    pub fn new(
        event: &Event,
        at: Millis,
        key: u64,
        mut item: impl FnMut(&Id) -> u32,
    ) -> Option<Self> {
        let details = event.details.as_deref();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other kinds have nothing to do with carts"
        )]
        let op = match event.kind {
            EventKind::AddToCart => CartOp::Add(Line {
                item: item(&event.item),
                quantity: event.quantity.max(1),
                price: event.price,
            }),
            EventKind::RemoveFromCart => CartOp::Remove {
                item: item(&event.item),
                quantity: event.quantity,
            },
            EventKind::CartUpdate => CartOp::Update(
                details
                    .map_or(&[] as &[LineItem], |details| &details.lines)
                    .iter()
                    .map(|line| Line {
                        item: item(&line.item),
                        quantity: line.quantity.max(1),
                        price: line.price,
                    })
                    .collect(),
            ),
            EventKind::Purchase => CartOp::Purchase,
            EventKind::CartView => CartOp::View,
            EventKind::CheckoutStart => CartOp::CheckoutStart,
            _ => return None,
        };
        Some(Self {
            at,
            key,
            id: event.id.clone(),
            currency: details.map_or_else(Id::default, |details| details.currency.clone()),
            op,
            trace: event.traceparent().map(Box::new),
        })
    }
}

/// What is in a cart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contents {
    /// Oldest first, no item twice.
    pub(super) lines: Vec<Line>,
    pub(super) currency: Id,
    /// When the lines last changed.
    pub(super) updated: Millis,
}

impl Contents {
    /// Sum of the lines whose price is known.
    pub(super) fn value(&self) -> Money {
        self.lines
            .iter()
            .filter_map(|line| Some(line.price? * line.quantity))
            .fold(Money::ZERO, |sum, amount| sum + amount)
    }

    /// The cart with the shop's names.
    pub(super) fn view(self, names: &impl Names) -> CartView {
        CartView {
            value: self.value(),
            updated: (!self.lines.is_empty()).then_some(self.updated),
            currency: self.currency,
            lines: self
                .lines
                .into_iter()
                .map(|line| LineItem {
                    item: names.item_id(line.item),
                    quantity: line.quantity,
                    price: line.price,
                })
                .collect(),
        }
    }
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            currency: Id::default(),
            updated: Millis::MIN,
        }
    }
}

/// A cart as of some event time.
///
/// Invariant: under a rule, there is an episode exactly while there are lines.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cart {
    pub(super) contents: Contents,
    /// When the cart was last bought or said to be something whole: what was added earlier is part of that.
    pub(super) replaced: Millis,
    pub(super) episode: Option<Episode>,
}

impl Default for Cart {
    fn default() -> Self {
        Self {
            contents: Contents::default(),
            replaced: Millis::MIN,
            episode: None,
        }
    }
}

/// A cart that became empty.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) episode: Option<Episode>,
    pub(super) reason: TriggerReason,
    /// What was in it last.
    pub(super) contents: Contents,
}

/// What becomes of an event beside the new cart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Effect {
    /// The cart became empty.
    pub(super) ended: Option<Ended>,
    /// An episode was opened.
    pub(super) opened: bool,
    /// That episode will not fire: one of its id has.
    pub(super) repeated: bool,
    /// Lines that did not fit.
    pub(super) lines_refused: u64,
}

impl Cart {
    /// Lets an event take effect.
    pub(super) fn apply(
        &mut self,
        event: &CartEvent,
        rule: Option<&CartAbandonment>,
        lines_max: usize,
    ) -> Effect {
        let mut effect = Effect::default();
        match &event.op {
            CartOp::Add(line) => {
                let was_empty = self.contents.lines.is_empty();
                effect.lines_refused = self.add(*line, lines_max);
                effect.opened = self.changed(event, rule, was_empty);
            }
            CartOp::Remove { item, quantity } => {
                effect.ended = self.remove(event, *item, *quantity, rule);
            }
            CartOp::Update(lines) if lines.is_empty() => {
                self.replaced = self.replaced.max(event.at);
                effect.ended = self.end(event.at, TriggerReason::CartEmptied);
            }
            CartOp::Update(lines) => {
                let was_empty = self.contents.lines.is_empty();
                self.replaced = self.replaced.max(event.at);
                if self.contents.lines == *lines {
                    self.touch(event, rule);
                    return effect;
                }
                self.contents.lines.clone_from(lines);
                effect.opened = self.changed(event, rule, was_empty);
            }
            CartOp::Purchase => {
                self.replaced = self.replaced.max(event.at);
                effect.ended = self.end(event.at, TriggerReason::Purchased);
            }
            CartOp::View | CartOp::CheckoutStart => self.touch(event, rule),
        }
        effect
    }

    /// A sign of life, if the rule takes it for one.
    pub(super) fn touch(&mut self, event: &CartEvent, rule: Option<&CartAbandonment>) {
        if let (Some(rule), Some(episode)) = (rule, &mut self.episode)
            && let Some(leaves_ms) = rule.leaves_ms(event.op.kind())
        {
            episode.touch(event, leaves_ms);
        }
    }

    /// Puts a line in; returns how many lines did not fit.
    fn add(&mut self, line: Line, lines_max: usize) -> u64 {
        if let Some(known) = self
            .contents
            .lines
            .iter_mut()
            .find(|known| known.item == line.item)
        {
            known.quantity = known.quantity.saturating_add(line.quantity);
            known.price = line.price.or(known.price);
            return 0;
        }
        if self.contents.lines.len() >= lines_max {
            return 1;
        }
        self.contents.lines.push(line);
        0
    }

    fn remove(
        &mut self,
        event: &CartEvent,
        item: u32,
        quantity: u32,
        rule: Option<&CartAbandonment>,
    ) -> Option<Ended> {
        let place = self
            .contents
            .lines
            .iter()
            .position(|line| line.item == item);
        let Some(line) = place.and_then(|place| self.contents.lines.get_mut(place)) else {
            self.touch(event, rule);
            return None;
        };
        if quantity > 0 && quantity < line.quantity {
            line.quantity -= quantity;
        } else if self.contents.lines.len() == 1 {
            return self.end(event.at, TriggerReason::CartEmptied);
        } else {
            self.contents.lines.retain(|line| line.item != item);
        }
        self.changed(event, rule, false);
        None
    }

    /// Follows up on new lines in the cart; returns whether an episode was opened.
    fn changed(
        &mut self,
        event: &CartEvent,
        rule: Option<&CartAbandonment>,
        was_empty: bool,
    ) -> bool {
        self.contents.updated = self.contents.updated.max(event.at);
        if !event.currency.is_empty() {
            self.contents.currency.clone_from(&event.currency);
        }
        let Some(rule) = rule else { return false };
        if was_empty {
            self.episode = Some(Episode {
                id: event.id.clone(),
                opened: event.at,
                deadline: event.at + rule.wait_ms,
                phase: Phase::Waiting,
                trace: event.trace.clone(),
            });
            return true;
        }
        self.touch(event, Some(rule));
        if let Some(episode) = &mut self.episode {
            episode.rearm(event, rule.wait_ms);
        }
        false
    }

    fn end(&mut self, at: Millis, reason: TriggerReason) -> Option<Ended> {
        if self.contents.lines.is_empty() {
            return None;
        }
        let ended = Ended {
            episode: self.episode.take(),
            reason,
            contents: std::mem::take(&mut self.contents),
        };
        self.contents.updated = ended.contents.updated.max(at);
        Some(ended)
    }
}
