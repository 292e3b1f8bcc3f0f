//! The counts behind the engine's rows, against the outputs of another program on the same file.
//!
//! The golden files hold the 50 best items after 387 positions of test sessions, by co-occurrence rules and by sequential
//! rules over at most 20 steps with a weight of one over the square of the steps. Of each row they keep the 20 largest
//! counts, divided by the largest.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use impulse::domain::Millis;
use impulse::engine::items::{Config, Items, ROW_ENTRIES_LIMIT, Scratch, Source, WINDOW_MAX};
use impulse::evaluate::{Format, Log};

/// Nothing is forgotten and nothing makes room.
fn unbounded() -> Config {
    Config {
        half_life_days: f64::INFINITY,
        row_entries_max: ROW_ENTRIES_LIMIT,
        ..Config::default()
    }
}

#[test]
fn co_occurrence_rules_equal_the_golden_scores() {
    let config = Config {
        window: WINDOW_MAX,
        distance_scale: f64::INFINITY,
        backward_weight: 1.0,
        count_repeats: true,
        source_exponent: 0.0,
        candidate_exponent: 0.0,
        ..unbounded()
    };
    // Whole counts are exact in a row.
    check(
        "recoms_rsc15_100k_ar.csv",
        config,
        7_155,
        0.0,
        |items, item, scratch| {
            items.score_session(&[Source { item, weight: 1.0 }], Millis(0), scratch);
        },
    );
}

#[test]
fn sequential_rules_equal_the_golden_scores() {
    let config = Config {
        window: 20,
        transition_exponent: 2.0,
        ..unbounded()
    };
    // A row adds up in 24 bits.
    check(
        "recoms_rsc15_100k_sr.csv",
        config,
        6_693,
        2e-6,
        |items, item, scratch| {
            items.score_transitions(item, scratch);
        },
    );
}

/// Learns the training file and compares the row of each golden position; `scores` is how many are not zero.
fn check(
    golden: &str,
    config: Config,
    scores: usize,
    tolerance: f64,
    score: impl Fn(&Items, u32, &mut Scratch),
) {
    assert_eq!(config.problems(), Vec::<String>::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/yoochoose_100k");
    let (train, test, golden) = (
        folder.join("train.tsv"),
        folder.join("test.tsv"),
        folder.join("golden").join(golden),
    );
    if let Some(missing) = [&train, &test, &golden]
        .into_iter()
        .find(|path| !path.exists())
    {
        println!("SKIPPED: {} is missing", missing.display());
        return;
    }
    let mut log = Log::new();
    let items = learn(&mut log, &train, config);
    let positions = positions(&test);
    let mut scratch = Scratch::new();
    let mut compared = 0;
    for line in lines(&golden) {
        let [session, position, recommended, golden_scores] =
            line.split(';').collect::<Vec<_>>()[..]
        else {
            panic!("{line}: not four values");
        };
        let position: usize = position.parse().unwrap();
        let item = &positions[session][position];
        score(&items, log.item(item).unwrap(), &mut scratch);
        let row: Vec<f64> = scratch
            .top(20, |_| true)
            .iter()
            .map(|best| best.score)
            .collect();
        let largest = row.first().copied().unwrap_or(1.0);
        let golden_scores: Vec<f64> = golden_scores
            .split(',')
            .map(|score| score.parse().unwrap())
            .collect();
        let expected: Vec<(&str, f64)> = recommended
            .split(',')
            .zip(golden_scores)
            .filter(|(_, score)| *score > 0.0)
            .collect();
        assert_eq!(row.len(), expected.len(), "items after {item}");
        for ((recommended, expected), ranked) in expected.into_iter().zip(row) {
            let found = log
                .item(recommended)
                .map_or(0.0, |item| scratch.score(item))
                / largest;
            for found in [found, ranked / largest] {
                let error = (found - expected).abs();
                assert!(
                    error <= tolerance * expected,
                    "{recommended} after {item}: {found} instead of {expected}"
                );
            }
            compared += 1;
        }
    }
    assert_eq!(compared, scores);
}

fn learn(log: &mut Log, train: &Path, config: Config) -> Items {
    let items = Items::new(config);
    let mut sessions: HashMap<u32, Vec<u32>> = HashMap::new();
    for event in log.read(train, Format::SessionRec).unwrap() {
        let session = sessions.entry(event.session).or_default();
        items.view(session, event.item, event.at);
        session.push(event.item);
    }
    items
}

/// The items of each session by position.
fn positions(test: &Path) -> HashMap<String, Vec<String>> {
    let mut clicks: Vec<(String, f64, String)> = Vec::new();
    for line in lines(test) {
        let [session, item, time] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}: not three values");
        };
        clicks.push((session.to_owned(), time.parse().unwrap(), item.to_owned()));
    }
    clicks.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut sessions: HashMap<String, Vec<String>> = HashMap::new();
    for (session, _, item) in clicks {
        sessions.entry(session).or_default().push(item);
    }
    sessions
}

/// Lines below the header.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}
