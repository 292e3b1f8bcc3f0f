//! The first half of the model: which records count, when they happened, and how far time is.
//!
//! Everything is found again from the list of accepted records whenever it is asked for.

use impulse::domain::{
    DAY_MS, Event, Input, MINUTE_MS, Millis, Outcome, Record, RejectionReason, SECOND_MS, TimeRule,
};

/// The times of the design, written down once more.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// Bounded out-of-orderness.
    pub(crate) disorder_ms: i64,
    /// How long after its firing an episode can be taken back.
    pub(crate) grace_ms: i64,
    /// Behind the watermark by more than this is too old.
    pub(crate) horizon_ms: i64,
    /// Ahead of the last tick by more than this is a wrong clock.
    pub(crate) skew_ms: i64,
    /// How long an event id is remembered.
    pub(crate) duplicates_ms: i64,
    /// Silence that ends a session.
    pub(crate) session_gap_ms: i64,
    /// How far `created` may lie before `received`.
    pub(crate) created_past_ms: i64,
    /// How far `created` may lie after `received`.
    pub(crate) created_future_ms: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            disorder_ms: 5 * SECOND_MS,
            grace_ms: 10 * MINUTE_MS,
            horizon_ms: 30 * DAY_MS,
            skew_ms: 60 * SECOND_MS,
            duplicates_ms: DAY_MS,
            session_gap_ms: 30 * MINUTE_MS,
            created_past_ms: 7 * DAY_MS,
            created_future_ms: 5 * MINUTE_MS,
        }
    }
}

/// A record that became part of the state.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// The record.
    pub(crate) record: Record,
    /// Its event time; for what is no event, when it was received.
    pub(crate) time: Millis,
    /// How the event time was found.
    pub(crate) rule: TimeRule,
    /// Whether it taught only counts.
    pub(crate) late: bool,
    /// The watermark when it came; `None` while nothing is known of time.
    pub(crate) watermark_before: Option<Millis>,
    /// The watermark after it.
    pub(crate) watermark: Option<Millis>,
}

impl Accepted {
    /// The event in it, if it is one.
    pub(crate) fn event(&self) -> Option<&Event> {
        match &self.record.input {
            Input::Event(event) => Some(event),
            Input::ItemUpsert(_) | Input::ItemDelete(_) | Input::Tick { .. } => None,
        }
    }

    /// Whether it came behind the watermark.
    pub(crate) fn overdue(&self) -> bool {
        self.watermark_before
            .is_some_and(|watermark| self.time <= watermark)
    }
}

/// What must become of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It counts.
    Applied {
        /// Its event time.
        time: Millis,
        /// How that was found.
        rule: TimeRule,
        /// Whether it may only teach counts.
        late: bool,
    },
    /// It was known.
    Duplicate,
    /// It was known, longer ago than is promised to be remembered: it may count again.
    MayBeDuplicate {
        /// What it is if it is not.
        otherwise: Box<Verdict>,
    },
    /// Behind the horizon.
    TooOld,
}

impl Verdict {
    /// Whether the engine's outcome agrees.
    pub(crate) fn allows(&self, outcome: &Outcome) -> bool {
        match self {
            Self::Applied { rule, late, .. } => {
                *outcome
                    == Outcome::Applied {
                        time_rule: *rule,
                        late: *late,
                    }
            }
            Self::Duplicate => *outcome == Outcome::Duplicate,
            Self::MayBeDuplicate { otherwise } => {
                *outcome == Outcome::Duplicate || otherwise.allows(outcome)
            }
            Self::TooOld => {
                matches!(outcome, Outcome::Rejected(why) if why.reason == RejectionReason::TooOld)
            }
        }
    }
}

/// Every record that counted, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// The settings.
    pub(crate) times: Times,
    /// The records; the position of the one at index `i` is `i + 1`.
    pub(crate) accepted: Vec<Accepted>,
}

impl Journal {
    /// `max(accepted event time) - B`, or what a tick at the end of the log says.
    pub(crate) fn watermark(&self) -> Option<Millis> {
        self.accepted
            .iter()
            .filter_map(|accepted| match &accepted.record.input {
                Input::Event(_) if accepted.rule == TimeRule::ClockSkew => None,
                Input::Event(_) => Some(accepted.time - self.times.disorder_ms),
                Input::Tick {
                    wall,
                    caught_up: true,
                } => Some(*wall - self.times.disorder_ms),
                Input::Tick { .. } | Input::ItemUpsert(_) | Input::ItemDelete(_) => None,
            })
            .max()
    }

