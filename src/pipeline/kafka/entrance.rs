//! The door for callers when events come from Kafka: what they hand us is produced to the events topic, and what cannot
//! be used to that of dead letters. They hear of it when it is safe there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::{ID_BYTES_MAX, Input, Millis, Rejection};
use crate::metrics::{IntakeKind, IntakeResult, Metrics};
use crate::pipeline::{Batch, Entry, Origin, Receipt, Refused, Status, received};
use crate::stream::kafka::{Feed, FeedRecord, FeedTopic};
use crate::stream::partitioner::partition_of;
use crate::wire;
use crate::wire::cloudevents::{EVENT, ITEM_DELETE, ITEM_UPSERT};
use crate::wire::connect::{self, Failed, Source};
use crate::wire::traceparent;

/// Media type of what is produced.
const PROTOBUF: &str = "application/protobuf";

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Entrance {
    pub(super) feed: Feed,
    pub(super) partitions: Arc<AtomicU32>,
    pub(super) dead_letter_bytes_max: usize,
    pub(super) metrics: Arc<Metrics>,
}

/// Records under way.
#[derive(Debug)]
struct UnderWay {
    left: AtomicUsize,
    failed: AtomicBool,
    reply: Mutex<Option<oneshot::Sender<bool>>>,
}

impl UnderWay {
    fn arrived(&self, delivered: bool) {
        if !delivered {
            self.failed.store(true, Ordering::Release);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(reply) = self.reply.lock().take()
        {
            // The caller may not wait any longer.
            reply
                .send(!self.failed.load(Ordering::Acquire))
                .unwrap_or_default();
        }
    }
}

impl Entrance {
    /// Produces a batch, what is refused of it as dead letters, and waits until all of it is safe. Whether an event is a
    /// duplicate is not known here.
    pub(in crate::pipeline) async fn submit(
        &self,
        batch: Batch,
        now: Millis,
    ) -> Result<Receipt, Refused> {
        let partitions = self.partitions.load(Ordering::Acquire);
        if partitions == 0 {
            return Err(Refused::Unreachable);
        }
        let mut statuses = Vec::with_capacity(batch.entries.len());
        let mut records = Vec::with_capacity(batch.entries.len());
        for Entry { content, raw } in batch.entries {
            match content {
                Ok(input) => {
                    let time = received(&input, batch.historical, now);
                    encode(&input, partitions, time, &mut records);
                    statuses.push(Status::Accepted);
                }
                Err(rejection) => {
                    let raw = raw.unwrap_or((Bytes::new(), PROTOBUF));
                    let max = self.dead_letter_bytes_max;
                    let letter = bury(&rejection, batch.origin, raw, max);
                    records.push(letter.at(partitions, now));
                    statuses.push(Status::Rejected(rejection));
                }
            }
        }
        self.deliver(records).await?;
        self.count(batch.origin, &statuses);
        Ok(Receipt {
            statuses,
            position: 0,
        })
    }

    /// Counts the dead letters that are safe.
    fn count(&self, origin: Origin, statuses: &[Status]) {
        for status in statuses {
            let Status::Rejected(rejection) = status else {
                continue;
            };
            let reason = [rejection.reason.name()];
            let metrics = &self.metrics;
            metrics.dead_letters.with_label_values(&reason).inc();
            metrics.events_rejected.with_label_values(&reason).inc();
            let intake = metrics.intake(origin.name());
            intake.count(IntakeKind::Unknown, IntakeResult::Rejected);
        }
    }

    async fn deliver(&self, records: Vec<Prepared>) -> Result<(), Refused> {
        if records.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let under_way = Arc::new(UnderWay {
            left: AtomicUsize::new(records.len()),
            failed: AtomicBool::new(false),
            reply: Mutex::new(Some(reply)),
        });
        let mut full = false;
        for record in records {
            if full {
                under_way.arrived(false);
                continue;
            }
            let delivered = Arc::clone(&under_way);
            let record = FeedRecord {
                topic: record.topic,
                partition: record.partition,
                key: record.key,
                value: record.value,
                headers: record.headers,
                time: record.time,
                delivered: Box::new(move |safe| delivered.arrived(safe)),
            };
            if let Err(back) = self.feed.send(record) {
                full = true;
                (back.delivered)(false);
            }
        }
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) if full => Err(Refused::Overloaded),
            Ok(false) | Err(_) => Err(Refused::Unreachable),
        }
    }
}

/// A record before it is produced.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prepared {
    topic: FeedTopic,
    partition: u32,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(&'static str, String)>,
    time: Millis,
}

impl Prepared {
    /// For the partition of its key; without one, anywhere.
    fn at(mut self, partitions: u32, time: Millis) -> Self {
        let key = self.key.as_ref().unwrap_or(&self.value);
        self.partition = partition_of(key, partitions);
        self.time = time;
        self
    }

