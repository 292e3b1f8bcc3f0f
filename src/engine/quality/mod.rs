//! The gates every event passes before it may change anything: its time, whether it was seen before, whether it
//! comes too late.
//!
//! The gates own the watermark. An event that is a duplicate or too old leaves every bit of them as it was.

mod clock;
mod dedup;

use bytes::{Buf, BufMut, TryGetError};
use serde::{Deserialize, Serialize};

use crate::domain::{
    DAY_MS, Input, MINUTE_MS, Millis, Record, Rejection, RejectionReason, SECOND_MS, Stage,
    TimeRule,
};

use self::dedup::{Dedup, FrozenDedup};

/// Settings of the gates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How far events may be out of order and still be handled exactly: the watermark's distance from the newest
    /// event.
    pub out_of_orderness_ms: i64,
    /// How far ahead of the last tick an event may claim to be before its clock is called wrong.
    pub skew_ms: i64,
    /// How far behind the watermark an event still changes carts and episodes.
    pub grace_ms: i64,
    /// How far behind the watermark an event is still taken at all.
    pub horizon_ms: i64,
    /// How far before its receipt an event may claim to be created.
    pub created_past_ms_max: i64,
    /// How far after its receipt an event may claim to be created.
    pub created_future_ms_max: i64,
    /// How long an event is remembered to recognise its repetition, by the watermark.
    pub dedup_window_ms: i64,
    /// How many events are remembered at most; beyond it the oldest are forgotten early, and counted.
    pub dedup_entries_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            out_of_orderness_ms: 5 * SECOND_MS,
            skew_ms: MINUTE_MS,
            grace_ms: 10 * MINUTE_MS,
            horizon_ms: 30 * DAY_MS,
            created_past_ms_max: 7 * DAY_MS,
            created_future_ms_max: 5 * MINUTE_MS,
            dedup_window_ms: DAY_MS,
            dedup_entries_max: 4_000_000,
        }
    }
}

/// Why settings of the gates contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {expected}")]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// Its value.
    pub value: i64,
    /// What it must be.
    pub expected: &'static str,
}

impl Config {
    /// Checks every setting and their relations.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let entries = i64::try_from(self.dedup_entries_max).unwrap_or(i64::MAX);
        let checks = [
            (
                "out_of_orderness_ms",
                self.out_of_orderness_ms,
                (0..=self.grace_ms).contains(&self.out_of_orderness_ms),
                "expected 0 to grace_ms",
            ),
            (
                "skew_ms",
                self.skew_ms,
                self.skew_ms >= 0,
                "expected 0 or more",
            ),
            (
                "grace_ms",
                self.grace_ms,
                (0..=self.horizon_ms).contains(&self.grace_ms),
                "expected 0 to horizon_ms",
            ),
            (
                "horizon_ms",
                self.horizon_ms,
                (0..=3_650 * DAY_MS).contains(&self.horizon_ms),
                "expected 0 to ten years",
            ),
            (
                "created_past_ms_max",
                self.created_past_ms_max,
                self.created_past_ms_max >= 0,
                "expected 0 or more",
            ),
            (
                "created_future_ms_max",
                self.created_future_ms_max,
                self.created_future_ms_max >= 0,
                "expected 0 or more",
            ),
            (
                "dedup_window_ms",
                self.dedup_window_ms,
                self.dedup_window_ms >= self.grace_ms,
                "expected grace_ms or more",
            ),
            (
                "dedup_entries_max",
                entries,
                (1..=1 << 30).contains(&entries),
                "expected 1 to 2^30",
            ),
        ];
        checks.into_iter().find(|(_, _, holds, _)| !holds).map_or(
            Ok(()),
            |(field, value, _, expected)| {
                Err(ConfigError {
                    field,
                    value,
                    expected,
                })
            },
        )
    }
}

/// What the gates say of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It becomes part of the state.
    Applied {
        /// Its event time; for what is no event, the time of receipt.
        at: Millis,
        /// How the event time was found.
        time_rule: TimeRule,
        /// It lies further behind the watermark than the grace: it teaches counts that commute and nothing else.
        late: bool,
        /// A hash of the event's identity that never changes, over machines and versions; 0 for what is no event.
        /// Events of one time are put in its order.
        key: u64,
    },
    /// It was seen before; nothing changed.
    Duplicate,
    /// It is too old to be used; nothing changed.
    Rejected(Rejection),
}

/// The state of all gates.
#[derive(Debug)]
pub struct Gates {
    config: Config,
    /// `Millis::MIN` until the first event or caught-up tick.
    watermark: Millis,
    last_tick: Option<Millis>,
    dedup: Dedup,
}

