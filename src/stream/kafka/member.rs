//! The member of the consumer group: it learns which partitions are ours, and reads none of them.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Connections};
use super::producer::signed;
use super::{Config, Trouble};

/// A change of what is ours.
#[derive(Debug)]
pub enum Change {
    /// These partitions are ours from now on.
    Assigned(Vec<u32>),
    /// These are to be given up; others wait until `done` is told.
    Revoked {
        /// The partitions.
        partitions: Vec<u32>,
        /// Others may own them already: nothing more may be committed.
        lost: bool,
        /// To be told, or dropped, when they are given up.
        done: SyncSender<()>,
    },
}

/// A member of the consumer group.
pub struct Member {
    consumer: BaseConsumer<Context>,
    config: Arc<Config>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("group", &self.config.group)
            .finish_non_exhaustive()
    }
}

struct Context {
    connections: Connections,
    changes: Sender<Change>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connections.heard(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let (done, given_up) = mpsc::sync_channel(1);
            let change = Change::Revoked {
                partitions: numbers(revoked),
                lost: consumer.assignment_lost(),
                done,
            };
            // Whoever owned them may have ended; then nothing is left to give up.
            if self.changes.send(change).is_ok() {
                given_up.recv().unwrap_or_default();
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance {
            if let Err(error) = consumer.pause(assigned) {
                tracing::warn!(%error, "the member reads along with the readers");
            }
            let change = Change::Assigned(numbers(assigned));
            if self.changes.send(change).is_err() {
                tracing::warn!("partitions were assigned to a process that is ending");
            }
        }
    }
}

impl Member {
    /// Joins the group. What becomes ours is told to `changes` from within [`Member::poll`].
    ///
    /// # Errors
    ///
    /// If the client refuses the settings.
    pub fn join(config: &Arc<Config>, changes: Sender<Change>) -> Result<Self, Trouble> {
        let connections = Connections::default();
        let context = Context {
            connections: connections.clone(),
            changes,
        };
        let events = &config.topics.events;
        let settings = client::member(config);
        let consumer = BaseConsumer::from_config_and_context(&settings, context)
            .map_err(|error| connections.trouble(&error, events, config))?;
        consumer
            .subscribe(&[events])
            .map_err(|error| connections.trouble(&error, events, config))?;
        Ok(Self {
            consumer,
            config: Arc::clone(config),
        })
    }

    /// Follows the group for up to `wait`.
    ///
    /// # Errors
    ///
    /// If the member is out for good, or the broker refuses it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "librdkafka has hundreds of codes; those that need somebody are listed"
    )]
    pub fn poll(&self, wait: Duration) -> Result<(), Trouble> {
        // What it reads before its partitions are paused is read by the readers too.
        let Some(Err(error)) = self.consumer.poll(wait) else {
            return Ok(());
        };
        let context = self.consumer.context();
        let code = error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown);
        match code {
            RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::UnknownTopicOrPartition => {
                let events = &self.config.topics.events;
                Err(context.connections.trouble(&error, events, &self.config))
            }
            _ => Ok(()),
        }
    }

    /// What ties a transaction to this member: the broker refuses it once others own the partition.
    pub(super) fn group_metadata(&self) -> Result<ConsumerGroupMetadata, Trouble> {
        self.consumer
            .group_metadata()
            .ok_or_else(|| Trouble::Fenced {
                detail: "this process is no member of the group".to_owned(),
            })
    }

    /// Commits a position by itself, with no transaction around it. The broker refuses it once others own the partition.
    ///
    /// # Errors
    ///
    /// If it refuses, or does not answer.
    pub fn commit(&self, partition: u32, position: i64) -> Result<(), Trouble> {
        let events = &self.config.topics.events;
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(events, signed(partition), Offset::Offset(position))
            .and_then(|()| self.consumer.commit(&offsets, CommitMode::Sync))
            .map_err(|error| {
                let connections = &self.consumer.context().connections;
                connections.trouble(&error, events, &self.config)
            })
    }

    /// Leaves the group; [`Member::poll`] then tells what is to be given up.
    pub fn leave(&self) {
        self.consumer.unsubscribe();
    }

    /// Whether nothing is assigned any more.
    pub fn is_out(&self) -> bool {
        self.consumer
            .assignment()
            .is_ok_and(|assignment| assignment.count() == 0)
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<u32> {
    partitions
        .elements()
        .iter()
        .filter_map(|element| u32::try_from(element.partition()).ok())
        .collect()
}
