//! Powers and logarithms that are the same on every machine: only `+ - * /` and tables, no library of the platform.
//!
//! State and scores must be equal wherever the same log is read, and the mathematics library of a platform rounds
//! as it likes. These agree with it to better than one part in 10^12.

use std::f64::consts::{LN_2, LOG2_E};

/// `2^(i/32)`.
const POWERS: [f64; 32] = [
    1.0,
    1.021_897_148_654_116_6,
    1.044_273_782_427_413_8,
    1.067_140_400_676_823_7,
    1.090_507_732_665_257_7,
    1.114_386_742_595_892_4,
    1.138_788_634_756_691_6,
    1.163_724_858_777_577_5,
    1.189_207_115_002_721,
    1.215_247_359_980_469,
    1.241_857_812_073_484,
    1.269_050_957_191_733_2,
    1.296_839_554_651_009_6,
    1.325_236_643_159_741_3,
    1.354_255_546_936_892_7,
    1.383_909_881_963_832,
    std::f64::consts::SQRT_2,
    1.445_180_806_977_046_7,
    1.476_826_145_939_499_3,
    1.509_164_427_593_422_8,
    1.542_210_825_407_940_7,
    1.575_980_845_107_886_5,
    1.610_490_331_949_254_3,
    1.645_755_478_153_965,
    1.681_792_830_507_429,
    1.718_619_298_122_478,
    1.756_252_160_373_299_5,
    1.794_709_075_003_107_2,
    1.834_008_086_409_342_4,
    1.874_167_634_110_3,
    1.915_206_561_397_147_4,
    1.957_144_124_175_400_2,
];

/// `2^x`.
pub fn exp2(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x >= 1024.0 {
        return f64::INFINITY;
    }
    if x < -1080.0 {
        return 0.0;
    }
    // x = whole + index / 32 + rest, |rest| <= 1/64.
    let steps = nearest(x * 32.0);
    let rest = (x - f64::from(steps) / 32.0) * LN_2;
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (1.0 / 2.0
                        + rest
                            * (1.0 / 6.0
                                + rest
                                    * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest * (1.0 / 720.0))))));
    let whole = steps.div_euclid(32);
    scale(power_of_fraction(steps) * series, whole)
}

/// Logarithm to the base 2; not a number below zero, negative infinity at zero.
pub fn log2(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    // A subnormal number has no leading one; lift it first.
    if x < f64::MIN_POSITIVE {
        return log2(x * TWO_TO_54) - 54.0;
    }
    let (mut exponent, mut mantissa) = split(x);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln(m) = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for divisor in ODD_FROM_23 {
        series = series * square + 1.0 / divisor;
    }
    f64::from(exponent) + 2.0 * s * series * LOG2_E
}

/// `x^y` for `x >= 0`; `0^y` is 0 for positive `y`.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return 1.0;
    }
    exp2(y * log2(x))
}

/// `e^x`.
pub fn exp(x: f64) -> f64 {
    exp2(x * LOG2_E)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    log2(x) * LN_2
}

/// Divisors of the series, smallest term first.
const ODD_FROM_23: [f64; 12] = [
    23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0,
];

/// Bits of the mantissa.
const MANTISSA: u64 = (1 << 52) - 1;
/// Sign and exponent of 1.0.
const ONE: u64 = 1023 << 52;
/// Exactly `2^54`.
const TWO_TO_54: f64 = 18_014_398_509_481_984.0;

/// The nearest whole number, halves away from zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "cutting the fraction off is the point, and |x| < 35,000"
)]
fn nearest(x: f64) -> i32 {
    (if x < 0.0 { x - 0.5 } else { x + 0.5 }) as i32
}

/// `2^(steps/32)` without its whole part.
#[expect(clippy::indexing_slicing, reason = "a remainder of 32 is 0 to 31")]
fn power_of_fraction(steps: i32) -> f64 {
    POWERS[steps.rem_euclid(32) as usize]
}

/// The exponent of a positive number as it is stored.
fn biased_exponent(bits: u64) -> i32 {
    (bits >> 52) as i32
}

/// Exponent and mantissa, which is at least 1 and below 2, of a normal number above 0.
pub fn split(x: f64) -> (i32, f64) {
    let bits = x.to_bits();
    let mantissa = f64::from_bits(bits & MANTISSA | ONE);
    (biased_exponent(bits) - 1023, mantissa)
}

/// `x * 2^power`, in two steps where one factor is no normal number.
#[expect(
    clippy::cast_sign_loss,
    reason = "the biased exponent of a normal number is positive"
)]
fn scale(x: f64, power: i32) -> f64 {
    if power < -1022 {
        return scale(x, power + 64) * scale(1.0, -64);
    }
    if power > 1023 {
        return scale(x, power - 1) * 2.0;
    }
    x * f64::from_bits(((power + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "these values are exact")]

    use super::{exp, exp2, ln, log2, pow};

    /// Numbers that reach every table entry, spread by a fixed linear congruence.
    fn spread(low: f64, high: f64) -> impl Iterator<Item = f64> {
        let mut state = 1_u64;
        (0..200_000).map(move |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            low + (high - low) * f64::from((state >> 32) as u32) / 2.0_f64.powi(32)
        })
    }

    fn assert_close(found: f64, expected: f64, of: f64) {
        let error = (found - expected).abs();
        assert!(
            error <= 1e-12 * expected.abs(),
            "at {of}: {found} instead of {expected}"
        );
    }

    #[test]
    fn powers_of_two_agree_with_the_platform() {
        for x in spread(-1021.0, 1023.9).chain(spread(-1.0, 1.0)) {
            assert_close(exp2(x), x.exp2(), x);
        }
    }

    #[test]
    fn logarithms_agree_with_the_platform() {
        for x in spread(-1000.0, 1000.0)
            .map(f64::exp2)
            .chain(spread(0.5, 2.0))
        {
            assert_close(log2(x), x.log2(), x);
            assert_close(ln(x), x.ln(), x);
        }
    }

    #[test]
    fn powers_agree_with_the_platform() {
        for x in spread(1e-9, 1e9) {
            for y in [-0.5, -0.2, 0.2, 0.3, 0.5, 2.0] {
                assert_close(pow(x, y), x.powf(y), x);
            }
        }
        for x in spread(-40.0, 40.0) {
            assert_close(exp(x), x.exp(), x);
        }
    }

    #[test]
    fn whole_powers_are_exact() {
        for power in -1074..=1023 {
            let exact = f64::from_bits(if power < -1022 {
                1 << (power + 1074)
            } else {
                u64::try_from(power + 1023).unwrap() << 52
            });
            assert_eq!(
                exp2(f64::from(power)).to_bits(),
                exact.to_bits(),
                "2^{power}"
            );
            assert_eq!(
                log2(exact).to_bits(),
                f64::from(power).to_bits(),
                "log2 of 2^{power}"
            );
        }
    }

    #[test]
    fn the_ends_of_the_range_are_kept() {
        assert_eq!(exp2(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp2(-2000.0), 0.0);
        assert_eq!(exp2(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp2(1024.0), f64::INFINITY);
        assert!(exp2(f64::NAN).is_nan());
        assert_eq!(log2(0.0), f64::NEG_INFINITY);
        assert_eq!(log2(f64::INFINITY), f64::INFINITY);
        assert!(log2(-1.0).is_nan());
        assert_eq!(pow(0.0, 0.2), 0.0);
        assert_eq!(pow(0.0, 0.0), 1.0);
    }
}