impl Gates {
    /// Gates that have seen nothing.
    pub fn new(config: Config) -> Self {
        Self {
            dedup: Dedup::new(config.dedup_window_ms, config.dedup_entries_max),
            config,
            watermark: Millis::MIN,
            last_tick: None,
        }
    }

    /// Lets a record in, or not. Ticks are handled by [`Gates::tick`], which this calls.
    pub fn admit(&mut self, record: &Record) -> Admission {
        let event = match &record.input {
            Input::Event(event) => event,
            Input::ItemUpsert(_) | Input::ItemDelete(_) => return not_an_event(record.received),
            Input::Tick { wall, caught_up } => {
                self.tick(*wall, *caught_up);
                return not_an_event(record.received);
            }
        };
        let (at, time_rule) =
            clock::event_time(&self.config, self.last_tick, record.received, event);
        let key = dedup::key(event, at);
        if self.dedup.contains(key) {
            return Admission::Duplicate;
        }
        if at < self.watermark - self.config.horizon_ms {
            return Admission::Rejected(self.too_old(at));
        }
        let late = at < self.watermark - self.config.grace_ms;
        if time_rule != TimeRule::ClockSkew {
            self.raise(at - self.config.out_of_orderness_ms);
        }
        self.dedup.insert(key, self.watermark);
        Admission::Applied {
            at,
            time_rule,
            late,
            key,
        }
    }

    /// Notes the owner's clock. Only a caught-up tick moves the watermark: silence is evidence only when nothing waits
    /// to be read.
    pub fn tick(&mut self, wall: Millis, caught_up: bool) {
        let wall = self.last_tick.map_or(wall, |last| last.max(wall));
        self.last_tick = Some(wall);
        if caught_up {
            self.raise(wall - self.config.out_of_orderness_ms);
        }
    }

    /// Event time up to which nothing in time can come any more; [`Millis::MIN`] while nothing is known of time. An
    /// event at or before it that comes now is behind by the whole bound of disorder or more.
    pub fn watermark(&self) -> Millis {
        self.watermark
    }

    /// The owner's clock when last told.
    pub fn last_tick(&self) -> Option<Millis> {
        self.last_tick
    }

    /// Events remembered to recognise their repetition.
    pub fn dedup_entries(&self) -> usize {
        self.dedup.len()
    }

    /// Events forgotten before the window's end because there were too many.
    pub fn dedup_evicted(&self) -> u64 {
        self.dedup.evicted()
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> u64 {
        self.dedup.bytes()
    }

    /// The state as it is now, to be encoded while this goes on. Shares what will not change and copies a few
    /// kilobytes.
    pub fn freeze(&self) -> FrozenGates {
        FrozenGates {
            watermark: self.watermark,
            last_tick: self.last_tick,
            dedup: self.dedup.freeze(),
        }
    }

    /// Writes the state so that [`Gates::decode`] gives it back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.freeze().encode(out);
    }

    /// Reads what [`Gates::encode`] wrote.
    ///
    /// # Errors
    ///
    /// If `input` ends too early.
    pub fn decode(config: Config, input: &mut &[u8]) -> Result<Self, TryGetError> {
        let watermark = Millis(input.try_get_i64_le()?);
        let ticked = input.try_get_u8()? != 0;
        let last_tick = Millis(input.try_get_i64_le()?);
        let dedup = Dedup::decode(config.dedup_window_ms, config.dedup_entries_max, input)?;
        Ok(Self {
            config,
            watermark,
            last_tick: ticked.then_some(last_tick),
            dedup,
        })
    }

    fn raise(&mut self, to: Millis) {
        if to > self.watermark {
            self.watermark = to;
            self.dedup.expire(to);
        }
    }

    fn too_old(&self, at: Millis) -> Rejection {
        Rejection {
            stage: Stage::Clock,
            reason: RejectionReason::TooOld,
            field: "created_at".to_owned(),
            detail: format!(
                "the event happened at {at} ms, {} ms behind the newest; at most {} ms are taken",
                self.watermark.since(at),
                self.config.horizon_ms
            ),
        }
    }
}

/// The gates at one moment, for a snapshot.
#[derive(Clone, Debug)]
pub struct FrozenGates {
    watermark: Millis,
    last_tick: Option<Millis>,
    dedup: FrozenDedup,
}

impl FrozenGates {
    /// Writes the state so that [`Gates::decode`] gives it back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64_le(self.watermark.0);
        out.put_u8(u8::from(self.last_tick.is_some()));
        out.put_i64_le(self.last_tick.unwrap_or_default().0);
        self.dedup.encode(out);
    }
}

fn not_an_event(received: Millis) -> Admission {
    Admission::Applied {
        at: received,
        time_rule: TimeRule::Received,
        late: false,
        key: 0,
    }
}
