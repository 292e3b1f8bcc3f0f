//! Topics in words: what each is for, how it is laid out, how long it is kept.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// The topics of `topology/topics.yaml`.
const BUILT_IN: &str = include_str!("../../../topology/topics.yaml");

/// Every topic of a cluster, in the order of declaration. All have as many partitions as the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    pub(super) topics: Vec<Topic>,
}

/// One topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What the engine uses it for.
    pub role: Role,
    /// What records are keyed by; `None` if by nothing.
    pub key: Option<String>,
    /// Its partitions.
    pub partitions: u32,
    /// Copies of a record.
    pub replication: u32,
    /// Copies that must be written before a record counts.
    pub min_insync: u32,
    /// How long records stay; `None` if only compaction takes them.
    pub retention: Option<Retention>,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// Further settings by their Kafka names.
    pub config: BTreeMap<String, String>,
    /// Who writes.
    pub producer: String,
    /// Who reads.
    pub consumer: String,
    /// What for.
    pub purpose: String,
}

/// What the engine uses a topic for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What shoppers do: the input.
    Events,
    /// FIRE and CANCEL.
    Triggers,
    /// Episodes that ended without a FIRE.
    Suppressions,
    /// Who saw which variant.
    Exposures,
    /// What cannot be used.
    DeadLetters,
    /// What came after the grace.
    Late,
    /// One record a transaction.
    Commits,
    /// The state in chunks.
    Snapshots,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Cleanup {
    /// They go after their retention.
    #[serde(rename = "delete")]
    Delete,
    /// The last of each key stays.
    #[serde(rename = "compact")]
    Compact,
    /// The last of each key stays, until its retention is over.
    #[serde(rename = "compact+delete")]
    CompactDelete,
}

/// How long records stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// No age takes them.
    Forever,
    /// At least so long.
    Ms(i64),
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::Triggers,
        Self::Suppressions,
        Self::Exposures,
        Self::DeadLetters,
        Self::Late,
        Self::Commits,
        Self::Snapshots,
    ];

    /// Its name in the file and in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Triggers => "triggers",
            Self::Suppressions => "suppressions",
            Self::Exposures => "exposures",
            Self::DeadLetters => "dead_letters",
            Self::Late => "late",
            Self::Commits => "commits",
            Self::Snapshots => "snapshots",
        }
    }
}

impl Cleanup {
    /// Kafka's word for it.
    pub const fn policy(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::Ms(ms) => {
                let duration = Duration::from_millis(ms.unsigned_abs());
                // `humantime` would write thirty days as a month less some hours.
                let days = duration.as_secs() / 86_400;
                if days > 0 && Duration::from_secs(days * 86_400) == duration {
                    write!(f, "{days}d")
                } else {
                    write!(f, "{}", humantime::format_duration(duration))
                }
            }
        }
    }
}

impl Topic {
    /// Its settings by their Kafka names.
    pub fn settings(&self) -> BTreeMap<&str, String> {
        let mut settings: BTreeMap<&str, String> = self
            .config
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        settings.insert("cleanup.policy", self.cleanup.policy().to_owned());
        settings.insert("min.insync.replicas", self.min_insync.to_string());
        match self.retention {
            Some(Retention::Forever) => drop(settings.insert("retention.ms", "-1".to_owned())),
            Some(Retention::Ms(ms)) => drop(settings.insert("retention.ms", ms.to_string())),
            None => {}
        }
        settings
    }
}

impl Default for Topology {
    #[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
    fn default() -> Self {
        Self::parse(BUILT_IN).expect("the built-in topics are topics")
    }
}

impl Topology {
    /// Every topic, in the order of declaration.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The topic of a role, if there is one.
    pub fn topic(&self, role: Role) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.role == role)
    }

    /// The same topics in a cluster of fewer or more brokers. One copy less than all must be written, as far as that
    /// leaves one, so that a lost broker stops nothing.
    #[must_use]
    pub fn with_replication(mut self, replication: u32) -> Self {
        for topic in &mut self.topics {
            topic.replication = replication;
            topic.min_insync = topic.min_insync.min(replication.saturating_sub(1)).max(1);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Cleanup, Role, Topology};

    #[test]
    fn the_built_in_topics_have_every_role_once() {
        let topology = Topology::default();
        for role in Role::ALL {
            assert!(topology.topic(role).is_some(), "{role:?}");
        }
        assert_eq!(topology.topics().len(), Role::ALL.len());
    }

    #[test]
    fn what_we_keep_for_good_is_compacted() {
        let topology = Topology::default();
        let snapshots = topology.topic(Role::Snapshots).unwrap();
        assert_eq!(snapshots.cleanup, Cleanup::Compact);
        let settings = snapshots.settings();
        assert_eq!(settings["cleanup.policy"], "compact");
        assert!(!settings.contains_key("retention.ms"));
    }

    #[test]
    fn fewer_brokers_hold_fewer_copies() {
        for (brokers, written) in [(1, 1), (2, 1), (3, 2), (5, 2)] {
            let topology = Topology::default().with_replication(brokers);
            let events = topology.topic(Role::Events).unwrap();
            assert_eq!((events.replication, events.min_insync), (brokers, written));
        }
    }
}
