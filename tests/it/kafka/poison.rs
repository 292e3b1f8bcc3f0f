//! A broken schema: most of what comes cannot be read, and the partition stops instead of setting it all aside.

use std::time::Duration;

use super::checker::{Observed, judge};
use super::rig::{Rig, get, metric, ready};
use crate::broker::Broker;

const STOPPED: &str = "impulse_kafka_troubles_total{reason=\"poisoned\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intake_stops_when_most_records_cannot_be_read() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 1).await;
    let mut shop = rig.shop(13);
    let mut process = rig.serve(&[]);
    ready(&process).await;
    let mut number = 0;
    let mut go_on = async || {
        shop.send_readable(6);
        for _ in 0..3 {
            number += 1;
            shop.send_one("user-1", &format!("poison {number}"), 1_700_000_000_000);
        }
        shop.flush();
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    let mut rounds = 0;
    let why = loop {
        let (_, why) = get(&process, "/readyz");
        if why.contains("were dead letters") {
            break why;
        }
        rounds += 1;
        assert!(rounds < 1_000, "it goes on and on");
        go_on().await;
    };
    assert!(why.contains("33 % of the records"), "{why}");
    let stopped_at = rig.positions();
    for _ in 0..8 {
        go_on().await;
    }
    assert_eq!(rig.positions(), stopped_at, "nothing more is taken");
    assert!(rig.ends() > stopped_at);
    assert!((metric(&process, STOPPED) - 1.0).abs() < 0.1);
    let topic = rig.topic("events");
    let lag = format!("impulse_consumer_lag_records{{partition=\"0\",topic=\"{topic}\"}}");
    let lag = metric(&process, &lag);
    assert!(lag > 0.0, "{lag}: the lag is told");
    assert_eq!(
        get(&process, "/v1/users/user-1/profile").0,
        200,
        "answers go on"
    );
    process.terminate();

    let process = rig.serve(&[("IMPULSE__KAFKA__DEAD_LETTER_PERCENT_MAX", "100")]);
    ready(&process).await;
    rig.settled().await;
    println!("{:?}", judge(&Observed::of(&rig)).unwrap());
}
