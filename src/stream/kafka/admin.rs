//! Asks a cluster which topics it has, and changes them to what is declared.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use super::properties::{Properties, without_secret};
use crate::stream::topology::{Cluster, Difference, Found, Step, Topic, Topology, compare};

/// How long is listened for the reason of a failure.
const HEARING: Duration = Duration::from_millis(100);
/// Time between two looks at what is being made.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Someone who may ask and change a cluster. Its calls block a thread for as long as a broker takes, up to the timeout.
pub struct Admin {
    client: AdminClient<Heard>,
    /// Asks for what is there. It is a producer because a client for administration hears nothing of its connections.
    asker: BaseProducer<Heard>,
    brokers: String,
    timeout: Duration,
}

/// Why a cluster could not be asked or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// A property of librdkafka that it does not take. A value that may be a secret is not shown.
    #[error("property {key}: {reason}")]
    Property {
        /// The property.
        key: String,
        /// Why.
        reason: String,
    },
    /// No broker answers.
    #[error("{brokers} does not answer: {reason}")]
    Unreachable {
        /// Where they should be.
        brokers: String,
        /// What was last heard.
        reason: String,
    },
    /// A broker is there, and there is no connection that both sides trust.
    #[error("{brokers}: {reason}; check security.protocol, sasl.* and ssl.* of the properties")]
    Distrusted {
        /// Where they are.
        brokers: String,
        /// What was last heard.
        reason: String,
    },
    /// A broker answers, and will not do it.
    #[error("{subject}: {reason}")]
    Refused {
        /// The topic.
        subject: String,
        /// Why.
        reason: String,
    },
}

