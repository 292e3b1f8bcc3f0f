//! How much a shopper cares for categories and brands: weights that fade.

use bytes::{Buf, BufMut};
use thin_vec::ThinVec;

use crate::domain::{DAY_MS, Millis};
use crate::engine::codec::{self, Corrupt};
use crate::engine::math;

/// Half-life of the recent weight.
const RECENT_HALF_LIFE_MS: f64 = 7.0 * DAY_MS as f64;
/// Half-life of the long-term weight.
const LONG_TERM_HALF_LIFE_MS: f64 = 60.0 * DAY_MS as f64;
/// Categories and brands kept; the one with the least long-term weight gives way.
const SUBJECTS_MAX: usize = 24;
const BRAND_BIT: u32 = 1 << 31;

/// What a shopper can care for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// A category's number.
    Category(u32),
    /// A brand's number.
    Brand(u32),
}

/// Weights as of `at`. Looking at them at another time never changes them.
#[derive(Debug, Default)]
pub(crate) struct Affinities {
    at: Millis,
    entries: ThinVec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// A category's number, or a brand's with the highest bit set.
    subject: u32,
    recent: f32,
    long_term: f32,
}

impl Affinities {
    /// Adds `weight` for each subject of an event at `at`. What happened before the newest event counts as much as
    /// it would have kept.
    pub(crate) fn learn(
        &mut self,
        subjects: impl Iterator<Item = Subject>,
        weight: f32,
        at: Millis,
    ) {
        let mut recent = weight;
        let mut long_term = weight;
        if self.entries.is_empty() || at > self.at {
            self.fade_to(at);
        } else {
            let age_ms = self.at.since(at);
            recent *= fade(age_ms, RECENT_HALF_LIFE_MS);
            long_term *= fade(age_ms, LONG_TERM_HALF_LIFE_MS);
        }
        for subject in subjects {
            self.add(Entry {
                subject: subject.pack(),
                recent,
                long_term,
            });
        }
    }

    /// Subjects with their recent and long-term weights as of `now`.
    pub(crate) fn weights(&self, now: Millis) -> impl Iterator<Item = (Subject, f64, f64)> + '_ {
        let age_ms = now.since(self.at).max(0);
        let recent = fade(age_ms, RECENT_HALF_LIFE_MS);
        let long_term = fade(age_ms, LONG_TERM_HALF_LIFE_MS);
        self.entries.iter().map(move |entry| {
            (
                Subject::unpack(entry.subject),
                f64::from(entry.recent * recent),
                f64::from(entry.long_term * long_term),
            )
        })
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        if other.entries.is_empty() {
            return;
        }
        if self.entries.is_empty() || other.at > self.at {
            self.fade_to(other.at);
        }
        let age_ms = self.at.since(other.at);
        let recent = fade(age_ms, RECENT_HALF_LIFE_MS);
        let long_term = fade(age_ms, LONG_TERM_HALF_LIFE_MS);
        for entry in &other.entries {
            self.add(Entry {
                subject: entry.subject,
                recent: entry.recent * recent,
                long_term: entry.long_term * long_term,
            });
        }
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self.entries.capacity() {
            0 => 0,
            capacity => 16 + capacity * size_of::<Entry>(),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_millis(out, self.at);
        codec::put_len(out, self.entries.len());
        for entry in &self.entries {
            out.put_u32_le(entry.subject);
            out.put_f32_le(entry.recent);
            out.put_f32_le(entry.long_term);
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        let at = codec::get_millis(input)?;
        let len = codec::get_len(input)?;
        let entry = |_| {
            Ok(Entry {
                subject: input.try_get_u32_le()?,
                recent: input.try_get_f32_le()?,
                long_term: input.try_get_f32_le()?,
            })
        };
        let entries = (0..len).map(entry).collect::<Result<_, Corrupt>>()?;
        Ok(Self { at, entries })
    }

    fn fade_to(&mut self, at: Millis) {
        if !self.entries.is_empty() {
            let age_ms = at.since(self.at);
            let recent = fade(age_ms, RECENT_HALF_LIFE_MS);
            let long_term = fade(age_ms, LONG_TERM_HALF_LIFE_MS);
            for entry in &mut self.entries {
                entry.recent *= recent;
                entry.long_term *= long_term;
            }
        }
        self.at = at;
    }

    fn add(&mut self, new: Entry) {
        if let Some(known) = self
            .entries
            .iter_mut()
            .find(|known| known.subject == new.subject)
        {
            known.recent += new.recent;
            known.long_term += new.long_term;
            return;
        }
        if self.entries.len() >= SUBJECTS_MAX {
            let weakest = (0..self.entries.len()).min_by(|&a, &b| {
                let key = |place: usize| self.entries.get(place).map(|e| (e.long_term, e.subject));
                key(a)
                    .partial_cmp(&key(b))
                    .unwrap_or(std::cmp::Ordering::Equal)
            });
            weakest.map(|place| self.entries.remove(place));
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(self.entries.len() / 4 + 3);
        }
        self.entries.push(new);
    }
}

impl Subject {
    const fn pack(self) -> u32 {
        match self {
            Self::Category(number) => number,
            Self::Brand(number) => number | BRAND_BIT,
        }
    }

