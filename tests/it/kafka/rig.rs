//! Topics of a test's own on a real broker, a producer of shoppers' events, and readers that owe nothing to the engine.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{Broker, unique};
use crate::process::Process;

/// Time from one event to the next.
const STEP_MS: i64 = 20_000;
const START_MS: i64 = 1_700_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Roles of the topics, as the settings name them.
pub(crate) const ROLES: [&str; 7] = [
    "events",
    "triggers",
    "suppressions",
    "dead_letters",
    "late",
    "commits",
    "snapshots",
];

/// A deployment of its own on a broker.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) bootstrap: String,
    pub(crate) name: String,
    pub(crate) partitions: i32,
}

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Found {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.value).unwrap_or_default()
    }
}

impl Rig {
    /// Makes the topics.
    pub(crate) async fn new(broker: &Broker, partitions: i32) -> Self {
        let rig = Self {
            bootstrap: broker.bootstrap().to_owned(),
            name: unique("shop"),
            partitions,
        };
        let admin = rig.admin();
        let names: Vec<String> = ROLES.iter().map(|role| rig.topic(role)).collect();
        let topics: Vec<NewTopic<'_>> = names.iter().map(|name| rig.new_topic(name)).collect();
        for made in admin
            .create_topics(&topics, &AdminOptions::new())
            .await
            .unwrap()
        {
            made.unwrap();
        }
        rig
    }

    fn new_topic<'a>(&self, name: &'a str) -> NewTopic<'a> {
        let topic = NewTopic::new(name, self.partitions, TopicReplication::Fixed(-1));
        if name.ends_with("snapshots") {
            return topic.set("cleanup.policy", "compact");
        }
        // Events of the past stay.
        topic
            .set("retention.ms", "-1")
            .set("max.message.bytes", "4194304")
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub(crate) fn topic(&self, role: &str) -> String {
        format!("{}.{role}", self.name)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.bootstrap);
        client
    }

    /// Settings of a process that follows these topics: short timeouts, many snapshots, and silence that never counts.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut environment = Vec::new();
        let mut set = |key: &str, value: &str| {
            environment.push((format!("IMPULSE__{key}"), value.to_owned()));
        };
        set("PIPELINE__SOURCE", "kafka");
        set("PIPELINE__IDLE_MS", "86400000");
        set("KAFKA__BROKERS", &self.bootstrap);
        set("KAFKA__GROUP", &self.name);
        set("KAFKA__APP", &self.name);
        set("KAFKA__SESSION_TIMEOUT_MS", "6000");
        set("KAFKA__TRANSACTION_TIMEOUT_MS", "5000");
        set("KAFKA__MESSAGE_TIMEOUT_MS", "4000");
        set("KAFKA__HEARTBEAT_INTERVAL_MS", "500");
        set("KAFKA__SNAPSHOT_INTERVAL_S", "1");
        for role in ROLES {
            let key = format!("KAFKA__TOPICS__{}", role.to_uppercase());
            set(&key, &self.topic(role));
        }
        environment
    }

    /// Starts the engine with these settings besides.
    pub(crate) fn serve(&self, settings: &[(&str, &str)]) -> Process {
        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .chain(settings.iter().copied())
            .collect();
        Process::serve(&std::env::temp_dir(), &environment)
    }

    /// A consumer that belongs to no group.
    pub(crate) fn reader(&self, isolation: &str) -> BaseConsumer {
        self.client()
            .set("group.id", &self.name)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .set("auto.offset.reset", "error")
            .create()
            .unwrap()
    }

    /// Everything that is committed in a topic, by partition and offset.
    pub(crate) fn read(&self, role: &str) -> Vec<Found> {
        self.read_with(role, "read_committed")
    }

    pub(crate) fn read_with(&self, role: &str, isolation: &str) -> Vec<Found> {
        let topic = self.topic(role);
        let consumer = self.reader(isolation);
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.partitions {
            assignment
                .add_partition_offset(&topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let mut found = Vec::new();
        let mut ended = vec![false; usize::try_from(self.partitions).unwrap()];
        while ended.contains(&false) {
            match consumer.poll(TIMEOUT).expect("a broker answers") {
                Ok(message) => found.push(Found {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().unwrap_or_default().to_vec(),
                    value: message.payload().unwrap_or_default().to_vec(),
                    headers: message.headers().map_or_else(Vec::new, |headers| {
                        headers
                            .iter()
                            .map(|header| {
                                let value = header.value.unwrap_or_default();
                                (header.key.to_owned(), value.to_vec())
                            })
                            .collect()
                    }),
                }),
                Err(KafkaError::PartitionEOF(partition)) => {
                    ended[usize::try_from(partition).unwrap()] = true;
                }
                Err(error) => panic!("{topic}: {error}"),
            }
        }
        found.sort_by_key(|record| (record.partition, record.offset));
        found
    }

    /// Position of the group in each partition of the events topic.
    pub(crate) fn positions(&self) -> Vec<i64> {
        let topic = self.topic("events");
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions {
            asked.add_partition(&topic, partition);
        }
        let consumer = self.reader("read_committed");
        let answer = consumer.committed_offsets(asked, TIMEOUT);
        answer.map_or_else(
            |_| Vec::new(),
            |answer| {
                let elements = answer.elements();
                elements
                    .iter()
                    .map(|element| element.offset().to_raw().unwrap_or(-1))
                    .collect()
            },
        )
    }

    /// The end of each partition of the events topic.
    pub(crate) fn ends(&self) -> Vec<i64> {
        let topic = self.topic("events");
        let consumer = self.reader("read_committed");
        (0..self.partitions)
            .map(|partition| {
                consumer
                    .fetch_watermarks(&topic, partition, TIMEOUT)
                    .unwrap()
                    .1
            })
            .collect()
    }

    /// Waits until the group has committed everything there is.
    pub(crate) async fn settled(&self) {
        let ends = self.ends();
        for _ in 0..600 {
            let positions = self.positions();
            let reached = positions
                .iter()
                .zip(&ends)
                .filter(|(p, e)| p >= e || **e == 0);
            if positions.len() == ends.len() && reached.count() == ends.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!(
            "not everything is committed: {:?} of {ends:?}",
            self.positions()
        );
    }

    /// A producer of this shop's events.
    pub(crate) fn shop(&self, seed: u64) -> Shop {
        Shop {
            producer: self
                .client()
                .set("enable.idempotence", "true")
                .set("acks", "all")
                .set("linger.ms", "5")
                // The partitioner of Java's clients, by librdkafka: ours must agree with it.
                .set("partitioner", "murmur2_random")
                .set("message.timeout.ms", "120000")
                .set("message.max.bytes", "4194304")
                .create()
                .unwrap(),
            topic: self.topic("events"),
            random: Random(seed),
            next: 0,
        }
    }
}

/// Produces what shoppers do: event times go up by twenty seconds from one to the next.
pub(crate) struct Shop {
    producer: BaseProducer,
    topic: String,
    random: Random,
    next: i64,
}

impl Shop {
    /// Sends `count` events; one in a hundred cannot be read.
    pub(crate) fn send(&mut self, count: usize) {
        self.send_some(count, true);
    }

    /// Sends `count` events that can all be read.
    pub(crate) fn send_readable(&mut self, count: usize) {
        self.send_some(count, false);
    }

    fn send_some(&mut self, count: usize, poison: bool) {
        for _ in 0..count {
            let number = self.next;
            self.next += 1;
            let at = START_MS + number * STEP_MS;
            let user = format!("user-{}", self.random.below(60));
            let kind = match self.random.below(10) {
                0 | 1 => "add_to_cart",
                2 => "purchase",
                _ => "product_view",
            };
            let item = self.random.below(50);
            let value = if poison && self.random.below(100) == 0 {
                format!("poison {number}")
            } else {
                format!(
                    r#"{{"eventId":"event-{number}","kind":"{kind}","userId":"{user}","itemId":"item-{item}","createdAt":{at}}}"#
                )
            };
            self.send_one(&user, &value, at);
        }
    }

    /// Sends one record.
    pub(crate) fn send_one(&mut self, key: &str, value: &str, at_ms: i64) {
        self.send_with(key, value, at_ms, &[]);
    }

    /// Sends one record with headers.
    pub(crate) fn send_with(
        &mut self,
        key: &str,
        value: &str,
        at_ms: i64,
        headers: &[(&str, &str)],
    ) {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                let value = Some(*value);
                headers.insert(Header { key, value })
            });
        let mut record = BaseRecord::to(&self.topic)
            .key(key)
            .payload(value)
            .headers(headers)
            .timestamp(at_ms);
        while let Err((_, refused)) = self.producer.send(record) {
            self.producer.poll(Duration::from_millis(50));
            record = refused;
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything sent is safe.
    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_mins(2)).unwrap();
    }
}

