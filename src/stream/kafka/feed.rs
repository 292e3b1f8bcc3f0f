//! Produces what callers hand us to the events topic, or to that of dead letters, and says when all replicas that must
//! have it do.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::domain::Millis;

use super::client::{self, Connections};
use super::producer::signed;
use super::{Config, Topics, Trouble};

/// Records that may wait for the client.
const QUEUE_RECORDS: usize = 4_096;
/// How often deliveries are asked for while nothing new comes.
const POLL: Duration = Duration::from_millis(2);

/// Told once, when a record is safe or was not taken.
pub(super) type Delivered = Box<dyn FnOnce(bool) + Send + Sync>;

/// Where callers' records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedTopic {
    /// What they say.
    Events,
    /// What of it cannot be used.
    DeadLetters,
}

/// A record on its way.
pub struct FeedRecord {
    /// Its topic.
    pub topic: FeedTopic,
    /// Its partition.
    pub partition: u32,
    /// The shopper, if known.
    pub key: Option<Vec<u8>>,
    /// What the caller said.
    pub value: Vec<u8>,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// When it counts as received.
    pub time: Millis,
    /// Told when it is safe.
    pub delivered: Delivered,
}

impl std::fmt::Debug for FeedRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeedRecord")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// The way into these topics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed(SyncSender<FeedRecord>);

struct Context(Connections);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.heard(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Delivered>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivered: Box<Delivered>) {
        if let Err((error, _)) = result {
            tracing::debug!(%error, "a record was not delivered");
        }
        (*delivered)(result.is_ok());
    }
}

impl Feed {
    /// A feed and what its thread is to run; it ends when the last clone of the feed is gone.
    ///
    /// # Errors
    ///
    /// If the client refuses the settings.
    pub fn open(config: &Arc<Config>) -> Result<(Self, impl FnOnce() + Send + use<>), Trouble> {
        let connections = Connections::default();
        let context = Context(connections.clone());
        let producer = BaseProducer::from_config_and_context(&client::feeding(config), context)
            .map_err(|error| connections.trouble(&error, &config.topics.events, config))?;
        let (queue, records) = mpsc::sync_channel(QUEUE_RECORDS);
        let topics = config.topics.clone();
        let patience = Duration::from_millis(config.message_timeout_ms);
        let run = move || {
            run(&producer, &records, &topics);
            if producer.flush(patience).is_err() {
                tracing::warn!("some records were not delivered before the end");
            }
        };
        Ok((Self(queue), run))
    }

    /// Hands a record over; gives it back if the queue is full.
    ///
    /// # Errors
    ///
    /// The record, if it was not taken.
    pub fn send(&self, record: FeedRecord) -> Result<(), FeedRecord> {
        self.0.try_send(record).map_err(|error| match error {
            TrySendError::Full(record) | TrySendError::Disconnected(record) => record,
        })
    }
}

fn run(producer: &BaseProducer<Context>, records: &Receiver<FeedRecord>, topics: &Topics) {
    loop {
        match records.recv_timeout(POLL) {
            Ok(record) => produce(producer, record, topics),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        producer.poll(Duration::ZERO);
    }
}

fn produce(producer: &BaseProducer<Context>, record: FeedRecord, topics: &Topics) {
    let topic = match record.topic {
        FeedTopic::Events => &topics.events,
        FeedTopic::DeadLetters => &topics.dead_letters,
    };
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    let mut message =
        BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(record.delivered))
            .partition(signed(record.partition))
            .payload(&record.value)
            .timestamp(record.time.0.max(1))
            .headers(headers);
    message.key = record.key.as_deref();
    if let Err((error, refused)) = producer.send(message) {
        tracing::debug!(%error, "a record was not taken by the client");
        (*refused.delivery_opaque)(false);
    }
}
