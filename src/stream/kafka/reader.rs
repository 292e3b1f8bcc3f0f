//! Reads one partition of any of the topics: what is committed, and nothing of what was aborted.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Connections};
use super::producer::signed;
use super::{Config, Trouble};
use crate::clock::{Deadline, Stopwatch};

/// How long one look for the next record of a range takes.
const LOOK: Duration = Duration::from_millis(100);

/// How long is listened for the reason of an error.
const HEARING: Duration = Duration::from_millis(100);

/// A consumer that is told what to read, and belongs to no group.
pub struct Reader {
    consumer: BaseConsumer<Connections>,
    connections: Connections,
    config: Arc<Config>,
    partition: u32,
    topic: String,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its first offset.
    pub begin: i64,
    /// The offset behind what is committed.
    pub end: i64,
}

/// What a look at the partition gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// A record.
    Record,
    /// The end was reached.
    End,
    /// Nothing in time.
    Nothing,
}

impl Reader {
    /// A reader for one partition of any topic.
    ///
    /// # Errors
    ///
    /// If the client refuses the settings.
    pub fn open(config: &Arc<Config>, partition: u32) -> Result<Self, Trouble> {
        let connections = Connections::default();
        let settings = client::reader(config);
        let consumer = BaseConsumer::from_config_and_context(&settings, connections.clone())
            .map_err(|error| connections.trouble(&error, "", config))?;
        Ok(Self {
            consumer,
            connections,
            config: Arc::clone(config),
            partition,
            topic: String::new(),
        })
    }

    /// What a topic's partition holds now.
    ///
    /// # Errors
    ///
    /// If the broker does not say.
    pub fn extent(&self, topic: &str) -> Result<Extent, Trouble> {
        let timeout = client::request_timeout(&self.config);
        self.watermarks(topic, timeout)
            .map_err(|error| self.trouble(&error, topic))
    }

    /// As [`Reader::extent`], for who has less time and goes on reading, whatever the answer is.
    ///
    /// # Errors
    ///
    /// If the broker does not say in time.
    pub fn extent_within(&self, topic: &str, timeout: Duration) -> Result<Extent, Trouble> {
        // To look for the reason in the queue would take a record from it.
        self.watermarks(topic, timeout)
            .map_err(|error| self.connections.trouble(&error, topic, &self.config))
    }

    fn watermarks(&self, topic: &str, timeout: Duration) -> Result<Extent, KafkaError> {
        let (begin, end) =
            self.consumer
                .fetch_watermarks(topic, signed(self.partition), timeout)?;
        Ok(Extent { begin, end })
    }

    /// The position that the group has committed in the events topic; waits for transactions under way.
    ///
    /// # Errors
    ///
    /// If the broker does not say.
    pub fn committed(&self) -> Result<Option<i64>, Trouble> {
        self.committed_within(client::request_timeout(&self.config))
    }

