//! The door for callers when events come from Kafka: what they hand us is produced to the events topic, and
//! acknowledged when it is safe there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::{Input, Millis};
use crate::pipeline::{Batch, Entry, Receipt, Refused, Status, received};
use crate::stream::kafka::{Feed, FeedRecord};
use crate::stream::partitioner::partition_of;
use crate::wire;
use crate::wire::cloudevents::{EVENT, ITEM_DELETE, ITEM_UPSERT};

/// Media type of what is produced.
const PROTOBUF: &str = "application/protobuf";

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Entrance {
    pub(super) feed: Feed,
    pub(super) partitions: Arc<AtomicU32>,
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
    /// Produces a batch and waits until all of it is safe. Whether an event is a duplicate is not known here.
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
        for Entry { content, .. } in batch.entries {
            match content {
                Ok(input) => {
                    let time = received(&input, batch.historical, now);
                    encode(&input, partitions, time, &mut records);
                    statuses.push(Status::Accepted);
                }
                Err(rejection) => statuses.push(Status::Rejected(rejection)),
            }
        }
        self.deliver(records).await?;
        Ok(Receipt {
            statuses,
            position: 0,
        })
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
                partition: record.partition,
                key: record.key,
                value: record.value,
                headers: vec![
                    ("ce_type", record.kind.to_owned()),
                    ("content-type", PROTOBUF.to_owned()),
                ],
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
#[derive(Debug, PartialEq, Eq)]
struct Prepared {
    partition: u32,
    key: Vec<u8>,
    value: Vec<u8>,
    kind: &'static str,
    time: Millis,
}

/// An event goes to its shopper's partition; what concerns the catalogue goes to every one.
fn encode(input: &Input, partitions: u32, time: Millis, records: &mut Vec<Prepared>) {
    let mut value = Vec::new();
    let (key, kind) = match input {
        Input::Event(event) => {
            wire::event::encode(event, &mut value);
            records.push(Prepared {
                partition: partition_of(event.user.as_bytes(), partitions),
                key: event.user.as_bytes().to_vec(),
                value,
                kind: EVENT,
                time,
            });
            return;
        }
        Input::ItemUpsert(patch) => {
            let message = wire::item::patch_to_proto(patch);
            value = prost::Message::encode_to_vec(&message);
            (&patch.id, ITEM_UPSERT)
        }
        Input::ItemDelete(id) => {
            value.extend_from_slice(id.as_bytes());
            (id, ITEM_DELETE)
        }
        // The owner's clock is no business of callers.
        Input::Tick { .. } => return,
    };
    records.extend((0..partitions).map(|partition| Prepared {
        partition,
        key: key.as_bytes().to_vec(),
        value: value.clone(),
        kind,
        time,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

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
