//! One partition's state and what follows from each record: the same when it is live and when it is replayed.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Message as _};

use crate::clock::Stopwatch;
use crate::domain::{
    Event, Id, Input, Millis, Outcome, Record, Rejection, Seq, TriggerKind, TriggerReason,
};
use crate::engine::{Engine, Outbox};
use crate::stream::kafka::{Config, Output, Tick};

use super::decode::{decode, received};
use super::outputs;

/// The state of a partition, and what it caused since somebody looked.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) engine: Engine,
    pub(super) config: Arc<Config>,
    pub(super) epoch: u64,
    /// Number of the last trigger record made.
    pub(super) seq: Seq,
    /// Offset of the next record.
    pub(super) next: i64,
    /// The clock as last applied.
    pub(super) last_tick: Option<Millis>,
    pub(super) outputs: Vec<Output>,
    /// Trigger records made, for whoever counts them.
    pub(super) decided: Vec<Decided>,
    outbox: Outbox,
}

/// A trigger record made.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) rule: Id,
    pub(super) kind: TriggerKind,
    pub(super) reason: TriggerReason,
    /// Runs from then on.
    pub(super) since: Stopwatch,
}

/// What became of one record.
#[derive(Debug)]
pub(super) enum Became {
    /// Part of the state.
    Applied { late: bool, input: Input },
    /// Known before.
    Duplicate { input: Input },
    /// A dead letter.
    Rejected { rejection: Rejection },
}

impl Became {
    pub(super) fn event(&self) -> Option<&Event> {
        match self {
            Self::Applied {
                input: Input::Event(event),
                ..
            } => Some(event),
            Self::Applied { .. } | Self::Duplicate { .. } | Self::Rejected { .. } => None,
        }
    }
}

impl Fold {
    pub(super) fn new(
        engine: Engine,
        config: Arc<Config>,
        epoch: u64,
        seq: Seq,
        next: i64,
    ) -> Self {
        Self {
            engine,
            config,
            epoch,
            seq,
            next,
            last_tick: None,
            outputs: Vec::new(),
            decided: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// Applies a record of the events topic.
    pub(super) fn apply(&mut self, message: &BorrowedMessage<'_>) -> Became {
        self.next = message.offset() + 1;
        let became = match decode(message, self.config.record_bytes_max) {
            Ok(input) => {
                let record = Record {
                    received: received(message),
                    input,
                };
                match self.engine.apply(&record, &mut self.outbox) {
                    Outcome::Applied { late, .. } => Became::Applied {
                        late,
                        input: record.input,
                    },
                    Outcome::Duplicate => Became::Duplicate {
                        input: record.input,
                    },
                    Outcome::Rejected(rejection) => Became::Rejected { rejection },
                }
            }
            Err(rejection) => Became::Rejected { rejection },
        };
        match &became {
            Became::Applied { late: true, .. } => {
                let bytes_max = self.config.dead_letter_bytes_max;
                self.outputs.push(outputs::late(message, bytes_max));
            }
            Became::Rejected { rejection } => {
                let bytes_max = self.config.dead_letter_bytes_max;
                let letter = outputs::dead_letter(message, rejection, bytes_max);
                self.outputs.push(letter);
            }
            Became::Applied { late: false, .. } | Became::Duplicate { .. } => {}
        }
        self.number_triggers();
        became
    }

    /// Applies the owner's clock.
    pub(super) fn tick(&mut self, tick: Tick) {
        self.last_tick = Some(tick.wall);
        let record = Record {
            received: tick.wall,
            input: Input::Tick {
                wall: tick.wall,
                caught_up: tick.caught_up,
            },
        };
        self.engine.apply(&record, &mut self.outbox);
        self.number_triggers();
    }

    /// The log's numbers go on without a gap, whatever the engine counts.
    fn number_triggers(&mut self) {
        for mut trigger in self.outbox.triggers.drain(..) {
            self.seq += 1;
            self.decided.push(Decided {
                rule: trigger.rule.clone(),
                kind: trigger.kind,
                reason: trigger.reason,
                since: Stopwatch::start(),
            });
            trigger.seq = self.seq;
            self.outputs
                .push(outputs::trigger(&trigger, self.epoch, &self.config.app));
        }
    }
}
