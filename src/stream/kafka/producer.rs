//! The producer of one partition: outputs, commit record and input position, all or nothing (or, where no transactions
//! are wanted, one after the other).
//!
//! After any error it is of no more use and is dropped: what became of its last transaction is read from the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::clock::Deadline;
use crate::domain::Millis;

use super::client::{self, Connections};
use super::output::{IDENTITY_HEADER, SEQ_HEADER, TRANSACTION_HEADER};
use super::{
    CommitRecord, Config, Guarantee, Member, Output, OutputTopic, SnapshotPart, Transaction,
    Trouble,
};

/// Tries to take over the transactional id before the client is made anew.
const INIT_TRIES: u32 = 4;
/// How long to wait for room in the client's queue.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// How long to wait for the broker's answers before looking whether all have come.
const ANSWER_WAIT: Duration = Duration::from_millis(1);
/// Places that are watched: the outputs, the commit record, the snapshot's chunks.
const PLACES: usize = OutputTopic::ALL.len() + 2;
const COMMIT: usize = OutputTopic::ALL.len();
const CHUNK: usize = COMMIT + 1;

/// A producer that owns the partition's transactional id.
pub struct Producer {
    client: BaseProducer<Context>,
    deliveries: Arc<Deliveries>,
    connections: Connections,
    config: Arc<Config>,
    partition: u32,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("partition", &self.partition)
            .finish_non_exhaustive()
    }
}

/// Where the records of a transaction came to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Offset behind the last record in each output topic, if it has one.
    pub outputs: [Option<i64>; OutputTopic::ALL.len()],
    /// Offset of the commit record.
    pub commit: Option<i64>,
    /// Offset of the first chunk of a snapshot, if it has one.
    pub chunk: Option<i64>,
}

/// What the broker said of the records of the transaction under way.
#[derive(Debug)]
struct Deliveries {
    first: [AtomicI64; PLACES],
    last: [AtomicI64; PLACES],
    failed: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn new() -> Self {
        Self {
            first: std::array::from_fn(|_| AtomicI64::new(i64::MAX)),
            last: std::array::from_fn(|_| AtomicI64::new(-1)),
            failed: Mutex::new(None),
        }
    }

    fn reset(&self) {
        self.first
            .iter()
            .for_each(|place| place.store(i64::MAX, Ordering::Release));
        self.last
            .iter()
            .for_each(|place| place.store(-1, Ordering::Release));
        *self.failed.lock() = None;
    }

    fn last(&self, place: usize) -> Option<i64> {
        let last = self.last.get(place)?.load(Ordering::Acquire);
        (last >= 0).then_some(last)
    }

    fn placed(&self) -> Placed {
        Placed {
            outputs: std::array::from_fn(|place| self.last(place).map(|last| last + 1)),
            commit: self.last(COMMIT),
            chunk: self
                .last(CHUNK)
                .and(self.first.get(CHUNK))
                .map(|first| first.load(Ordering::Acquire)),
        }
    }
}

/// Listens to the client.
struct Context {
    connections: Connections,
    deliveries: Arc<Deliveries>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connections.heard(&error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        match result {
            Ok(message) => {
                if let (Some(first), Some(last)) = (
                    self.deliveries.first.get(place),
                    self.deliveries.last.get(place),
                ) {
                    first.fetch_min(message.offset(), Ordering::AcqRel);
                    last.fetch_max(message.offset(), Ordering::AcqRel);
                }
            }
            Err((error, _)) => {
                self.deliveries
                    .failed
                    .lock()
                    .get_or_insert_with(|| error.clone());
            }
        }
    }
}

impl Producer {
    /// Takes the partition's transactional id: whoever had it is fenced, and its open transaction ended.
    ///
    /// # Errors
    ///
    /// If the broker cannot be reached or refuses.
    pub fn open(config: &Arc<Config>, partition: u32) -> Result<Self, Trouble> {
        let connections = Connections::default();
        let deliveries = Arc::new(Deliveries::new());
        let context = Context {
            connections: connections.clone(),
            deliveries: Arc::clone(&deliveries),
        };
        let settings = client::writer(config, partition);
        let producer = BaseProducer::from_config_and_context(&settings, context)
            .map_err(|error| connections.trouble(&error, &config.topics.commits, config))?;
        let opened = Self {
            client: producer,
            deliveries,
            connections,
            config: Arc::clone(config),
            partition,
        };
        if opened.is_transactional() {
            opened.init()?;
        }
        Ok(opened)
    }

    fn is_transactional(&self) -> bool {
        self.config.guarantee == Guarantee::ExactlyOnce
    }

