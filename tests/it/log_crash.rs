//! The embedded log loses nothing that it acknowledged and invents nothing, wherever it is interrupted.
//!
//! One run of a few thousand records on a [`SimDisk`] is recorded; then it crashes before and after every operation
//! of it, with what was not synced kept, lost, cut, reordered or torn at each sector, and what recovery finds is
//! compared with what was written and what was acknowledged.
#![expect(
    clippy::print_stdout,
    reason = "how many points were tried is part of the result"
)]

use impulse::stream::embedded::Repair;

use crate::log_model::{Acknowledge, Plan, Progress, Session, Trouble, check, record};
use crate::sim_disk::{Faults, Op, Random, SECTOR_BYTES, SimDisk, State, Unsynced};

/// Frames of the run, of about ten records each.
const FRAMES: usize = 500;

/// What was met on the way: a test that meets none of it proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    crashes: u64,
    torn_tails: u64,
    frames_behind_torn_ones: u64,
    topic_records_rebuilt: u64,
    from_snapshots: u64,
}

/// A crash.
#[derive(Clone, Copy, Debug)]
struct Point<'a> {
    /// Its number.
    nth: u64,
    /// What was done last.
    before: Option<&'a Op>,
    /// The disk then.
    crashed: &'a State,
    progress: Progress,
}

impl Point<'_> {
    /// How many frames to go on with from here, at the points that are chosen for it. Right after a rename it is few,
    /// so that nothing else makes the new name durable.
    fn goes_on(&self) -> Option<usize> {
        match self.before {
            Some(Op::Rename(..)) => Some(3),
            _ => self.nth.is_multiple_of(23).then_some(50),
        }
    }
}

