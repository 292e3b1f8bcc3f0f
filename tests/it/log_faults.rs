//! What the embedded log does about a full disk, a failed fsync, flipped bits and missing files.
#![expect(
    clippy::print_stdout,
    reason = "how many points were tried is part of the result"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use impulse::domain::Millis;
use impulse::stream::embedded::{
    AppendError, Damage, DataDir, Disk, FrameBuilder, OpenError, OpenMode, ReadError, Repair,
    SegmentRetention, Topic,
};

use crate::log_model::{
    Acknowledge, Plan, Progress, SNAPSHOT_FRAMES, Session, Trouble, check, config, path, record,
    time,
};
use crate::sim_disk::{Faults, Op, Random, SimDisk, State, Unsynced};

/// Frames after the second last snapshot, and all frames, of the runs that are damaged.
const FRAMES: usize = 4 * SNAPSHOT_FRAMES + 40;

fn disk_of(state: State) -> SimDisk {
    SimDisk::new(state, Faults::default())
}

#[test]
fn a_full_disk_keeps_the_frame_for_another_try() {
    let plan = Plan::new(120, 21);
    let writes = record(&plan, Acknowledge::AfterSync, Faults::default())
        .0
        .counts()
        .1;
    let mut points = 0;
    for nth in (0..writes).step_by(3) {
        let faults = Faults {
            full: Some((nth, 7)),
            ..Faults::default()
        };
        let (disk, ran) = record(&plan, Acknowledge::AfterSync, faults);
        match ran {
            // A log cannot be begun on a full disk; that is said and does no harm.
            Err(Trouble::Open(error)) => {
                assert!(error.to_string().contains("cannot"), "{error}");
                check(
                    &disk_of(disk.state()),
                    &plan,
                    Progress::default(),
                    Repair::Refuse,
                )
                .unwrap();
            }
            ran => {
                ran.unwrap();
                let all = Progress::all(plan.frames.len());
                check(&disk_of(disk.state()), &plan, all, Repair::Refuse).unwrap();
            }
        }
        points += 1 + crash_while_full(&disk, &plan);
    }
    println!("{points} points, the disk full from every third write on");
    assert!(points > 100);
}

#[test]
fn a_frame_that_did_not_fit_leaves_nothing_behind() {
    let plan = Plan::new(5, 32);
    let (disk, _) = record(&plan, Acknowledge::AfterSync, Faults::default());
    let before = disk.state().files("/log/");
    let opening = {
        let disk = disk_of(disk.state());
        Session::open(&disk, Repair::Refuse).unwrap();
        disk.counts().1
    };
    let faults = Faults {
        full: Some((opening, 2)),
        ..Faults::default()
    };
    let disk = SimDisk::new(disk.state(), faults);
    let mut session = Session::open(&disk, Repair::Refuse).unwrap();
    let mut frame = FrameBuilder::new();
    frame.begin(session.store.log.end(), Millis(1));
    frame.dead_letter(&[7; 2_000]);
    let refused = session.store.log.append(&mut frame).unwrap_err();
    assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");
    assert_eq!(disk.state().files("/log/"), before);
    assert_eq!(session.store.counters.view().disk_full, 1);
    assert_eq!(session.store.log.end(), *plan.ends.last().unwrap());
    session.store.log.append(&mut frame).unwrap();
}

/// Crashes after each truncation of a run: the operations that a full disk adds.
fn crash_while_full(disk: &SimDisk, plan: &Plan) -> u64 {
    let trace = disk.trace();
    let mut random = Random::new(trace.len() as u64);
    let mut state = State::default();
    let mut points = 0;
    for (site, op) in trace.iter().enumerate() {
        state.apply(op);
        if matches!(op, Op::Truncate(..)) {
            let progress = Progress::of(trace.get(..=site).unwrap());
            for unsynced in [Unsynced::Lost, Unsynced::Some, Unsynced::Kept] {
                let crashed = state.after_power_loss(unsynced, &mut random);
                check(&disk_of(crashed), plan, progress, Repair::Refuse).unwrap();
                points += 1;
            }
        }
    }
    points
}

