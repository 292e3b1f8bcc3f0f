//! Settings of the Kafka source: where the brokers are, what the topics are called, how large a transaction is.

use serde::{Deserialize, Serialize};

use super::properties::Properties;

/// Settings of the Kafka source.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the brokers are: `host:port`, several separated by commas.
    pub brokers: String,
    /// The consumer group; its members share the partitions of the events topic.
    pub group: String,
    /// Prefix of the transactional ids. Two deployments on one cluster need two.
    pub app: String,
    /// Name of this instance in the group, the same after a restart (the name of a pod of a stateful set, say): it then
    /// gets its partitions back at once. Empty: a restart after a crash waits for the session timeout.
    pub instance: String,
    /// Where a partition begins that was never read.
    pub start: Start,
    /// What the topics may hold after a crash.
    pub guarantee: Guarantee,
    /// Names of the topics.
    pub topics: Topics,
    /// Time between transactions, in milliseconds; five times that for a partition that works off a backlog.
    pub transaction_interval_ms: u64,
    /// Events after which a transaction is committed early.
    pub transaction_records_max: usize,
    /// Bytes of events after which a transaction is committed early.
    pub transaction_bytes_max: usize,
    /// A longer record is a dead letter.
    pub record_bytes_max: usize,
    /// Bytes of the value that are kept of a dead letter and of a late event: with key and headers it must fit into a
    /// record of the topic. A header of the dead letter says how long it was.
    pub dead_letter_bytes_max: usize,
    /// Percentage of dead letters among half a minute's records of a partition above which the partition stops: its
    /// producers are broken. 100: never.
    pub dead_letter_percent_max: u32,
    /// How long a member may be silent before its partitions are given away, in milliseconds.
    pub session_timeout_ms: u64,
    /// How often a member says that it lives, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// How long the broker keeps a transaction open, in milliseconds; below the session timeout.
    pub transaction_timeout_ms: u64,
    /// How long a record may take to the broker, in milliseconds; below the transaction timeout.
    pub message_timeout_ms: u64,
    /// How long a question to the broker may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Time between the snapshots of a partition, in seconds.
    pub snapshot_interval_s: u64,
    /// Records after which a partition's snapshot is due sooner.
    pub snapshot_records_max: u64,
    /// Bytes of snapshot that a partition writes in a second at most.
    pub snapshot_bytes_per_s: usize,
    /// Further properties of librdkafka: security, compression, buffers. Those the protocol depends on are refused.
    pub properties: Properties,
}

/// Where a partition begins that was never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At its oldest record.
    #[default]
    Earliest,
    /// At what arrives from now on.
    Latest,
}

/// What the topics may hold after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Each output once: in one transaction with the position that caused it.
    #[default]
    ExactlyOnce,
    /// Each output at least once, for clusters without transactions: first the outputs, then the position. Who was given
    /// up for dead and is not may write some again, with the same ids.
    AtLeastOnce,
}

/// Names of the topics. All but the events topic are written by us, and have as many partitions as it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// What happens in the shop, keyed by shopper.
    pub events: String,
    /// What to say to shoppers.
    pub triggers: String,
    /// What was not said, and why.
    pub suppressions: String,
    /// Records that were refused.
    pub dead_letters: String,
    /// Events that came too late for triggers.
    pub late: String,
    /// One record a transaction.
    pub commits: String,
    /// The state, in chunks; compacted.
    pub snapshots: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            events: "impulse.events.v1".to_owned(),
            triggers: "impulse.triggers.v1".to_owned(),
            suppressions: "impulse.suppressions.v1".to_owned(),
            dead_letters: "impulse.events.v1.dlq".to_owned(),
            late: "impulse.events.v1.late".to_owned(),
            commits: "impulse.commits.v1".to_owned(),
            snapshots: "impulse.snapshots.v1".to_owned(),
        }
    }
}