    /// As [`Reader::committed`], for who has less time.
    ///
    /// # Errors
    ///
    /// If the broker does not say in time.
    pub fn committed_within(&self, timeout: Duration) -> Result<Option<i64>, Trouble> {
        let events = &self.config.topics.events;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(events, signed(self.partition));
        let answer = self
            .consumer
            .committed_offsets(asked, timeout)
            .map_err(|error| self.trouble(&error, events))?;
        Ok(answer
            .elements()
            .first()
            .and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::Invalid
                | Offset::OffsetTail(_) => None,
            }))
    }

    /// Reads from `offset` on; what was read before is forgotten.
    ///
    /// # Errors
    ///
    /// If the client refuses.
    pub fn start(&mut self, topic: &str, offset: i64) -> Result<(), Trouble> {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, signed(self.partition), Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&assignment))
            .map_err(|error| self.trouble(&error, topic))?;
        topic.clone_into(&mut self.topic);
        Ok(())
    }

    /// The next record, if there is one in time.
    ///
    /// # Errors
    ///
    /// If it cannot be read, now or ever. A broker that is away is no error: there is nothing, for now.
    pub fn poll(
        &mut self,
        wait: Duration,
        take: impl FnOnce(&BorrowedMessage<'_>),
    ) -> Result<Polled, Trouble> {
        match self.consumer.poll(wait) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                take(&message);
                Ok(Polled::Record)
            }
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::End),
            Some(Err(error)) => self.judge(&error),
        }
    }

    /// Reads everything from `from` up to, and without, `end`.
    ///
    /// # Errors
    ///
    /// If it cannot be read, nothing comes for longer than a question may take, or `take` has one.
    pub fn range(
        &mut self,
        topic: &str,
        from: i64,
        end: i64,
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if from >= end {
            return Ok(());
        }
        self.start(topic, from)?;
        let mut silence = Stopwatch::start();
        let mut is_confirmed = false;
        loop {
            let mut reached = from;
            let mut taken = Ok(());
            let polled = self.poll(LOOK, |message| {
                reached = message.offset() + 1;
                if message.offset() < end {
                    taken = take(message);
                }
            })?;
            taken?;
            match polled {
                Polled::Record if reached >= end => return Ok(()),
                Polled::Record => silence = Stopwatch::start(),
                // A new leader may not know yet how much of its log the others have, and shows less than the old one did.
                Polled::End if self.position().is_some_and(|position| position >= end) => {
                    return Ok(());
                }
                Polled::End | Polled::Nothing
                    if silence.elapsed() <= client::request_timeout(&self.config) => {}
                Polled::End | Polled::Nothing if is_confirmed => return Ok(()),
                Polled::End | Polled::Nothing => {
                    // What is left may have been compacted away: then the leader knows the end, and has nothing before it.
                    is_confirmed = self.extent(topic)?.end >= end;
                    if !is_confirmed {
                        let silent =
                            KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                        return Err(self.trouble(&silent, topic));
                    }
                    silence = Stopwatch::start();
                }
            }
        }
    }

    /// The offset behind what was read, with the marks of transactions; `None` if nothing was.
    fn position(&self) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        let place = positions.find_partition(&self.topic, signed(self.partition))?;
        place.offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// Which errors pass by themselves.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "librdkafka has hundreds of codes; those that need somebody are listed"
    )]
    fn judge(&self, error: &KafkaError) -> Result<Polled, Trouble> {
        let code = error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown);
        match code {
            RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset => {
                Err(Trouble::Damaged {
                    topic: self.topic.clone(),
                    detail: format!(
                        "partition {} no longer holds the records to go on with; its retention is too short, or it was made \
                         anew",
                        self.partition
                    ),
                })
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::Fatal => Err(self.trouble(error, &self.topic)),
            _ => Ok(Polled::Nothing),
        }
    }

    /// What an error means. Errors of the connection wait in the queue until somebody looks, among the records that
    /// were fetched: those are lost here, so whoever asks does not go on reading.
    fn trouble(&self, error: &KafkaError, topic: &str) -> Trouble {
        let end = Deadline::after(HEARING);
        while !end.has_passed() {
            drop(self.consumer.poll(end.left()));
        }
        self.connections.trouble(error, topic, &self.config)
    }
}

/// What the topics look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions of the events topic, and of all others.
    pub partitions: u32,
    /// Copies of a record, in the topic that has the fewest.
    pub replicas: u32,
}

/// What the topics of the settings look like. The events topic has `known` partitions, if that is known, and the others
/// as many.
///
/// # Errors
///
/// If the broker does not say, a topic is missing or has another number of partitions.
pub fn layout(config: &Arc<Config>, known: Option<u32>) -> Result<Layout, Trouble> {
    let reader = Reader::open(config, 0)?;
    let mut expected = known;
    let mut replicas = u32::MAX;
    for (_, topic) in config.topics.all() {
        let timeout = client::request_timeout(config);
        let metadata = reader
            .consumer
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| reader.trouble(&error, topic))?;
        let found = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic)
            .filter(|found| found.error().is_none());
        let partitions = found.map_or(&[][..], |found| found.partitions());
        for partition in partitions {
            let copies = u32::try_from(partition.replicas().len()).unwrap_or(u32::MAX);
            replicas = replicas.min(copies);
        }
        let found = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        if found == 0 {
            return Err(Trouble::TopicMissing {
                topic: topic.to_owned(),
            });
        }
        let expected = *expected.get_or_insert(found);
        if found != expected && topic == config.topics.events {
            return Err(Trouble::Partitions {
                topic: topic.to_owned(),
                found,
                expected,
            });
        }
        if found != expected {
            return Err(Trouble::Uneven {
                topic: topic.to_owned(),
                found,
                expected,
            });
        }
    }
    Ok(Layout {
        partitions: expected.unwrap_or(0),
        replicas,
    })
}
