//! Judges how far the guarantee goes: what a cluster says of its topics and of itself decides whether a record that was
//! committed can still be lost.

use std::sync::Arc;

use futures::future;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::config::FromClientConfigAndContext as _;

use super::client::{self, Connections};
use super::{Config, Guarantee, Trouble};

/// Copies that keep a record when one broker is lost and another is being restarted.
const COPIES: u32 = 3;
/// Copies that must have a record before it counts as written.
const IN_SYNC: u32 = 2;
/// The first brokers that compare the generation of the group when a transaction commits its position.
const OLDEST: (u32, u32) = (2, 5);

/// How far the guarantee goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What was committed stays, and each output is written once.
    ExactlyOnce,
    /// Each output is written once, but the loss of a broker or of a disk can take committed records with it.
    Weakened,
    /// An output may be written twice.
    AtLeastOnce,
}

/// Why it goes that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Everything that was asked for is there.
    ThreeCopies,
    /// So it is, but the brokers did not say how old they are.
    VersionUnknown,
    /// The only copy of a topic can be lost.
    OneCopy,
    /// Both copies of a topic can be lost.
    TwoCopies,
    /// A copy that lacks records may become the leader.
    UncleanElection,
    /// A record counts as written when one copy has it.
    MinInsync,
    /// The brokers did not say how the topics are set.
    SettingsUnknown,
    /// The settings ask for no more.
    Asked,
}

/// A level with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How far it goes.
    pub level: Level,
    /// Why.
    pub reason: Reason,
}

/// What the cluster does to keep records, as far as it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Safeguards {
    /// `min.insync.replicas` of the topic that has the lowest.
    pub min_insync: Option<u32>,
    /// Whether `unclean.leader.election.enable` is set for any topic.
    pub unclean_election: Option<bool>,
    /// How old the brokers are.
    pub version: Version,
}

/// How old the brokers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// They do not tell us.
    #[default]
    Unknown,
    /// The version that they speak to each other: up to 3.x a setting.
    Speaks(u32, u32),
    /// They have no such setting any more: 4.0 or later.
    Recent,
}

impl Level {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::Weakened => "weakened",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

impl Reason {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThreeCopies => "kafka_three_copies",
            Self::VersionUnknown => "kafka_version_unknown",
            Self::OneCopy => "kafka_one_copy",
            Self::TwoCopies => "kafka_two_copies",
            Self::UncleanElection => "kafka_unclean_election",
            Self::MinInsync => "kafka_min_insync",
            Self::SettingsUnknown => "kafka_settings_unknown",
            Self::Asked => "kafka_guarantee",
        }
    }

    /// What it means, and what to do about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::ThreeCopies => {
                "three copies of each record, two of them in sync, and no unclean election"
            }
            Self::VersionUnknown => {
                "the brokers do not tell their version: grant DESCRIBE_CONFIGS on the cluster; 2.5 is needed"
            }
            Self::OneCopy => {
                "a topic has one copy: three are needed to lose a broker without losing records"
            }
            Self::TwoCopies => {
                "a topic has two copies: three are needed to lose a broker without losing records"
            }
            Self::UncleanElection => {
                "a topic has unclean.leader.election.enable: a copy that lacks records may become the leader; set it to false"
            }
            Self::MinInsync => {
                "a topic has min.insync.replicas below 2: a record that only one broker has counts as written; set it to 2"
            }
            Self::SettingsUnknown => {
                "the brokers do not tell how the topics are set: grant DESCRIBE_CONFIGS on them"
            }
            Self::Asked => "kafka.guarantee asks for no more",
        }
    }
}

/// How far the guarantee goes with so many copies of the topic that has the fewest. `asked` is what the settings want.
/// Of several reasons the one that loses the most counts.
///
/// # Errors
///
/// If the brokers are too old to keep two owners of a partition apart.
pub fn judge(copies: u32, safeguards: &Safeguards, asked: Guarantee) -> Result<Verdict, Trouble> {
    if asked == Guarantee::AtLeastOnce {
        return Ok(Verdict {
            level: Level::AtLeastOnce,
            reason: Reason::Asked,
        });
    }
    if let Version::Speaks(major, minor) = safeguards.version
        && (major, minor) < OLDEST
    {
        return Err(Trouble::BrokerTooOld {
            found: format!("{major}.{minor}"),
        });
    }
    let weakness = match (safeguards.unclean_election, safeguards.min_insync) {
        _ if copies < 2 => Some(Reason::OneCopy),
        _ if copies < COPIES => Some(Reason::TwoCopies),
        (Some(true), _) => Some(Reason::UncleanElection),
        (_, Some(in_sync)) if in_sync < IN_SYNC => Some(Reason::MinInsync),
        (None, _) | (_, None) => Some(Reason::SettingsUnknown),
        (Some(false), Some(_)) => None,
    };
    Ok(match (weakness, safeguards.version) {
        (Some(reason), _) => Verdict {
            level: Level::Weakened,
            reason,
        },
        (None, Version::Unknown) => Verdict {
            level: Level::ExactlyOnce,
            reason: Reason::VersionUnknown,
        },
        (None, Version::Speaks(..) | Version::Recent) => Verdict {
            level: Level::ExactlyOnce,
            reason: Reason::ThreeCopies,
        },
    })
}