#[test]
fn a_failed_fsync_ends_the_run_and_is_not_forgotten() {
    let plan = Plan::new(150, 22);
    let syncs = record(&plan, Acknowledge::AfterSync, Faults::default())
        .0
        .counts()
        .0;
    let mut random = Random::new(22);
    let mut ended = 0;
    for nth in 1..syncs {
        let faults = Faults {
            sync_failure: Some(nth),
            ..Faults::default()
        };
        let (disk, ran) = record(&plan, Acknowledge::AfterSync, faults);
        let error = ran.unwrap_err();
        let text = error.to_string();
        ended += u64::from(text.contains("the process must end"));
        assert!(text.contains("fsync"), "{text}");
        let progress = Progress::of(&disk.trace());
        let lost = disk.state().after_power_loss(Unsynced::Lost, &mut random);
        check(&disk_of(lost), &plan, progress, Repair::Refuse).unwrap();
        // The next process sees pages that the system believes to be on disk. What it builds on must get there.
        let next = disk_of(disk.state());
        let mut session = check(&next, &plan, progress, Repair::Refuse).unwrap();
        let to = (session.next + usize::try_from(nth % 2).unwrap() * 100).min(plan.frames.len());
        session
            .run(&next, &plan, to, Acknowledge::AfterSync)
            .unwrap();
        drop(session);
        let lost = next.state().after_power_loss(Unsynced::Lost, &mut random);
        check(&disk_of(lost), &plan, Progress::all(to), Repair::Refuse).unwrap();
    }
    println!("{syncs} failed fsyncs, {ended} of them while running");
    assert!(ended > 50);
}

#[test]
fn after_a_failed_fsync_nothing_more_is_taken() {
    let plan = Plan::new(10, 23);
    let (disk, _) = record(&plan, Acknowledge::AfterSync, Faults::default());
    let faults = Faults {
        sync_failure: Some(disk.counts().0),
        ..Faults::default()
    };
    // Opening syncs the epoch, the log and the topic logs; the next fsync after those fails.
    let state = disk.state();
    let opening = {
        let disk = disk_of(state.clone());
        Session::open(&disk, Repair::Refuse).unwrap();
        disk.counts().0
    };
    let disk = SimDisk::new(
        state,
        Faults {
            sync_failure: Some(opening),
            ..faults
        },
    );
    let mut session = Session::open(&disk, Repair::Refuse).unwrap();
    let mut frame = FrameBuilder::new();
    frame.begin(session.store.log.end(), Millis(1));
    frame.dead_letter(b"one");
    session.store.log.append(&mut frame).unwrap();
    let sync = session.store.log.sync_handle();
    assert!(sync.sync().unwrap_err().to_string().contains("fsync"));
    assert!(sync.sync().unwrap_err().to_string().contains("earlier"));
    frame.begin(session.store.log.end(), Millis(2));
    frame.dead_letter(b"two");
    let refused = session.store.log.append(&mut frame).unwrap_err();
    assert!(matches!(refused, AppendError::Fatal(_)), "{refused}");
    let topics = session.store.topics.append(&frame.frame()).unwrap_err();
    assert!(
        matches!(
            topics,
            AppendError::Fatal(_) | AppendError::OutOfOrder { .. }
        ),
        "{topics}"
    );
}

/// A run that ended well, all of it on disk, without the newest snapshot, so that much of the log is read when opening.
fn finished(plan: &Plan) -> State {
    let (disk, ran) = record(plan, Acknowledge::AfterSync, Faults::default());
    ran.unwrap();
    let mut state = disk
        .state()
        .after_power_loss(Unsynced::Kept, &mut Random::new(0));
    let (newest, _) = state.files("snapshots/").pop().unwrap();
    state.remove(&newest);
    state
}

/// Every frame in the main log: its file, where it begins and where it ends.
fn frames(state: &State) -> Vec<(PathBuf, usize, usize)> {
    let mut found = Vec::new();
    for (file, bytes) in state.files("/log/") {
        let windows = bytes.windows(4).enumerate();
        let begins: Vec<usize> = windows
            .filter(|(_, window)| *window == b"IMPf")
            .map(|(at, _)| at)
            .collect();
        let ends = begins.iter().copied().skip(1).chain([bytes.len()]);
        found.extend(
            begins
                .iter()
                .zip(ends)
                .map(|(begin, end)| (file.clone(), *begin, end)),
        );
    }
    found
}

