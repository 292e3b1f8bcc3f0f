//! What things cost in each category, so that cheap shoes and cheap cars are both cheap.

use bytes::{Buf, BufMut};

use crate::domain::Money;
use crate::engine::codec::{self, Corrupt};

const BUCKETS: usize = 64;
/// Fewer prices than this say nothing about a category.
const PRICES_MIN: u32 = 5;

/// Histograms of the prices dealt with, by category: two buckets an octave from one cent up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices {
    categories: Vec<Histogram>,
}

#[derive(Clone, Debug)]
struct Histogram {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Prices {
    /// Counts a price and answers its quantile within the category, 0 to 1, once enough are known.
    pub(crate) fn learn(&mut self, category: u32, price: Money) -> Option<f32> {
        let place = category as usize;
        if place >= self.categories.len() {
            self.categories.resize_with(place + 1, Histogram::new);
        }
        let histogram = self.categories.get_mut(place)?;
        let bucket = bucket(price);
        histogram.add(bucket);
        histogram.quantile(bucket)
    }

    /// The quantile of a price within a category, if enough prices are known.
    pub(crate) fn quantile(&self, category: u32, price: Money) -> Option<f32> {
        self.categories
            .get(category as usize)?
            .quantile(bucket(price))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_len(out, self.categories.len());
        for histogram in &self.categories {
            out.put_u32_le(histogram.total);
            if histogram.total > 0 {
                histogram
                    .counts
                    .iter()
                    .for_each(|&count| out.put_u32_le(count));
            }
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let len = codec::get_len(input)?;
        let categories = (0..len)
            .map(|_| {
                let mut histogram = Histogram::new();
                histogram.total = input.try_get_u32_le()?;
                if histogram.total > 0 {
                    for count in &mut histogram.counts {
                        *count = input.try_get_u32_le()?;
                    }
                }
                Ok(histogram)
            })
            .collect::<Result<_, Corrupt>>()?;
        Ok(Self { categories })
    }
}

impl Histogram {
    const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            total: 0,
        }
    }

    fn add(&mut self, bucket: usize) {
        if let Some(count) = self.counts.get_mut(bucket)
            && self.total < u32::MAX
        {
            *count += 1;
            self.total += 1;
        }
    }

    /// Share of prices below the bucket, plus half of those in it.
    fn quantile(&self, bucket: usize) -> Option<f32> {
        if self.total < PRICES_MIN {
            return None;
        }
        let below: u32 = self.counts.iter().take(bucket).sum();
        let within = self.counts.get(bucket).copied().unwrap_or(0);
        Some((below as f32 + within as f32 / 2.0) / self.total as f32)
    }
}

fn bucket(price: Money) -> usize {
    let cents = u64::try_from(price.0 / 10_000).unwrap_or(0).max(1);
    let octave = cents.ilog2() as usize;
    let upper_half = cents >= (1_u64 << octave) + (1_u64 << octave) / 2;
    (2 * octave + usize::from(upper_half)).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::Prices;
    use crate::domain::Money;

    #[test]
    fn a_price_is_judged_within_its_category() {
        let mut prices = Prices::default();
        for units in 1..=100 {
            prices.learn(0, Money(units * 1_000_000));
            prices.learn(1, Money(units * 100_000_000));
        }
        let cheap_car = prices.quantile(1, Money(900_000_000)).unwrap();
        let dear_shoe = prices.quantile(0, Money(95_000_000)).unwrap();
        assert!(cheap_car < 0.2, "{cheap_car}");
        assert!(dear_shoe > 0.7, "{dear_shoe}");
        assert_eq!(prices.quantile(2, Money(1)), None);
    }

    #[test]
    fn buckets_grow_with_the_price() {
        let places: Vec<usize> = (0..40).map(|n| super::bucket(Money(10_000 << n))).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert!(
            places.windows(2).take(30).all(|pair| pair[0] < pair[1]),
            "{places:?}"
        );
    }
}
