//! The real program on a real broker: events in, triggers out, and every topic judged from outside.

mod audit;
mod bent_sink;
mod callers;
mod checker;
mod expired;
mod faults;
mod lag;
mod letters;
mod mutants;
mod nodes;
mod outside;
mod poison;
mod refusals;
mod renewal;
mod report;
mod rig;
mod security;
mod traces;

use std::collections::BTreeSet;
use std::time::Duration;

use impulse::clock::Clock;
use impulse::domain::HOUR_MS;
use rdkafka::admin::{AdminOptions, NewPartitions};

use self::checker::{Observed, judge, judge_log};
use self::rig::{Found, Rig, get, metric, post, ready, tells, the_log_is_as_it_should_be};
use crate::broker::Broker;

/// Silence counts soon, and without a snapshot everything is replayed, ticks included.
const SILENCE: &[(&str, &str)] = &[
    ("IMPULSE__PIPELINE__IDLE_MS", "1000"),
    ("IMPULSE__KAFKA__SNAPSHOT_INTERVAL_S", "3600"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_triggers_in_one_transaction_with_their_position() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 4).await;
    let mut shop = rig.shop(1);
    shop.send(3_000);
    shop.flush();
    let mut process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    let first = judge(&Observed::of(&rig)).unwrap();
    println!("{first:?}");
    assert!(first.triggers > 50 && first.suppressions > 50 && first.dead_letters > 10);
    mutants::all_are_caught(&Observed::of(&rig));

    let served = "impulse_events_total{kind=\"add_to_cart\",result=\"applied\",source=\"kafka\"}";
    assert!(metric(&process, served) > 100.0);
    assert!(metric(&process, "impulse_kafka_partitions_live") > 3.0);
    assert!(
        metric(&process, "impulse_kafka_misrouted_total") < 1.0,
        "the partitioners agree"
    );
    let (status, body) = get(&process, "/recommendations/user-7?limit=3");
    assert_eq!(status, 200, "{body}");
    assert_eq!(get(&process, "/v1/users/user-7/profile").0, 200);
    assert_eq!(get(&process, "/v1/triggers").0, 400, "they are in Kafka");

    shop.send(2_000);
    shop.flush();
    rig.settled().await;
    process.terminate();
    let process = rig.serve(&[]);
    ready(&process).await;
    shop.send(500);
    shop.flush();
    rig.settled().await;
    the_log_is_as_it_should_be(&process);
    let second = judge(&Observed::of(&rig)).unwrap();
    println!("{second:?}");
    assert!(second.events >= 5_500 && second.triggers > first.triggers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_told_with_the_next_command() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 1).await;
    let process = rig.serve(&[("IMPULSE__KAFKA__BROKERS", "127.0.0.1:9")]);
    tells(&process, "topology/kafka/broker up").await;
    assert_eq!(get(&process, "/readyz").0, 503);
    assert_eq!(get(&process, "/livez").0, 200);
    drop(process);

    let process = rig.serve(&[("IMPULSE__KAFKA__TOPICS__LATE", "nobody.made.this")]);
    tells(&process, "topic nobody.made.this is not there").await;
    tells(&process, "impulse topology apply").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_speaks_once_and_a_crash_after_it_changes_nothing() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let mut shop = rig.shop(5);
    let then = Clock::system().now().0 - 3 * HOUR_MS;
    for user in 0..40 {
        let cart = format!(
            r#"{{"eventId":"e{user}","kind":"add_to_cart","userId":"u{user}","itemId":"i","createdAt":{then}}}"#
        );
        shop.send_one(&format!("u{user}"), &cart, then);
    }
    shop.flush();
    let mut process = rig.serve(SILENCE);
    ready(&process).await;
    let spoken = spoken(&rig, 40).await;
    process.kill();

    let process = rig.serve(SILENCE);
    ready(&process).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(metric(&process, "impulse_replay_divergence_total") < 1.0);
    let observed = Observed::of(&rig);
    assert_eq!(observed.triggers, spoken, "nothing is said twice");
    assert_eq!(judge_log(&observed), Vec::<String>::new());
    let caught_up = observed.commits.iter().filter(|commit| {
        let ticks = commit.json()["ticks"].clone();
        ticks
            .as_array()
            .is_some_and(|ticks| ticks.iter().any(|tick| tick["caught_up"] == true))
    });
    assert!(caught_up.count() >= 2, "each partition's silence is logged");
}

