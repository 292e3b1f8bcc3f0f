//! Sums over the points of a run, by one rule.

use crate::engine::items::Candidate;
use crate::evaluate::report::{AtCutoff, Measures};

/// Places after which a list ends.
pub(super) const CUTOFFS: [u32; 4] = [1, 5, 10, 20];

/// Length of the lists that coverage and popularity look at.
pub(super) const LIST: usize = 20;

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    points: u64,
    hits: [u64; 4],
    reciprocal_ranks: [f64; 4],
    gains: [f64; 4],
    novel_points: u64,
    novel_hits: [u64; 4],
    shown: Vec<bool>,
    shown_total: u64,
    popularity: f64,
}

impl Tally {
    /// Counts a point: the rank of the item that came, from 1, if it was ranked, and whether the visitor had not seen
    /// it before.
    pub(super) fn count(&mut self, rank: Option<u32>, novel: bool) {
        self.points += 1;
        self.novel_points += u64::from(novel);
        let Some(rank) = rank else { return };
        let reciprocal = 1.0 / f64::from(rank);
        let gain = 1.0 / f64::from(rank + 1).log2();
        for (index, cutoff) in CUTOFFS.into_iter().enumerate() {
            if rank > cutoff {
                continue;
            }
            add(&mut self.hits, index, 1);
            add(&mut self.reciprocal_ranks, index, reciprocal);
            add(&mut self.gains, index, gain);
            add(&mut self.novel_hits, index, u64::from(novel));
        }
    }

    /// Counts what was shown; `popularity` is the share of an item in the events of the most popular one.
    pub(super) fn show(&mut self, list: &[Candidate], popularity: impl Fn(u32) -> f64) {
        for candidate in list {
            let item = candidate.item as usize;
            if self.shown.len() <= item {
                self.shown.resize(item + 1, false);
            }
            if let Some(shown) = self.shown.get_mut(item) {
                *shown = true;
            }
            self.popularity += popularity(candidate.item);
            self.shown_total += 1;
        }
    }

    /// The measures, with `items` known in the end.
    pub(super) fn measures(&self, items: u64) -> Measures {
        let shown = self.shown.iter().filter(|shown| **shown).count() as u64;
        Measures {
            points: self.points,
            hr: AtCutoff::from(self.hits.map(|hits| ratio(hits, self.points))),
            mrr: AtCutoff::from(self.reciprocal_ranks.map(|sum| mean(sum, self.points))),
            ndcg: AtCutoff::from(self.gains.map(|sum| mean(sum, self.points))),
            novel_hr: AtCutoff::from(self.novel_hits.map(|hits| ratio(hits, self.novel_points))),
            coverage: ratio(shown, items),
            mean_popularity: mean(self.popularity, self.shown_total),
        }
    }
}

fn add<T: std::ops::AddAssign>(sums: &mut [T; 4], index: usize, value: T) {
    if let Some(sum) = sums.get_mut(index) {
        *sum += value;
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of points stay far below 2^53"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    mean(part as f64, whole)
}

/// 0 of nothing.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of points stay far below 2^53"
)]
fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums of few binary fractions are exact")]
mod tests {
    use super::Tally;
    use crate::engine::items::Candidate;

    #[test]
    fn ranks_become_measures() {
        let mut tally = Tally::default();
        tally.count(Some(1), false);
        tally.count(Some(4), true);
        tally.count(Some(21), true);
        tally.count(None, false);
        let list = |items: &[u32]| {
            items
                .iter()
                .map(|&item| Candidate { item, score: 1.0 })
                .collect::<Vec<_>>()
        };
        tally.show(&list(&[3, 7]), |item| f64::from(item) / 10.0);
        tally.show(&list(&[3]), |_| 0.5);
        let measures = tally.measures(8);
        assert_eq!(measures.points, 4);
        assert_eq!(measures.hr.values(), [0.25, 0.5, 0.5, 0.5]);
        assert_eq!(measures.mrr.values(), [0.25, 0.3125, 0.3125, 0.3125]);
        assert_eq!(measures.novel_hr.values(), [0.0, 0.5, 0.5, 0.5]);
        let gain = (1.0 + 1.0 / 5.0_f64.log2()) / 4.0;
        assert_eq!(measures.ndcg.values(), [0.25, gain, gain, gain]);
        assert!((measures.coverage - 0.25).abs() < 1e-12);
        assert!((measures.mean_popularity - 0.5).abs() < 1e-12);
    }
}