/// Status and body of `GET path`.
pub(crate) fn get(process: &Process, path: &str) -> (u16, String) {
    ask(process, "GET", path, "", "")
}

/// Status and body of `POST path`.
pub(crate) fn post(process: &Process, path: &str, body: &str) -> (u16, String) {
    ask(process, "POST", path, "", body)
}

/// As [`post`], with more headers, each ended by CRLF.
pub(crate) fn post_with(process: &Process, path: &str, headers: &str, body: &str) -> (u16, String) {
    ask(process, "POST", path, headers, body)
}

fn ask(process: &Process, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let address = process.started["http"].as_str().unwrap();
    let mut stream = TcpStream::connect(address)
        .unwrap_or_else(|error| panic!("{address}: {error}; {}", process.obituary()));
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

/// Waits until `/readyz` says yes.
pub(crate) async fn ready(process: &Process) {
    for _ in 0..600 {
        if get(process, "/readyz").0 == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not ready: {}", get(process, "/readyz").1);
}

/// Waits until `/readyz` mentions something.
pub(crate) async fn tells(process: &Process, what: &str) {
    for _ in 0..600 {
        if get(process, "/readyz").1.contains(what) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {what:?} in {}", get(process, "/readyz").1);
}

/// The value of a metric without labels, or of one series of it.
pub(crate) fn metric(process: &Process, series: &str) -> f64 {
    let text = get(process, "/metrics").1;
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    line.and_then(|line| line.rsplit(' ').next())
        .map_or(0.0, |value| value.parse().unwrap())
}

/// Nothing that a take-over compares was found different.
pub(crate) fn the_log_is_as_it_should_be(process: &Process) {
    for counter in [
        "replay_divergence",
        "txn_torn",
        "txn_lost_repaired",
        "txn_repeated",
    ] {
        let series = format!("impulse_{counter}_total");
        assert!(metric(process, &series) < 1.0, "{series}");
    }
}

/// `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
