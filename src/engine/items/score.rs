//! Scores read from the rows: sums over a few source items, with the share of each.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are kept in 32 bits, and ids are dense"
)]

use crate::domain::Millis;
use crate::engine::items::Items;
use crate::engine::items::decay::{Era, rebase};
use crate::engine::items::row::Row;
use crate::engine::math;
use std::sync::atomic::Ordering;

/// An item that candidates are looked for with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// The item.
    pub item: u32,
    /// Its weight, such as by its place in the session.
    pub weight: f64,
}

/// An item with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The item.
    pub item: u32,
    /// Its score.
    pub score: f64,
}

/// The share of one source in the score of a candidate; counts are decayed to the time asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The source item.
    pub source: u32,
    /// Weight of the source.
    pub position_weight: f64,
    /// Co-occurrence of source and candidate.
    pub co_occurrence: f64,
    /// Sessions (baskets) with the source.
    pub source_sessions: f64,
    /// Sessions (baskets) with the candidate.
    pub candidate_sessions: f64,
    /// Distinct sessions (baskets) behind the pair, not decayed: a lower bound.
    pub support: u32,
    /// What it adds to the score.
    pub contribution: f64,
}

/// Scores under construction: one a reader, used again for every query, so that a query allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    /// By item; zero wherever `touched` does not say otherwise.
    scores: Vec<f64>,
    touched: Vec<u32>,
    row: Vec<(u32, f32, u16)>,
    best: Vec<Candidate>,
}

impl Scratch {
    /// Nothing scored.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all scores and makes room for items below `len`.
    pub fn clear(&mut self, len: u32) {
        for item in self.touched.drain(..) {
            if let Some(score) = self.scores.get_mut(item as usize) {
                *score = 0.0;
            }
        }
        if self.scores.len() < len as usize {
            self.scores.resize(len as usize, 0.0);
        }
    }

    /// Adds to the score of an item; only what is above zero makes it a candidate.
    pub fn add(&mut self, item: u32, score: f64) {
        if score <= 0.0 {
            return;
        }
        if item as usize >= self.scores.len() {
            self.scores.resize(item as usize + 1, 0.0);
        }
        if let Some(sum) = self.scores.get_mut(item as usize) {
            if *sum == 0.0 {
                self.touched.push(item);
            }
            *sum += score;
        }
    }

    /// Every candidate, in no particular but always the same order.
    pub fn candidates(&self) -> &[u32] {
        &self.touched
    }

    /// The score of an item; 0 if it is no candidate.
    pub fn score(&self, item: u32) -> f64 {
        self.scores.get(item as usize).copied().unwrap_or_default()
    }

    /// The best `limit` candidates among those that `keep` lets pass, best first; the lower id on ties.
    pub fn top(&mut self, limit: usize, mut keep: impl FnMut(u32) -> bool) -> &[Candidate] {
        self.best.clear();
        if limit == 0 {
            return &self.best;
        }
        // Twice the limit is collected before the worse half goes: a candidate costs one comparison on average.
        let mut last: Option<Candidate> = None;
        for &item in &self.touched {
            let candidate = Candidate {
                item,
                score: self.scores.get(item as usize).copied().unwrap_or_default(),
            };
            let too_low = last.is_some_and(|last| last.precedes(candidate));
            if too_low || !keep(item) {
                continue;
            }
            self.best.push(candidate);
            if self.best.len() >= limit.saturating_mul(2) {
                let (_, nth, _) = self
                    .best
                    .select_nth_unstable_by(limit - 1, Candidate::order);
                last = Some(*nth);
                self.best.truncate(limit);
            }
        }
        self.best.sort_unstable_by(Candidate::order);
        self.best.truncate(limit);
        &self.best
    }

    /// Rank of an item among those that `keep` lets pass, from 1; `None` if it is no candidate.
    pub fn rank(&self, item: u32, mut keep: impl FnMut(u32) -> bool) -> Option<u32> {
        let candidate = Candidate {
            item,
            score: self.score(item),
        };
        if candidate.score == 0.0 {
            return None;
        }
        let ahead = self.touched.iter().filter(|other| {
            Candidate {
                item: **other,
                score: self.score(**other),
            }
            .precedes(candidate)
                && keep(**other)
        });
        Some(ahead.count() as u32 + 1)
    }
}

