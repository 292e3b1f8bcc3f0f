//! One walk over the events: predict, compare, learn.

use std::collections::HashSet;

use hdrhistogram::Histogram;

use crate::clock::Stopwatch;
use crate::engine::items::{Config, Scratch};
use crate::evaluate::ranker::{Ranker, RankerKind};
use crate::evaluate::read::ItemEvent;
use crate::evaluate::report::{Percentiles, Rule, Run};
use crate::evaluate::tally::{LIST, Tally};

/// Which events are predicted, and what is learned.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Its name in reports.
    pub name: &'static str,
    /// Events in the order of time; those before `first` only teach.
    pub events: Vec<ItemEvent>,
    /// The first event that is predicted.
    pub first: usize,
    /// Whether predicted events are learned.
    pub learn: bool,
    /// Events of the session this recent are not known when the next is predicted.
    pub session_lag_ms: i64,
}

impl Protocol {
    /// Learn `train`, then predict `test`.
    pub fn split(mut train: Vec<ItemEvent>, test: Vec<ItemEvent>, learn: bool) -> Self {
        let first = train.len();
        train.extend(test);
        let name = if learn { "split_learning" } else { "split" };
        Self {
            name,
            events: train,
            first,
            learn,
            session_lag_ms: 0,
        }
    }

    /// Learn everything, and predict what comes after the share `warmup`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share between 0 and 1 of a number of events"
    )]
    pub fn prequential(events: Vec<ItemEvent>, warmup: f64) -> Self {
        let first = (events.len() as f64 * warmup.clamp(0.0, 1.0)) as usize;
        Self {
            name: "prequential",
            events,
            first,
            learn: true,
            session_lag_ms: 0,
        }
    }
}

/// Runs a ranker by both rules; `progress` hears of every event walked.
pub fn evaluate(
    kind: RankerKind,
    items: &Config,
    protocol: &Protocol,
    progress: &mut dyn FnMut(),
) -> Vec<Run> {
    let mut ranker = kind.build(items);
    let mut walk = Walk::new(protocol);
    for (index, event) in protocol.events.iter().enumerate() {
        walk.step(index, event, ranker.as_mut());
        progress();
    }
    let items = walk
        .events_by_item
        .iter()
        .filter(|events| **events > 0)
        .count() as u64;
    let rules = [
        (Rule::RepeatsAllowed, &walk.allowed),
        (Rule::CurrentExcluded, &walk.excluded),
    ];
    let run = |(rule, tally): (Rule, &Tally)| Run {
        ranker: kind.name(),
        protocol: protocol.name,
        rule,
        measures: tally.measures(items),
        latency_us: percentiles(&walk.query_ns),
        update_us: percentiles(&walk.update_ns),
    };
    rules.map(run).into()
}

/// State of the walk.
struct Walk<'a> {
    protocol: &'a Protocol,
    sessions: Vec<Vec<(u32, i64)>>,
    session: Vec<u32>,
    visible: Vec<u32>,
    seen: HashSet<(u32, u32)>,
    events_by_item: Vec<u32>,
    most_events: u32,
    scratch: Scratch,
    allowed: Tally,
    excluded: Tally,
    query_ns: Times,
    update_ns: Times,
}

impl<'a> Walk<'a> {
    fn new(protocol: &'a Protocol) -> Self {
        let largest = |number: fn(&ItemEvent) -> u32| protocol.events.iter().map(number).max();
        let sessions = largest(|event| event.session).map_or(0, |session| session as usize + 1);
        let items = largest(|event| event.item).map_or(0, |item| item as usize + 1);
        Self {
            protocol,
            sessions: vec![Vec::new(); sessions],
            session: Vec::new(),
            visible: Vec::new(),
            seen: HashSet::new(),
            events_by_item: vec![0; items],
            most_events: 0,
            scratch: Scratch::new(),
            allowed: Tally::default(),
            excluded: Tally::default(),
            query_ns: Times::new(),
            update_ns: Times::new(),
        }
    }

    fn step(&mut self, index: usize, event: &ItemEvent, ranker: &mut dyn Ranker) {
        let predicted = index >= self.protocol.first;
        let Some(session) = self.sessions.get_mut(event.session as usize) else {
            return;
        };
        self.session.clear();
        self.session.extend(session.iter().map(|(item, _)| item));
        self.visible.clear();
        let known = event.at.0.saturating_sub(self.protocol.session_lag_ms);
        let visible = session
            .iter()
            .filter(|(_, at)| self.protocol.session_lag_ms == 0 || *at <= known);
        self.visible.extend(visible.map(|(item, _)| item));
        session.push((event.item, event.at.0));
        let novel = self.seen.insert((event.visitor, event.item));
        if predicted && let Some(&current) = self.session.last() {
            self.predict(event, current, novel, ranker);
        }
        if !predicted || self.protocol.learn {
            let stopwatch = Stopwatch::start();
            ranker.learn(&self.session, event.item, event.at);
            self.update_ns.record(&stopwatch);
            if let Some(events) = self.events_by_item.get_mut(event.item as usize) {
                *events += 1;
                self.most_events = self.most_events.max(*events);
            }
        }
    }

