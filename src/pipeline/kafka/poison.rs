//! Tells a broken schema from poison: single records that cannot be read are set aside, but a stream of them means that
//! whoever writes them is wrong, and setting them all aside would only make more to put back.

use std::collections::VecDeque;

/// How long too many must be dead letters.
pub(super) const WINDOW_S: usize = 30;
/// Fewer records than this within that time prove nothing.
const RECORDS_MIN: u64 = 100;

/// The share of dead letters among the records of the last seconds.
#[derive(Debug)]
pub(super) struct Poison {
    percent_max: u32,
    seconds: VecDeque<Second>,
    under_way: Second,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    records: u64,
    letters: u64,
}

impl Poison {
    pub(super) fn new(percent_max: u32) -> Self {
        Self {
            percent_max,
            seconds: VecDeque::with_capacity(WINDOW_S),
            under_way: Second::default(),
        }
    }

    /// A record came, and was a dead letter or not.
    pub(super) fn count(&mut self, is_letter: bool) {
        self.under_way.records += 1;
        self.under_way.letters += u64::from(is_letter);
    }

    /// A second is over: the percentage, if it is too high.
    pub(super) fn second(&mut self) -> Option<u64> {
        if self.seconds.len() == WINDOW_S {
            self.seconds.pop_front();
        }
        self.seconds.push_back(std::mem::take(&mut self.under_way));
        let sum = |of: fn(&Second) -> u64| self.seconds.iter().map(of).sum::<u64>();
        let (records, letters) = (sum(|second| second.records), sum(|second| second.letters));
        let is_known = self.seconds.len() == WINDOW_S && records >= RECORDS_MIN;
        let is_too_much = letters * 100 > records * u64::from(self.percent_max);
        (is_known && is_too_much).then(|| letters * 100 / records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of ten records each, so many of them dead letters.
    fn after(poison: &mut Poison, seconds: usize, letters: usize) -> Option<u64> {
        let mut last = None;
        for _ in 0..seconds {
            for record in 0..10 {
                poison.count(record < letters);
            }
            last = poison.second();
        }
        last
    }

    #[test]
    fn more_than_its_share_for_half_a_minute_is_too_much() {
        let mut poison = Poison::new(20);
        assert_eq!(after(&mut poison, 29, 5), None, "not yet half a minute");
        assert_eq!(after(&mut poison, 1, 5), Some(50));
        assert_eq!(
            after(&mut Poison::new(20), 60, 2),
            None,
            "exactly the share"
        );
        assert_eq!(after(&mut Poison::new(100), 60, 10), None, "switched off");
    }

    #[test]
    fn what_is_long_past_and_what_is_little_proves_nothing() {
        let mut poison = Poison::new(20);
        assert_eq!(after(&mut poison, 20, 10), None);
        assert_eq!(after(&mut poison, 20, 0), Some(33));
        assert_eq!(after(&mut poison, 10, 0), None, "it is over");
        let mut quiet = Poison::new(20);
        for _ in 0..60 {
            quiet.count(true);
            assert_eq!(quiet.second(), None, "sixty records a minute");
        }
    }
}
