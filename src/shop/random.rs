//! Draws from a seed: the same on every machine, because nothing but exact arithmetic is used.
//!
//! The generator is `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): eight bytes
//! of state, so that every visitor can own a stream. The mathematical library of the platform is not used; its last
//! digit differs between machines.

/// A stream of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream of this seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream of its own for each `(seed, index)`.
    pub(super) const fn fork(seed: u64, index: u64) -> Self {
        Self::new(mix(seed ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in `[0, 1)`.
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are exactly what the mantissa holds"
    )]
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in `0..n`; 0 if `n` is 0.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no list of the shop has 2^32 entries"
    )]
    pub(super) fn below_len(&mut self, n: usize) -> usize {
        self.below(n as u32) as usize
    }

    /// One of `list`.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below_len(list.len())).copied()
    }

    /// About normal with mean 0 and deviation 1: a sum of four uniform draws, so never beyond 3.5.
    pub(super) fn normal(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 1.732_050_807_568_877_2
    }

    /// Log-normal around `median`.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// Exponential with this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }
}

/// Scatters the bits of a number.
pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// e to the x, for x between -700 and 700, to about 12 digits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the exponent is held between -1,010 and 1,010, so its biased form is positive"
)]
pub(super) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let whole = (x * std::f64::consts::LOG2_E).floor();
    let rest = x - whole * std::f64::consts::LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..=14_u8 {
        term = term * rest / f64::from(n);
        sum += term;
    }
    let scale = f64::from_bits(((whole as i64 + 1023) as u64) << 52);
    sum * scale
}

/// Natural logarithm of a normal, positive x, to about 12 digits.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "an exponent has 11 bits"
)]
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.max(f64::MIN_POSITIVE).to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut power = ratio;
    let mut sum = 0.0;
    for n in 0..12_u8 {
        sum += power / f64::from(2 * n + 1);
        power *= square;
    }
    2.0 * sum + exponent as f64 * std::f64::consts::LN_2
}

/// Draws indices by weight in constant time: Walker's alias method.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    /// For each index the share that stays with it, and where the rest goes.
    slots: Vec<(f32, u32)>,
}

impl Alias {
    /// A table for these weights, which are positive.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "no table has 2^32 entries, and a probability needs no more than 24 bits"
    )]
    pub(super) fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut share: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut slots: Vec<(f32, u32)> = (0..weights.len()).map(|i| (1.0, i as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..share.len()).partition(|&i| share.get(i).is_some_and(|&share| share < 1.0));
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            let given = share.get(low).copied().unwrap_or(1.0);
            if let Some(slot) = slots.get_mut(low) {
                *slot = (given as f32, high as u32);
            }
            if let Some(left) = share.get_mut(high) {
                *left -= 1.0 - given;
                if *left < 1.0 {
                    large.pop();
                    small.push(high);
                }
            }
        }
        Self { slots }
    }

    /// An index; 0 from an empty table.
    pub(super) fn draw(&self, random: &mut Random) -> u32 {
        let index = random.below_len(self.slots.len());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the index comes from a 32-bit draw"
        )]
        match self.slots.get(index) {
            Some(&(stays, other)) if random.unit() >= f64::from(stays) => other,
            Some(_) | None => index as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alias, Random, exp, ln};

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs of SplitMix64 for seed 1234567, as its authors' reference code gives them.
        let mut random = Random::new(1_234_567);
        assert_eq!(random.bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn exp_and_ln_agree_with_the_platform() {
        for step in -600..=600 {
            let x = f64::from(step) / 20.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            assert!((ln(exp(x)) - x).abs() < 1e-11, "ln exp {x}");
        }
    }

    #[test]
    fn draws_have_their_moments() {
        let mut random = Random::new(7);
        let n = 200_000;
        let (mut normal, mut square, mut exponential) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let z = random.normal();
            normal += z;
            square += z * z;
            exponential += random.exponential(3.0);
            assert!(random.below(10) < 10);
        }
        let n = f64::from(n);
        assert!((normal / n).abs() < 0.01);
        assert!((square / n - 1.0).abs() < 0.02);
        assert!((exponential / n - 3.0).abs() < 0.05);
    }

    #[test]
    fn an_alias_table_keeps_the_weights() {
        let weights = [1.0, 2.0, 4.0, 0.5];
        let alias = Alias::new(&weights);
        let mut random = Random::new(3);
        let mut counts = [0.0; 4];
        for _ in 0..300_000 {
            counts[alias.draw(&mut random) as usize] += 1.0;
        }
        for (count, weight) in counts.iter().zip(weights) {
            assert!((count / 300_000.0 - weight / 7.5).abs() < 0.005);
        }
    }
}
