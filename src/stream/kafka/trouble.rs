//! What can go wrong with Kafka, in words that say what to do next.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::properties::without_secret;

/// Why a partition cannot go on for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No broker answers.
    #[error(
        "no broker answers at {brokers} ({detail}); start one (`topology/kafka/broker up`) or set kafka.brokers"
    )]
    Unreachable {
        /// The setting.
        brokers: String,
        /// What the client says.
        detail: String,
    },
    /// A broker answers that it cannot, for now.
    #[error("the cluster is not ready for it ({detail}); it is asked again")]
    Unready {
        /// What the client says.
        detail: String,
    },
    /// A topic is not there.
    #[error(
        "topic {topic} is not there; make the topics with `impulse topology apply`, or set kafka.topics"
    )]
    TopicMissing {
        /// Its name.
        topic: String,
    },
    /// The events topic has another number of partitions than it had.
    #[error(
        "topic {topic} has {found} partitions and had {expected}: shoppers changed their partition, and their state did not. \
         Begin anew with other topics, another kafka.group and another kafka.app, and replay the events into them"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// How many there are.
        found: u32,
        /// How many there were.
        expected: u32,
    },
    /// A topic of ours has another number of partitions than the events topic.
    #[error(
        "topic {topic} has {found} partitions and the events topic {expected}; what comes in by a partition goes out by the same: \
         make them equal, see `impulse topology diff`"
    )]
    Uneven {
        /// Its name.
        topic: String,
        /// How many there are.
        found: u32,
        /// How many the events topic has.
        expected: u32,
    },
    /// The broker does not know us, or does not believe us.
    #[error(
        "the broker refused the credentials ({detail}); check kafka.properties `security.protocol` and `sasl.*`"
    )]
    Authentication {
        /// What the client says.
        detail: String,
    },
    /// No connection that both sides trust.
    #[error(
        "no connection to the broker that can be trusted ({detail}); check kafka.properties `security.protocol` and `ssl.*`"
    )]
    Tls {
        /// What the client says.
        detail: String,
    },
    /// The brokers cannot keep two owners of a partition apart.
    #[error(
        "the brokers speak version {found} to each other and 2.5 is needed: upgrade them, then raise \
         inter.broker.protocol.version"
    )]
    BrokerTooOld {
        /// What they speak.
        found: String,
    },
    /// The broker knows us and says no.
    #[error("the broker does not allow it ({detail}); grant {right}")]
    Authorization {
        /// What is missing.
        right: &'static str,
        /// What the client says.
        detail: String,
    },
    /// Another process has taken the partition over.
    #[error("another process took the partition over ({detail})")]
    Fenced {
        /// What the client says.
        detail: String,
    },
    /// A transaction failed, or nobody can say whether it did: the log is asked.
    #[error("a transaction did not end well ({detail}); the log says what became of it")]
    Transaction {
        /// What the client says.
        detail: String,
    },
    /// What is needed to restore the state is not in the log.
    #[error("{topic}: {detail}")]
    Damaged {
        /// The topic.
        topic: String,
        /// What is missing, and what to do.
        detail: String,
    },
    /// Most records cannot be read: whoever writes them is wrong.
    #[error(
        "{percent} % of the records of the last {seconds} s were dead letters, more than kafka.dead_letter_percent_max: \
         intake of the partition stops. `impulse dlq list` shows why; mend who writes them, start again (it goes on where it \
         stopped), then `impulse dlq replay`"
    )]
    Poisoned {
        /// How many of a hundred.
        percent: u64,
        /// For so long.
        seconds: usize,
    },
    /// The client refuses the settings.
    #[error("{detail}; check kafka.properties")]
    Settings {
        /// What the client says.
        detail: String,
    },
    /// What was read back is not what was written.
    #[error(
        "what was read back is not what was written ({detail}); the partition is taken over again, which compares \
         everything since its last snapshot"
    )]
    Contradicted {
        /// What is wrong.
        detail: String,
    },
    /// The partition is being given up.
    #[error("the partition is being given up")]
    GivenUp,
}

