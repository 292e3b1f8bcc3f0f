//! The thread of the audit: reads what all partitions of this process write, and keeps a ledger of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use rdkafka::message::{BorrowedMessage, Message as _};

use crate::clock::{Deadline, Stopwatch};
use crate::metrics::Metrics;
use crate::stream::kafka::{
    CommitRecord, Config, IDENTITY_HEADER, OutputTopic, SEQ_HEADER, TRANSACTION_HEADER, Tail,
    Tailed, Topics, text_header,
};

use super::finding::{Finding, Tally};
use super::ledger::Ledger;
use super::source::{Since, Source};
use super::transaction::GRACE_MS;
use super::{Doubt, Order};

/// How long is read before orders are looked at and ledgers judged.
const PASS: Duration = Duration::from_millis(200);

/// The audit at work.
#[derive(Debug)]
pub(super) struct Auditor {
    tail: Tail,
    orders: Receiver<Order>,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    watch: Stopwatch,
    followed: BTreeMap<u32, Followed>,
}

/// A partition that is read back.
#[derive(Debug)]
struct Followed {
    ledger: Ledger,
    doubt: Doubt,
    places: [Place; Source::ALL.len()],
    /// That transactions are not audited was told.
    is_told: bool,
}

/// How far a source is read.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: Source,
    /// Offset behind the last record.
    next: i64,
    /// Where it ended when this was last asked, and when that was.
    end: Option<(i64, u64)>,
}

impl Auditor {
    pub(super) fn new(
        tail: Tail,
        orders: Receiver<Order>,
        config: &Arc<Config>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        for finding in Finding::ALL {
            // Each has a series from the beginning, so that the first one found shows as a rise.
            let findings = &metrics.kafka_audit_findings;
            findings.with_label_values(&[finding.name()]).inc_by(0);
        }
        Self {
            tail,
            orders,
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            watch: Stopwatch::start(),
            followed: BTreeMap::new(),
        }
    }

    /// Runs until nobody is left to give an order.
    pub(super) fn run(mut self) {
        while self.obey() {
            self.read();
            self.look_for_ends();
            self.judge();
        }
    }

    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Follow {
                    partition,
                    since,
                    doubt,
                }) => self.follow(partition, &since, doubt),
                Ok(Order::Leave { partition }) => self.leave(partition),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn follow(&mut self, partition: u32, since: &Since, doubt: Doubt) {
        self.leave(partition);
        let topics = &self.config.topics;
        let places = Source::ALL.map(|source| (source.name(topics), since.offset(source)));
        if let Err(trouble) = self.tail.follow(partition, &places) {
            tracing::warn!(partition, %trouble, "a partition is not audited");
            return;
        }
        let followed = Followed::new(since, doubt);
        self.followed.insert(partition, followed);
    }

    fn leave(&mut self, partition: u32) {
        if self.followed.remove(&partition).is_none() {
            return;
        }
        let topics = &self.config.topics;
        let names = Source::ALL.map(|source| source.name(topics));
        if let Err(trouble) = self.tail.leave(partition, &names) {
            tracing::debug!(partition, %trouble, "a partition is still read back");
        }
    }

    fn read(&mut self) {
        let Self {
            tail,
            config,
            watch,
            followed,
            ..
        } = self;
        let end = Deadline::after(PASS);
        while !end.has_passed() {
            let tailed = tail.poll(end.left(), |message| {
                let partition = u32::try_from(message.partition()).ok();
                if let Some(followed) = partition.and_then(|partition| followed.get_mut(&partition))
                {
                    followed.take(message, &config.topics, ms(watch));
                }
            });
            if tailed == Tailed::CutOff {
                // Nobody says which; that a broker lost its log is seldom enough to look at all of them.
                for followed in followed.values_mut() {
                    followed.ledger.cut_off();
                }
            }
        }
    }

    /// Where something is overdue, finds out whether everything was read that was there when its time was up.
    fn look_for_ends(&mut self) {
        let topics = &self.config.topics;
        let mut is_idle = true;
        for (partition, followed) in &mut self.followed {
            for place in &mut followed.places {
                let now_ms = ms(&self.watch);
                if !followed.ledger.waits_for(place.source, now_ms) {
                    place.end = None;
                    continue;
                }
                is_idle = false;
                let topic = place.source.name(topics);
                if !place.ask(&mut self.tail, topic, *partition, now_ms) {
                    // Who is not answered asks again later, lest all the time goes by with waiting.
                    return;
                }
                if let Some(at_ms) = place.reached(&self.tail, topic, *partition) {
                    followed.ledger.reached_end(place.source, at_ms);
                }
            }
        }
        if is_idle {
            self.tail.hang_up();
        }
    }

    fn judge(&mut self) {
        let now_ms = ms(&self.watch);
        let mut doubtful = Vec::new();
        for (partition, followed) in &mut self.followed {
            let tally = followed.ledger.judge(now_ms);
            self.metrics.kafka_audited_transactions.inc_by(tally.whole);
            for (finding, found) in &tally.findings {
                let findings = &self.metrics.kafka_audit_findings;
                let findings = findings.with_label_values(&[finding.name()]);
                findings.inc_by(found.count);
            }
            followed.report(*partition, &tally);
            if let Some(why) = tally.doubt() {
                followed.doubt.tell(why);
                doubtful.push(*partition);
            }
        }
        for partition in doubtful {
            // It begins anew with the take-over.
            self.leave(partition);
        }
    }
}

