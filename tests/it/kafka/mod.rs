//! The real program on a real broker: events in, triggers out, and every topic judged from outside.

mod bent_sink;
mod checker;
mod faults;
mod mutants;
mod rig;

use self::checker::{Observed, judge};
use self::rig::{Rig, get, metric, ready, tells};
use crate::broker::Broker;

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
    for counter in [
        "replay_divergence",
        "txn_torn",
        "txn_lost_repaired",
        "txn_repeated",
    ] {
        let series = format!("impulse_{counter}_total");
        assert!(metric(&process, &series) < 1.0, "{series}");
    }
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
