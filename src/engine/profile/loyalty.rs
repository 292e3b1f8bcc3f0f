//! Loyalty from recency, frequency and monetary value, each relative to the shop's other buyers (RFM analysis).

use bytes::{Buf, BufMut};

use crate::domain::{DAY_MS, Millis, Money};
use crate::engine::codec::Corrupt;
use crate::engine::math;

const BUCKETS: usize = 64;
/// Half-life of the recency part.
const RECENCY_HALF_LIFE_MS: f64 = 90.0 * DAY_MS as f64;
const RECENCY_SHARE: f64 = 0.35;
const FREQUENCY_SHARE: f64 = 0.35;
const MONETARY_SHARE: f64 = 0.30;
/// The most that visits without an order can reach.
const BROWSER_SHARE: f64 = 0.1;

/// How the shop's buyers are spread over numbers of orders and over revenue.
#[derive(Clone, Debug)]
pub(crate) struct Population {
    orders: [u64; BUCKETS],
    revenue: [u64; BUCKETS],
}

impl Default for Population {
    fn default() -> Self {
        Self {
            orders: [0; BUCKETS],
            revenue: [0; BUCKETS],
        }
    }
}

/// What loyalty is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buyer {
    pub(crate) orders: u32,
    pub(crate) revenue: Money,
}

impl Population {
    /// A shopper moved from `before` to `after`.
    pub(crate) fn update(&mut self, before: Buyer, after: Buyer) {
        if before.orders > 0 {
            bump(&mut self.orders, orders_bucket(before), false);
            bump(&mut self.revenue, revenue_bucket(before), false);
        }
        if after.orders > 0 {
            bump(&mut self.orders, orders_bucket(after), true);
            bump(&mut self.revenue, revenue_bucket(after), true);
        }
    }

    /// 0 to 100. Without an order only the visits count, up to 10.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 100"
    )]
    pub(crate) fn loyalty(&self, buyer: Buyer, sessions: u32, idle_ms: i64) -> u32 {
        let recency = math::exp2(-(idle_ms.max(0) as f64) / RECENCY_HALF_LIFE_MS);
        let score = if buyer.orders == 0 {
            BROWSER_SHARE * recency * (f64::from(sessions) / 10.0).min(1.0)
        } else {
            RECENCY_SHARE * recency
                + FREQUENCY_SHARE * quantile(&self.orders, orders_bucket(buyer))
                + MONETARY_SHARE * quantile(&self.revenue, revenue_bucket(buyer))
        };
        (score * 100.0).round() as u32
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for &count in self.orders.iter().chain(&self.revenue) {
            out.put_u64_le(count);
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut population = Self::default();
        for count in population.orders.iter_mut().chain(&mut population.revenue) {
            *count = input.try_get_u64_le()?;
        }
        Ok(population)
    }
}

/// The time that recency is counted from.
pub(crate) fn last_act(last_order: Option<Millis>, last_seen: Millis) -> Millis {
    last_order.unwrap_or(last_seen)
}

fn orders_bucket(buyer: Buyer) -> usize {
    (buyer.orders as usize).min(BUCKETS - 1)
}

/// Two buckets an octave, from one currency unit up.
fn revenue_bucket(buyer: Buyer) -> usize {
    let units = u64::try_from(buyer.revenue.0 / 1_000_000)
        .unwrap_or(0)
        .max(1);
    let octave = units.ilog2() as usize;
    let upper_half = units >= (1_u64 << octave) + (1_u64 << octave) / 2;
    (2 * octave + usize::from(upper_half)).min(BUCKETS - 1)
}

fn bump(counts: &mut [u64; BUCKETS], bucket: usize, up: bool) {
    if let Some(count) = counts.get_mut(bucket) {
        *count = if up {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
    }
}

/// Share of buyers below the bucket, plus half of those in it.
fn quantile(counts: &[u64; BUCKETS], bucket: usize) -> f64 {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let below: u64 = counts.iter().take(bucket).sum();
    let within = counts.get(bucket).copied().unwrap_or(0);
    (below as f64 + within as f64 / 2.0) / total as f64
}

#[cfg(test)]
mod tests {
    use super::{Buyer, Population};
    use crate::domain::{DAY_MS, Money};

    fn buyer(orders: u32, units: i64) -> Buyer {
        Buyer {
            orders,
            revenue: Money(units * 1_000_000),
        }
    }

    #[test]
    fn the_better_buyer_scores_higher_and_fades() {
        let mut population = Population::default();
        for n in 1..=10 {
            population.update(Buyer::default(), buyer(n, i64::from(n) * 50));
        }
        let score = |b, idle_days| population.loyalty(b, 20, idle_days * DAY_MS);
        assert!(score(buyer(9, 450), 0) > score(buyer(2, 100), 0));
        assert!(score(buyer(9, 450), 0) > score(buyer(9, 450), 200));
        assert!((80..=100).contains(&score(buyer(10, 500), 0)));
        assert_eq!(score(Buyer::default(), 0), 10);
    }

    #[test]
    fn moving_a_buyer_leaves_no_trace() {
        let mut moved = Population::default();
        moved.update(Buyer::default(), buyer(1, 10));
        moved.update(buyer(1, 10), buyer(2, 700));
        let mut direct = Population::default();
        direct.update(Buyer::default(), buyer(2, 700));
        assert_eq!(moved.orders, direct.orders);
        assert_eq!(moved.revenue, direct.revenue);
    }
}