    /// The owner's clock as last written down.
    pub(crate) fn last_tick(&self) -> Option<Millis> {
        self.accepted
            .iter()
            .filter_map(|accepted| match &accepted.record.input {
                Input::Tick { wall, .. } => Some(*wall),
                Input::Event(_) | Input::ItemUpsert(_) | Input::ItemDelete(_) => None,
            })
            .max()
    }

    /// What must become of `record` if it comes now.
    pub(crate) fn judge(&self, record: &Record) -> Verdict {
        let Input::Event(event) = &record.input else {
            return Verdict::Applied {
                time: record.received,
                rule: TimeRule::Received,
                late: false,
            };
        };
        let (time, rule) = self.event_time(record.received, event);
        let watermark = self.watermark();
        let behind = watermark.map_or(0, |watermark| watermark.since(time));
        let verdict = if behind > self.times.horizon_ms {
            Verdict::TooOld
        } else {
            Verdict::Applied {
                time,
                rule,
                late: behind > self.times.grace_ms,
            }
        };
        match self.last_seen_twin(event, time) {
            None => verdict,
            Some(twin) if self.remembers(twin, record.received, watermark) => Verdict::Duplicate,
            Some(_) => Verdict::MayBeDuplicate {
                otherwise: Box::new(verdict),
            },
        }
    }

    /// Adds a record that counts.
    pub(crate) fn accept(&mut self, record: &Record, verdict: &Verdict) {
        let verdict = match verdict {
            Verdict::MayBeDuplicate { otherwise } => otherwise,
            other => other,
        };
        let Verdict::Applied { time, rule, late } = *verdict else {
            unreachable!("it does not count");
        };
        self.accepted.push(Accepted {
            record: record.clone(),
            time,
            rule,
            late,
            watermark_before: self.watermark(),
            watermark: None,
        });
        let watermark = self.watermark();
        self.accepted.last_mut().unwrap().watermark = watermark;
    }

    /// Event time, by the design's rules.
    fn event_time(&self, received: Millis, event: &Event) -> (Millis, TimeRule) {
        let (time, rule) = match (event.created, event.sent) {
            (Some(created), Some(sent)) => {
                (received - (sent.since(created)), TimeRule::DeviceDelay)
            }
            (Some(created), None)
                if created >= received - self.times.created_past_ms
                    && created <= received + self.times.created_future_ms =>
            {
                (created, TimeRule::Created)
            }
            (Some(_) | None, _) => (received, TimeRule::Received),
        };
        match self.last_tick() {
            Some(tick) if time > tick + self.times.skew_ms => (tick, TimeRule::ClockSkew),
            Some(_) | None => (time, rule),
        }
    }

    /// The newest accepted event with the same identity.
    fn last_seen_twin(&self, event: &Event, time: Millis) -> Option<&Accepted> {
        self.accepted.iter().rev().find(|accepted| {
            accepted.event().is_some_and(|earlier| {
                if event.id.is_empty() || earlier.id.is_empty() {
                    event.id.is_empty()
                        && earlier.id.is_empty()
                        && earlier.user == event.user
                        && earlier.kind == event.kind
                        && earlier.item == event.item
                        && accepted.time == time
                } else {
                    earlier.id == event.id && source(earlier) == source(event)
                }
            })
        })
    }

    /// Whether an event that was accepted then must still be known, whichever clock the window is measured by.
    fn remembers(&self, twin: &Accepted, received: Millis, watermark: Option<Millis>) -> bool {
        let window_ms = self.times.duplicates_ms;
        let by_receipt = received.since(twin.record.received) < window_ms;
        let by_watermark = match (watermark, twin.watermark) {
            (None, _) => true,
            // Before the first time is known, everything may count as long ago.
            (Some(_), None) => false,
            (Some(now), Some(then)) => now.since(then) < window_ms,
        };
        by_receipt && by_watermark
    }
}

/// Who made the event's id.
fn source(event: &Event) -> &str {
    event.details.as_ref().map_or("", |details| &details.source)
}
