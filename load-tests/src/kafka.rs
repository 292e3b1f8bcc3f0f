//! Events from a real broker: how fast they are applied exactly once, and how long a crash keeps them waiting.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use impulse::clock::{Clock, Stopwatch};
use impulse::domain::{Event, Millis};
use impulse::shop::{self, Shop, Traffic};
use impulse::wire;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::child::Server;
use crate::report::{self, Steal};

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where a broker is; `topology/kafka/broker up` starts one.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// How many events wait when the engine starts.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Partitions of the events topic.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Events a second while the engine is killed.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// How often it is killed.
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// Time between transactions, in milliseconds.
    #[arg(long, default_value_t = 100)]
    interval_ms: u64,
}

const SEED: u64 = 7;
/// How long ago the traffic begins: so long that it never reaches the present, beyond which a broker takes no record.
const HISTORY_MS: i64 = 90 * impulse::domain::DAY_MS;
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the group's position is asked for.
const LOOK: Duration = Duration::from_millis(10);
/// Between kills.
const STEADY: Duration = Duration::from_secs(4);
/// Events produced before the clock is looked at again.
const BURST: u32 = 200;

pub(crate) async fn run(options: &Options, json: bool) -> anyhow::Result<()> {
    let since = Steal::look();
    let bench = Bench::new(options);
    bench.make_topics().await?;
    let history_ms = Clock::system().now().0 - HISTORY_MS;
    let shop = Shop::new(
        SEED,
        shop::Config {
            items: 10_000,
            today: Millis(history_ms),
        },
    );
    let mut traffic = Traffic::new(&shop, SEED, 50_000, Millis(history_ms));
    let producer = bench.producer()?;
    let watch = Stopwatch::start();
    for event in traffic.by_ref().take(options.events) {
        bench.send(&producer, &event)?;
    }
    producer.flush(TIMEOUT)?;
    let produce_seconds = watch.seconds();

    let server = bench.serve()?;
    let backlog = bench.work_off(options.events as u64, &server)?;
    let outages = bench.kill_again_and_again(server, &mut traffic, &producer)?;
    let mut figures = json!({
        "partitions": options.partitions,
        "transaction_interval_ms": options.interval_ms,
        "events": options.events,
        "produce_seconds": produce_seconds,
        "kills": outages,
    });
    if let (Some(figures), Value::Object(backlog)) = (figures.as_object_mut(), backlog) {
        figures.extend(backlog);
    }
    report::print("kafka", figures, since, json)
}

/// A deployment of its own.
struct Bench<'a> {
    options: &'a Options,
    name: String,
}