fn damage(trouble: Trouble) -> Damage {
    match trouble {
        Trouble::Open(OpenError::Read(ReadError::Damaged(damage)))
        | Trouble::Read(ReadError::Damaged(damage)) => damage,
        other @ (Trouble::Open(_)
        | Trouble::Read(_)
        | Trouble::Append(_)
        | Trouble::Snapshot(_)
        | Trouble::Retention(_)
        | Trouble::Wrong(_)) => panic!("{other}"),
    }
}

#[test]
fn a_flipped_bit_in_any_frame_is_found_and_repaired_on_request_only() {
    let plan = Plan::new(FRAMES, 24);
    let state = finished(&plan);
    let found = frames(&state);
    let all = Progress::all(FRAMES);
    let begun = Progress {
        acknowledged: 0,
        begun: FRAMES,
    };
    let mut random = Random::new(24);
    let mut refused = 0;
    for (nth, (file, begin, end)) in found.iter().enumerate() {
        let mut damaged = state.clone();
        let byte = begin + usize::try_from(random.below((end - begin) as u64)).unwrap();
        damaged.flip(file, byte, random.below(8));
        let Err(trouble) = check(&disk_of(damaged.clone()), &plan, all, Repair::Refuse) else {
            // Before the snapshot: nothing reads it any more.
            continue;
        };
        refused += 1;
        let damage = damage(trouble);
        assert_eq!(
            (&damage.file, damage.offset),
            (file, *begin as u64),
            "{damage}"
        );
        assert_eq!(
            damage.frames_behind,
            (found.len() - nth - 1) as u64,
            "{damage}"
        );
        assert!(damage.to_string().contains("--repair"), "{damage}");

        let disk = disk_of(damaged);
        let session = check(&disk, &plan, begun, Repair::Cut).unwrap();
        let kept = FRAMES - (found.len() - nth);
        assert_eq!(session.next, kept, "everything before the damage is kept");
        let dropped = &session.recovery.dropped[0];
        assert_eq!((&dropped.file, dropped.offset), (file, *begin as u64));
        assert_eq!(dropped.last_kept, plan.ends[kept].position);
        if nth + 1 < found.len() {
            assert_eq!(dropped.last_dropped, plan.ends[FRAMES].position);
        }
        assert_eq!(dropped.bytes, damage.bytes);
        drop(session);
        let lost = disk.state().after_power_loss(Unsynced::Lost, &mut random);
        check(&disk_of(lost), &plan, Progress::all(kept), Repair::Refuse).unwrap();
    }
    println!("{} frames flipped, {refused} refused", found.len());
    assert!(refused >= SNAPSHOT_FRAMES);
}

