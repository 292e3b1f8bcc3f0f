//! Reads back what is written: several partitions of several topics, as they grow, by one consumer in no hurry.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Connections};
use super::producer::signed;
use super::{Config, Trouble};

/// How long the question for an end may take: everything that is read back waits for it.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// A consumer of several partitions of several topics. It belongs to no group.
pub struct Tail {
    consumer: BaseConsumer<Connections>,
    connections: Connections,
    config: Arc<Config>,
    /// Asks for ends, while somebody wants to know any.
    asking: Option<BaseConsumer<Connections>>,
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

/// What a look at the partitions gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tailed {
    /// A record.
    Record,
    /// Nothing in time.
    Nothing,
    /// One of the partitions no longer holds what was to be read next, and is read no further.
    CutOff,
}

impl Tail {
    /// A consumer that reads nothing yet.
    ///
    /// # Errors
    ///
    /// If the client refuses the settings.
    pub fn open(config: &Arc<Config>) -> Result<Self, Trouble> {
        let connections = Connections::default();
        let consumer =
            BaseConsumer::from_config_and_context(&client::tail(config), connections.clone())
                .map_err(|error| connections.trouble(&error, "", config))?;
        Ok(Self {
            consumer,
            connections,
            config: Arc::clone(config),
            asking: None,
        })
    }

    /// Reads this partition of these topics too, from these offsets on. It must not be read already.
    ///
    /// # Errors
    ///
    /// If the client refuses.
    pub fn follow(&self, partition: u32, places: &[(&str, i64)]) -> Result<(), Trouble> {
        let mut assignment = TopicPartitionList::new();
        for (topic, offset) in places {
            assignment
                .add_partition_offset(topic, signed(partition), Offset::Offset(*offset))
                .map_err(|error| self.trouble(&error, topic))?;
        }
        self.consumer
            .incremental_assign(&assignment)
            .map_err(|error| self.trouble(&error, ""))
    }

    /// Reads this partition of these topics no more.
    ///
    /// # Errors
    ///
    /// If the client refuses.
    pub fn leave(&self, partition: u32, topics: &[&str]) -> Result<(), Trouble> {
        let mut assignment = TopicPartitionList::new();
        for topic in topics {
            assignment.add_partition(topic, signed(partition));
        }
        self.consumer
            .incremental_unassign(&assignment)
            .map_err(|error| self.trouble(&error, ""))
    }

    /// The next record of any of the partitions, if there is one in time. Whatever else goes wrong passes by itself, or
    /// is found by those who write.
    pub fn poll(&mut self, wait: Duration, take: impl FnOnce(&BorrowedMessage<'_>)) -> Tailed {
        match self.consumer.poll(wait) {
            Some(Ok(message)) => {
                take(&message);
                Tailed::Record
            }
            Some(Err(error)) if is_cut_off(&error) => Tailed::CutOff,
            None | Some(Err(_)) => Tailed::Nothing,
        }
    }

    /// The offset behind everything that a partition of a topic holds, be it committed, aborted or undecided; `None` if
    /// the broker does not say.
    pub fn end(&mut self, topic: &str, partition: u32) -> Option<i64> {
        if self.asking.is_none() {
            let settings = client::asking(&self.config);
            let asking = BaseConsumer::from_config_and_context(&settings, self.connections.clone());
            self.asking = asking.ok();
        }
        let asking = self.asking.as_ref()?;
        // Errors wait in the queue until somebody looks.
        drop(asking.poll(Duration::ZERO));
        let watermarks = asking.fetch_watermarks(topic, signed(partition), END_TIMEOUT);
        watermarks.ok().map(|(_, end)| end)
    }

    /// Nobody wants to know an end for now.
    pub fn hang_up(&mut self) {
        self.asking = None;
    }

    /// The offset behind what was read of a topic's partition, with the marks of transactions and what was aborted;
    /// `None` if nothing was read yet.
    pub fn position(&self, topic: &str, partition: u32) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        let place = positions.find_partition(topic, signed(partition))?;
        place.offset().to_raw().filter(|offset| *offset >= 0)
    }

    fn trouble(&self, error: &KafkaError, topic: &str) -> Trouble {
        self.connections.trouble(error, topic, &self.config)
    }
}

fn is_cut_off(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