    fn predict(&mut self, event: &ItemEvent, current: u32, novel: bool, ranker: &mut dyn Ranker) {
        let stopwatch = Stopwatch::start();
        if self.visible.is_empty() {
            self.scratch.clear(0);
        } else {
            ranker.score(&self.visible, event.at, &mut self.scratch);
        }
        let list = self.scratch.top(LIST, |_| true);
        self.query_ns.record(&stopwatch);
        let most = f64::from(self.most_events.max(1));
        let popularity = |item: u32| {
            let events = self
                .events_by_item
                .get(item as usize)
                .copied()
                .unwrap_or_default();
            f64::from(events) / most
        };
        self.allowed.show(list, popularity);
        self.allowed
            .count(self.scratch.rank(event.item, |_| true), novel);
        let other = |item: u32| item != current;
        self.excluded
            .show(self.scratch.top(LIST, other), popularity);
        let rank = self
            .scratch
            .rank(event.item, other)
            .filter(|_| other(event.item));
        self.excluded.count(rank, novel);
    }
}

/// Times in nanoseconds, to three digits.
struct Times(Option<Histogram<u64>>);

impl Times {
    fn new() -> Self {
        // Bounds and digits that a histogram can keep; what takes longer than a minute counts as a minute.
        Self(Histogram::new_with_max(60_000_000_000, 3).ok())
    }

    fn record(&mut self, stopwatch: &Stopwatch) {
        let ns = u64::try_from(stopwatch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(ns);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of one call")]
fn percentiles(times: &Times) -> Percentiles {
    let at = |quantile: f64| {
        times.0.as_ref().map_or(0.0, |histogram| {
            histogram.value_at_quantile(quantile) as f64 / 1_000.0
        })
    };
    Percentiles {
        p50: at(0.5),
        p99: at(0.99),
    }
}

#[cfg(test)]
mod tests {
    use super::{Protocol, evaluate};
    use crate::domain::Millis;
    use crate::engine::items::Config;
    use crate::evaluate::{ItemEvent, RankerKind};

    /// Events of one visitor a session, a second apart.
    fn events(sessions: &[&[u32]], first: u32) -> Vec<ItemEvent> {
        let mut events = Vec::new();
        for (session, items) in (first..).zip(sessions) {
            for item in *items {
                let at = Millis(i64::try_from(events.len()).unwrap() * 1_000);
                events.push(ItemEvent {
                    visitor: session,
                    session,
                    item: *item,
                    at,
                });
            }
        }
        events
    }

    /// Points, HR@1 and novel HR@1 by each rule.
    fn check(protocol: &Protocol, expected: [(u64, f64, f64); 2]) {
        let mut walked = 0;
        let runs = evaluate(
            RankerKind::Transitions,
            &Config::default(),
            protocol,
            &mut || walked += 1,
        );
        assert_eq!(walked, protocol.events.len());
        let found = runs.iter().map(|run| {
            (
                run.measures.points,
                run.measures.hr.at_1,
                run.measures.novel_hr.at_1,
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_item_of_a_test_session_but_the_first_is_predicted() {
        let train = events(&[&[1, 2, 2], &[1, 2]], 0);
        let test = events(&[&[1, 2, 2, 1], &[3, 1]], 2);
        // After 1 comes 2: hit. After 2 comes 2: hit unless the current item is excluded. 1 and 3 lead nowhere.
        check(
            &Protocol::split(train, test, false),
            [(4, 0.5, 0.5), (4, 0.25, 0.5)],
        );
    }

    #[test]
    fn learning_goes_on_in_a_prequential_run() {
        let twice = events(&[&[1, 2], &[1, 2]], 0);
        check(
            &Protocol::prequential(twice.clone(), 0.5),
            [(1, 1.0, 1.0), (1, 1.0, 1.0)],
        );
        check(
            &Protocol::prequential(twice, 0.0),
            [(2, 0.5, 0.5), (2, 0.5, 0.5)],
        );
    }

    #[test]
    fn a_lag_hides_the_end_of_the_session() {
        let train = events(&[&[1, 2, 3], &[1, 2, 3]], 0);
        let test = events(&[&[1, 2, 3]], 2);
        let mut protocol = Protocol::split(train, test, false);
        check(&protocol, [(2, 1.0, 1.0), (2, 1.0, 1.0)]);
        // 2 is predicted from nothing; 3 from 1 alone, after which 2 is likelier unless it is excluded.
        protocol.session_lag_ms = 1_500;
        check(&protocol, [(2, 0.0, 0.0), (2, 0.5, 0.5)]);
    }
}
