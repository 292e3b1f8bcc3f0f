//! The lag that the engine exports, beside what Kafka's own tool says of its group.

use std::collections::BTreeMap;
use std::time::Duration;

use impulse::clock::Stopwatch;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use super::rig::{Rig, get, ready};
use crate::broker::Broker;
use crate::process::Process;

const RECORDS: &str = "impulse_consumer_lag_records";
const SECONDS: &str = "impulse_consumer_lag_seconds";
/// Records that arrive while nothing can be committed.
const BACKLOG: usize = 300;
/// More than the mark that ends a transaction, less than a commit record.
const TOO_SHORT: &str = "160";
/// Seconds that the lag is seen to grow by, twice.
const GROWTH: f64 = 2.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lag_is_what_kafkas_own_tool_says_and_grows_while_partitions_are_stopped() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let watch = Stopwatch::start();
    let process = rig.serve(&[]);
    ready(&process).await;
    let mut shop = rig.shop(11);
    shop.send_readable(1_000);
    shop.flush();
    rig.settled().await;
    agreed(broker, &rig, &process, 0).await;
    seconds(&process, |lag| lag < 0.1).await;

    // From now on no commit record fits, so no transaction is committed.
    limit_commit_records(&rig, TOO_SHORT).await;
    let stopped = Stopwatch::start();
    shop.send_readable(BACKLOG);
    shop.flush();
    agreed(broker, &rig, &process, BACKLOG).await;
    let first = seconds(&process, |lag| lag > GROWTH).await;
    let later = seconds(&process, |lag| lag > first + GROWTH).await;
    assert!(
        later <= watch.seconds() && stopped.seconds() >= GROWTH,
        "{later} s, but nothing is older than {} s",
        watch.seconds()
    );

    limit_commit_records(&rig, "1048576").await;
    rig.settled().await;
    agreed(broker, &rig, &process, 0).await;
    seconds(&process, |lag| lag < 0.1).await;

    let other = rig.serve(&[("IMPULSE__KAFKA__INSTANCE", "other")]);
    let shared = until(|| {
        let counts = [&process, &other].map(|one| exported(one, RECORDS).len());
        (counts == [1, 1]).then_some(())
    });
    shared.await.expect("each exports what it owns");
}

/// Waits until engine and tool say the same of each partition, and this together.
async fn agreed(broker: &Broker, rig: &Rig, process: &Process, records: usize) {
    let agreed = until(|| {
        let ours = exported(process, RECORDS);
        let sum: f64 = ours.values().sum();
        let is_sum = ours.len() == 2 && (sum - records as f64).abs() < 0.5;
        (is_sum && ours == by_tool(broker, rig)).then_some(())
    });
    let told = agreed.await;
    let (ours, tool) = (exported(process, RECORDS), by_tool(broker, rig));
    assert!(told.is_some(), "{records} records: {ours:?}, {tool:?}");
}

/// Waits until the lag of every partition is as wanted; the smallest.
async fn seconds(process: &Process, wanted: impl Fn(f64) -> bool) -> f64 {
    let found = until(|| {
        let lags = exported(process, SECONDS);
        let all = lags.len() == 2 && lags.values().all(|lag| wanted(*lag));
        all.then(|| lags.values().copied().fold(f64::INFINITY, f64::min))
    });
    let found = found.await;
    found.unwrap_or_else(|| panic!("{:?}", exported(process, SECONDS)))
}

async fn until<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    for _ in 0..300 {
        if let Some(found) = look() {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

/// A gauge by partition.
fn exported(process: &Process, name: &str) -> BTreeMap<String, f64> {
    let text = get(process, "/metrics").1;
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'))
        .map(|line| {
            let (_, partition) = line.split_once("partition=\"").unwrap();
            let (partition, _) = partition.split_once('"').unwrap();
            let (_, value) = line.rsplit_once(' ').unwrap();
            (partition.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// As `kafka-consumer-groups --describe` prints it: group, topic, partition, position, end, lag.
fn by_tool(broker: &Broker, rig: &Rig) -> BTreeMap<String, f64> {
    let arguments = ["--bootstrap-server", broker.bootstrap()];
    let mut command = vec!["tool", "consumer.group.ConsumerGroupCommand"];
    command.extend(arguments);
    command.extend(["--describe", "--group", &rig.name]);
    let topic = rig.topic("events");
    broker
        .run(&command)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(1) == Some(&topic.as_str()))
        .filter_map(|fields| Some((fields[2].to_owned(), fields[5].parse().ok()?)))
        .collect()
}

/// How long a batch in the commits topic may be.
async fn limit_commit_records(rig: &Rig, bytes: &str) {
    let commits = rig.topic("commits");
    let change = AlterConfig::new(ResourceSpecifier::Topic(&commits))
        .set("retention.ms", "-1")
        .set("max.message.bytes", bytes);
    let admin = rig.admin();
    let changed = admin.alter_configs(&[change], &AdminOptions::new()).await;
    changed.unwrap().remove(0).unwrap();
}
