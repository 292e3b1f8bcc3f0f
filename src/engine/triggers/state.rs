//! The part of a shopper's profile that belongs to the triggers.

use bytes::{Buf, BufMut, TryGetError};
use thin_vec::ThinVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{CartView, Id, Millis, Traceparent};

use super::Names;
use super::cart::{Cart, CartEvent, Effect, Line};
use super::codec;
use super::episode::{Episode, Fired, Phase};
use super::rule::CartAbandonment;

/// A shopper's cart and what waits for the watermark; 8 bytes while there is neither.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CartState(Option<Box<Shopping>>);

/// What there is to know about a shopper with a cart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shopping {
    /// The cart as of the watermark.
    pub(super) cart: Cart,
    /// Events that the watermark has not reached, in the order of (time, key).
    pub(super) pending: ThinVec<CartEvent>,
    /// Episodes that can still be taken back, in the order of firing.
    pub(super) fired: ThinVec<Fired>,
    /// Hashes of the ids of episodes that have fired, oldest first.
    pub(super) fired_before: ThinVec<u64>,
    /// The deadline under which readers find the shopper, [`Millis::MIN`] if they do not; follows from the rest, so it
    /// is in no snapshot.
    pub(super) listed: Millis,
}

impl Default for Shopping {
    fn default() -> Self {
        Self {
            cart: Cart::default(),
            pending: ThinVec::new(),
            fired: ThinVec::new(),
            fired_before: ThinVec::new(),
            listed: Millis::MIN,
        }
    }
}

impl CartState {
    /// Whether nothing is known: no cart, nothing that waits, nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether an episode is open or an event waits: such a shopper's profile must stay in memory.
    pub fn is_busy(&self) -> bool {
        self.0.as_ref().is_some_and(|shopping| {
            shopping.listed > Millis::MIN
                || !shopping.pending.is_empty()
                || !shopping.fired.is_empty()
                || shopping.cart.episode.as_ref().is_some_and(Episode::waits)
        })
    }

    /// Lines in the cart, oldest first, with everything that has arrived.
    pub fn lines(&self) -> Vec<Line> {
        self.0
            .as_ref()
            .map_or_else(Vec::new, |shopping| shopping.projected(None).contents.lines)
    }

    /// The cart as readers see it, with everything that has arrived.
    pub fn view(&self, names: &impl Names) -> CartView {
        self.0.as_ref().map_or_else(CartView::default, |shopping| {
            shopping.projected(None).contents.view(names)
        })
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |shopping| {
            size_of::<Shopping>()
                + shopping.cart.contents.lines.capacity() * size_of::<Line>()
                + thin_bytes(&shopping.pending)
                + thin_bytes(&shopping.fired)
                + thin_bytes(&shopping.fired_before)
                + shopping.traced() * size_of::<Traceparent>()
        })
    }

    /// Writes the state so that [`CartState::decode`] gives it back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.0.is_some()));
        if let Some(shopping) = &self.0 {
            codec::put_shopping(out, shopping);
        }
    }

    /// Reads what [`CartState::encode`] wrote.
    ///
    /// # Errors
    ///
    /// If `input` ends too early or holds what no state holds.
    pub fn decode(input: &mut &[u8]) -> Result<Self, TryGetError> {
        if input.try_get_u8()? == 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some(Box::new(codec::get_shopping(input)?))))
    }

    pub(super) fn shopping(&mut self) -> Option<&mut Shopping> {
        self.0.as_deref_mut()
    }

    pub(super) fn shopping_or_new(&mut self) -> &mut Shopping {
        self.0.get_or_insert_default()
    }

    /// Forgets everything but where readers find the shopper, which [`CartState::relist`] puts right.
    pub(super) fn clear(&mut self) {
        if let Some(shopping) = self.shopping() {
            *shopping = Shopping {
                listed: shopping.listed,
                ..Shopping::default()
            };
        }
    }

    /// When something is to be done for this shopper: an event takes effect, an episode fires, or what was kept for
    /// late events can go.
    pub(super) fn due(&self, grace_ms: i64) -> Option<Millis> {
        self.0.as_ref().and_then(|shopping| shopping.due(grace_ms))
    }

    /// Gives the memory back if there is nothing left to remember.
    pub(super) fn release(&mut self) {
        if self.0.as_ref().is_some_and(|shopping| shopping.is_blank()) {
            self.0 = None;
        }
    }

    /// The open episode with its cart, with everything that has arrived.
    pub(super) fn open_episode(
        &self,
        rule: &CartAbandonment,
        names: &impl Names,
    ) -> Option<(Episode, CartView)> {
        let cart = self.0.as_ref()?.projected(Some(rule));
        let episode = cart.episode.filter(Episode::waits)?;
        Some((episode, cart.contents.view(names)))
    }

    /// Finds the deadline under which readers are to find the shopper; the old and the new one if they differ.
    pub(super) fn relist(
        &mut self,
        rule: Option<&CartAbandonment>,
    ) -> Option<(Option<Millis>, Option<Millis>)> {
        let shopping = self.0.as_mut()?;
        let after = rule.and_then(|rule| shopping.projected_deadline(rule));
        let before = std::mem::replace(&mut shopping.listed, after.unwrap_or(Millis::MIN));
        let before = (before > Millis::MIN).then_some(before);
        (before != after).then_some((before, after))
    }
}

impl Shopping {
    /// How many traces are remembered.
    fn traced(&self) -> usize {
        let episode = self.cart.episode.as_ref();
        let waiting = episode.and_then(|episode| episode.trace.as_ref());
        let pending = self.pending.iter().filter_map(|event| event.trace.as_ref());
        let fired = self.fired.iter().filter_map(|fired| fired.trace.as_ref());
        pending.chain(fired).chain(waiting).count()
    }

