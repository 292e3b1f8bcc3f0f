//! Amounts of money without rounding surprises.

use std::ops::{Add, AddAssign, Mul, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// An amount in millionths of a currency unit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Money(pub i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The largest amount accepted from outside: a thousand million units.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// From currency units; `None` if not finite, negative or above [`Money::MAX`].
    pub fn from_units(units: f64) -> Option<Self> {
        if !(0.0..=1e9).contains(&units) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 1e15, checked above"
        )]
        let micros = (units * 1e6).round() as i64;
        Some(Self(micros))
    }

    /// In currency units.
    pub fn units(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Mul<u32> for Money {
    type Output = Self;

    fn mul(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(i64::from(quantity)))
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn units_keep_cents() {
        assert_eq!(Money::from_units(19.99), Some(Money(19_990_000)));
        assert!((Money(19_990_000).units() - 19.99).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in [-0.01, f64::NAN, f64::INFINITY, 1e10] {
            assert_eq!(Money::from_units(bad), None, "{bad}");
        }
    }
}