/// What a client last heard of its connections, which its calls do not say.
#[derive(Debug, Default)]
struct Heard(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        // That all are down follows from what was said of each.
        if let Some(code) = error.rdkafka_error_code()
            && code != RDKafkaErrorCode::AllBrokersDown
        {
            *self.0.lock() = Some((code, reason.to_owned()));
        }
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl Admin {
    /// A client of these brokers (`host:port`, several separated by commas) with these further properties of
    /// librdkafka. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// If librdkafka does not take a property.
    pub fn new(
        brokers: &str,
        properties: &Properties,
        timeout: Duration,
    ) -> Result<Self, AdminError> {
        let mut config = ClientConfig::new();
        for (key, value) in properties.iter() {
            config.set(key, value);
        }
        config.set("bootstrap.servers", brokers);
        let client = config.create_with_context(Heard::default());
        let asker = config.create_with_context(Heard::default());
        Ok(Self {
            client: client.map_err(|error| property(&error))?,
            asker: asker.map_err(|error| property(&error))?,
            brokers: brokers.to_owned(),
            timeout,
        })
    }

    /// What the cluster has of the declared topics.
    ///
    /// # Errors
    ///
    /// If no broker answers, or if we may not ask.
    pub async fn observe(&self, topology: &Topology) -> Result<Cluster, AdminError> {
        let metadata = self.metadata()?;
        let mut cluster = Cluster {
            brokers: metadata.brokers().len(),
            topics: present(topology, &metadata)
                .map(|(topic, found)| (topic.name.clone(), layout(found)))
                .collect(),
        };
        self.read_settings(&mut cluster).await?;
        // Whether a topic was ever written to takes a question for each partition, so it is asked only where it matters.
        let differing: Vec<String> = compare(topology, &cluster, false)
            .into_iter()
            .filter(|difference| difference.step != Step::Create)
            .map(|difference| difference.topic)
            .collect();
        for name in differing {
            if let Some(found) = cluster.topics.get_mut(&name) {
                found.written = found.written || self.was_written(&name, found.partitions)?;
            }
        }
        Ok(cluster)
    }

    /// Does what the differences say, and comes back when the cluster answers with it. Refused ones are left alone. Two
    /// who do this at once may undo each other's settings.
    ///
    /// # Errors
    ///
    /// If a broker will not do it, or does not answer; what came before it is done.
    pub async fn apply(
        &self,
        topology: &Topology,
        cluster: &Cluster,
        differences: &[Difference],
    ) -> Result<(), AdminError> {
        let topics = topology.topics().iter();
        let concerned = |topic: &Topic, step: &Step| {
            let mut those = differences.iter().filter(|those| those.topic == topic.name);
            those.any(|difference| difference.step == *step)
        };
        for topic in topics
            .clone()
            .filter(|topic| concerned(topic, &Step::Create))
        {
            self.create(topic).await?;
        }
        for topic in topics.clone().filter(|topic| concerned(topic, &Step::Grow)) {
            self.grow(topic).await?;
        }
        for topic in topics.filter(|topic| concerned(topic, &Step::Set)) {
            let own = cluster.topics.get(&topic.name).map(|found| &found.own);
            self.set(topic, own.cloned().unwrap_or_default(), differences)
                .await?;
        }
        self.settled(topology, differences).await
    }

    async fn create(&self, topic: &Topic) -> Result<(), AdminError> {
        let settings = topic.settings();
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let mut new = NewTopic::new(
            &topic.name,
            count(topic.partitions),
            TopicReplication::Fixed(count(topic.replication)),
        );
        for (key, value) in &settings {
            new = new.set(key, value);
        }
        let answer = self.client.create_topics([&new], &self.options()).await;
        let answer = answer.map_err(|error| self.trouble(&topic.name, &error))?;
        done(&topic.name, answer)
    }

    async fn grow(&self, topic: &Topic) -> Result<(), AdminError> {
        let new = NewPartitions::new(&topic.name, topic.partitions as usize);
        let answer = self.client.create_partitions([&new], &self.options()).await;
        let answer = answer.map_err(|error| self.trouble(&topic.name, &error))?;
        done(&topic.name, answer)
    }

    /// Kafka's call replaces all settings that were made for a topic, so those are given again.
    async fn set(
        &self,
        topic: &Topic,
        mut settings: BTreeMap<String, String>,
        differences: &[Difference],
    ) -> Result<(), AdminError> {
        for difference in differences {
            if difference.topic == topic.name && difference.step == Step::Set {
                settings.insert(difference.setting.clone(), difference.wanted.clone());
            }
        }
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(&topic.name));
        for (key, value) in &settings {
            alter = alter.set(key, value);
        }
        let answer = self.client.alter_configs([&alter], &self.options()).await;
        let answer = answer.map_err(|error| self.trouble(&topic.name, &error))?;
        done(&topic.name, answer)
    }

    /// Waits until what was done is what brokers answer, with a leader for each partition.
    async fn settled(
        &self,
        topology: &Topology,
        differences: &[Difference],
    ) -> Result<(), AdminError> {
        let look = async {
            loop {
                let metadata = self.metadata()?;
                let led = present(topology, &metadata).all(|(_, found)| is_led(found));
                let left = compare(topology, &self.observe(topology).await?, true);
                let is_left = |done: &Difference| {
                    let mut left = left.iter();
                    left.any(|left| left.topic == done.topic && left.setting == done.setting)
                };
                let mut done = differences
                    .iter()
                    .filter(|done| !matches!(done.step, Step::Refuse { .. }));
                if led && !done.any(is_left) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::time::timeout(self.timeout, look)
            .await
            .unwrap_or_else(|_| {
                Err(AdminError::Refused {
                    subject: self.brokers.clone(),
                    reason: format!(
                        "all was asked for, but not all is there after {}",
                        humantime::format_duration(self.timeout)
                    ),
                })
            })
    }

    fn metadata(&self) -> Result<Metadata, AdminError> {
        let client = self.asker.client();
        client
            .fetch_metadata(None, self.timeout)
            .map_err(|error| self.trouble("topics", &error))
    }

    async fn read_settings(&self, cluster: &mut Cluster) -> Result<(), AdminError> {
        let names: Vec<String> = cluster.topics.keys().cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        let asked: Vec<ResourceSpecifier<'_>> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let answer = self.client.describe_configs(&asked, &self.options()).await;
        let answer = answer.map_err(|error| self.trouble("settings of topics", &error))?;
        // Answers come in the order of the questions.
        for (name, resource) in names.iter().zip(answer) {
            let resource = resource.map_err(|code| refusal(name, code))?;
            if let Some(found) = cluster.topics.get_mut(name) {
                (found.settings, found.own) = values(resource);
            }
        }
        Ok(())
    }

    fn was_written(&self, topic: &str, partitions: u32) -> Result<bool, AdminError> {
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let client = self.asker.client();
            let (_, end) = client
                .fetch_watermarks(topic, partition, self.timeout)
                .map_err(|error| self.trouble(topic, &error))?;
            if end > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }

    fn trouble(&self, subject: &str, error: &KafkaError) -> AdminError {
        let unreachable = |code, reason: String| {
            self.asker.poll(HEARING);
            let brokers = self.brokers.clone();
            let heard = self.asker.context().0.lock().clone();
            let (code, reason) = heard.unwrap_or((code, reason));
            let is_distrust = [
                RDKafkaErrorCode::Authentication,
                RDKafkaErrorCode::UnsupportedSASLMechanism,
                RDKafkaErrorCode::SSL,
            ]
            .contains(&code);
            if is_distrust {
                AdminError::Distrusted { brokers, reason }
            } else {
                AdminError::Unreachable { brokers, reason }
            }
        };
        match error.rdkafka_error_code() {
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::UnsupportedSASLMechanism
                | RDKafkaErrorCode::Resolve),
            ) => unreachable(code, error.to_string()),
            Some(code) => refusal(subject, code),
            None => AdminError::Refused {
                subject: subject.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

fn refusal(subject: &str, code: RDKafkaErrorCode) -> AdminError {
    AdminError::Refused {
        subject: subject.to_owned(),
        reason: code.to_string(),
    }
}

/// Every answer of a call, of which none may be a refusal.
fn done<T>(
    subject: &str,
    answers: Vec<Result<T, (T, RDKafkaErrorCode)>>,
) -> Result<(), AdminError> {
    for answer in answers {
        answer.map_err(|(_, code)| refusal(subject, code))?;
    }
    Ok(())
}

/// The declared topics that there are.
fn present<'a>(
    topology: &'a Topology,
    metadata: &'a Metadata,
) -> impl Iterator<Item = (&'a Topic, &'a MetadataTopic)> {
    topology.topics().iter().filter_map(|topic| {
        let mut all = metadata.topics().iter();
        all.find(|found| found.name() == topic.name)
            .map(|found| (topic, found))
    })
}

fn layout(topic: &MetadataTopic) -> Found {
    let partitions = topic.partitions();
    let copies = partitions
        .iter()
        .map(|partition| partition.replicas().len());
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Found {
        partitions: count(partitions.len()),
        replication: count(copies.min().unwrap_or(0)),
        ..Found::default()
    }
}

/// Whether each partition has a leader, so that records can be written.
fn is_led(topic: &MetadataTopic) -> bool {
    let mut partitions = topic.partitions().iter();
    partitions.all(|partition| partition.leader() >= 0)
}

/// The settings in force, and those of them that were made for the topic itself.
fn values(resource: ConfigResource) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut own = BTreeMap::new();
    let mut all = BTreeMap::new();
    for entry in resource.entries {
        let Some(value) = entry.value else { continue };
        if entry.source == ConfigSource::DynamicTopic {
            own.insert(entry.name.clone(), value.clone());
        }
        all.insert(entry.name, value);
    }
    (all, own)
}

/// What librdkafka says of a property, without its value if that may be a secret.
fn property(error: &KafkaError) -> AdminError {
    let (key, reason) = if let KafkaError::ClientConfig(_, reason, key, value) = error {
        (key.clone(), without_secret(reason, key, value))
    } else {
        ("of librdkafka".to_owned(), error.to_string())
    };
    AdminError::Property { key, reason }
}