impl Followed {
    fn new(since: &Since, doubt: Doubt) -> Self {
        Self {
            ledger: Ledger::new(since),
            doubt,
            places: Source::ALL.map(|source| Place {
                source,
                next: since.offset(source),
                end: None,
            }),
            is_told: false,
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>, topics: &Topics, now_ms: u64) {
        let mut places = self.places.iter_mut();
        let Some(place) = places.find(|place| place.source.name(topics) == message.topic()) else {
            return;
        };
        // What was fetched before a take-over may still come.
        if message.offset() < place.next {
            return;
        }
        place.next = message.offset() + 1;
        match place.source {
            Source::Commits => match CommitRecord::decode(message.payload().unwrap_or_default()) {
                Ok(record) => self.ledger.commit(&record, now_ms),
                Err(why) => self.ledger.unreadable(&why),
            },
            // One without an identity is a dead letter of the door, which is in no transaction.
            Source::Output(topic) if text_header(message, IDENTITY_HEADER).is_some() => {
                let number = |name: &str| text_header(message, name)?.parse().ok();
                let txn = number(TRANSACTION_HEADER).unwrap_or(0);
                let seq = match topic {
                    OutputTopic::Triggers | OutputTopic::Suppressions => number(SEQ_HEADER),
                    OutputTopic::DeadLetters | OutputTopic::Late => None,
                };
                self.ledger.output(topic, txn, seq, now_ms);
            }
            Source::Output(_) => {}
        }
    }

    /// One line for each kind of finding. That nothing is audited any more goes on and on, and is told once.
    fn report(&mut self, partition: u32, tally: &Tally) {
        for (finding, found) in &tally.findings {
            let is_unaudited = *finding == Finding::Unaudited;
            if is_unaudited && self.is_told {
                continue;
            }
            self.is_told |= is_unaudited;
            tracing::warn!(
                partition,
                transaction = found.txn,
                finding = finding.name(),
                count = found.count,
                detail = found.words,
                "what was read back is not what was written"
            );
        }
    }
}

impl Place {
    /// Asks where the source ends, unless that is known; tells whether it is known then.
    fn ask(&mut self, tail: &mut Tail, topic: &str, partition: u32, now_ms: u64) -> bool {
        // A log that was cut never reaches where it once ended.
        let is_known = |(_, asked_ms): &(i64, u64)| now_ms.saturating_sub(*asked_ms) < GRACE_MS;
        let end = self.end.filter(is_known);
        self.end = end.or_else(|| Some((tail.end(topic, partition)?, now_ms)));
        self.end.is_some()
    }

    /// When everything was there that has been read; `None` if there was more.
    fn reached(&mut self, tail: &Tail, topic: &str, partition: u32) -> Option<u64> {
        let read = tail.position(topic, partition).unwrap_or(0);
        let (_, asked_ms) = self.end.take_if(|(end, _)| read.max(self.next) >= *end)?;
        Some(asked_ms)
    }
}

fn ms(watch: &Stopwatch) -> u64 {
    u64::try_from(watch.elapsed().as_millis()).unwrap_or(u64::MAX)
}