const ROLES: [&str; 7] = [
    "events",
    "triggers",
    "suppressions",
    "dead_letters",
    "late",
    "commits",
    "snapshots",
];

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            options,
            name: format!("load-{}", std::process::id()),
        }
    }

    fn topic(&self, role: &str) -> String {
        format!("{}.{role}", self.name)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.options.brokers);
        client
    }

    async fn make_topics(&self) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let names: Vec<String> = ROLES.iter().map(|role| self.topic(role)).collect();
        let partitions = i32::try_from(self.options.partitions)?;
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
        for made in admin.create_topics(&topics, &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    fn producer(&self) -> anyhow::Result<BaseProducer> {
        Ok(self
            .client()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .create()?)
    }

    fn send(&self, producer: &BaseProducer, event: &Event) -> anyhow::Result<()> {
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

    fn serve(&self) -> anyhow::Result<Server> {
        let mut environment = vec![
            ("IMPULSE__PIPELINE__SOURCE".to_owned(), "kafka".to_owned()),
            (
                "IMPULSE__KAFKA__BROKERS".to_owned(),
                self.options.brokers.clone(),
            ),
            ("IMPULSE__KAFKA__GROUP".to_owned(), self.name.clone()),
            ("IMPULSE__KAFKA__APP".to_owned(), self.name.clone()),
            ("IMPULSE__KAFKA__INSTANCE".to_owned(), "one".to_owned()),
            (
                "IMPULSE__KAFKA__TRANSACTION_INTERVAL_MS".to_owned(),
                self.options.interval_ms.to_string(),
            ),
        ];
        environment.extend(ROLES.map(|role| {
            let key = format!("IMPULSE__KAFKA__TOPICS__{}", role.to_uppercase());
            (key, self.topic(role))
        }));
        Server::impulse_with(&environment)
    }

    /// Sum of the group's positions.
    fn committed(&self, consumer: &BaseConsumer) -> anyhow::Result<u64> {
        let mut asked = TopicPartitionList::new();
        let topic = self.topic("events");
        for partition in 0..i32::try_from(self.options.partitions)? {
            asked.add_partition(&topic, partition);
        }
        let answer = consumer.committed_offsets(asked, TIMEOUT)?;
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
    fn consumer(&self) -> anyhow::Result<BaseConsumer> {
        Ok(self
            .client()
            .set("group.id", &self.name)
            .set("isolation.level", "read_uncommitted")
            .create()?)
    }

    /// From the first commit to the last.
    fn work_off(&self, events: u64, server: &Server) -> anyhow::Result<Value> {
        let consumer = self.consumer()?;
        let started = Stopwatch::start();
        let mut first = None;
        loop {
            let committed = self.committed(&consumer)?;
            if committed > 0 && first.is_none() {
                first = Some((committed, Stopwatch::start(), server.cpu_seconds()?));
            }
            if committed >= events {
                break;
            }
            anyhow::ensure!(
                started.elapsed() < Duration::from_mins(10),
                "{committed} of {events} events after ten minutes"
            );
            std::thread::sleep(LOOK);
        }
        let (before, watch, cpu) = first.context("nothing was committed")?;
        let applied = events.saturating_sub(before).max(1);
        let seconds = watch.seconds();
        Ok(json!({
            "start_to_all_seconds": started.seconds(),
            "events_per_second": (applied as f64 / seconds).round(),
            "server_cpu_us_per_event": (server.cpu_seconds()? - cpu) * 1e6 / applied as f64,
        }))
    }

    /// kill -9 and a start, again and again, while events come: how long until positions move again.
    fn kill_again_and_again(
        &self,
        mut server: Server,
        traffic: &mut Traffic,
        producer: &BaseProducer,
    ) -> anyhow::Result<Value> {
        let consumer = self.consumer()?;
        let mut outages = Vec::new();
        for _ in 0..self.options.kills {
            self.produce_for(STEADY, traffic, producer, || Ok(false))?;
            let before = self.committed(&consumer)?;
            drop(server);
            let dead = Stopwatch::start();
            server = self.serve()?;
            let mut looked = Stopwatch::start();
            self.produce_for(TIMEOUT, traffic, producer, || {
                if looked.elapsed() < LOOK {
                    return Ok(false);
                }
                looked = Stopwatch::start();
                // What the dead one committed last may show late, so it must be a quarter of a second more.
                Ok(self.committed(&consumer)? > before + u64::from(self.options.rate / 4))
            })?;
            outages.push(dead.seconds());
        }
        outages.sort_by(f64::total_cmp);
        let median = outages.get(outages.len() / 2).copied().unwrap_or_default();
        Ok(json!({
            "rate": self.options.rate,
            "resumed_seconds_median": median,
            "resumed_seconds_max": outages.last(),
        }))
    }

    /// Produces at the rate until `enough` says so or the time is over.
    fn produce_for(
        &self,
        time: Duration,
        traffic: &mut Traffic,
        producer: &BaseProducer,
        mut enough: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let mut sent = 0_u32;
        while watch.elapsed() < time && !enough()? {
            let due = watch.seconds() * f64::from(self.options.rate);
            if f64::from(sent) > due {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            for event in traffic.by_ref().take(BURST as usize) {
                self.send(producer, &event)?;
            }
            producer.poll(Duration::ZERO);
            sent = sent.saturating_add(BURST);
        }
        Ok(())
    }
}