    /// A record of the events topic, of this type.
    fn of(kind: &str, key: &str, value: Vec<u8>) -> Self {
        Self {
            topic: FeedTopic::Events,
            partition: 0,
            key: Some(key.as_bytes().to_vec()),
            value,
            headers: vec![
                ("ce_type", kind.to_owned()),
                ("content-type", PROTOBUF.to_owned()),
            ],
            time: Millis::default(),
        }
    }
}

/// An event goes to its shopper's partition; what concerns the catalogue goes to every one.
fn encode(input: &Input, partitions: u32, time: Millis, records: &mut Vec<Prepared>) {
    let record = match input {
        Input::Event(event) => {
            let mut value = Vec::new();
            wire::event::encode(event, &mut value);
            let mut record = Prepared::of(EVENT, &event.user, value);
            let trace = event.traceparent();
            let trace = trace.map(|trace| (traceparent::NAME, trace.to_string()));
            record.headers.extend(trace);
            records.push(record.at(partitions, time));
            return;
        }
        Input::ItemUpsert(patch) => {
            let message = wire::item::patch_to_proto(patch);
            let value = prost::Message::encode_to_vec(&message);
            Prepared::of(ITEM_UPSERT, &patch.id, value)
        }
        Input::ItemDelete(id) => Prepared::of(ITEM_DELETE, id, id.as_bytes().to_vec()),
        // The owner's clock is no business of callers.
        Input::Tick { .. } => return,
    };
    records.extend((0..partitions).map(|partition| Prepared {
        partition,
        time,
        ..record.clone()
    }));
}

/// What was refused, byte for byte as far as it may be kept, with the reason in headers.
fn bury(
    rejection: &Rejection,
    origin: Origin,
    (raw, media_type): (Bytes, &'static str),
    bytes_max: usize,
) -> Prepared {
    let failed = Failed {
        source: Source::Caller(origin.name().to_owned()),
        rejection: rejection.clone(),
        truncated_from: (raw.len() > bytes_max).then_some(raw.len() as u64),
    };
    let mut headers = vec![("content-type", media_type.to_owned())];
    headers.extend(connect::encode(&failed));
    Prepared {
        topic: FeedTopic::DeadLetters,
        partition: 0,
        key: user_of(&raw, media_type),
        value: raw.slice(..raw.len().min(bytes_max)).to_vec(),
        headers,
        time: Millis::default(),
    }
}

/// The shopper that something is about, as far as it can be read.
fn user_of(raw: &[u8], media_type: &str) -> Option<Vec<u8>> {
    let user = if media_type.starts_with(PROTOBUF) {
        wire::event::user_of(raw).to_owned()
    } else if media_type.contains("json") {
        wire::json::user_of(raw)
    } else {
        String::new()
    };
    let is_id = !user.is_empty() && user.len() <= ID_BYTES_MAX;
    is_id.then(|| user.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{RejectionReason, Stage};

    #[test]
    fn what_is_refused_keeps_its_bytes_and_goes_where_its_shopper_is() {
        let rejection = Rejection {
            stage: Stage::Value,
            reason: RejectionReason::InvalidValue,
            field: "price".to_owned(),
            detail: "`price` is -1".to_owned(),
        };
        let letter = |text: &'static str, media| {
            let raw = Bytes::from_static(text.as_bytes());
            bury(&rejection, Origin::Http, (raw, media), 40).at(64, Millis(5))
        };
        let ann = letter(r#"{"userId":"ann","price":-1}"#, "application/json");
        assert_eq!(ann.key.as_deref(), Some(b"ann".as_slice()));
        assert_eq!(ann.partition, partition_of(b"ann", 64));
        assert_eq!(ann.value, br#"{"userId":"ann","price":-1}"#);
        assert_eq!((ann.topic, ann.time), (FeedTopic::DeadLetters, Millis(5)));
        let protobuf = "application/protobuf; message=impulse.v1.Event";
        let visitor = letter("\x1a\0\x22\x03bob\x08", protobuf);
        assert_eq!(visitor.key.as_deref(), Some(b"bob".as_slice()));
        let nobody = letter(
            r#"["ann",0123456789,0123456789,0123456789,0]"#,
            "application/json",
        );
        assert_eq!((nobody.key, nobody.value.len()), (None, 40));
        let read: Vec<(&str, &[u8])> = nobody
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let failed = connect::decode(&read).unwrap();
        assert_eq!(failed.source, Source::Caller("http".to_owned()));
        assert_eq!(
            (failed.rejection, failed.truncated_from),
            (rejection.clone(), Some(42))
        );
        assert_eq!(letter("\x1a\x03bob", "application/grpc+proto").key, None);
    }

    #[test]
    fn what_concerns_the_catalogue_goes_to_every_partition() {
        let mut records = Vec::new();
        encode(
            &Input::ItemDelete("shoe".into()),
            3,
            Millis(1),
            &mut records,
        );
        let partitions: Vec<u32> = records.iter().map(|record| record.partition).collect();
        assert_eq!(partitions, [0, 1, 2]);
        assert!(records.iter().all(|record| record.value == b"shoe"));
    }
}
