//! Forward decay: what is new is written larger, so that what is old never has to be touched to fade.
//!
//! A contribution at time `t` is `2^((t - L) / H)` for the half-life `H` and a landmark `L`. Landmarks stand every 60
//! half-lives since 1970; the number of the last one passed is the *era*. A row of an older era is brought to the new
//! one, when it is next written, by factors of 2^-60, which round nothing. Only ratios within one era mean something.

use crate::domain::Millis;
use crate::engine::math;

/// Half-lives in an era.
const ERA_HALF_LIVES: f64 = 60.0;

/// Milliseconds in a day.
const MILLISECONDS_A_DAY: f64 = 86_400_000.0;

/// `2^-60`.
const ERA_FACTOR: f64 = 1.0 / 1_152_921_504_606_846_976.0;

/// Number of the landmark that weights are relative to.
pub(super) type Era = u32;

/// The clockwork of one half-life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    half_life_ms: f64,
}

impl Decay {
    pub(super) fn new(half_life_days: f64) -> Self {
        Self {
            half_life_ms: half_life_days * MILLISECONDS_A_DAY,
        }
    }

    /// The era of a point in time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the fraction is to go, and times before 1970 belong to era 0"
    )]
    pub(super) fn era(self, at: Millis) -> Era {
        (self.half_lives(at) / ERA_HALF_LIVES) as Era
    }

    /// What a contribution at `at` weighs in `era`: 1 at its landmark, 2^60 at the next one.
    pub(super) fn growth(self, at: Millis, era: Era) -> f64 {
        math::exp2(self.half_lives(at) - ERA_HALF_LIVES * f64::from(era))
    }

    /// Half-lives since 1970.
    #[expect(
        clippy::cast_precision_loss,
        reason = "times stay far below 2^53 milliseconds"
    )]
    fn half_lives(self, at: Millis) -> f64 {
        at.0 as f64 / self.half_life_ms
    }
}

/// What turns a weight of era `from` into one of era `to`.
pub(super) fn rebase(from: Era, to: Era) -> f64 {
    // Beyond 17 eras the factor is no normal number and every weight is nothing, or infinite.
    let eras = i64::from(to) - i64::from(from);
    let mut factor = 1.0;
    for _ in 0..eras.unsigned_abs().min(18) {
        factor *= if eras > 0 {
            ERA_FACTOR
        } else {
            1.0 / ERA_FACTOR
        };
    }
    factor
}

/// A count that decays, comparable between items at any time without asking what time it is, and never in need of a
/// landmark.
///
/// The forward-decayed sum is `2^e * m` with `1 <= m < 2`, kept as `e + (m - 1)`: near its logarithm, in the same order,
/// and without one to compute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DecayedCount(f64);

impl DecayedCount {
    /// Nothing was counted.
    pub(super) const ZERO: Self = Self(f64::NEG_INFINITY);

    /// Adds `weight` at `at`.
    pub(super) fn add(&mut self, weight: f64, at: Millis, decay: Decay) {
        if weight <= 0.0 {
            return;
        }
        let half_lives = decay.half_lives(at);
        let base = self.0.max(half_lives).floor();
        let sum = self.relative_to(base) + weight * math::exp2(half_lives - base);
        let (exponent, mantissa) = math::split(sum);
        self.0 = self.0.max(base + f64::from(exponent) + (mantissa - 1.0));
    }

    /// Grows with the count, and falls behind as others are added to.
    pub(super) fn key(self) -> f64 {
        self.0
    }

    pub(super) fn from_key(key: f64) -> Self {
        Self(key)
    }

    /// The count, decayed to `at`.
    pub(super) fn value(self, at: Millis, decay: Decay) -> f64 {
        self.relative_to(decay.half_lives(at))
    }

    /// The sum, divided by `2^base`.
    fn relative_to(self, base: f64) -> f64 {
        if self == Self::ZERO {
            return 0.0;
        }
        let exponent = self.0.floor();
        (1.0 + (self.0 - exponent)) * math::exp2(exponent - base)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "these values are exact")]

    use super::{Decay, DecayedCount, rebase};
    use crate::domain::{DAY_MS, Millis};

    #[test]
    fn a_half_life_halves() {
        let decay = Decay::new(60.0);
        let (then, now) = (Millis(1_000 * DAY_MS), Millis(1_060 * DAY_MS));
        let era = decay.era(now);
        let ratio = decay.growth(then, era) / decay.growth(now, era);
        assert!((ratio - 0.5).abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn an_era_has_60_half_lives_and_its_factor_is_exact() {
        let decay = Decay::new(1.0);
        let (start, end) = (Millis(1_200 * DAY_MS), Millis(1_260 * DAY_MS));
        assert_eq!(
            (decay.era(start), decay.era(end - 1), decay.era(end)),
            (20, 20, 21)
        );
        assert_eq!(decay.growth(start, 20), 1.0);
        assert_eq!(
            decay.growth(end, 20) * rebase(20, 21),
            decay.growth(end, 21)
        );
        assert_eq!(rebase(20, 21) * rebase(21, 20), 1.0);
        assert_eq!(rebase(5, 5), 1.0);
    }

    #[test]
    fn without_decay_everything_weighs_one() {
        let decay = Decay::new(f64::INFINITY);
        let now = Millis(20_000 * DAY_MS);
        assert_eq!((decay.era(now), decay.growth(now, 0)), (0, 1.0));
    }

    #[test]
    fn a_count_decays_and_takes_late_events() {
        let decay = Decay::new(1.0);
        let day = |days: i64| Millis((20_000 + days) * DAY_MS);
        let mut count = DecayedCount::ZERO;
        assert_eq!(count.value(day(0), decay), 0.0);
        count.add(4.0, day(0), decay);
        count.add(1.0, day(2), decay);
        count.add(1.0, day(1), decay);
        let value = count.value(day(2), decay);
        assert!((value - 2.5).abs() < 1e-9, "{value}");
        count.add(0.0, day(3), decay);
        assert_eq!(count.value(day(2), decay), value);
    }
}
