//! The only reader of the clock.
//!
//! Wall time leaves this file as [`Millis`], durations as [`Duration`]. Everything else takes time as an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::Millis;

/// Wall time: the machine's, a faster one for a demo, or one that a test moves by hand. Cheap to clone; all clones
/// show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Virtual {
        origin: Millis,
        started: Instant,
        speed: f64,
    },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `origin` now and runs `speed` virtual seconds a second. It never goes back, whatever the
    /// machine's clock does. A speed that is not finite and above 0 counts as 1.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn virtual_from(origin: Millis, speed: f64) -> Self {
        let speed = if speed.is_finite() && speed > 0.0 {
            speed
        } else {
            1.0
        };
        Self(Source::Virtual {
            origin,
            started: Instant::now(),
            speed,
        })
    }

    /// A clock that stands at `origin` until [`Clock::advance`] moves it.
    pub fn manual(origin: Millis) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(origin.0))))
    }

    /// What the clock shows.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn now(&self) -> Millis {
        match &self.0 {
            Source::System => Millis(unix_millis(SystemTime::now())),
            Source::Virtual {
                origin,
                started,
                speed,
            } => origin.plus(scaled_millis(started.elapsed(), *speed)),
            Source::Manual(now) => Millis(now.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock on by `ms`; other clocks move by themselves and ignore it.
    pub fn advance(&self, ms: i64) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(ms, Ordering::AcqRel);
        }
    }

    /// Virtual seconds a second: 1 for the machine's clock, 0 for a manual one.
    pub fn speed(&self) -> f64 {
        match &self.0 {
            Source::System => 1.0,
            Source::Virtual { speed, .. } => *speed,
            Source::Manual(_) => 0.0,
        }
    }

    /// How long to sleep until this clock has moved on by `ms`: 0 for what lies in the past, and a millisecond on a
    /// manual clock, so that a waiting loop looks again soon.
    pub fn sleep_for(&self, ms: i64) -> Duration {
        let ms = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        match &self.0 {
            Source::System => ms,
            Source::Virtual { speed, .. } => ms.div_f64(*speed),
            Source::Manual(_) => ms.min(Duration::from_millis(1)),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// Measures how long something takes, by the machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Seconds since the start, as histograms take them.
    pub fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    /// Whole microseconds since the start.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Time since the start, then starts again.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}

/// A point in time that a call must not pass, by the machine's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The point `after` from now.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn after(after: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(after).unwrap_or(now))
    }

    /// What is left; zero once it has passed.
    #[expect(clippy::disallowed_methods, reason = "the only reader of the clock")]
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }
}

fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |before| -before)
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` holds a float at the ends of the range, and no run lasts that long"
)]
fn scaled_millis(elapsed: Duration, speed: f64) -> i64 {
    (elapsed.as_secs_f64() * speed * 1e3) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_together_with_its_clones() {
        let clock = Clock::manual(Millis(1_000));
        let other = clock.clone();
        clock.advance(250);
        assert_eq!(other.now(), Millis(1_250));
    }

    #[test]
    fn a_virtual_clock_starts_at_its_origin_and_never_goes_back() {
        let clock = Clock::virtual_from(Millis(5_000_000), 60.0);
        let mut last = clock.now();
        assert!(last >= Millis(5_000_000));
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn sleeping_is_shorter_by_the_speed() {
        let clock = Clock::virtual_from(Millis(0), 60.0);
        assert_eq!(clock.sleep_for(60_000), Duration::from_secs(1));
        assert_eq!(Clock::system().sleep_for(-5), Duration::ZERO);
    }

    #[test]
    fn a_speed_that_is_no_speed_counts_as_one() {
        for speed in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert!((Clock::virtual_from(Millis(0), speed).speed() - 1.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn times_before_1970_are_negative() {
        let before = UNIX_EPOCH - Duration::from_millis(1_500);
        assert_eq!(unix_millis(before), -1_500);
    }

    #[test]
    fn elapsed_virtual_time_is_scaled() {
        assert_eq!(scaled_millis(Duration::from_millis(1_500), 60.0), 90_000);
    }

    #[test]
    fn a_deadline_of_no_time_has_passed() {
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::from_hours(1)).has_passed());
    }
}