    fn is_blank(&self) -> bool {
        self.nothing_but_replaced() && self.cart.replaced == Millis::MIN
    }

    /// Whether all that is left is the memory of when the cart was bought.
    pub(super) fn nothing_but_replaced(&self) -> bool {
        self.cart.contents.lines.is_empty()
            && self.pending.is_empty()
            && self.fired.is_empty()
            && self.fired_before.is_empty()
    }

    fn due(&self, grace_ms: i64) -> Option<Millis> {
        let event = self.pending.first().map(|event| event.at);
        let deadline = waiting_deadline(&self.cart);
        let unfire = self
            .fired
            .first()
            .map(|fired| fired.watermark + grace_ms + 1);
        let forget = (self.nothing_but_replaced() && self.cart.replaced > Millis::MIN)
            .then(|| self.cart.replaced + grace_ms + 1);
        [event, deadline, unfire, forget]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets an event take effect on `cart`, a cart of this shopper.
    pub(super) fn apply(
        fired_before: &[u64],
        cart: &mut Cart,
        event: &CartEvent,
        rule: Option<&CartAbandonment>,
        lines_max: usize,
    ) -> Effect {
        let mut effect = cart.apply(event, rule, lines_max);
        if effect.opened
            && fired_before.contains(&episode_hash(&event.id))
            && let Some(episode) = &mut cart.episode
        {
            episode.phase = Phase::Over;
            episode.trace = None;
            effect.repeated = true;
        }
        effect
    }

    /// Gives back what an idle shopper has no use for.
    pub(super) fn compact(&mut self) {
        if self.pending.is_empty() {
            self.pending = ThinVec::new();
        }
        if self.fired.is_empty() {
            self.fired = ThinVec::new();
            self.fired_before.shrink_to_fit();
            self.cart.contents.lines.shrink_to_fit();
        }
    }

    /// The cart with everything that has arrived.
    fn projected(&self, rule: Option<&CartAbandonment>) -> Cart {
        let mut cart = self.cart.clone();
        for event in &self.pending {
            Self::apply(&self.fired_before, &mut cart, event, rule, usize::MAX);
        }
        cart
    }

    fn projected_deadline(&self, rule: &CartAbandonment) -> Option<Millis> {
        if self.pending.is_empty() {
            return waiting_deadline(&self.cart);
        }
        waiting_deadline(&self.projected(Some(rule)))
    }
}

/// Bytes of a list on the heap.
fn thin_bytes<T>(list: &ThinVec<T>) -> usize {
    const HEADER: usize = 16;
    match list.capacity() {
        0 => 0,
        capacity => HEADER + capacity * size_of::<T>(),
    }
}

/// What is kept of an episode that has fired.
pub(super) fn episode_hash(id: &Id) -> u64 {
    xxh3_64(id.as_bytes())
}

fn waiting_deadline(cart: &Cart) -> Option<Millis> {
    let episode = cart.episode.as_ref()?;
    episode.waits().then_some(episode.deadline)
}

#[cfg(test)]
mod tests {
    use super::{CartState, Fired};
    use crate::domain::{Id, Millis, Money, Traceparent};
    use crate::engine::triggers::{CartEvent, CartOp, Line};

    fn trace() -> Traceparent {
        Traceparent {
            trace_id: [7; 16],
            span_id: [8; 8],
            flags: 9,
        }
    }

    /// A state with something in every place.
    fn full() -> CartState {
        let line = Line {
            item: 7,
            quantity: 2,
            price: Some(Money(5)),
        };
        let ops = [
            CartOp::Add(line),
            CartOp::Remove {
                item: 7,
                quantity: 1,
            },
            CartOp::Update(vec![
                line,
                Line {
                    item: 8,
                    quantity: 1,
                    price: None,
                },
            ]),
            CartOp::Purchase,
            CartOp::View,
            CartOp::CheckoutStart,
        ];
        let mut state = CartState::default();
        let shopping = state.shopping_or_new();
        for (key, op) in (0..).zip(ops) {
            let at = Millis(10);
            let currency = Id::from("EUR");
            shopping.pending.push(CartEvent {
                at,
                key,
                id: Id::from("e1"),
                currency,
                op,
                trace: (key % 2 == 0).then(|| Box::new(trace())),
            });
        }
        let rule = crate::engine::triggers::CartAbandonment::default();
        shopping
            .cart
            .apply(&shopping.pending[2].clone(), Some(&rule), 9);
        shopping.fired.push(Fired {
            id: Id::from("e0"),
            opened: Millis(1),
            deadline: Millis(2),
            allowed: Millis::MIN,
            watermark: Millis(3),
            contents: shopping.cart.contents.clone(),
            trace: Some(Box::new(trace())),
        });
        shopping.fired_before = [u64::MAX, 3].into_iter().collect();
        state
    }

    #[test]
    fn what_is_written_is_read_again() {
        for state in [CartState::default(), full()] {
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            let mut input = bytes.as_slice();
            assert_eq!(CartState::decode(&mut input).as_ref(), Ok(&state));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn bytes_that_are_no_state_are_refused() {
        let mut bytes = Vec::new();
        full().encode(&mut bytes);
        for len in 0..bytes.len() {
            assert!(CartState::decode(&mut &bytes[..len]).is_err(), "{len}");
        }
        for place in 0..bytes.len() {
            for value in [0, 1, 4, 255] {
                let mut bytes = bytes.clone();
                bytes[place] = value;
                // Either answer will do, as long as there is one.
                if let Ok(state) = CartState::decode(&mut bytes.as_slice()) {
                    assert!(state.heap_bytes() < 1 << 16);
                }
            }
        }
    }
}