impl Topics {
    /// Every name with the setting it comes from, the events topic first.
    pub fn all(&self) -> [(&'static str, &str); 7] {
        [
            ("events", &self.events),
            ("triggers", &self.triggers),
            ("suppressions", &self.suppressions),
            ("dead_letters", &self.dead_letters),
            ("late", &self.late),
            ("commits", &self.commits),
            ("snapshots", &self.snapshots),
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            group: "impulse".to_owned(),
            app: "impulse".to_owned(),
            instance: String::new(),
            start: Start::Earliest,
            guarantee: Guarantee::ExactlyOnce,
            topics: Topics::default(),
            transaction_interval_ms: 100,
            transaction_records_max: 50_000,
            transaction_bytes_max: 4 << 20,
            record_bytes_max: 1 << 20,
            dead_letter_bytes_max: 800 << 10,
            dead_letter_percent_max: 20,
            session_timeout_ms: 10_000,
            heartbeat_interval_ms: 1_000,
            transaction_timeout_ms: 8_000,
            message_timeout_ms: 6_000,
            request_timeout_ms: 5_000,
            snapshot_interval_s: 60,
            snapshot_records_max: 100_000,
            snapshot_bytes_per_s: 16 << 20,
            properties: Properties::default(),
        }
    }
}

/// Properties that the protocol depends on.
const OURS: [&str; 16] = [
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "acks",
    "request.required.acks",
    "auto.offset.reset",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "transaction.timeout.ms",
    "transactional.id",
];

impl Config {
    /// Everything that is wrong with the settings, a sentence each.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (name, text) in [
            ("brokers", &self.brokers),
            ("group", &self.group),
            ("app", &self.app),
        ] {
            if text.trim().is_empty() {
                mistakes.push(format!("{name}: must not be empty"));
            }
        }
        self.check_topics(&mut mistakes);
        self.check_numbers(&mut mistakes);
        for key in self.properties.keys() {
            if OURS.contains(&key.as_str()) {
                mistakes.push(format!(
                    "properties.{key}: the exactly-once protocol sets it; leave it out"
                ));
            }
        }
        mistakes
    }

    fn check_topics(&self, mistakes: &mut Vec<String>) {
        let topics = self.topics.all();
        for (place, (setting, topic)) in topics.iter().enumerate() {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if topic.is_empty() || topic.len() > 249 || !topic.chars().all(legal) {
                mistakes.push(format!(
                    "topics.{setting}: {topic:?} is no name of a topic: letters, digits, dots, underscores and dashes"
                ));
            }
            let twin = topics.iter().take(place).find(|(_, other)| other == topic);
            if let Some((other, _)) = twin {
                mistakes.push(format!("topics.{setting}: the same as topics.{other}"));
            }
        }
    }

    fn check_numbers(&self, mistakes: &mut Vec<String>) {
        let positive = [
            ("transaction_interval_ms", self.transaction_interval_ms),
            (
                "transaction_records_max",
                self.transaction_records_max as u64,
            ),
            ("transaction_bytes_max", self.transaction_bytes_max as u64),
            ("record_bytes_max", self.record_bytes_max as u64),
            ("dead_letter_bytes_max", self.dead_letter_bytes_max as u64),
            ("heartbeat_interval_ms", self.heartbeat_interval_ms),
            ("message_timeout_ms", self.message_timeout_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("snapshot_interval_s", self.snapshot_interval_s),
            ("snapshot_records_max", self.snapshot_records_max),
            ("snapshot_bytes_per_s", self.snapshot_bytes_per_s as u64),
        ];
        let zero = positive.into_iter().filter(|(_, value)| *value == 0);
        mistakes.extend(zero.map(|(name, _)| format!("{name}: must be above 0")));
        if self.dead_letter_percent_max > 100 {
            mistakes.push(format!(
                "dead_letter_percent_max: {} is above 100",
                self.dead_letter_percent_max
            ));
        }
        let ordered = [
            ("message_timeout_ms", self.message_timeout_ms),
            ("transaction_timeout_ms", self.transaction_timeout_ms),
            ("session_timeout_ms", self.session_timeout_ms),
        ];
        for ((lower, below), (upper, above)) in ordered.iter().zip(ordered.iter().skip(1)) {
            if below >= above {
                mistakes.push(format!("{lower}: must be below {upper}, which is {above}"));
            }
        }
        if self.heartbeat_interval_ms.saturating_mul(3) > self.session_timeout_ms {
            mistakes
                .push("heartbeat_interval_ms: at most a third of session_timeout_ms".to_owned());
        }
        if self.transaction_interval_ms.saturating_mul(2) > self.transaction_timeout_ms {
            mistakes
                .push("transaction_interval_ms: at most half of transaction_timeout_ms".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(Config::default().mistakes(), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_told_with_its_setting() {
        let config = Config {
            brokers: " ".to_owned(),
            topics: Topics {
                late: "impulse.events.v1".to_owned(),
                commits: "no spaces".to_owned(),
                ..Topics::default()
            },
            transaction_timeout_ms: 10_000,
            heartbeat_interval_ms: 9_000,
            snapshot_interval_s: 0,
            dead_letter_percent_max: 101,
            properties: [("isolation.level".to_owned(), "none".to_owned())].into(),
            ..Config::default()
        };
        let mistakes = config.mistakes().join("\n");
        for part in [
            "brokers: must not be empty",
            "topics.late: the same as topics.events",
            "topics.commits",
            "transaction_timeout_ms: must be below session_timeout_ms",
            "heartbeat_interval_ms",
            "snapshot_interval_s: must be above 0",
            "dead_letter_percent_max: 101 is above 100",
            "properties.isolation.level",
        ] {
            assert!(mistakes.contains(part), "{part} not in:\n{mistakes}");
        }
    }
}