#[test]
fn without_the_file_that_vouches_only_the_last_frames_pass_for_a_torn_tail() {
    let plan = Plan::new(FRAMES, 25);
    let mut state = finished(&plan);
    state.remove(&path().join("synced"));
    let found = frames(&state);
    let mut torn = 0;
    for (nth, (file, begin, _)) in found.iter().enumerate() {
        let mut damaged = state.clone();
        damaged.flip(file, begin + 5, 3);
        let progress = Progress {
            acknowledged: 0,
            begun: FRAMES,
        };
        match check(&disk_of(damaged), &plan, progress, Repair::Refuse) {
            Ok(session) if session.recovery.torn_tails > 0 => {
                torn += 1;
                assert!(
                    nth + 6 >= found.len(),
                    "frame {nth} of {} was cut",
                    found.len()
                );
            }
            Ok(session) => assert_eq!(session.next, FRAMES),
            Err(trouble) => assert!(trouble.is_refusal(), "{trouble}"),
        }
    }
    assert!(torn > 0);
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_does_no_harm() {
    let plan = Plan::new(FRAMES, 26);
    let (disk, ran) = record(&plan, Acknowledge::AfterSync, Faults::default());
    ran.unwrap();
    let state = disk.state();
    let mut random = Random::new(26);
    let (mut refused, mut harmless) = (0, 0);
    for (file, bytes) in state.files("") {
        for _ in 0..60_usize.min(bytes.len()) {
            let byte = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let mut damaged = state.clone();
            damaged.flip(&file, byte, random.below(8));
            let disk = disk_of(damaged);
            match check(&disk, &plan, Progress::all(FRAMES), Repair::Refuse) {
                Ok(_) => harmless += 1,
                Err(trouble) if trouble.is_refusal() => {
                    refused += 1;
                    assert_repaired(&disk, &trouble);
                }
                Err(trouble) => panic!("{} byte {byte}: {trouble}", file.display()),
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 0 && harmless > 0);
}

/// What was refused opens once with `--repair`, and from then on without.
fn assert_repaired(disk: &SimDisk, trouble: &Trouble) {
    if matches!(trouble, Trouble::Open(OpenError::Epoch { .. })) {
        return;
    }
    let repaired = Session::open(disk, Repair::Cut).unwrap();
    assert!(!repaired.recovery.dropped.is_empty(), "{trouble}");
    drop(repaired);
    let session = Session::open(disk, Repair::Refuse).unwrap();
    for topic in Topic::ALL {
        let reader = session.store.topics.reader(topic);
        let mut next = 1;
        loop {
            let page = reader.read(next, 100, 1 << 20).unwrap();
            let Some(last) = page.records.last() else {
                break;
            };
            assert!(last.seq >= next);
            next = last.seq + 1;
        }
        assert_eq!(next, reader.newest() + 1);
    }
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_one_before() {
    let plan = Plan::new(FRAMES, 27);
    let (disk, ran) = record(&plan, Acknowledge::AfterSync, Faults::default());
    ran.unwrap();
    let snapshots = disk.state().files("snapshots/");
    assert_eq!(snapshots.len(), 2, "two generations are kept");
    let (newest, bytes) = &snapshots[1];
    let older = snapshots[0]
        .0
        .file_stem()
        .unwrap()
        .to_string_lossy()
        .parse::<u64>()
        .unwrap();
    for byte in (0..bytes.len()).step_by(41) {
        let mut state = disk.state();
        state.flip(newest, byte, 0);
        let mut session = check(
            &disk_of(state),
            &plan,
            Progress::all(FRAMES),
            Repair::Refuse,
        )
        .unwrap();
        assert_eq!(session.recovery.snapshot, older, "byte {byte}");
        assert_eq!(session.store.snapshots.newest().unwrap().position, older);
        session.next = FRAMES;
    }
}

#[test]
fn a_missing_segment_is_named() {
    let plan = Plan::new(FRAMES, 28);
    let state = finished(&plan);
    let segments = state.files("/log/");
    assert!(segments.len() >= 3, "{}", segments.len());
    let (first, middle, last) = (
        &segments[0].0,
        &segments[1].0,
        &segments[segments.len() - 1].0,
    );
    for missing in [middle, last] {
        let mut state = state.clone();
        state.remove(missing);
        let trouble = check(
            &disk_of(state),
            &plan,
            Progress::all(FRAMES),
            Repair::Refuse,
        );
        assert!(
            damage(trouble.err().unwrap())
                .to_string()
                .contains("damaged at byte 0")
        );
    }
    let mut beginning = state.clone();
    beginning.remove(first);
    for (snapshot, _) in state.files("snapshots/") {
        beginning.remove(&snapshot);
    }
    let trouble = Session::open(&disk_of(beginning), Repair::Cut)
        .err()
        .unwrap();
    assert!(
        trouble.to_string().contains("the log begins at"),
        "{trouble}"
    );
}

#[test]
fn a_log_that_is_gone_is_begun_after_the_snapshot_on_request_only() {
    let plan = Plan::new(SNAPSHOT_FRAMES + 3, 29);
    let (disk, _) = record(&plan, Acknowledge::AfterSync, Faults::default());
    let mut state = disk.state();
    for (segment, _) in state.files("/log/") {
        state.remove(&segment);
    }
    let disk = disk_of(state);
    let trouble = Session::open(&disk, Repair::Refuse).err().unwrap();
    assert!(trouble.is_refusal(), "{trouble}");
    let mut session = Session::open(&disk, Repair::Cut).unwrap();
    assert_eq!(session.store.log.end(), plan.ends[SNAPSHOT_FRAMES]);
    session.next = SNAPSHOT_FRAMES;
    session
        .run(&disk, &plan, plan.frames.len(), Acknowledge::AfterSync)
        .unwrap();
    drop(session);
    check(
        &disk,
        &plan,
        Progress::all(plan.frames.len()),
        Repair::Refuse,
    )
    .unwrap();
}

#[test]
fn a_segment_stays_until_its_topic_records_are_on_disk() {
    let plan = Plan::new(FRAMES, 33);
    let disk = SimDisk::default();
    let mut session = Session::open(&disk, Repair::Refuse).unwrap();
    let mut undelivered = Vec::new();
    for frame in 0..FRAMES {
        undelivered.push(session.append(&plan, frame).unwrap());
        if frame.is_multiple_of(SNAPSHOT_FRAMES) {
            session.snapshot(time(frame)).unwrap();
        }
    }
    assert!(session.store.counters.view().segments_created > 2);
    assert_eq!(session.store.counters.view().segments_removed, 0);
    for frame in &undelivered {
        session.store.topics.append(&frame.frame()).unwrap();
    }
    let removed = session.store.retention.run(time(FRAMES)).unwrap();
    assert!(removed.segments > 0);
}

#[test]
fn a_frame_begun_elsewhere_or_too_large_is_not_appended() {
    let mut session = Session::open(&SimDisk::default(), Repair::Refuse).unwrap();
    let mut frame = FrameBuilder::new();
    frame.dead_letter(b"one");
    session.store.log.append(&mut frame).unwrap();
    let refused = session.store.log.append(&mut frame).unwrap_err();
    assert!(
        matches!(refused, AppendError::OutOfOrder { .. }),
        "{refused}"
    );
    frame.begin(session.store.log.end(), Millis(1));
    assert_eq!(
        session.store.log.append(&mut frame).unwrap(),
        frame.before()
    );
    frame.dead_letter(&vec![0; 64 << 20]);
    let refused = session.store.log.append(&mut frame).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { .. }), "{refused}");
    assert_eq!(session.store.log.end(), frame.before());
}

#[test]
fn a_frame_out_of_place_is_not_taken() {
    let plan = Plan::new(20, 34);
    let (disk, _) = record(&plan, Acknowledge::AfterSync, Faults::default());
    let state = disk.state();
    let (file, bytes) = state.files("/log/").remove(0);
    let (_, begin, end) = frames(&state)[7];
    let copy = bytes.get(begin..end).unwrap();
    let opened = disk.open(&file, OpenMode::Write).unwrap();
    opened.write_at(copy, bytes.len() as u64).unwrap();
    let all = Progress::all(plan.frames.len());
    let session = check(&disk, &plan, all, Repair::Refuse).unwrap();
    assert_eq!(session.recovery.torn_bytes, copy.len() as u64);
}

#[test]
fn segments_are_removed_archived_or_kept() {
    for retention in [
        SegmentRetention::Remove,
        SegmentRetention::Archive,
        SegmentRetention::Keep,
    ] {
        let plan = Plan::new(FRAMES, 30);
        let disk = SimDisk::default();
        let config = impulse::stream::embedded::Config {
            segment_retention: retention,
            ..config()
        };
        let mut session = Session::open_with(&disk, Repair::Refuse, &config).unwrap();
        session
            .run(&disk, &plan, FRAMES, Acknowledge::AfterSync)
            .unwrap();
        let count = |part| disk.state().files(part).len();
        let counters = session.store.counters.view();
        let created = usize::try_from(counters.segments_created).unwrap() + 1;
        let removed = usize::try_from(counters.segments_removed).unwrap();
        assert_eq!(count("/log/"), created - removed);
        assert_eq!(removed > 0, retention != SegmentRetention::Keep);
        let archived = if retention == SegmentRetention::Archive {
            removed
        } else {
            0
        };
        assert_eq!(count("/archive/"), archived);
    }
}

#[test]
fn a_second_opener_is_told_who_has_the_directory_and_each_open_has_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let first = DataDir::open(&path).unwrap();
    assert_eq!(first.epoch(), 1);
    let error = DataDir::open(&path).unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    assert!(error.contains("stop that process"), "{error}");
    drop(first);
    assert_eq!(DataDir::open(&path).unwrap().epoch(), 2);
}

#[test]
fn the_epoch_grows_even_if_its_file_is_lost() {
    let plan = Plan::new(3, 31);
    let (disk, _) = record(&plan, Acknowledge::AfterSync, Faults::default());
    let mut state = disk.state();
    state.remove(&path().join("epoch"));
    let disk = disk_of(state);
    let dir = DataDir::open_on(Arc::new(disk), Path::new(path())).unwrap();
    assert_eq!(dir.epoch(), 2);
}
