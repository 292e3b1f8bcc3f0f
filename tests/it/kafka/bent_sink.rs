//! The negative control: the same engine, but with outputs and position written one after the other instead of in one
//! transaction. It is right until it crashes between the two, and the checker must see it then.

use std::time::Duration;

use impulse::domain::{Input, Millis, Record};
use impulse::engine::{Config, Engine, Outbox};
use impulse::wire;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::checker::{Observed, judge};
use super::rig::{Found, Rig};
use crate::broker::Broker;

const BATCH: usize = 100;

/// What is written first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Outputs,
    Position,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_outside_the_transaction_are_caught_by_the_checker() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    for (first, crash, complaint) in [
        (First::Outputs, None, None),
        (First::Outputs, Some(5), Some("duplicate")),
        (First::Position, Some(5), Some("lost")),
    ] {
        let rig = Rig::new(broker, 1).await;
        let mut shop = rig.shop(3);
        shop.send_readable(1_500);
        shop.flush();
        let events = rig.read("events");
        let sink = BentSink::new(&rig, first);
        sink.run(&events, crash);
        sink.run(&events, None);
        let judged = judge(&Observed::of(&rig));
        println!("{first:?} first, crash {crash:?}: {judged:?}");
        match (complaint, judged) {
            (None, Ok(_)) => {}
            (Some(complaint), Err(wrong)) => {
                assert!(wrong.iter().any(|one| one.contains(complaint)), "{wrong:?}");
            }
            (expected, judged) => panic!("{expected:?} but {judged:?}"),
        }
    }
}

/// Writes without transactions.
struct BentSink {
    producer: BaseProducer,
    consumer: BaseConsumer,
    rig_topics: [String; 3],
    first: First,
}

impl BentSink {
    fn new(rig: &Rig, first: First) -> Self {
        Self {
            producer: ClientConfig::new()
                .set("bootstrap.servers", &rig.bootstrap)
                .set("acks", "all")
                .create()
                .unwrap(),
            consumer: rig.reader("read_committed"),
            rig_topics: ["events", "triggers", "suppressions"].map(|role| rig.topic(role)),
            first,
        }
    }

    /// Goes on from the group's position; ends between the two writes of batch `crash`.
    fn run(&self, events: &[Found], crash: Option<usize>) {
        let mut engine = Engine::new(Config::default());
        let mut outbox = Outbox::default();
        let position = usize::try_from(self.position()).unwrap();
        let (known, news) = events.split_at(position);
        for event in known {
            engine.apply(&record(event), &mut outbox);
        }
        outbox.triggers.clear();
        for (number, batch) in news.chunks(BATCH).enumerate() {
            for event in batch {
                engine.apply(&record(event), &mut outbox);
            }
            let behind = batch.last().unwrap().offset + 1;
            if self.first == First::Outputs {
                self.write(&mut outbox);
            } else {
                self.commit(behind);
            }
            if crash == Some(number) {
                return;
            }
            if self.first == First::Outputs {
                self.commit(behind);
            } else {
                self.write(&mut outbox);
            }
        }
    }

    fn write(&self, outbox: &mut Outbox) {
        for trigger in outbox.triggers.drain(..) {
            let message = wire::trigger::to_proto(&trigger, 1);
            let value = serde_json::to_vec(&message).unwrap();
            let suppressed = trigger.kind == impulse::domain::TriggerKind::Suppressed;
            let topic = &self.rig_topics[if suppressed { 2 } else { 1 }];
            let (id, seq) = (trigger.id.to_string(), trigger.seq.to_string());
            let headers = [("ce_id", &id), ("impulse-seq", &seq)];
            let headers = headers
                .into_iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: Some(value),
                    })
                });
            let record = BaseRecord::to(topic)
                .partition(0)
                .key(trigger.user.as_bytes())
                .payload(&value)
                .headers(headers);
            self.producer.send(record).unwrap();
        }
        self.producer.flush(Duration::from_secs(20)).unwrap();
    }

    fn list(&self, offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.rig_topics[0], 0, offset)
            .unwrap();
        list
    }

    fn position(&self) -> i64 {
        let asked = self.list(Offset::Invalid);
        let answer = self
            .consumer
            .committed_offsets(asked, Duration::from_secs(20))
            .unwrap();
        let offset = answer.elements()[0].offset();
        offset.to_raw().filter(|offset| *offset >= 0).unwrap_or(0)
    }

    fn commit(&self, offset: i64) {
        let position = self.list(Offset::Offset(offset));
        self.consumer.commit(&position, CommitMode::Sync).unwrap();
    }
}

fn record(event: &Found) -> Record {
    let event = wire::json::event(&event.value).unwrap();
    Record {
        received: event.created.unwrap_or(Millis(0)),
        input: Input::Event(event),
    }
}
