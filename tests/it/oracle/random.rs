//! The numbers behind the streams: a small seeded generator of its own, so that a seed means one stream for ever.

/// `SplitMix64`: every seed gives a different, reproducible sequence.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low).saturating_add(1);
        low.wrapping_add_unsigned(self.next() % span)
    }

    /// An index below `len`, which is not 0.
    pub(crate) fn below(&mut self, len: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(len).unwrap()).unwrap()
    }

    /// True this often, in percent.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// One of `choices`.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// One of `choices`, each with its weight.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut left = self.next() % total;
        for (weight, choice) in choices {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("the weights add up to {total}")
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_means_one_sequence() {
        let (mut first, mut second) = (Random::new(7), Random::new(7));
        for _ in 0..100 {
            assert_eq!(first.next(), second.next());
        }
        assert_ne!(Random::new(7).next(), Random::new(8).next());
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(1);
        let numbers: Vec<i64> = (0..1000).map(|_| random.between(-3, 3)).collect();
        for expected in -3..=3 {
            assert!(numbers.contains(&expected), "{expected}");
        }
        assert!(numbers.iter().all(|number| (-3..=3).contains(number)));
    }

    #[test]
    fn weights_are_respected() {
        let mut random = Random::new(2);
        let chosen: Vec<u8> = (0..1000)
            .map(|_| random.weighted(&[(9, 1), (1, 2), (0, 3)]))
            .collect();
        let ones = chosen
            .iter()
            .map(|choice| usize::from(*choice == 1))
            .sum::<usize>();
        assert!((850..950).contains(&ones), "{ones}");
        assert!(!chosen.contains(&3));
    }
}