    const fn unpack(packed: u32) -> Self {
        if packed & BRAND_BIT == 0 {
            Self::Category(packed)
        } else {
            Self::Brand(packed & !BRAND_BIT)
        }
    }
}

/// What is left of 1 after `age_ms`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "ages are far below 2^53 ms"
)]
fn fade(age_ms: i64, half_life_ms: f64) -> f32 {
    math::exp2(-(age_ms as f64) / half_life_ms) as f32
}

#[cfg(test)]
mod tests {
    use super::{Affinities, Subject};
    use crate::domain::{DAY_MS, Millis};

    fn weights(affinities: &Affinities, now: Millis) -> Vec<(Subject, f64, f64)> {
        affinities.weights(now).collect()
    }

    #[test]
    fn weights_halve_over_their_half_lives() {
        let mut affinities = Affinities::default();
        affinities.learn([Subject::Category(3)].into_iter(), 4.0, Millis(0));
        let (_, recent, long_term) = weights(&affinities, Millis(7 * DAY_MS))[0];
        assert!((recent - 2.0).abs() < 1e-6, "{recent}");
        assert!(
            (long_term - 4.0 * 0.5_f64.powf(7.0 / 60.0)).abs() < 1e-5,
            "{long_term}"
        );
    }

    #[test]
    fn a_late_event_counts_as_much_as_it_would_have_kept() {
        let (mut in_order, mut late) = (Affinities::default(), Affinities::default());
        let learn = |to: &mut Affinities, n, day| {
            to.learn([Subject::Brand(n)].into_iter(), 1.0, Millis(day * DAY_MS));
        };
        learn(&mut in_order, 1, 0);
        learn(&mut in_order, 2, 5);
        learn(&mut late, 2, 5);
        learn(&mut late, 1, 0);
        let now = Millis(6 * DAY_MS);
        let mut expected = weights(&in_order, now);
        let mut found = weights(&late, now);
        expected.sort_by_key(|entry| entry.0);
        found.sort_by_key(|entry| entry.0);
        for (a, b) in expected.iter().zip(&found) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-6 && (a.2 - b.2).abs() < 1e-6);
        }
    }

    #[test]
    fn the_weakest_gives_way() {
        let mut affinities = Affinities::default();
        for n in 0..30 {
            let weight = if n == 7 { 0.5 } else { 1.0 };
            affinities.learn([Subject::Category(n)].into_iter(), weight, Millis(0));
        }
        let kept = weights(&affinities, Millis(0));
        assert_eq!(kept.len(), 24);
        assert!(kept.iter().all(|entry| entry.0 != Subject::Category(7)));
        assert!(kept.iter().any(|entry| entry.0 == Subject::Category(29)));
    }
}