/// Crashes before and after every operation of a run, in each of the ways that `ways` gives, and compares what is
/// found. Gives what was met and what was wrong.
fn crash_everywhere(
    trace: &[Op],
    plan: &Plan,
    ways: impl Fn(usize, Option<&Op>, &State, &mut Random) -> Vec<State>,
    is_acknowledgement_binding: bool,
    mut after: impl FnMut(Point<'_>, &SimDisk, Session) -> Result<(), Trouble>,
) -> (Met, Vec<String>) {
    let mut random = Random::new(1);
    let mut state = State::default();
    let mut progress = Progress::default();
    let mut met = Met::default();
    let mut wrong = Vec::new();
    for site in 0..=trace.len() {
        let before = site.checked_sub(1).and_then(|last| trace.get(last));
        let mut bound = progress;
        if !is_acknowledgement_binding {
            bound.acknowledged = 0;
        }
        for crashed in ways(site, before, &state, &mut random) {
            met.crashes += 1;
            let disk = SimDisk::new(crashed.clone(), Faults::default());
            let outcome = check(&disk, plan, bound, Repair::Refuse).and_then(|session| {
                met.count(&session);
                let point = Point {
                    nth: met.crashes,
                    before,
                    crashed: &crashed,
                    progress: bound,
                };
                after(point, &disk, session)
            });
            if let Err(trouble) = outcome {
                wrong.push(format!("before operation {site} {progress:?}: {trouble}"));
            }
        }
        if let Some(op) = trace.get(site) {
            state.apply(op);
            progress.note(op);
        }
    }
    (met, wrong)
}

impl Met {
    fn count(&mut self, session: &Session) {
        let recovery = &session.recovery;
        self.torn_tails += recovery.torn_tails;
        self.frames_behind_torn_ones += recovery.torn_frames;
        self.topic_records_rebuilt += recovery.topic_records_rebuilt;
        self.from_snapshots += u64::from(recovery.snapshot > 0);
        assert!(
            recovery.dropped.is_empty(),
            "nothing is dropped without --repair"
        );
    }
}

/// The death of the process alone.
fn process_dies(_: usize, before: Option<&Op>, state: &State, _: &mut Random) -> Vec<State> {
    match before {
        Some(Op::Note(_)) => Vec::new(),
        _ => vec![state.clone()],
    }
}

/// Every way in which the power can fail at a site.
fn power_fails(site: usize, before: Option<&Op>, state: &State, random: &mut Random) -> Vec<State> {
    let unsynced = match site % 4 {
        0 => Unsynced::Lost,
        1 => Unsynced::Prefix,
        2 => Unsynced::Some,
        _ => Unsynced::Kept,
    };
    let mut ways = vec![state.after_power_loss(unsynced, random)];
    if let Some(Op::Write(_, _, bytes)) = before {
        for sectors in 0..bytes.len().div_ceil(SECTOR_BYTES) {
            ways.push(state.after_power_loss(Unsynced::Torn(sectors), random));
        }
    }
    ways
}

fn either(site: usize, before: Option<&Op>, state: &State, random: &mut Random) -> Vec<State> {
    let mut ways = process_dies(site, before, state, random);
    if !ways.is_empty() {
        ways.extend(power_fails(site, before, state, random));
    }
    ways
}

#[expect(clippy::unnecessary_wraps, reason = "one of the ways to go on")]
fn no_more(_: Point<'_>, _: &SimDisk, _: Session) -> Result<(), Trouble> {
    Ok(())
}

fn assert_none(wrong: &[String]) {
    let first: Vec<&String> = wrong.iter().take(10).collect();
    assert!(
        wrong.is_empty(),
        "{} wrong, the first: {first:#?}",
        wrong.len()
    );
}

#[test]
fn nothing_acknowledged_is_lost_wherever_it_crashes() {
    let plan = Plan::new(FRAMES, 11);
    let (disk, ran) = record(&plan, Acknowledge::AfterSync, Faults::default());
    ran.unwrap();
    let mut nested = 0;
    let (met, wrong) = crash_everywhere(
        &disk.trace(),
        &plan,
        either,
        true,
        |point, disk, session| {
            if let Some(more) = point.goes_on() {
                nested += 1;
                go_on_and_lose_power(disk, &plan, session, more)?;
            } else if point.nth.is_multiple_of(97) {
                drop(session);
                nested += crash_in_recovery(point.crashed, &disk.trace(), &plan, point.progress)?;
            }
            Ok(())
        },
    );
    let records = plan.ends[FRAMES].position;
    println!("a run of {records} records: {met:?}, and {nested} crashes after or in recovery");
    assert_none(&wrong);
    assert!(records >= 4_500 && met.crashes >= 1_000);
    assert!(met.torn_tails > 0 && met.frames_behind_torn_ones > 0);
    assert!(met.topic_records_rebuilt > 0 && met.from_snapshots > 0);
}

/// What was recovered goes on with other frames than before, with snapshots and retention, until the power fails.
fn go_on_and_lose_power(
    disk: &SimDisk,
    plan: &Plan,
    mut session: Session,
    more: usize,
) -> Result<(), Trouble> {
    let plan = plan.fork(session.next, more);
    let all = plan.frames.len();
    session.run(disk, &plan, all, Acknowledge::AfterSync)?;
    drop(session);
    let mut random = Random::new(all as u64);
    for unsynced in [Unsynced::Lost, Unsynced::Some] {
        let after = disk.state().after_power_loss(unsynced, &mut random);
        let disk = SimDisk::new(after, Faults::default());
        check(&disk, &plan, Progress::all(all), Repair::Refuse)?;
    }
    Ok(())
}

/// Crashes at every operation of a recovery that began with `crashed`; how many.
fn crash_in_recovery(
    crashed: &State,
    trace: &[Op],
    plan: &Plan,
    progress: Progress,
) -> Result<u64, Trouble> {
    let mut random = Random::new(trace.len() as u64);
    let mut state = crashed.clone();
    let mut points = 0;
    for op in trace {
        state.apply(op);
        for unsynced in [Unsynced::Lost, Unsynced::Some] {
            let again = state.after_power_loss(unsynced, &mut random);
            check(
                &SimDisk::new(again, Faults::default()),
                plan,
                progress,
                Repair::Refuse,
            )?;
            points += 1;
        }
    }
    Ok(points)
}

#[test]
fn acknowledged_after_write_survives_the_death_of_the_process() {
    let plan = Plan::new(150, 12);
    let (disk, ran) = record(&plan, Acknowledge::AfterWrite, Faults::default());
    ran.unwrap();
    let (met, wrong) = crash_everywhere(&disk.trace(), &plan, process_dies, true, no_more);
    println!("{met:?}");
    assert_none(&wrong);
}

#[test]
fn acknowledged_after_write_is_whole_after_a_power_loss_though_some_may_be_missing() {
    let plan = Plan::new(150, 13);
    let (disk, ran) = record(&plan, Acknowledge::AfterWrite, Faults::default());
    ran.unwrap();
    let (met, wrong) = crash_everywhere(
        &disk.trace(),
        &plan,
        power_fails,
        false,
        |point, disk, session| {
            if let Some(more) = point.goes_on() {
                go_on_and_lose_power(disk, &plan, session, more)?;
            }
            Ok(())
        },
    );
    println!("{met:?}");
    assert_none(&wrong);
}

#[test]
fn acknowledging_before_fsync_is_caught() {
    let plan = Plan::new(60, 14);
    let (disk, ran) = record(&plan, Acknowledge::AfterWrite, Faults::default());
    ran.unwrap();
    let (_, wrong) = crash_everywhere(&disk.trace(), &plan, power_fails, true, no_more);
    let lost = wrong
        .iter()
        .filter(|trouble| trouble.contains("frames acknowledged"))
        .count();
    assert!(lost > 10, "{lost} losses seen");
}

#[test]
fn a_disk_that_lies_about_fsync_is_caught() {
    let plan = Plan::new(60, 15);
    let faults = Faults {
        is_lying: true,
        ..Faults::default()
    };
    let (disk, ran) = record(&plan, Acknowledge::AfterSync, faults);
    ran.unwrap();
    let (met, wrong) = crash_everywhere(&disk.trace(), &plan, power_fails, true, no_more);
    assert!(
        wrong.len() as u64 > met.crashes / 10,
        "{} of {met:?}",
        wrong.len()
    );
}
