//! What the engine writes is read back while it runs; what somebody else writes there is found, and harms nothing.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::checker::{Observed, judge};
use super::rig::{Rig, metric, ready};
use crate::broker::Broker;
use crate::process::Process;

const AUDITED: &str = "impulse_kafka_audited_transactions_total";
const TAKE_OVERS: &str = "impulse_kafka_take_overs_total";
const FINDINGS: [&str; 5] = ["missing", "extra", "misnumbered", "gap", "unaudited"];
/// What the names of records begin with that are not ours.
const ALIEN: &str = "alien/";

fn findings(process: &Process, kind: &str) -> f64 {
    let series = format!("impulse_kafka_audit_findings_total{{kind=\"{kind}\"}}");
    metric(process, &series)
}

fn all_findings(process: &Process) -> f64 {
    FINDINGS.iter().map(|kind| findings(process, kind)).sum()
}

/// Waits until a metric is above a value.
async fn above(process: &Process, value: f64, look: impl Fn(&Process) -> f64) {
    for _ in 0..600 {
        if look(process) > value {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} is not above {value}", look(process));
}

/// Waits until every transaction that this process made was read back and found whole.
async fn all_audited(rig: &Rig, process: &Process) {
    let mut made = 0.0;
    for _ in 0..600 {
        made = rig.read("commits").len() as f64;
        if metric(process, AUDITED) > made - 0.5 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} of {made} are audited", metric(process, AUDITED));
}

/// Writes a trigger record that belongs to no transaction.
fn write_alien(rig: &Rig, partition: i32, txn: &str) {
    let producer: BaseProducer = rig.client().create().unwrap();
    let identity = format!("{ALIEN}{txn}");
    let headers = [
        ("impulse-identity", identity.as_str()),
        ("impulse-transaction", txn),
        ("impulse-seq", "1000000"),
    ];
    let headers = headers.into_iter().fold(OwnedHeaders::new(), |all, one| {
        let (key, value) = (one.0, Some(one.1));
        all.insert(Header { key, value })
    });
    let topic = rig.topic("triggers");
    let record = BaseRecord::to(&topic)
        .partition(partition)
        .key("nobody")
        .payload("{}")
        .headers(headers);
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// What the deployment said itself.
fn ours(rig: &Rig) -> Observed {
    let mut observed = Observed::of(rig);
    let said = &mut observed.triggers;
    said.retain(|trigger| !trigger.header("impulse-identity").starts_with(ALIEN));
    observed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_of_ours_wrote_is_found_and_the_partition_taken_over_again() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let mut shop = rig.shop(21);
    shop.send(2_000);
    shop.flush();
    let process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    all_audited(&rig, &process).await;
    let first = judge(&ours(&rig)).unwrap();
    assert!(first.triggers > 50 && first.dead_letters > 5, "{first:?}");
    assert!(all_findings(&process) < 0.5, "the log is as it was written");

    // One of a transaction that is long whole is found at once, one of a transaction that never comes after a while.
    for (number, txn) in [(1.0, "1"), (2.0, "1000000")] {
        let before = metric(&process, TAKE_OVERS);
        write_alien(&rig, 1, txn);
        above(&process, number - 0.5, |process| findings(process, "extra")).await;
        above(&process, before + 0.5, |process| {
            metric(process, TAKE_OVERS)
        })
        .await;
        ready(&process).await;
        let audited = metric(&process, AUDITED);
        shop.send(500);
        shop.flush();
        rig.settled().await;
        above(&process, audited + 0.5, |process| metric(process, AUDITED)).await;
    }
    let troubles = "impulse_kafka_troubles_total{reason=\"contradicted\"}";
    assert!((metric(&process, troubles) - 2.0).abs() < 0.1);
    assert!((all_findings(&process) - 2.0).abs() < 0.1);
    assert!(
        metric(&process, "impulse_txn_torn_total") > 0.5,
        "the take-over saw it too"
    );
    assert!(metric(&process, "impulse_txn_lost_repaired_total") < 0.5);
    let last = judge(&ours(&rig)).unwrap();
    assert!(last.triggers > first.triggers, "{first:?}, then {last:?}");
}
