//! What others see: Kafka's own console consumer beside librdkafka's plain one.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::rig::{Found, Rig, ready};
use crate::broker::Broker;

const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the console consumer waits for a further record before it ends.
const CONSOLE_WAIT_MS: &str = "20000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_consumer_reads_the_same_and_nothing_that_was_not_committed() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let mut shop = rig.shop(9);
    shop.send(2_000);
    shop.flush();
    let mut process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    let before = rig.read("triggers").len();
    let aborted = stranger(&rig, "aborted");
    aborted.abort_transaction(TIMEOUT).unwrap();
    shop.send(2_000);
    shop.flush();
    rig.settled().await;
    process.terminate();
    let open = stranger(&rig, "open");

    let committed = rig.read("triggers");
    let all = rig.read_with("triggers", "read_uncommitted");
    assert!(before > 0 && committed.len() > before, "around the aborted");
    let of_strangers = |found: &&Found| found.key == b"aborted" || found.key == b"open";
    assert_eq!(all.iter().filter(of_strangers).count(), 4, "two of each");
    assert_eq!(committed.iter().filter(of_strangers).count(), 0);
    let (console_committed, console_all) = std::thread::scope(|scope| {
        let committed = scope.spawn(|| console(broker, &rig, "read_committed"));
        let all = scope.spawn(|| console(broker, &rig, "read_uncommitted"));
        (committed.join().unwrap(), all.join().unwrap())
    });
    assert_eq!(console_committed, committed);
    assert_eq!(console_all, all);
    assert!(committed.iter().all(|found| {
        let record = found.json();
        record["triggerId"] == found.header("ce_id")
            && record["userId"].as_str().unwrap().as_bytes() == found.key
    }));
    open.abort_transaction(TIMEOUT).unwrap();
}

/// A record in each partition of the triggers, in a transaction of somebody else that has not ended.
fn stranger(rig: &Rig, key: &str) -> BaseProducer {
    let producer: BaseProducer = rig
        .client()
        .set("transactional.id", format!("{}-{key}", rig.name))
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    let topic = rig.topic("triggers");
    for partition in 0..rig.partitions {
        let record = BaseRecord::to(&topic)
            .partition(partition)
            .key(key)
            .payload("{}");
        producer.send(record).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    producer
}

/// Everything in the triggers topic, as Kafka's own consumer prints it.
fn console(broker: &Broker, rig: &Rig, isolation: &str) -> Vec<Found> {
    let bootstrap = broker.bootstrap();
    let topic = rig.topic("triggers");
    let prints = ["partition", "offset", "headers", "key"].map(|part| format!("print.{part}=true"));
    let mut arguments = vec!["tool", "consumer.ConsoleConsumer"];
    arguments.extend(["--bootstrap-server", bootstrap, "--topic", &topic]);
    arguments.extend(["--from-beginning", "--isolation-level", isolation]);
    arguments.extend(["--timeout-ms", CONSOLE_WAIT_MS]);
    for print in &prints {
        arguments.extend(["--property", print]);
    }
    let mut found: Vec<Found> = broker
        .run(&arguments)
        .lines()
        .filter(|line| line.starts_with("Partition:"))
        .map(printed)
        .collect();
    found.sort_by_key(|record| (record.partition, record.offset));
    found
}

/// `Partition:0 Offset:7 name:value,name:value key value`, separated by tabs.
fn printed(line: &str) -> Found {
    let fields: Vec<&str> = line.splitn(5, '\t').collect();
    let [partition, offset, headers, key, value] = fields[..] else {
        panic!("five fields, not {line}");
    };
    let number = |field: &str| -> i64 { field.split_once(':').unwrap().1.parse().unwrap() };
    Found {
        partition: i32::try_from(number(partition)).unwrap(),
        offset: number(offset),
        key: key.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
        headers: headers
            .split(',')
            .filter_map(|header| header.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect(),
    }
}
