//! When the clock is written into the log, and when silence counts as evidence.

use std::collections::VecDeque;

use crate::domain::{Millis, SECOND_MS};
use crate::pipeline::Config;

/// Length of the history behind the mean, in seconds.
const HISTORY_S: i64 = 600;
const MEAN_SECONDS: usize = 600;
/// The latest stretch that is compared with the mean.
const RECENT_SECONDS: usize = 10;
/// A rate below this share of its mean looks like an outage.
const OUTAGE_SHARE: f64 = 0.1;

/// Decides about ticks from the clock and from what arrives; it looks at neither itself.
#[derive(Debug)]
pub(super) struct Pace {
    idle_ms: i64,
    hold_ms_max: i64,
    hold_rate_min: f64,
    last_tick: Option<Millis>,
    last_record: Option<Millis>,
    /// Records of each of the last 600 seconds, newest last.
    seconds: VecDeque<u32>,
    second: i64,
    hold_since: Option<Millis>,
}

/// What is known about the log when the clock is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The owner's clock.
    pub(super) now: Millis,
    /// Something in the engine waits for time.
    pub(super) wanted: bool,
    /// Records are about to be applied.
    pub(super) records: bool,
    /// Somebody reads history.
    pub(super) held: bool,
}

impl Pace {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            idle_ms: config.idle_ms,
            hold_ms_max: config.idle_hold_ms_max,
            hold_rate_min: config.idle_hold_rate_min,
            last_tick: None,
            last_record: None,
            seconds: VecDeque::from(vec![0]),
            second: i64::MIN,
            hold_since: None,
        }
    }

    /// Notes records that arrived just now; history does not count towards the shop's rate.
    pub(super) fn arrived(&mut self, records: u32, historical: bool, now: Millis) {
        self.last_record = Some(now);
        if !historical {
            self.turn_to(now);
            if let Some(count) = self.seconds.back_mut() {
                *count = count.saturating_add(records);
            }
        }
    }

    /// The tick to log now, if one is due: its time, and whether the log is known to be read to its end. Ticks are a
    /// second apart and never go back.
    pub(super) fn tick(&mut self, situation: Situation) -> Option<(Millis, bool)> {
        let now = situation.now;
        if !(situation.wanted || situation.records) {
            return None;
        }
        if self
            .last_tick
            .is_some_and(|last| now.since(last) < SECOND_MS)
        {
            return None;
        }
        self.last_tick = Some(now);
        let idle = !situation.records
            && !situation.held
            && self
                .last_record
                .is_none_or(|last| now.since(last) >= self.idle_ms);
        Some((now, idle && !self.holds(now)))
    }

    /// Whether the rate fell so far that silence is no evidence.
    pub(super) fn holding(&self) -> bool {
        self.hold_since.is_some()
    }

    /// Continues after ticks that are in the log already.
    pub(super) fn resume(&mut self, last_tick: Option<Millis>, now: Millis) {
        self.last_tick = last_tick;
        self.last_record = Some(now);
    }

    fn holds(&mut self, now: Millis) -> bool {
        self.turn_to(now);
        if self.hold_ms_max == 0 || !self.looks_like_an_outage() {
            self.hold_since = None;
            return false;
        }
        let since = *self.hold_since.get_or_insert(now);
        now.since(since) < self.hold_ms_max
    }

    fn looks_like_an_outage(&self) -> bool {
        let recent = RECENT_SECONDS.min(self.seconds.len());
        let earlier = self.seconds.len() - recent;
        if earlier == 0 {
            return false;
        }
        let rate = |counts: &mut dyn Iterator<Item = &u32>, seconds: usize| {
            counts.map(|&count| f64::from(count)).sum::<f64>() / seconds as f64
        };
        let mean = rate(&mut self.seconds.iter().take(earlier), earlier);
        let now = rate(&mut self.seconds.iter().skip(earlier), recent);
        mean >= self.hold_rate_min && now < mean * OUTAGE_SHARE
    }

    fn turn_to(&mut self, now: Millis) {
        let second = now.0.div_euclid(SECOND_MS);
        if self.second == i64::MIN {
            self.second = second;
        }
        self.second = self.second.max(second.saturating_sub(HISTORY_S));
        while self.second < second {
            self.second += 1;
            self.seconds.push_back(0);
            if self.seconds.len() > MEAN_SECONDS {
                self.seconds.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Situation};
    use crate::domain::Millis;
    use crate::pipeline::Config;

    fn idle(now: i64) -> Situation {
        Situation {
            now: Millis(now),
            wanted: true,
            records: false,
            held: false,
        }
    }

    #[test]
    fn ticks_are_a_second_apart_and_only_when_wanted() {
        let mut pace = Pace::new(&Config::default());
        assert_eq!(
            pace.tick(Situation {
                wanted: false,
                ..idle(0)
            }),
            None
        );
        assert_eq!(pace.tick(idle(0)), Some((Millis(0), true)));
        assert_eq!(pace.tick(idle(999)), None);
        assert_eq!(pace.tick(idle(1_000)), Some((Millis(1_000), true)));
    }

    #[test]
    fn silence_counts_after_a_while_and_never_while_history_is_read() {
        let mut pace = Pace::new(&Config::default());
        pace.arrived(1, false, Millis(0));
        assert_eq!(pace.tick(idle(1_500)), Some((Millis(1_500), false)));
        let held = Situation {
            held: true,
            ..idle(5_000)
        };
        assert_eq!(pace.tick(held), Some((Millis(5_000), false)));
        assert_eq!(pace.tick(idle(6_000)), Some((Millis(6_000), true)));
        let busy = Situation {
            records: true,
            ..idle(9_000)
        };
        assert_eq!(pace.tick(busy), Some((Millis(9_000), false)));
    }

    #[test]
    fn a_sudden_silence_of_a_busy_shop_looks_like_an_outage_for_a_while() {
        let mut pace = Pace::new(&Config::default());
        for second in 0..300 {
            pace.arrived(100, false, Millis(second * 1_000));
        }
        assert_eq!(pace.tick(idle(320_000)), Some((Millis(320_000), false)));
        assert!(pace.holding());
        let later = 320_000 + 5 * 60_000;
        assert_eq!(pace.tick(idle(later)), Some((Millis(later), true)));
    }

    #[test]
    fn a_quiet_shop_is_no_outage() {
        let mut pace = Pace::new(&Config::default());
        for second in 0..300 {
            pace.arrived(u32::from(second % 10 == 0), false, Millis(second * 1_000));
        }
        assert_eq!(pace.tick(idle(320_000)), Some((Millis(320_000), true)));
    }
}
