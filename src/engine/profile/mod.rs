//! One shopper, as dense as a shop's long tail of visitors asks for.

mod affinity;
mod loyalty;
mod permissions;
mod store;
mod view;

use bytes::{Buf, BufMut};
use thin_vec::ThinVec;

pub(crate) use self::affinity::{Affinities, Subject};
pub(crate) use self::loyalty::{Buyer, Population};
pub(crate) use self::permissions::Permissions;
pub(crate) use self::store::Profiles;
use crate::domain::{Consent, Id, MINUTE_MS, Millis, Money};
use crate::engine::codec::{self, Corrupt};
use crate::engine::triggers::CartState;

/// Items seen last that are kept.
pub(crate) const VIEWED_MAX: usize = 50;
/// Items bought last that are kept.
pub(crate) const PURCHASED_MAX: usize = 50;
/// Items of a session that are kept, repeats included.
pub(crate) const SESSION_ITEMS_MAX: usize = 200;

/// One shopper. Invariants: `viewed` holds an item at most once, newest last; `session` is there while one is open.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) first_seen: Millis,
    pub(crate) last_seen: Millis,
    pub(crate) events: u32,
    pub(crate) sessions: u32,
    /// Sum of the price quantiles of items looked at, and how many there were; decayed with the affinities.
    price_quantiles: f32,
    price_weight: f32,
    /// Where events of this visitor go since `identify`: the number of the user plus one; 0 for nowhere.
    pub(crate) alias: u32,
    /// The snapshot this profile was last part of.
    epoch: u8,
    pub(crate) permissions: Permissions,
    pub(crate) affinities: Affinities,
    pub(crate) viewed: ThinVec<u32>,
    pub(crate) cart: CartState,
    pub(crate) session: Option<Box<Session>>,
    pub(crate) purchases: Option<Box<Purchases>>,
}

/// A visit that may go on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Id,
    pub(crate) started: Millis,
    pub(crate) last_event: Millis,
    pub(crate) events: u32,
    /// Items in the order seen, repeats included, at most [`SESSION_ITEMS_MAX`].
    pub(crate) items: Vec<u32>,
    /// The minute of the latest event that taught, and how many taught in it.
    taught_minute: i64,
    taught: u32,
}

/// What a shopper bought.
#[derive(Debug, Default)]
pub(crate) struct Purchases {
    pub(crate) orders: u32,
    /// Refunds taken off: below zero while a refund has overtaken its order.
    pub(crate) revenue: Money,
    pub(crate) last_order: Millis,
    /// Newest last, each item once.
    pub(crate) items: ThinVec<u32>,
}

impl Profile {
    /// Counts an event and finds its session: the open one, or a new one after `gap_ms` of silence or when the
    /// tracker names another.
    pub(crate) fn touch(&mut self, at: Millis, session_id: &Id, gap_ms: i64) -> Touched {
        if self.events == 0 {
            self.first_seen = at;
            self.last_seen = at;
        }
        self.first_seen = self.first_seen.min(at);
        self.last_seen = self.last_seen.max(at);
        self.events = self.events.saturating_add(1);
        if let Some(session) = self.session.as_mut() {
            let renamed = !session_id.is_empty() && *session_id != session.id;
            if at.since(session.last_event) <= gap_ms && (!renamed || session.id.is_empty()) {
                if renamed {
                    session.id.clone_from(session_id);
                }
                session.events = session.events.saturating_add(1);
                session.last_event = session.last_event.max(at);
                return Touched::Open;
            }
        }
        let watched = self
            .session
            .as_ref()
            .is_some_and(|session| session.last_event <= at);
        self.sessions = self.sessions.saturating_add(1);
        self.session = Some(Box::new(Session {
            id: session_id.clone(),
            started: at,
            last_event: at,
            events: 1,
            items: Vec::new(),
            taught_minute: i64::MIN,
            taught: 0,
        }));
        if watched {
            Touched::Replaced
        } else {
            Touched::Began
        }
    }

    /// The shopper looked at an item.
    pub(crate) fn see(&mut self, item: u32) {
        keep_last(&mut self.viewed, item, VIEWED_MAX);
    }

    /// The shopper dealt with an item of this price quantile within its category.
    pub(crate) fn learn_price(&mut self, quantile: f32) {
        self.price_quantiles += quantile;
        self.price_weight += 1.0;
    }

    /// Mean price quantile, 0 to 1, of what the shopper looks at.
    pub(crate) fn price_quantile(&self) -> Option<f32> {
        (self.price_weight > 0.0).then(|| self.price_quantiles / self.price_weight)
    }

    pub(crate) fn purchases_mut(&mut self) -> &mut Purchases {
        self.purchases.get_or_insert_default()
    }

    /// What the shopper allows now.
    pub(crate) fn consent(&self) -> Consent {
        self.permissions.consent()
    }

    /// Ends the open session, and gives back what an idle shopper has no use for.
    pub(crate) fn rest(&mut self) {
        self.session = None;
        self.viewed.shrink_to_fit();
        self.affinities.shrink_to_fit();
        if let Some(purchases) = &mut self.purchases {
            purchases.items.shrink_to_fit();
        }
    }

