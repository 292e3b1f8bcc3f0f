//! When people shop: hours and weekdays.

use crate::domain::{DAY_MS, HOUR_MS, Millis};

/// Visits in each hour of the day, relative to the busiest: little at night, a lunch break, a long evening.
const HOURS: [f64; 24] = [
    0.22, 0.12, 0.07, 0.05, 0.05, 0.09, 0.20, 0.34, 0.46, 0.55, 0.62, 0.68, 0.74, 0.70, 0.64, 0.64,
    0.68, 0.76, 0.88, 0.98, 1.00, 0.94, 0.72, 0.42,
];

/// Visits on each weekday, from Monday, relative to the busiest.
const WEEKDAYS: [f64; 7] = [0.94, 0.90, 0.88, 0.88, 0.84, 0.86, 1.00];

/// How busy the shop is at this moment, above 0 and at most 1: the probability that a visit that could begin now does.
pub(super) fn busyness(now: Millis) -> f64 {
    // 1970-01-01 was a Thursday, place 3 in a week that begins on Monday.
    let weekday = (now.0.div_euclid(DAY_MS) + 3).rem_euclid(7);
    let of_day = now.0.rem_euclid(DAY_MS);
    let hour = of_day / HOUR_MS;
    #[expect(
        clippy::cast_precision_loss,
        reason = "less than an hour in milliseconds"
    )]
    let into = (of_day % HOUR_MS) as f64 / HOUR_MS as f64;
    let from = at(&HOURS, hour);
    let to = at(&HOURS, hour + 1);
    (from + (to - from) * into) * at(&WEEKDAYS, weekday)
}

/// Mean of [`busyness`] over a week.
pub(super) const MEAN_BUSYNESS: f64 = 0.471;

/// The last beginning of an evening, 17:00 UTC, that is not after `now`: a shop that opens then is busy for hours.
pub fn evening_before(now: Millis) -> Millis {
    let evening = 17 * HOUR_MS;
    Millis((now.0 - evening).div_euclid(DAY_MS) * DAY_MS + evening)
}

fn at(list: &[f64], place: i64) -> f64 {
    let place = usize::try_from(place).unwrap_or(0) % list.len();
    list.get(place).copied().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::{MEAN_BUSYNESS, busyness, evening_before};
    use crate::domain::{DAY_MS, HOUR_MS, Millis};

    const BUSIEST_HOUR: i64 = 20;

    #[test]
    fn evenings_are_busy_and_nights_are_not() {
        for day in 0..7 {
            let at = |hour| busyness(Millis(day * DAY_MS + hour * HOUR_MS));
            assert!(at(BUSIEST_HOUR) > 10.0 * at(3));
            assert!((0..24).all(|hour| at(hour) > 0.0 && at(hour) <= at(BUSIEST_HOUR)));
        }
    }

    #[test]
    fn the_mean_is_the_mean() {
        let sum: f64 = (0..7 * 24 * 60)
            .map(|minute| busyness(Millis(minute * 60_000)))
            .sum();
        assert!((sum / f64::from(7 * 24 * 60) - MEAN_BUSYNESS).abs() < 0.001);
    }

    #[test]
    fn the_evening_before_is_at_most_a_day_ago() {
        for hour in 0..48 {
            let now = Millis(20_000 * DAY_MS + hour * HOUR_MS);
            let evening = evening_before(now);
            assert!((0..DAY_MS).contains(&now.since(evening)));
            assert_eq!(evening.0.rem_euclid(DAY_MS), 17 * HOUR_MS);
        }
    }

    #[test]
    fn sunday_is_the_busiest_day() {
        // 1970-01-04 was a Sunday.
        let sunday = busyness(Millis(3 * DAY_MS + BUSIEST_HOUR * HOUR_MS));
        assert!((sunday - 1.0).abs() < 1e-9);
    }
}
