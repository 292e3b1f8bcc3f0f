//! Trouble that leaves the state whole: a partition goes on with it, instead of reading everything again.

use std::time::Duration;

use super::checker::{Observed, judge};
use super::faults::Traffic;
use super::rig::{Rig, metric, ready};
use crate::broker::Broker;

const TAKE_OVERS: &str = "impulse_kafka_take_overs_total";
const RENEWALS: &str = "impulse_kafka_renewals_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stands_still_makes_no_partition_restore_its_state() {
    let Some(broker) = Broker::start(1, "") else {
        return;
    };
    let rig = Rig::new(&broker, 4).await;
    // So long that the group never gives the member up.
    let process = rig.serve(&[("IMPULSE__KAFKA__SESSION_TIMEOUT_MS", "120000")]);
    let traffic = Traffic::start(rig.shop(11));
    ready(&process).await;
    let before = metric(&process, TAKE_OVERS);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.run(&["pause", "1"]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        broker.run(&["cont", "1"]);
        ready(&process).await;
    }
    traffic.end();
    rig.settled().await;
    println!("{:?}", judge(&Observed::of(&rig)).unwrap());
    let (renewals, after) = (metric(&process, RENEWALS), metric(&process, TAKE_OVERS));
    assert!(renewals >= 1.0, "{renewals} renewals");
    assert!((after - before).abs() < 0.5, "{before}, then {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_and_goes_disturbs_only_what_it_takes() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 4).await;
    let first = rig.serve(&[("IMPULSE__KAFKA__INSTANCE", "first")]);
    let traffic = Traffic::start(rig.shop(12));
    ready(&first).await;
    let before = metric(&first, TAKE_OVERS);
    for _ in 0..2 {
        let mut second = rig.serve(&[("IMPULSE__KAFKA__INSTANCE", "second")]);
        ready(&second).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        second.terminate();
    }
    traffic.end();
    rig.settled().await;
    println!("{:?}", judge(&Observed::of(&rig)).unwrap());
    // A static member that leaves keeps its place until its session ends, so nothing may have come back yet.
    let came_back = metric(&first, TAKE_OVERS) - before;
    assert!(
        came_back < 4.5,
        "{came_back}: the two it kept stayed as they were"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_least_once_loses_nothing_in_a_crash() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let settings = [
        ("IMPULSE__KAFKA__GUARANTEE", "at_least_once"),
        ("IMPULSE__KAFKA__INSTANCE", "one"),
    ];
    let traffic = Traffic::start(rig.shop(13));
    let mut process = rig.serve(&settings);
    for _ in 0..4 {
        ready(&process).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        process.kill();
        process = rig.serve(&settings);
    }
    traffic.end();
    ready(&process).await;
    rig.settled().await;
    let observed = Observed::of(&rig);
    assert!(observed.triggers.len() > 50, "there was something to lose");
    if let Err(wrong) = judge(&observed) {
        let lost: Vec<&String> = wrong
            .iter()
            .filter(|what| what.starts_with("lost"))
            .collect();
        assert_eq!(lost, Vec::<&String>::new());
    }
}