/// Waits for so many trigger records.
async fn spoken(rig: &Rig, count: usize) -> Vec<Found> {
    for _ in 0..100 {
        let spoken = rig.read("triggers");
        if spoken.len() >= count {
            let ids: BTreeSet<&str> = spoken.iter().map(|one| one.header("ce_id")).collect();
            assert_eq!((spoken.len(), ids.len()), (count, count));
            return spoken;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    panic!("{} of {count} trigger records", rig.read("triggers").len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_hand_over_comes_back_through_the_events_topic() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 3).await;
    let process = rig.serve(&[]);
    ready(&process).await;
    let item = r#"{"items":[{"itemId":"shoe","title":"Trail runner"}]}"#;
    let (status, body) = post(&process, "/v1/items", item);
    assert_eq!(status, 200, "{body}");
    for user in 0..20 {
        let event = format!(
            r#"{{"eventId":"e{user}","kind":"product_view","userId":"u{user}","itemId":"shoe"}}"#
        );
        let (status, body) = post(&process, "/v1/events", &event);
        assert!(status == 200 && body.contains("ACCEPTED"), "{body}");
    }
    let (_, refused) = post(&process, "/v1/events", r#"{"kind":"product_view"}"#);
    assert!(refused.contains("REJECTED"), "{refused}");
    rig.settled().await;
    assert_eq!(
        rig.read("events").len(),
        20 + 3,
        "an item goes to every partition"
    );
    for user in 0..20 {
        assert_eq!(get(&process, &format!("/v1/users/u{user}/profile")).0, 200);
    }
    let (status, body) = get(&process, "/v1/items/shoe");
    assert!(status == 200 && body.contains("Trail runner"), "{body}");
    let (status, body) = get(&process, "/v1/users/u1/profile?minPosition=1");
    assert!(
        status == 400 && body.contains("POSITIONS_IN_KAFKA"),
        "{status} {body}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_is_buried_and_a_topic_that_grows_stops_the_engine() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 1).await;
    let mut shop = rig.shop(6);
    shop.send_readable(10);
    shop.send_one("user-1", &"x".repeat(2 << 20), 1_700_000_100_000);
    shop.send_readable(10);
    shop.flush();
    let process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    let letters = rig.read("dead_letters");
    assert_eq!(letters.len(), 1);
    let reason = letters[0].header("__connect.errors.exception.class.name");
    assert_eq!(reason, "too_long");
    assert_eq!(letters[0].header("impulse-truncated"), "2097152");
    assert_eq!(letters[0].value.len(), 800 << 10);

    let events = rig.topic("events");
    let more = [NewPartitions::new(&events, 2)];
    let grown = rig.admin().create_partitions(&more, &AdminOptions::new());
    assert!(grown.await.unwrap()[0].is_ok());
    tells(&process, "has 2 partitions and had 1").await;
    let again = rig.serve(&[]);
    tells(&again, "and the events topic 2").await;
    assert_eq!(get(&again, "/readyz").0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_with_one_name_the_first_is_told_and_takes_over_when_the_second_ends() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let twin = &[("IMPULSE__KAFKA__INSTANCE", "twin")];
    let first = rig.serve(twin);
    ready(&first).await;
    let mut second = rig.serve(twin);
    tells(&first, "kafka.instance").await;
    ready(&second).await;
    second.kill();
    let mut shop = rig.shop(8);
    shop.send(1_000);
    shop.flush();
    rig.settled().await;
    judge(&Observed::of(&rig)).unwrap();
    assert!(get(&first, "/readyz").1.contains("ready"));
}