impl Candidate {
    /// Best first: the higher score, then the lower id.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.item.cmp(&other.item))
    }

    fn precedes(self, other: Self) -> bool {
        self.order(&other).is_lt()
    }
}

/// A partner in baskets: its item, weight and support.
type Partner = (u32, f64, u32);

impl Items {
    /// The sources of a session, oldest first: its distinct items, newest first, each weighing less the longer ago it was
    /// last seen. Replaces what is in `sources`.
    pub fn session_sources(&self, session: &[u32], sources: &mut Vec<Source>) {
        sources.clear();
        for (steps, &item) in (0_u32..).zip(session.iter().rev()) {
            if sources.len() >= self.config.query_items_max as usize {
                break;
            }
            if sources.iter().all(|source| source.item != item) {
                let weight = math::exp(-f64::from(steps) / self.config.query_scale);
                sources.push(Source { item, weight });
            }
        }
    }

    /// Scores what was seen in sessions with the sources, as of `at`: the sum over the sources `a` of
    /// `weight * viewed[a][c] / (n[a]^source_exponent * n[c]^candidate_exponent)`.
    pub fn score_session(&self, sources: &[Source], at: Millis, scratch: &mut Scratch) {
        scratch.clear(self.len());
        let era = self.era.load(Ordering::Acquire);
        let decay = self.decay_of_score(at, era);
        let mut entries = std::mem::take(&mut scratch.row);
        for source in sources {
            entries.clear();
            // The row is copied, so that the writer never waits for arithmetic.
            let found = self.read(source.item, |row| {
                entries.extend(row.viewed.iter());
                (row.sessions, row.era)
            });
            let Some(factor) = found.map(|(n, then)| self.source_factor(n, rebase(then, era)))
            else {
                continue;
            };
            let factor = source.weight * factor * decay;
            for &(candidate, weight, _) in &entries {
                scratch.add(
                    candidate,
                    factor * f64::from(weight) * self.factor_of_candidate(candidate, era),
                );
            }
        }
        scratch.row = entries;
    }

    /// Scores what was seen after `item` in its sessions: its transitions.
    pub fn score_transitions(&self, item: u32, scratch: &mut Scratch) {
        scratch.clear(self.len());
        let mut entries = std::mem::take(&mut scratch.row);
        entries.clear();
        self.read(item, |row| entries.extend(row.transitions.iter()));
        for &(candidate, weight, _) in &entries {
            scratch.add(candidate, f64::from(weight));
        }
        scratch.row = entries;
    }

    /// The shares of the sources in the score of `candidate`; they add up to it in the order of the sources.
    pub fn contributions(
        &self,
        sources: &[Source],
        candidate: u32,
        at: Millis,
    ) -> Vec<Contribution> {
        let era = self.era.load(Ordering::Acquire);
        let decay = self.decay_of_score(at, era);
        let growth = self.decay.growth(at, era);
        let candidate_factor = self.factor_of_candidate(candidate, era);
        let candidate_sessions = self.sessions(candidate, at);
        let share = |source: &Source| {
            let (weight, support, sessions, then) = self.read(source.item, |row| {
                row.viewed
                    .get(candidate)
                    .map(|(weight, support)| (weight, support, row.sessions, row.era))
            })??;
            let to_now = rebase(then, era);
            let factor = source.weight * self.source_factor(sessions, to_now) * decay;
            Some(Contribution {
                source: source.item,
                position_weight: source.weight,
                co_occurrence: f64::from(weight) * to_now / growth,
                source_sessions: sessions * to_now / growth,
                candidate_sessions,
                support: u32::from(support),
                contribution: factor * f64::from(weight) * candidate_factor,
            })
        };
        sources.iter().filter_map(share).collect()
    }