    fn init(&self) -> Result<(), Trouble> {
        // A client without a connection would look for its coordinator again only after half a second.
        let (commits, timeout) = (
            &self.config.topics.commits,
            client::request_timeout(&self.config),
        );
        let known = self.client.client().fetch_metadata(Some(commits), timeout);
        if let Err(error) = known {
            self.client.poll(Duration::ZERO);
            return Err(self.trouble(&error));
        }
        let mut tries = 0;
        loop {
            // Errors of the connection are told only to who asks.
            self.client.poll(Duration::ZERO);
            tries += 1;
            match self.client.init_transactions(timeout) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && tries < INIT_TRIES =>
                {
                    tracing::debug!(%error, "the transactional id is not free yet");
                }
                Err(error) => {
                    self.client.poll(Duration::ZERO);
                    return Err(self.trouble(&error));
                }
            }
        }
    }

    /// The partition it writes for.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// Writes a transaction: all of it and its position in the events topic, or nothing.
    ///
    /// # Errors
    ///
    /// If it was not committed, or nobody knows, or a connection was lost meanwhile, after which the client may have
    /// asked twice. The producer is of no more use then.
    pub fn write(&mut self, transaction: &Transaction, member: &Member) -> Result<Placed, Trouble> {
        self.deliveries.reset();
        if self.is_transactional() {
            self.client
                .begin_transaction()
                .map_err(|error| self.trouble(&error))?;
        }
        let Transaction {
            record,
            repaired,
            outputs,
            parts,
        } = transaction;
        for output in repaired.iter().chain(outputs) {
            self.output(output, record.txn)?;
        }
        for part in parts {
            self.snapshot(part, record.time)?;
        }
        self.commit_record(record)?;
        self.commit(record.to, member)
    }

    fn output(&self, output: &Output, txn: u64) -> Result<(), Trouble> {
        let number = txn.to_string();
        let seq = output.seq.to_string();
        let mut headers = OwnedHeaders::new();
        for (key, value) in &output.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        headers = headers
            .insert(Header {
                key: IDENTITY_HEADER,
                value: Some(&output.identity),
            })
            .insert(Header {
                key: TRANSACTION_HEADER,
                value: Some(&number),
            });
        if output.seq > 0 {
            headers = headers.insert(Header {
                key: SEQ_HEADER,
                value: Some(&seq),
            });
        }
        self.send(Outgoing {
            topic: output.topic.name(&self.config.topics),
            key: output.key.as_deref(),
            value: output.value.as_deref(),
            headers,
            time: output.time,
            place: output.topic as usize,
        })
    }

    fn commit_record(&self, record: &CommitRecord) -> Result<(), Trouble> {
        self.send(Outgoing {
            topic: &self.config.topics.commits,
            key: None,
            value: Some(&record.encode()),
            headers: OwnedHeaders::new(),
            time: record.time,
            place: COMMIT,
        })
    }

    fn snapshot(&self, part: &SnapshotPart, time: Millis) -> Result<(), Trouble> {
        self.send(Outgoing {
            topic: &self.config.topics.snapshots,
            key: Some(part.key.as_bytes()),
            value: Some(&part.value),
            headers: OwnedHeaders::new(),
            time,
            place: CHUNK,
        })
    }

    fn send(&self, message: Outgoing<'_>) -> Result<(), Trouble> {
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(message.topic, message.place)
                .partition(signed(self.partition))
                .timestamp(message.time.0.max(1))
                .headers(message.headers);
        record.key = message.key;
        record.payload = message.value;
        let patience = self.patience();
        let mut waited = Duration::ZERO;
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back))
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
                        && waited < patience =>
                {
                    self.client.poll(ROOM_WAIT);
                    waited += ROOM_WAIT;
                    record = back;
                }
                Err((error, _)) => {
                    return Err(self
                        .connections
                        .trouble(&error, message.topic, &self.config));
                }
            }
        }
    }

    fn commit(&self, position: i64, member: &Member) -> Result<Placed, Trouble> {
        let lost = self.connections.lost();
        if self.is_transactional() {
            // The position travels beside the records: both take a while.
            self.add_position(position, &member.group_metadata()?)?;
        }
        self.flush()?;
        if let Some(error) = self.deliveries.failed.lock().take() {
            return Err(self.unknown(&error));
        }
        if self.is_transactional() {
            let timeout = self.patience();
            self.retry(|| self.client.commit_transaction(timeout))?;
        } else {
            member.commit(self.partition, position)?;
        }
        self.client.poll(Duration::ZERO);
        if self.connections.lost() != lost {
            return Err(Trouble::Transaction {
                detail: "a connection was lost during the commit".to_owned(),
            });
        }
        Ok(self.deliveries.placed())
    }

    fn add_position(&self, position: i64, group: &ConsumerGroupMetadata) -> Result<(), Trouble> {
        let mut offsets = TopicPartitionList::new();
        let events = &self.config.topics.events;
        offsets
            .add_partition_offset(events, signed(self.partition), Offset::Offset(position))
            .map_err(|error| self.trouble(&error))?;
        let timeout = self.patience();
        self.retry(|| {
            self.client
                .send_offsets_to_transaction(&offsets, group, timeout)
        })
    }

    /// Waits until the broker has answered for every record. The client's own waiting looks again only after a tenth of
    /// a second, which would be most of what a trigger waits.
    fn flush(&self) -> Result<(), Trouble> {
        let end = Deadline::after(self.patience());
        loop {
            match self.client.flush(Duration::ZERO) {
                Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
                    if !end.has_passed() =>
                {
                    self.client.poll(ANSWER_WAIT);
                }
                flushed => return flushed.map_err(|error| self.unknown(&error)),
            }
        }
    }

    /// Calls again what may be called again.
    fn retry(&self, call: impl Fn() -> KafkaResult<()>) -> Result<(), Trouble> {
        let mut tries = 0;
        loop {
            tries += 1;
            match call() {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.is_retriable() && tries < 2 => {}
                Err(error) => return Err(self.trouble(&error)),
            }
        }
    }

    /// Half of what the broker grants a transaction.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.transaction_timeout_ms / 2)
    }

    fn trouble(&self, error: &KafkaError) -> Trouble {
        let topic = &self.config.topics.commits;
        self.connections.trouble(error, topic, &self.config)
    }

    /// An error after which records may or may not be in the log.
    fn unknown(&self, error: &KafkaError) -> Trouble {
        let trouble = self.trouble(error);
        if let Trouble::Unreachable { detail, .. } | Trouble::Unready { detail } = trouble {
            return Trouble::Transaction { detail };
        }
        trouble
    }
}

/// A record on its way into the client.
struct Outgoing<'a> {
    topic: &'a str,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: OwnedHeaders,
    time: Millis,
    place: usize,
}

/// A partition as the client wants it.
pub(super) fn signed(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
