//! Rankers that can be evaluated: each learns views one by one and scores what may come next.

use std::str::FromStr;

use crate::domain::Millis;
use crate::engine::items::{Config, Items, ROW_ENTRIES_LIMIT, Scratch, Source, WINDOW_MAX};

/// Learns from sessions and foretells how they go on.
pub trait Ranker {
    /// Learns an event of `item` that follows `session`, the earlier items of the same session, oldest first.
    fn learn(&mut self, session: &[u32], item: u32, at: Millis);

    /// Scores what may follow `session`, which is not empty; the higher the better.
    fn score(&mut self, session: &[u32], at: Millis, scratch: &mut Scratch);
}

/// The rankers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankerKind {
    /// Directed, distance-decayed co-occurrence with the items of the session: what the engine answers with.
    Ddco,
    /// Association rules: how often the last item and the candidate were in one session.
    AlsoViewed,
    /// Sequential rules: how often, and how soon, the candidate came after the last item.
    Transitions,
    /// The most events so far.
    Popular,
}

/// There is no such ranker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no ranker `{0}`; there are: ddco, also_viewed, transitions, popular")]
pub struct UnknownRanker(String);

impl RankerKind {
    /// Every ranker.
    pub const ALL: [Self; 4] = [
        Self::Ddco,
        Self::AlsoViewed,
        Self::Transitions,
        Self::Popular,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ddco => "ddco",
            Self::AlsoViewed => "also_viewed",
            Self::Transitions => "transitions",
            Self::Popular => "popular",
        }
    }

    /// One that has learned nothing; `items` are the settings of those that work on the engine's rows.
    pub fn build(self, items: &Config) -> Box<dyn Ranker> {
        match self {
            Self::Ddco => Box::new(Ddco {
                items: Items::new(items.clone()),
                sources: Vec::new(),
            }),
            Self::AlsoViewed => Box::new(AlsoViewed(Items::new(association_rules()))),
            Self::Transitions => Box::new(Transitions(Items::new(items.clone()))),
            Self::Popular => Box::new(Popular(Vec::new())),
        }
    }
}

impl FromStr for RankerKind {
    type Err = UnknownRanker;

    fn from_str(name: &str) -> Result<Self, UnknownRanker> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownRanker(name.to_owned()))
    }
}

/// Every pair of views counts one, in both directions, whatever lies between them.
fn association_rules() -> Config {
    Config {
        window: WINDOW_MAX,
        distance_scale: f64::INFINITY,
        backward_weight: 1.0,
        half_life_days: f64::INFINITY,
        row_entries_max: ROW_ENTRIES_LIMIT,
        count_repeats: true,
        source_exponent: 0.0,
        candidate_exponent: 0.0,
        ..Config::default()
    }
}

struct Ddco {
    items: Items,
    sources: Vec<Source>,
}

impl Ranker for Ddco {
    fn learn(&mut self, session: &[u32], item: u32, at: Millis) {
        self.items.view(session, item, at);
    }

    fn score(&mut self, session: &[u32], at: Millis, scratch: &mut Scratch) {
        self.items.session_sources(session, &mut self.sources);
        self.items.score_session(&self.sources, at, scratch);
    }
}

struct AlsoViewed(Items);

impl Ranker for AlsoViewed {
    fn learn(&mut self, session: &[u32], item: u32, at: Millis) {
        self.0.view(session, item, at);
    }

    fn score(&mut self, session: &[u32], at: Millis, scratch: &mut Scratch) {
        let last = session.last().map(|&item| Source { item, weight: 1.0 });
        self.0.score_session(last.as_slice(), at, scratch);
    }
}

struct Transitions(Items);

impl Ranker for Transitions {
    fn learn(&mut self, session: &[u32], item: u32, at: Millis) {
        self.0.view(session, item, at);
    }

    fn score(&mut self, session: &[u32], _at: Millis, scratch: &mut Scratch) {
        if let Some(&last) = session.last() {
            self.0.score_transitions(last, scratch);
        }
    }
}

/// Events by item.
struct Popular(Vec<u32>);

impl Ranker for Popular {
    fn learn(&mut self, _session: &[u32], item: u32, _at: Millis) {
        if self.0.len() <= item as usize {
            self.0.resize(item as usize + 1, 0);
        }
        if let Some(events) = self.0.get_mut(item as usize) {
            *events += 1;
        }
    }

    fn score(&mut self, _session: &[u32], _at: Millis, scratch: &mut Scratch) {
        scratch.clear(0);
        for (item, events) in (0..).zip(&self.0) {
            scratch.add(item, f64::from(*events));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RankerKind;
    use crate::domain::Millis;
    use crate::engine::items::{Config, Scratch};

    /// What `kind` foretells after `session` when it has learned `sessions`.
    fn check(kind: RankerKind, sessions: &[&[u32]], session: &[u32], expected: &[(u32, f64)]) {
        let mut ranker = kind.build(&Config::default());
        for learned in sessions {
            for (index, item) in learned.iter().enumerate() {
                ranker.learn(&learned[..index], *item, Millis(0));
            }
        }
        let mut scratch = Scratch::new();
        ranker.score(session, Millis(0), &mut scratch);
        let found: Vec<_> = scratch
            .top(10, |_| true)
            .iter()
            .map(|best| (best.item, best.score))
            .collect();
        assert_eq!(found, expected, "{}", kind.name());
    }

    #[test]
    fn each_ranker_counts_its_own_way() {
        let sessions: &[&[u32]] = &[&[1, 2, 2], &[2, 3]];
        check(
            RankerKind::AlsoViewed,
            sessions,
            &[9, 2],
            &[(1, 2.0), (2, 2.0), (3, 1.0)],
        );
        check(
            RankerKind::Transitions,
            sessions,
            &[9, 2],
            &[(2, 1.0), (3, 1.0)],
        );
        check(
            RankerKind::Popular,
            sessions,
            &[9],
            &[(2, 3.0), (1, 1.0), (3, 1.0)],
        );
        check(RankerKind::Ddco, &[&[1]], &[1], &[(1, 1.0)]);
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_those_there_are() {
        for kind in RankerKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "ddco+rerank".parse::<RankerKind>().unwrap_err().to_string();
        for kind in RankerKind::ALL {
            assert!(error.contains(kind.name()), "{error}");
        }
    }
}