    /// Takes over what was learned about an anonymous visitor who turns out to be this shopper. Carts and sessions
    /// are not its business.
    pub(crate) fn absorb(&mut self, other: &Self) {
        if other.events == 0 {
            return;
        }
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.events = self.events.saturating_add(other.events);
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.price_quantiles += other.price_quantiles;
        self.price_weight += other.price_weight;
        self.affinities.absorb(&other.affinities);
        let own: ThinVec<u32> = std::mem::take(&mut self.viewed);
        for &item in other.viewed.iter().chain(&own) {
            self.see(item);
        }
        if let Some(theirs) = &other.purchases {
            self.purchases_mut().absorb(theirs);
        }
        if self.permissions.is_empty() {
            self.permissions = other.permissions.clone();
        }
    }

    /// Sends later events of this visitor to `user`, and gives away what was learned about the visitor.
    pub(crate) fn leave_to(&mut self, user: u32) -> Self {
        let left = Self {
            alias: user + 1,
            epoch: self.epoch,
            cart: std::mem::take(&mut self.cart),
            ..Self::default()
        };
        let mut given = std::mem::replace(self, left);
        self.first_seen = given.first_seen;
        self.last_seen = given.last_seen;
        self.session = given.session.take();
        given
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        const THIN_HEADER: usize = 16;
        let thin = |capacity: usize, each: usize| {
            if capacity == 0 {
                0
            } else {
                THIN_HEADER + capacity * each
            }
        };
        self.permissions.heap_bytes()
            + self.affinities.heap_bytes()
            + thin(self.viewed.capacity(), 4)
            + self.cart.heap_bytes()
            + self.session.as_ref().map_or(0, |session| {
                size_of::<Session>() + session.items.capacity() * 4
            })
            + self.purchases.as_ref().map_or(0, |purchases| {
                size_of::<Purchases>() + thin(purchases.items.capacity(), 4)
            })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_millis(out, self.first_seen);
        codec::put_millis(out, self.last_seen);
        out.put_u32_le(self.events);
        out.put_u32_le(self.sessions);
        out.put_f32_le(self.price_quantiles);
        out.put_f32_le(self.price_weight);
        out.put_u32_le(self.alias);
        self.affinities.encode(out);
        codec::put_ids(out, &self.viewed);
        self.cart.encode(out);
        out.put_u8(
            u8::from(self.session.is_some())
                | u8::from(self.purchases.is_some()) << 1
                | u8::from(!self.permissions.is_empty()) << 2,
        );
        if let Some(session) = &self.session {
            session.encode(out);
        }
        if let Some(purchases) = &self.purchases {
            purchases.encode(out);
        }
        self.permissions.encode(out);
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut profile = Self {
            first_seen: codec::get_millis(input)?,
            last_seen: codec::get_millis(input)?,
            events: input.try_get_u32_le()?,
            sessions: input.try_get_u32_le()?,
            price_quantiles: input.try_get_f32_le()?,
            price_weight: input.try_get_f32_le()?,
            alias: input.try_get_u32_le()?,
            epoch: 0,
            permissions: Permissions::default(),
            affinities: Affinities::decode(input)?,
            viewed: codec::get_ids(input)?,
            cart: CartState::decode(input)?,
            session: None,
            purchases: None,
        };
        let parts = input.try_get_u8()?;
        if parts & 1 != 0 {
            profile.session = Some(Box::new(Session::decode(input)?));
        }
        if parts & 2 != 0 {
            profile.purchases = Some(Box::new(Purchases::decode(input)?));
        }
        if parts & 4 != 0 {
            profile.permissions = Permissions::decode(input)?;
        }
        Ok(profile)
    }
}

/// What became of the session an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// It went on.
    Open,
    /// It began, and nobody watches for its end: none was open, or one that ends later.
    Began,
    /// It began in the place of another that was still open, whose watch will do.
    Replaced,
}

impl Session {
    /// Adds an item; the oldest give way.
    pub(crate) fn push(&mut self, item: u32) {
        if self.items.len() >= SESSION_ITEMS_MAX {
            self.items.remove(0);
        }
        self.items.push(item);
    }

    /// Whether one more event at `at` may teach co-occurrence: at most `limit` a minute, so that a bot teaches little.
    pub(crate) fn may_teach(&mut self, at: Millis, limit: u32) -> bool {
        let minute = at.0.div_euclid(MINUTE_MS);
        if minute > self.taught_minute {
            self.taught_minute = minute;
            self.taught = 0;
        }
        self.taught = self.taught.saturating_add(1);
        self.taught <= limit
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_id(out, &self.id);
        codec::put_millis(out, self.started);
        codec::put_millis(out, self.last_event);
        out.put_u32_le(self.events);
        codec::put_ids(out, &self.items);
        out.put_i64_le(self.taught_minute);
        out.put_u32_le(self.taught);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            id: codec::get_id(input)?,
            started: codec::get_millis(input)?,
            last_event: codec::get_millis(input)?,
            events: input.try_get_u32_le()?,
            items: codec::get_ids(input)?,
            taught_minute: input.try_get_i64_le()?,
            taught: input.try_get_u32_le()?,
        })
    }
}

