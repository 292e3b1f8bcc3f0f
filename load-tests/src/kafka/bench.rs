//! A deployment of its own on a broker: topics, group, producer and engine.

use std::time::Duration;

use anyhow::Context as _;
use impulse::domain::Event;
use impulse::wire;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::{Offset, TopicPartitionList};

use super::Options;
use crate::child::Server;

/// How long a broker may take for anything.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the group's position is asked for.
pub(super) const LOOK: Duration = Duration::from_millis(10);
const ROLES: [&str; 7] = [
    "events",
    "triggers",
    "suppressions",
    "dead_letters",
    "late",
    "commits",
    "snapshots",
];

/// A deployment of its own.
pub(super) struct Bench<'a> {
    pub(super) options: &'a Options,
    name: String,
}

impl<'a> Bench<'a> {
    /// Makes the topics; `purpose` is part of their names.
    pub(super) async fn new(options: &'a Options, purpose: &str) -> anyhow::Result<Self> {
        let bench = Self {
            options,
            name: format!("load-{}-{purpose}", std::process::id()),
        };
        let names = bench.topics();
        let partitions = i32::try_from(options.partitions)?;
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
                if name.ends_with("snapshots") {
                    topic.set("cleanup.policy", "compact")
                } else {
                    topic.set("retention.ms", "-1")
                }
            })
            .collect();
        let admin = bench.admin()?;
        for made in admin.create_topics(&topics, &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(bench)
    }

    /// Gives the broker its room back.
    pub(super) async fn remove_topics(&self) -> anyhow::Result<()> {
        let names = self.topics();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin = self.admin()?;
        for removed in admin.delete_topics(&names, &AdminOptions::new()).await? {
            removed.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    fn topics(&self) -> Vec<String> {
        ROLES.iter().map(|role| self.topic(role)).collect()
    }

    pub(super) fn topic(&self, role: &str) -> String {
        format!("{}.{role}", self.name)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.options.brokers);
        client
    }

    /// One that collects records for so long before it sends them.
    pub(super) fn producer(&self, linger_ms: u32) -> anyhow::Result<BaseProducer> {
        Ok(self
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", linger_ms.to_string())
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .create()?)
    }

    pub(super) fn send(&self, producer: &BaseProducer, event: &Event) -> anyhow::Result<()> {
        let mut value = Vec::with_capacity(128);
        wire::event::encode(event, &mut value);
        let topic = self.topic("events");
        let at = event.created.map_or(1, |created| created.0);
        let mut record = BaseRecord::to(&topic)
            .key(event.user.as_str())
            .payload(&value)
            .timestamp(at);
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, refused))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
                {
                    producer.poll(LOOK);
                    record = refused;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Starts the engine with these variables besides.
    pub(super) fn serve(&self, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
        let interval_ms = self.options.interval_ms.to_string();
        let mut environment: Vec<(String, String)> = [
            ("IMPULSE__PIPELINE__SOURCE", "kafka"),
            ("IMPULSE__KAFKA__BROKERS", &self.options.brokers),
            ("IMPULSE__KAFKA__GROUP", &self.name),
            ("IMPULSE__KAFKA__APP", &self.name),
            ("IMPULSE__KAFKA__INSTANCE", "one"),
            ("IMPULSE__KAFKA__TRANSACTION_INTERVAL_MS", &interval_ms),
        ]
        .iter()
        .chain(settings)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
        environment.extend(ROLES.map(|role| {
            let key = format!("IMPULSE__KAFKA__TOPICS__{}", role.to_uppercase());
            (key, self.topic(role))
        }));
        Server::impulse_with(&environment)
    }

    /// Sum of the group's positions.
    pub(super) fn committed(&self, consumer: &BaseConsumer) -> anyhow::Result<u64> {
        let answer = consumer.committed_offsets(self.all("events", Offset::Invalid)?, TIMEOUT)?;
        let offsets = answer.elements();
        Ok(offsets
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            })
            .sum())
    }

    /// Asks for positions without waiting for transactions under way: a killed engine leaves one open.
    pub(super) fn consumer(&self) -> anyhow::Result<BaseConsumer> {
        Ok(self
            .client()
            .set("group.id", &self.name)
            .set("isolation.level", "read_uncommitted")
            .create()?)
    }

    /// Reads what is committed in a topic, from its beginning.
    pub(super) fn reader(&self, role: &str) -> anyhow::Result<BaseConsumer> {
        let reader: BaseConsumer = self
            .client()
            .set("group.id", format!("{}-reader", self.name))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        reader
            .assign(&self.all(role, Offset::Beginning)?)
            .with_context(|| self.topic(role))?;
        Ok(reader)
    }

    fn all(&self, role: &str, offset: Offset) -> anyhow::Result<TopicPartitionList> {
        let topic = self.topic(role);
        let mut all = TopicPartitionList::new();
        for partition in 0..i32::try_from(self.options.partitions)? {
            all.add_partition_offset(&topic, partition, offset)?;
        }
        Ok(all)
    }
}