/// Asks the brokers, from a thread that no runtime is at work on. What they will not tell is unknown.
///
/// # Errors
///
/// If they do not answer.
pub fn safeguards(config: &Arc<Config>) -> Result<Safeguards, Trouble> {
    let topics = config.topics.all();
    let connections = Connections::default();
    let trouble = |error| connections.trouble(&error, &config.topics.events, config);
    let client = AdminClient::from_config_and_context(&client::base(config), connections.clone())
        .map_err(trouble)?;
    let timeout = client::request_timeout(config);
    // A broker is asked for itself, and any will do: the version that they speak is the same for all.
    let metadata = client
        .inner()
        .fetch_metadata(Some(&config.topics.events), timeout)
        .map_err(trouble)?;
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let of_topics: Vec<ResourceSpecifier<'_>> = topics
        .iter()
        .map(|(_, topic)| ResourceSpecifier::Topic(topic))
        .collect();
    let of_broker: Vec<ResourceSpecifier<'_>> = metadata
        .brokers()
        .iter()
        .take(1)
        .map(|broker| ResourceSpecifier::Broker(broker.id()))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Trouble::Unreachable {
        brokers: config.brokers.clone(),
        detail: format!("nothing can wait for an answer: {error}"),
    })?;
    let (topics, broker) = runtime.block_on(future::join(
        client.describe_configs(&of_topics, &options),
        client.describe_configs(&of_broker, &options),
    ));
    let topics: Vec<Option<ConfigResource>> = topics
        .map_err(trouble)?
        .into_iter()
        .map(Result::ok)
        .collect();
    // Not every service that speaks Kafka's protocol has brokers to ask.
    let broker = broker.ok().and_then(|answers| answers.into_iter().next());
    Ok(Safeguards {
        min_insync: each(&topics, "min.insync.replicas", |value| value.parse().ok())
            .and_then(|all| all.into_iter().min()),
        unclean_election: each(&topics, "unclean.leader.election.enable", |value| {
            Some(value == "true")
        })
        .map(|all| all.contains(&true)),
        version: broker.map_or(Version::Unknown, |answer| {
            answer.map_or(Version::Unknown, |broker| version(&broker))
        }),
    })
}

/// A setting of every topic; `None` if one does not tell.
fn each<T>(
    topics: &[Option<ConfigResource>],
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<Vec<T>> {
    topics
        .iter()
        .map(|topic| read(topic.as_ref()?.get(name)?.value.as_deref()?))
        .collect()
}

fn version(broker: &ConfigResource) -> Version {
    match broker.get("inter.broker.protocol.version") {
        None if broker.entries.is_empty() => Version::Unknown,
        None => Version::Recent,
        Some(entry) => entry
            .value
            .as_deref()
            .and_then(spoken)
            .map_or(Version::Unknown, |(major, minor)| {
                Version::Speaks(major, minor)
            }),
    }
}

/// `3.6-IV2` and `0.11.0-IV2` begin with major and minor.
fn spoken(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: Safeguards = Safeguards {
        min_insync: Some(2),
        unclean_election: Some(false),
        version: Version::Recent,
    };

    fn judged(copies: u32, safeguards: Safeguards) -> (&'static str, &'static str) {
        let guarantee = judge(copies, &safeguards, Guarantee::ExactlyOnce).unwrap();
        (guarantee.level.name(), guarantee.reason.name())
    }

    #[test]
    fn three_copies_two_in_sync_and_no_unclean_election_are_needed() {
        let exactly_once = ("exactly_once", "kafka_three_copies");
        assert_eq!(judged(3, SAFE), exactly_once);
        assert_eq!(judged(5, SAFE), exactly_once);
        let old_enough = Version::Speaks(2, 5);
        let version = |version| Safeguards { version, ..SAFE };
        assert_eq!(judged(3, version(old_enough)), exactly_once);
        assert_eq!(
            judged(3, version(Version::Unknown)),
            ("exactly_once", "kafka_version_unknown")
        );
        let min_insync = Safeguards {
            min_insync: Some(1),
            ..SAFE
        };
        assert_eq!(judged(3, min_insync), ("weakened", "kafka_min_insync"));
        for unknown in [
            Safeguards::default(),
            Safeguards {
                unclean_election: None,
                ..SAFE
            },
            Safeguards {
                min_insync: None,
                ..SAFE
            },
        ] {
            assert_eq!(judged(3, unknown), ("weakened", "kafka_settings_unknown"));
        }
    }

    #[test]
    fn of_several_reasons_the_worst_is_told() {
        let poor = Safeguards {
            min_insync: Some(1),
            unclean_election: Some(true),
            version: Version::Unknown,
        };
        assert_eq!(judged(0, poor), ("weakened", "kafka_one_copy"));
        assert_eq!(judged(1, poor), ("weakened", "kafka_one_copy"));
        assert_eq!(judged(2, poor), ("weakened", "kafka_two_copies"));
        assert_eq!(judged(3, poor), ("weakened", "kafka_unclean_election"));
    }

    #[test]
    fn brokers_before_2_5_are_refused_for_transactions() {
        let old = Safeguards {
            version: Version::Speaks(2, 4),
            ..SAFE
        };
        let refused = judge(3, &old, Guarantee::ExactlyOnce).unwrap_err();
        assert_eq!(refused.name(), "broker_too_old");
        assert!(refused.to_string().contains("2.4"), "{refused}");
        let asked = judge(3, &old, Guarantee::AtLeastOnce).unwrap();
        assert_eq!(asked.level.name(), "at_least_once");
        assert_eq!(asked.reason.name(), "kafka_guarantee");
    }

    #[test]
    fn the_version_is_read_as_brokers_write_it() {
        assert_eq!(spoken("3.6-IV2"), Some((3, 6)));
        assert_eq!(spoken("0.11.0-IV2"), Some((0, 11)));
        assert_eq!(spoken("2.4"), Some((2, 4)));
        assert_eq!(spoken("new"), None);
    }
}