impl Purchases {
    /// Adds an order.
    pub(crate) fn buy(&mut self, items: &[u32], revenue: Money, at: Millis) {
        self.last_order = if self.orders == 0 {
            at
        } else {
            self.last_order.max(at)
        };
        self.orders = self.orders.saturating_add(1);
        self.revenue += revenue;
        for &item in items {
            keep_last(&mut self.items, item, PURCHASED_MAX);
        }
    }

    /// Takes a refund off.
    pub(crate) fn refund(&mut self, amount: Money) {
        self.revenue -= amount;
    }

    fn absorb(&mut self, other: &Self) {
        self.last_order = if self.orders == 0 {
            other.last_order
        } else {
            self.last_order.max(other.last_order)
        };
        self.orders = self.orders.saturating_add(other.orders);
        self.revenue += other.revenue;
        let own: ThinVec<u32> = std::mem::take(&mut self.items);
        for &item in other.items.iter().chain(&own) {
            keep_last(&mut self.items, item, PURCHASED_MAX);
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.orders);
        out.put_i64_le(self.revenue.0);
        codec::put_millis(out, self.last_order);
        codec::put_ids(out, &self.items);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self {
            orders: input.try_get_u32_le()?,
            revenue: Money(input.try_get_i64_le()?),
            last_order: codec::get_millis(input)?,
            items: codec::get_ids(input)?,
        })
    }
}

/// Moves `item` to the end of a list that holds each item once; the oldest gives way. Lists grow by a quarter, since
/// most of them stay short and there is one for every visitor.
fn keep_last(list: &mut ThinVec<u32>, item: u32, max: usize) {
    if let Some(place) = list.iter().rposition(|&kept| kept == item) {
        list.remove(place);
    } else if list.len() >= max {
        list.remove(0);
    }
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 2);
    }
    list.push(item);
}

#[cfg(test)]
mod tests {
    use super::{Profile, Touched, VIEWED_MAX};
    use crate::domain::{Consent, Id, MINUTE_MS, Millis, Money};

    const GAP_MS: i64 = 30 * MINUTE_MS;

    #[test]
    fn silence_or_another_name_ends_a_session() {
        let mut profile = Profile::default();
        let none = Id::default();
        assert_eq!(profile.touch(Millis(0), &none, GAP_MS), Touched::Began);
        assert_eq!(profile.touch(Millis(GAP_MS), &none, GAP_MS), Touched::Open);
        let named = Id::from("s-1");
        assert_eq!(
            profile.touch(Millis(GAP_MS + 1), &named, GAP_MS),
            Touched::Open
        );
        assert_eq!(
            profile.touch(Millis(GAP_MS + 2), &Id::from("s-2"), GAP_MS),
            Touched::Replaced
        );
        assert_eq!(
            profile.touch(Millis(3 * GAP_MS), &none, GAP_MS),
            Touched::Replaced
        );
        assert_eq!((profile.events, profile.sessions), (5, 3));
    }

    #[test]
    fn seen_items_stand_once_newest_last() {
        let mut profile = Profile::default();
        for item in [1, 2, 1, 3] {
            profile.see(item);
        }
        assert_eq!(profile.viewed.as_slice(), [2, 1, 3]);
        (100..200).for_each(|item| profile.see(item));
        assert_eq!(profile.viewed.len(), VIEWED_MAX);
    }

    #[test]
    fn a_refund_may_come_before_its_order() {
        let revenue = |refund_first: bool| {
            let mut profile = Profile::default();
            let purchases = profile.purchases_mut();
            if refund_first {
                purchases.refund(Money(5));
            }
            purchases.buy(&[3], Money(7), Millis(5));
            if !refund_first {
                purchases.refund(Money(5));
            }
            profile.buyer().revenue
        };
        assert_eq!((revenue(true), revenue(false)), (Money(2), Money(2)));
        let mut profile = Profile::default();
        profile.purchases_mut().refund(Money(5));
        assert_eq!(profile.buyer().revenue, Money::ZERO);
    }

    #[test]
    fn a_profile_comes_back_from_its_bytes() {
        let mut profile = Profile::default();
        profile.touch(Millis(5), &Id::from("s"), GAP_MS);
        profile.see(3);
        profile.purchases_mut().buy(&[3, 4], Money(7), Millis(5));
        profile.learn_price(0.5);
        let no = Consent {
            personalization: Some(false),
            marketing: None,
        };
        profile.permissions.learn(no, Millis(5), Millis(0));
        let mut bytes = Vec::new();
        profile.encode(&mut bytes);
        let mut input = bytes.as_slice();
        let mut again = Vec::new();
        Profile::decode(&mut input).unwrap().encode(&mut again);
        assert!(input.is_empty());
        assert_eq!(bytes, again);
    }
}
