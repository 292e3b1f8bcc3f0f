//! Runs that must not differ: what is repeated, stopped and started again, or moved within the bound changes nothing.

use std::collections::BTreeSet;

use impulse::domain::{
    HOUR_MS, Id, Input, Millis, Outcome, Record, SECOND_MS, Trigger, TriggerId, TriggerKind,
    TriggerReason,
};
use impulse::engine::{Engine, Restore};

use super::carts::CartRule;
use super::compare::{cart_line, same};
use super::journal::{Journal, Times, Verdict};
use super::random::Random;
use super::subject::{Honest, Subject, config};

/// What can be seen of a run from outside.
#[derive(Debug, PartialEq)]
struct Traces {
    /// What became of each record that counted or was refused.
    outcomes: Vec<Outcome>,
    triggers: Vec<Trigger>,
    state: Vec<u8>,
}

impl Traces {
    /// These must be the other's, with as little text as possible when they are not.
    fn same(&self, other: &Self) -> Result<(), String> {
        same("outcomes", &self.outcomes, &other.outcomes)?;
        same("triggers", &self.triggers, &other.triggers)?;
        let differing = self
            .state
            .iter()
            .zip(&other.state)
            .position(|(one, two)| one != two);
        if self.state == other.state {
            return Ok(());
        }
        let lengths = (self.state.len(), other.state.len());
        Err(format!(
            "state bytes of lengths {lengths:?} differ, first at {differing:?}"
        ))
    }
}

fn traces(records: &[Record]) -> Traces {
    let mut engine = Honest::new(&CartRule::default());
    let mut triggers = Vec::new();
    let outcomes = records
        .iter()
        .map(|record| engine.apply(record, &mut triggers))
        .collect();
    Traces {
        outcomes,
        triggers,
        state: engine.engine.state_bytes(),
    }
}

/// The same log gives the same outcomes, triggers and state.
pub(crate) fn twice(records: &[Record]) -> Result<(), String> {
    traces(records).same(&traces(records))
}

/// Anything that is known and comes again changes nothing.
pub(crate) fn repeated(seed: u64, records: &[Record]) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut engine = Honest::new(&CartRule::default());
    let (mut triggers, mut outcomes) = (Vec::new(), Vec::new());
    let mut journal = Journal::default();
    for record in records {
        let verdict = journal.judge(record);
        let outcome = engine.apply(record, &mut triggers);
        if !verdict.allows(&outcome) {
            return Err(format!(
                "outcome {outcome:?} of {record:?}, expected {verdict:?}"
            ));
        }
        if matches!(outcome, Outcome::Applied { .. }) {
            journal.accept(record, &verdict);
        }
        outcomes.push(outcome);
        if journal.accepted.is_empty() || random.percent(60) {
            continue;
        }
        let recent = random.below(journal.accepted.len().min(10));
        let again = &journal.accepted[journal.accepted.len() - 1 - recent].record;
        if journal.judge(again) == Verdict::Duplicate {
            let outcome = engine.apply(again, &mut triggers);
            same("outcome of a repeated event", &outcome, &Outcome::Duplicate)?;
        }
    }
    let state = engine.engine.state_bytes();
    Traces {
        outcomes,
        triggers,
        state,
    }
    .same(&traces(records))
}

/// A snapshot taken anywhere, written while records go on, restored: the same state then and at the end.
pub(crate) fn restored(seed: u64, records: &[Record]) -> Result<(), String> {
    let mut random = Random::new(seed);
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok(());
    };
    let mut moment = || {
        let span_ms = last.received.since(first.received).max(0);
        first.received + random.between(0, span_ms)
    };
    let (one, other) = (moment(), moment());
    let before = |time: Millis| {
        records
            .iter()
            .position(|record| record.received > time)
            .unwrap_or(records.len())
    };
    let (cut, written) = (before(one.min(other)), before(one.max(other)));
    let mut engine = Honest::new(&CartRule::default());
    let mut unseen = Vec::new();
    for record in &records[..cut] {
        engine.apply(record, &mut unseen);
    }
    let state = engine.engine.state_bytes();
    let job = engine
        .engine
        .begin_snapshot()
        .ok_or("a snapshot is under way")?;
    for record in &records[cut..written] {
        engine.apply(record, &mut unseen);
    }
    let mut restore = Restore::new(config(&CartRule::default()));
    job.write(|chunk| restore.feed(chunk))
        .map_err(|error| format!("snapshot refused: {error:?}"))?;
    let mut restored: Engine = restore
        .finish()
        .map_err(|error| format!("snapshot refused: {error:?}"))?;
    if restored.state_bytes() != state {
        return Err(format!("restored after record {cut}, the state differs"));
    }
    let mut restored = Honest { engine: restored };
    let whole = traces(records);
    let mut triggers = Vec::new();
    let outcomes: Vec<Outcome> = records[cut..]
        .iter()
        .map(|record| restored.apply(record, &mut triggers))
        .collect();
    let before = whole.triggers.len() - triggers.len().min(whole.triggers.len());
    same(
        "outcomes after a restore",
        &outcomes,
        &whole.outcomes[cut..].to_vec(),
    )?;
    same(
        "triggers after a restore",
        &triggers,
        &whole.triggers[before..].to_vec(),
    )?;
    if restored.engine.state_bytes() != whole.state {
        return Err(format!(
            "restored after record {cut}, the state at the end differs"
        ));
    }
    Ok(())
}