    /// Scores what was bought together with the items of `basket`, as of `at`: the sum over them of
    /// `together[a][c] / n[c]^basket_exponent`, for pairs with enough support and lift. Sources cannot be candidates.
    pub fn score_bought_together(&self, basket: &[u32], at: Millis, scratch: &mut Scratch) {
        scratch.clear(self.len());
        for contribution in self.bought_together(basket, None, at) {
            scratch.add(contribution.candidate, contribution.share.contribution);
        }
    }

    /// The shares of the items of `basket` in the score of `candidate` by [`Items::score_bought_together`].
    pub fn bought_together_contributions(
        &self,
        basket: &[u32],
        candidate: u32,
        at: Millis,
    ) -> Vec<Contribution> {
        self.bought_together(basket, Some(candidate), at)
            .map(|found| found.share)
            .collect()
    }

    fn bought_together(
        &self,
        basket: &[u32],
        only: Option<u32>,
        at: Millis,
    ) -> impl Iterator<Item = BoughtTogether> {
        let era = self.era.load(Ordering::Acquire);
        let growth = self.decay.growth(at, era);
        let total = {
            let (baskets, then) = *self.baskets.lock();
            baskets * rebase(then, era) / growth
        };
        basket.iter().flat_map(move |&source| {
            let found = self.read(source, |row| {
                self.supported(row, only, rebase(row.era, era) / growth)
            });
            let (source_baskets, entries) = found.flatten().unwrap_or_default();
            entries
                .into_iter()
                .filter_map(move |(candidate, weight, support)| {
                    let candidate_baskets = self.baskets(candidate, at);
                    let lift = weight * total / (source_baskets * candidate_baskets);
                    if basket.contains(&candidate)
                        || lift.is_nan()
                        || lift <= self.config.basket_lift_min
                    {
                        return None;
                    }
                    Some(BoughtTogether {
                        candidate,
                        share: Contribution {
                            source,
                            position_weight: 1.0,
                            co_occurrence: weight,
                            source_sessions: source_baskets,
                            candidate_sessions: candidate_baskets,
                            support,
                            contribution: weight
                                * math::pow(candidate_baskets, -self.config.basket_exponent),
                        },
                    })
                })
        })
    }

    /// Baskets with the item of a row, and what was bought together with it often enough, both times `factor`.
    fn supported(&self, row: &Row, only: Option<u32>, factor: f64) -> Option<(f64, Vec<Partner>)> {
        let bought = row.bought.as_ref()?;
        let entries = bought
            .together
            .iter()
            .filter_map(|(candidate, weight, support)| {
                let enough = u32::from(support) >= self.config.basket_support_min;
                let asked = only.is_none_or(|only| only == candidate);
                (enough && asked)
                    .then(|| (candidate, f64::from(weight) * factor, u32::from(support)))
            });
        Some((bought.baskets * factor, entries.collect()))
    }

    /// `era / n^source_exponent` of a row whose weights are to be multiplied by `era`.
    fn source_factor(&self, sessions: f64, era: f64) -> f64 {
        let sessions = sessions * era;
        if sessions <= 0.0 {
            return 0.0;
        }
        #[expect(clippy::float_cmp, reason = "the exact value has an exact root")]
        let is_root = self.config.source_exponent == 0.5;
        if is_root {
            return era / sessions.sqrt();
        }
        era * math::pow(sessions, -self.config.source_exponent)
    }

    /// `n[c]^-candidate_exponent` in `era`.
    fn factor_of_candidate(&self, candidate: u32, era: Era) -> f64 {
        let (factor, then) = self.factors.get(candidate);
        if then == era {
            return f64::from(factor);
        }
        f64::from(factor) * math::pow(rebase(then, era), -self.config.candidate_exponent)
    }

    /// What takes a score from the landmark of `era` to `at`: numerator and denominator decay by different powers.
    fn decay_of_score(&self, at: Millis, era: Era) -> f64 {
        let power = self.config.source_exponent + self.config.candidate_exponent - 1.0;
        math::pow(self.decay.growth(at, era), power)
    }
}

/// A pair that passed the filters of "bought together".
struct BoughtTogether {
    candidate: u32,
    share: Contribution,
}
