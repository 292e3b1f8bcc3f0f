//! The dead letters of a cluster: read in order, and put back where they came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{
    BorrowedMessage, DeliveryResult, Header, Headers as _, Message as _, OwnedHeaders,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::domain::Millis;
use crate::wire::connect::{self, Failed};

use super::client::{self, Connections};
use super::producer::signed;
use super::{Config, IDENTITY_HEADER, Reader, SEQ_HEADER, TRANSACTION_HEADER, Trouble, layout};

/// How long the client is given to make room.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// A dead letter as it stands in the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Partition of the topic.
    pub partition: u32,
    /// Offset in it.
    pub offset: i64,
    /// When the record arrived that became it.
    pub time: Millis,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value, or the beginning of it.
    pub value: Option<Vec<u8>>,
    /// Its headers, without those that say why it is here.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Why it is here; `None` if somebody else put it here.
    pub failed: Option<Failed>,
}

/// Hands on the dead letters of all partitions, or of one, from the offset `from` on, until `take` says that it is
/// enough.
///
/// # Errors
///
/// If the cluster cannot be read.
pub fn letters(
    config: &Arc<Config>,
    partition: Option<u32>,
    from: i64,
    mut take: impl FnMut(Letter) -> bool,
) -> Result<(), Trouble> {
    let topic = &config.topics.dead_letters;
    let all = layout(config, None)?.partitions;
    let wanted = (0..all).filter(|number| partition.is_none_or(|only| only == *number));
    for partition in wanted {
        let mut reader = Reader::open(config, partition)?;
        let extent = reader.extent(topic)?;
        let read = reader.range(topic, from.max(extent.begin), extent.end, |message| {
            if take(letter(partition, message)) {
                Ok(())
            } else {
                Err(Trouble::GivenUp)
            }
        });
        match read {
            Ok(()) => {}
            Err(Trouble::GivenUp) => return Ok(()),
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(())
}

fn letter(partition: u32, message: &BorrowedMessage<'_>) -> Letter {
    let all: Vec<(&str, Option<&[u8]>)> = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key, header.value))
            .collect()
    });
    let told: Vec<(&str, &[u8])> = all
        .iter()
        .map(|(name, value)| (*name, value.unwrap_or_default()))
        .collect();
    let ours = |name: &str| {
        connect::NAMES.contains(&name)
            || [IDENTITY_HEADER, TRANSACTION_HEADER, SEQ_HEADER].contains(&name)
    };
    let own = all.iter().filter(|(name, _)| !ours(name));
    Letter {
        partition,
        offset: message.offset(),
        time: Millis(message.timestamp().to_millis().unwrap_or_default()),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: own
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
        failed: connect::decode(&told),
    }
}

/// Puts dead letters back into the events topic, each into the partition of its own number, and waits until all
/// replicas in sync have them. They keep their event ids, so what was put back before is dropped as a duplicate.
///
/// # Errors
///
/// If not every one arrived; those that did are dropped as duplicates when it is tried again.
pub fn put_back(config: &Arc<Config>, letters: &[Letter]) -> Result<(), Trouble> {
    let topic = &config.topics.events;
    let counted = Counted::default();
    let connections = counted.connections.clone();
    let trouble = |error: &KafkaError| connections.trouble(error, topic, config);
    let producer: BaseProducer<Counted> =
        BaseProducer::from_config_and_context(&client::feeding(config), counted)
            .map_err(|error| trouble(&error))?;
    for letter in letters {
        send(&producer, topic, letter).map_err(|error| trouble(&error))?;
    }
    producer
        .flush(Duration::from_millis(config.message_timeout_ms))
        .map_err(|error| trouble(&error))?;
    let failed = producer.context().failed.load(Ordering::Acquire);
    if failed == 0 {
        return Ok(());
    }
    Err(Trouble::Transaction {
        detail: format!("{failed} records did not reach {topic}"),
    })
}

fn send(producer: &BaseProducer<Counted>, topic: &str, letter: &Letter) -> Result<(), KafkaError> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &letter.headers {
        let value = value.as_deref();
        headers = headers.insert(Header { key, value });
    }
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic)
        .partition(signed(letter.partition))
        .timestamp(letter.time.0.max(1))
        .headers(headers);
    record.key = letter.key.as_deref();
    record.payload = letter.value.as_deref();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) =>
            {
                producer.poll(ROOM_WAIT);
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Counts what did not arrive.
#[derive(Debug, Default)]
struct Counted {
    connections: Connections,
    failed: AtomicU64,
}

impl ClientContext for Counted {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connections.heard(&error, reason);
    }
}

impl ProducerContext for Counted {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::AcqRel);
        }
    }
}