/// What a trigger record says that does not depend on the arrival of anything.
type Said = (
    TriggerKind,
    TriggerReason,
    TriggerId,
    Id,
    Id,
    Millis,
    String,
);

/// The events of a stream in two orders, each event no later than the bound: the same trigger records.
pub(crate) fn reordered(seed: u64, records: &[Record]) -> Result<(), String> {
    let caught_up = Random::new(seed).percent(70);
    let said = |order_seed: u64| {
        let arrivals = shuffled(order_seed, records, caught_up);
        let mut engine = Honest::new(&CartRule::default());
        let mut triggers = Vec::new();
        for record in &arrivals {
            engine.apply(record, &mut triggers);
        }
        triggers.iter().map(said).collect::<BTreeSet<Said>>()
    };
    let (one, other) = (said(seed), said(seed ^ 0xffff));
    same(
        "triggers only in one order",
        &one.difference(&other).collect(),
        &Vec::<&Said>::new(),
    )?;
    same(
        "triggers only in the other order",
        &other.difference(&one).collect(),
        &Vec::new(),
    )
}

fn said(trigger: &Trigger) -> Said {
    (
        trigger.kind,
        trigger.reason,
        trigger.id,
        trigger.user.clone(),
        trigger.episode.clone(),
        trigger.deadline,
        cart_line(&trigger.cart.lines),
    )
}

/// The events of a stream, each received less than the bound after its event time, with the ticks of a pipeline.
///
/// How long an event is on its way depends on the seed and on its id alone.
pub(crate) fn shuffled(seed: u64, records: &[Record], caught_up: bool) -> Vec<Record> {
    let bound_ms = Times::default().disorder_ms;
    let mut arrivals: Vec<Record> = Vec::new();
    for record in records {
        let mut record = record.clone();
        if let Input::Event(event) = &mut record.input {
            let Some(created) = event.created else {
                continue;
            };
            event.sent = None;
            let number = event
                .id
                .bytes()
                .fold(seed, |sum, byte| sum * 31 + u64::from(byte));
            record.received = created + Random::new(number).between(0, bound_ms - 1);
        } else if matches!(record.input, Input::Tick { .. }) {
            continue;
        }
        arrivals.push(record);
    }
    arrivals.sort_by_key(|record| record.received);
    let mut log: Vec<Record> = Vec::new();
    let mut last_tick: Option<Millis> = None;
    for record in arrivals {
        let now = record.received;
        if let Some(tick_before) = last_tick {
            // Silence is seen as it passes, so that nothing expires in one order and fires in another.
            let silence = (1..30).map(|hours| hours * HOUR_MS).chain([10 * SECOND_MS]);
            let mut walls: Vec<Millis> = silence.map(|ms| tick_before + ms).collect();
            walls.sort();
            log.extend(
                walls
                    .into_iter()
                    .filter(|wall| *wall < now)
                    .map(|wall| tick(wall, caught_up)),
            );
        }
        if last_tick.is_none_or(|tick| now.since(tick) >= SECOND_MS) {
            log.push(tick(now, caught_up));
            last_tick = Some(now);
        }
        log.push(record);
    }
    let end = last_tick.unwrap_or_default();
    for hours in 1..4 {
        log.push(tick(end + hours * HOUR_MS, true));
    }
    log
}

fn tick(wall: Millis, caught_up: bool) -> Record {
    Record {
        received: wall,
        input: Input::Tick { wall, caught_up },
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::super::streams::{Plan, is_timely, stream};
    use super::shuffled;

    #[test]
    fn shuffling_moves_events_within_the_bound() {
        let mut moved = 0;
        for seed in 1..50 {
            let records = stream(seed, Plan::carts);
            let (one, other) = (
                shuffled(seed, &records, true),
                shuffled(seed + 1, &records, true),
            );
            assert!(is_timely(&one) && is_timely(&other), "seed {seed}");
            moved += u32::from(one != other);
            assert_eq!(one, shuffled(seed, &records, true));
        }
        assert!(moved > 40, "{moved}");
        assert!(Random::new(1).next() != Random::new(2).next());
    }
}
