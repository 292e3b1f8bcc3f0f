//! What every client of ours has in common: how it is made, and what it remembers of its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Config, Guarantee, Trouble};

/// What a client remembers of its connections. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    lost: AtomicU64,
    /// What was last said of a connection; a refusal is kept until the next.
    said: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Connections {
    /// How often a connection was lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Acquire)
    }

    /// What an error of a call means, in the light of what was heard before.
    pub(super) fn trouble(&self, error: &KafkaError, topic: &str, config: &Config) -> Trouble {
        Trouble::of(error, topic, &config.brokers, self.0.said.lock().clone())
    }

    pub(super) fn heard(&self, error: &KafkaError, reason: &str) {
        self.0.lost.fetch_add(1, Ordering::AcqRel);
        let is_refusal = |code| {
            let refusals = [
                RDKafkaErrorCode::Authentication,
                RDKafkaErrorCode::SSL,
                RDKafkaErrorCode::UnsupportedSASLMechanism,
            ];
            refusals.contains(&code)
        };
        // That all are down follows from what was said of each.
        if let Some(code) = error.rdkafka_error_code()
            && code != RDKafkaErrorCode::AllBrokersDown
        {
            let mut said = self.0.said.lock();
            let is_kept = said.as_ref().is_some_and(|(code, _)| is_refusal(*code));
            if is_refusal(code) || !is_kept {
                // How long it took and how often it was said is different each time.
                let reason = reason.split(" (after ").next().unwrap_or_default();
                *said = Some((code, reason.to_owned()));
            }
        }
        tracing::debug!(%error, reason, "a client of Kafka reports");
    }
}

impl ClientContext for Connections {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard(&error, reason);
    }
}

impl ConsumerContext for Connections {}

/// What librdkafka has to say; what matters of it comes back as an error of a call too.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            tracing::debug!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            tracing::trace!(facility, message, "librdkafka");
        }
    }
}

/// What every client is made with; the properties of the settings come first, so that ours win.
pub(super) fn base(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true");
    for (key, value) in config.properties.iter() {
        client.set(key, value);
    }
    client
        .set("bootstrap.servers", &config.brokers)
        .set("client.id", &config.app);
    client
}

/// A consumer that is no member of the group: it is told what to read.
pub(super) fn reader(config: &Config) -> ClientConfig {
    let mut client = base(config);
    default(&mut client, config, "fetch.wait.max.ms", "10");
    default(&mut client, config, "queued.max.messages.kbytes", "16384");
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false");
    client
}

/// A consumer that reads back what is written here, in no hurry: few requests, small buffers. The end of a partition,
/// when the client tells it, does not name its topic.
pub(super) fn tail(config: &Config) -> ClientConfig {
    let mut client = reader(config);
    client
        .set("enable.partition.eof", "false")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.min.bytes", "65536")
        .set("fetch.message.max.bytes", "262144")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "2048");
    client
}

/// A consumer that reads nothing: it asks where partitions end, whatever of them is decided.
pub(super) fn asking(config: &Config) -> ClientConfig {
    let mut client = reader(config);
    client.set("isolation.level", "read_uncommitted");
    client
}

/// The member of the group.
pub(super) fn member(config: &Config) -> ClientConfig {
    let mut client = base(config);
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "latest")
        .set("allow.auto.create.topics", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        .set(
            "heartbeat.interval.ms",
            config.heartbeat_interval_ms.to_string(),
        )
        // Its partitions are paused: it is there to be a member, the readers read.
        .set("queued.min.messages", "1")
        .set("queued.max.messages.kbytes", "1024");
    if !config.instance.is_empty() {
        client.set("group.instance.id", &config.instance);
    }
    client
}

/// The producer of a partition's outputs.
pub(super) fn writer(config: &Config, partition: u32) -> ClientConfig {
    let mut client = base(config);
    default(&mut client, config, "linger.ms", "1");
    default(&mut client, config, "compression.type", "lz4");
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", config.message_timeout_ms.to_string());
    if config.guarantee == Guarantee::ExactlyOnce {
        client
            .set("transactional.id", format!("{}-{partition}", config.app))
            .set(
                "transaction.timeout.ms",
                config.transaction_timeout_ms.to_string(),
            );
    }
    client
}

/// The producer of what callers hand us.
pub(super) fn feeding(config: &Config) -> ClientConfig {
    let mut client = base(config);
    default(&mut client, config, "linger.ms", "2");
    default(&mut client, config, "compression.type", "lz4");
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", config.message_timeout_ms.to_string());
    client
}

/// Sets a property that the settings may choose differently.
fn default(client: &mut ClientConfig, config: &Config, key: &str, value: &str) {
    if !config.properties.contains_key(key) {
        client.set(key, value);
    }
}

/// How long a question to the broker may take.
pub(super) fn request_timeout(config: &Config) -> Duration {
    Duration::from_millis(config.request_timeout_ms)
}
