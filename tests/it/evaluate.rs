//! Recommendation quality on recorded sessions, and that it is the same every time.

use std::path::PathBuf;

use impulse::engine::items::{Config, Items};
use impulse::evaluate::{Format, Log, Protocol, RankerKind, Report, Rule, Run, Settings, evaluate};

/// A file of the shared data; `None`, and said so, if it is missing.
fn shared(file: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(file);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is missing", path.display());
    None
}

/// RSC15-100k: learn a week, predict the day after it.
fn yoochoose(learn: bool) -> Option<Protocol> {
    let (train, test) = (
        shared("yoochoose_100k/train.tsv")?,
        shared("yoochoose_100k/test.tsv")?,
    );
    let mut log = Log::new();
    let train = log.read(&train, Format::SessionRec).unwrap();
    let test = log.read(&test, Format::SessionRec).unwrap();
    Some(Protocol::split(train, test, learn))
}

/// Eight days of `RetailRocket`, of which the first 40 % only teach.
fn retailrocket() -> Option<Protocol> {
    let events = Log::new()
        .read(&shared("retailrocket_8d/events.csv")?, Format::RetailRocket)
        .unwrap();
    Some(Protocol::prequential(events, 0.4))
}

fn run(kind: RankerKind, items: &Config, protocol: &Protocol) -> Vec<Run> {
    evaluate(kind, items, protocol, &mut || ())
}

/// Checks points and the least HR@20 and MRR@20 that `ddco` must reach by a rule.
#[track_caller]
fn check(runs: &[Run], rule: Rule, points: u64, hit_rate: f64, reciprocal_rank: f64) {
    let run = runs.iter().find(|run| run.rule == rule).unwrap();
    let measures = &run.measures;
    let (found_hr, found_mrr) = (measures.hr.at_20, measures.mrr.at_20);
    println!(
        "{}, {}: HR@20 {found_hr:.4}, MRR@20 {found_mrr:.4}",
        run.protocol,
        rule.name()
    );
    assert_eq!(measures.points, points);
    assert!(
        found_hr >= hit_rate && found_mrr >= reciprocal_rank,
        "{found_hr} / {found_mrr}"
    );
}

#[test]
fn ddco_reaches_its_quality_on_a_week_of_clicks() {
    let Some(protocol) = yoochoose(false) else {
        return;
    };
    let runs = run(RankerKind::Ddco, &Config::default(), &protocol);
    check(&runs, Rule::RepeatsAllowed, 10_152, 0.690, 0.365);
    check(&runs, Rule::CurrentExcluded, 10_152, 0.438, 0.186);
}

#[test]
fn ddco_reaches_its_quality_on_a_stream_of_events() {
    let Some(protocol) = retailrocket() else {
        return;
    };
    let runs = run(RankerKind::Ddco, &Config::default(), &protocol);
    check(&runs, Rule::RepeatsAllowed, 19_036, 0.555, 0.395);
}

#[test]
fn a_hundred_entries_are_nearly_as_good_as_all() {
    let Some(protocol) = yoochoose(false) else {
        return;
    };
    let unbounded = Config {
        row_entries_max: 50_000,
        ..Config::default()
    };
    let bounded = run(RankerKind::Ddco, &Config::default(), &protocol);
    let unbounded = run(RankerKind::Ddco, &unbounded, &protocol);
    let lost = unbounded[0].measures.hr.at_20 - bounded[0].measures.hr.at_20;
    println!("lost of HR@20: {lost:.4}");
    assert!(lost.abs() <= 0.005, "{lost}");
}

#[test]
fn knowing_the_session_a_minute_late_costs_a_tenth() {
    let Some(mut protocol) = yoochoose(false) else {
        return;
    };
    let items = Config::default();
    let live = run(RankerKind::Ddco, &items, &protocol);
    protocol.session_lag_ms = 60_000;
    let late = run(RankerKind::Ddco, &items, &protocol);
    let lost = live[0].measures.hr.at_20 - late[0].measures.hr.at_20;
    println!("lost of HR@20: {lost:.4}");
    assert!(lost >= 0.10, "{lost}");
}

#[test]
fn ddco_beats_the_counting_rankers() {
    let Some(protocol) = yoochoose(true) else {
        return;
    };
    let items = Config::default();
    let hit_rate = |kind| run(kind, &items, &protocol)[0].measures.hr.at_20;
    let best = hit_rate(RankerKind::Ddco);
    for kind in [RankerKind::AlsoViewed, RankerKind::Transitions] {
        let other = hit_rate(kind);
        println!("{}: HR@20 {other:.4}", kind.name());
        assert!(
            other > 0.5 && other < best,
            "{}: {other}, ddco: {best}",
            kind.name()
        );
    }
}

#[test]
fn two_evaluations_give_the_same_bytes() {
    let Some(protocol) = retailrocket() else {
        return;
    };
    let json = || {
        let settings = Settings {
            version: env!("CARGO_PKG_VERSION"),
            train: None,
            test: None,
            events: Some("events.csv".to_owned()),
            format: Format::RetailRocket.name(),
            learn: true,
            warmup: Some(0.4),
            session_lag_ms: 0,
            items: Config::default(),
        };
        let runs = RankerKind::ALL
            .into_iter()
            .filter(|kind| *kind != RankerKind::Popular);
        let runs = runs
            .flat_map(|kind| run(kind, &settings.items, &protocol))
            .collect();
        serde_json::to_string(
            &Report {
                settings: settings.clone(),
                runs,
            }
            .without_times(),
        )
        .unwrap()
    };
    assert_eq!(json(), json());
}

#[test]
fn two_replays_leave_the_same_rows() {
    let Some(protocol) = retailrocket() else {
        return;
    };
    let rows = || {
        let items = Items::new(Config {
            half_life_days: 0.05,
            ..Config::default()
        });
        let mut sessions: Vec<Vec<u32>> = Vec::new();
        for event in &protocol.events {
            let session = event.session as usize;
            sessions.resize_with(sessions.len().max(session + 1), Vec::new);
            items.view(&sessions[session], event.item, event.at);
            sessions[session].push(event.item);
        }
        let mut bytes = Vec::new();
        items.encode_global(&mut bytes);
        (0..items.len()).for_each(|item| items.encode_row(item, &mut bytes));
        bytes
    };
    let first = rows();
    assert!(first.len() > 1_000_000, "{} bytes", first.len());
    assert!(first == rows(), "the rows of two replays differ");
}
