//! Events that retention removes before anybody read them: they are counted, and what is left is read.

use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};

use super::rig::{Rig, metric, ready};
use crate::broker::Broker;
use crate::process::Process;

const SKIPPED: &str = "impulse_kafka_skipped_records_total";

async fn expire(rig: &Rig, offset: i64) {
    let mut until = TopicPartitionList::new();
    let topic = rig.topic("events");
    until
        .add_partition_offset(&topic, 0, Offset::Offset(offset))
        .unwrap();
    let done = rig.admin().delete_records(&until, &AdminOptions::new());
    done.await.unwrap();
}

/// Waits until transactions were made that hold nothing but the clock.
async fn ticked(rig: &Rig, process: &Process) {
    ready(process).await;
    let position = rig.positions();
    for _ in 0..600 {
        let commits = rig.read("commits");
        let last = commits.last().unwrap().json();
        if last["from"] == last["to"] && !last["ticks"].as_array().unwrap().is_empty() {
            assert_eq!(rig.positions(), position);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the clock was not committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_unread_is_counted_and_the_rest_is_read() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 1).await;
    let mut shop = rig.shop(17);
    shop.send(200);
    shop.flush();
    let mut process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    // It ends with a snapshot, after which only the clock is committed.
    process.terminate();
    let mut process = rig.serve(&[
        ("IMPULSE__PIPELINE__IDLE_MS", "200"),
        ("IMPULSE__KAFKA__SNAPSHOT_INTERVAL_S", "3600"),
    ]);
    ticked(&rig, &process).await;
    process.kill();

    shop.send(50);
    shop.flush();
    expire(&rig, 230).await;
    let process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    assert!((metric(&process, SKIPPED) - 30.0).abs() < 0.1);
    let (taken, last) = (rig.positions(), rig.read("commits").pop().unwrap().json());
    assert_eq!((taken.as_slice(), &last["to"]), (&[250][..], &250.into()));
}