impl Trouble {
    /// Its name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Unready { .. } => "unready",
            Self::TopicMissing { .. } => "topic_missing",
            Self::Partitions { .. } => "partitions",
            Self::Uneven { .. } => "uneven",
            Self::Authentication { .. } => "authentication",
            Self::Tls { .. } => "tls",
            Self::BrokerTooOld { .. } => "broker_too_old",
            Self::Authorization { .. } => "authorization",
            Self::Fenced { .. } => "fenced",
            Self::Transaction { .. } => "transaction",
            Self::Damaged { .. } => "damaged",
            Self::Poisoned { .. } => "poisoned",
            Self::Settings { .. } => "settings",
            Self::Contradicted { .. } => "contradicted",
            Self::GivenUp => "given_up",
        }
    }

    /// What an error of the client means. `remembered` is what the client last said about its connections: a call that
    /// times out does not know why.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "librdkafka has hundreds of codes; what is not told apart is a broker in trouble"
    )]
    pub(super) fn of(
        error: &KafkaError,
        topic: &str,
        brokers: &str,
        remembered: Option<(RDKafkaErrorCode, String)>,
    ) -> Self {
        let mut detail = match error {
            KafkaError::Transaction(error) => error.string(),
            other => other.to_string(),
        };
        let mut code = match error {
            KafkaError::ClientConfig(_, what, key, value) => {
                let detail = format!("{key}: {}", without_secret(what, key, value));
                return Self::Settings { detail };
            }
            KafkaError::ClientCreation(_) => return Self::Settings { detail },
            KafkaError::Transaction(error) => error.code(),
            other => other
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown),
        };
        let vague = [
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::Resolve,
            RDKafkaErrorCode::WaitingForCoordinator,
        ];
        if vague.contains(&code)
            && let Some((known, said)) = remembered
        {
            code = known;
            detail = said;
        }
        if let Some(right) = missing_right(code) {
            return Self::Authorization { right, detail };
        }
        match code {
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism => Self::Authentication { detail },
            RDKafkaErrorCode::SSL => Self::Tls { detail },
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => Self::TopicMissing {
                topic: topic.to_owned(),
            },
            RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId => Self::Fenced { detail },
            _ if matches!(
                error,
                KafkaError::Transaction(_) | KafkaError::MessageProduction(_)
            ) =>
            {
                Self::Transaction { detail }
            }
            _ if vague.contains(&code) => Self::Unreachable {
                brokers: brokers.to_owned(),
                detail,
            },
            _ => Self::Unready { detail },
        }
    }
}

/// What is to be granted, if the broker knows us and says no.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "librdkafka has hundreds of codes, and these are about rights"
)]
const fn missing_right(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed => Some("READ and WRITE on the topics"),
        RDKafkaErrorCode::GroupAuthorizationFailed => Some("READ on kafka.group"),
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            Some("WRITE on the transactional ids, which begin with kafka.app")
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => Some("IDEMPOTENT_WRITE on the cluster"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn a_time_out_is_explained_by_what_the_client_said_before() {
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let refused = Some((
            RDKafkaErrorCode::Authentication,
            "SASL authentication error".to_owned(),
        ));
        let trouble = Trouble::of(&timed_out, "events", "a:1", refused);
        assert_eq!(trouble.name(), "authentication");
        let trouble = Trouble::of(&timed_out, "events", "a:1", None);
        assert_eq!(trouble.name(), "unreachable");
        assert!(trouble.to_string().contains("a:1"), "{trouble}");
        let moved = KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition);
        assert_eq!(Trouble::of(&moved, "events", "a:1", None).name(), "unready");
    }

    #[test]
    fn a_missing_topic_names_the_next_command() {
        let missing = KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownTopicOrPartition);
        let trouble = Trouble::of(&missing, "impulse.events.v1", "a:1", None);
        assert!(trouble.to_string().contains("impulse topology apply"));
    }

    #[test]
    fn a_missing_right_is_named() {
        let refused = KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed);
        let trouble = Trouble::of(&refused, "events", "a:1", None);
        assert_eq!(trouble.name(), "authorization");
        assert!(
            trouble.to_string().contains("grant READ on kafka.group"),
            "{trouble}"
        );
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_no_matter_of_credentials() {
        let timed_out = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let refused = Some((
            RDKafkaErrorCode::SSL,
            "certificate verify failed".to_owned(),
        ));
        let trouble = Trouble::of(&timed_out, "events", "a:1", refused);
        assert_eq!(trouble.name(), "tls");
        assert!(trouble.to_string().contains("ssl.*"), "{trouble}");
    }

    #[test]
    fn a_secret_that_librdkafka_does_not_take_is_not_shown() {
        let error = KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value hunter2 for sasl.password".to_owned(),
            "sasl.password".to_owned(),
            "hunter2".to_owned(),
        );
        let trouble = Trouble::of(&error, "", "a:1", None);
        assert!(!trouble.to_string().contains("hunter2"), "{trouble}");
        assert!(trouble.to_string().contains("sasl.password"), "{trouble}");
    }
}
