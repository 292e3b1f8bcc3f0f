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

#[cfg(test)]
mod tests {
    use super::{Admission, Config, Gates};
    use crate::domain::{
        DAY_MS, Event, EventKind, Id, Input, MINUTE_MS, Millis, Record, RejectionReason, Stage,
        TimeRule,
    };

    const START: Millis = Millis(1_700_000_000_000);

    /// An event that happened and came so many milliseconds after the start.
    fn event(id: &str, created: i64, received: i64) -> Record {
        Record {
            received: START + received,
            input: Input::Event(Event {
                kind: EventKind::ProductView,
                id: Id::from(id),
                user: Id::from("ann"),
                session: Id::default(),
                item: Id::from("shoe"),
                quantity: 0,
                price: None,
                created: Some(START + created),
                sent: None,
                details: None,
            }),
        }
    }

    fn bytes(gates: &Gates) -> Vec<u8> {
        let mut bytes = Vec::new();
        gates.encode(&mut bytes);
        bytes
    }

    fn applied(gates: &mut Gates, record: &Record) -> (i64, TimeRule, bool) {
        match gates.admit(record) {
            Admission::Applied {
                at,
                time_rule,
                late,
                ..
            } => (at.since(START), time_rule, late),
            other @ (Admission::Duplicate | Admission::Rejected(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_watermark_follows_the_newest_event_at_a_distance() {
        let mut gates = Gates::new(Config::default());
        assert_eq!(gates.watermark(), Millis::MIN);
        applied(&mut gates, &event("e1", 10_000, 10_000));
        assert_eq!(gates.watermark(), START + 5_000);
        applied(&mut gates, &event("e2", 7_000, 11_000));
        assert_eq!(gates.watermark(), START + 5_000);
    }

    #[test]
    fn only_a_caught_up_tick_moves_the_watermark() {
        let mut gates = Gates::new(Config::default());
        gates.tick(START, false);
        assert_eq!(gates.watermark(), Millis::MIN);
        gates.tick(START + 1_000, true);
        assert_eq!(gates.watermark(), START - 4_000);
        gates.tick(START, true);
        assert_eq!(gates.watermark(), START - 4_000);
        assert_eq!(gates.last_tick(), Some(START + 1_000));
    }

    #[test]
    fn a_wrong_clock_is_flagged_and_moves_nothing() {
        let mut gates = Gates::new(Config::default());
        gates.tick(START, false);
        let admitted = applied(&mut gates, &event("e1", MINUTE_MS + 1, 0));
        assert_eq!(admitted, (0, TimeRule::ClockSkew, false));
        assert_eq!(gates.watermark(), Millis::MIN);
        assert_eq!(
            gates.admit(&event("e1", MINUTE_MS + 1, 0)),
            Admission::Duplicate
        );
    }

    #[test]
    fn a_duplicate_changes_nothing() {
        let mut gates = Gates::new(Config::default());
        applied(&mut gates, &event("e1", 0, 0));
        let before = bytes(&gates);
        assert_eq!(
            gates.admit(&event("e1", 9_000, 9_000)),
            Admission::Duplicate
        );
        assert_eq!(bytes(&gates), before);
    }

    #[test]
    fn what_lies_behind_the_horizon_is_refused_and_changes_nothing() {
        let mut gates = Gates::new(Config::default());
        applied(
            &mut gates,
            &event("e1", 30 * DAY_MS + 5_000, 30 * DAY_MS + 5_000),
        );
        assert_eq!(
            applied(&mut gates, &event("e2", 0, 0)),
            (0, TimeRule::Created, true)
        );
        let before = bytes(&gates);
        let Admission::Rejected(rejection) = gates.admit(&event("e3", -1, 0)) else {
            panic!("it is too old");
        };
        assert_eq!(
            (rejection.stage, rejection.reason),
            (Stage::Clock, RejectionReason::TooOld)
        );
        assert_eq!(rejection.field, "created_at");
        assert_eq!(bytes(&gates), before);
    }

    #[test]
    fn late_is_what_lies_behind_the_grace() {
        let mut gates = Gates::new(Config::default());
        applied(
            &mut gates,
            &event("e1", 10 * MINUTE_MS + 5_000, 10 * MINUTE_MS + 5_000),
        );
        assert!(!applied(&mut gates, &event("e2", 0, 0)).2);
        assert!(applied(&mut gates, &event("e3", -1, 0)).2);
    }

    #[test]
    fn what_was_frozen_is_not_touched_by_what_comes_after() {
        let mut gates = Gates::new(Config::default());
        for n in 0..10_000 {
            applied(&mut gates, &event(&format!("e{n}"), n, n));
        }
        let (frozen, before) = (gates.freeze(), bytes(&gates));
        for n in 10_000..20_000 {
            applied(&mut gates, &event(&format!("e{n}"), n, n));
        }
        applied(&mut gates, &event("far", 3 * DAY_MS, 3 * DAY_MS));
        assert_eq!(gates.dedup_entries(), 1);
        let mut later = Vec::new();
        frozen.encode(&mut later);
        assert_eq!(later, before);
    }

    #[test]
    fn a_snapshot_gives_the_same_gates() {
        let mut gates = Gates::new(Config::default());
        gates.tick(START, false);
        for n in 0..5_000 {
            applied(&mut gates, &event(&format!("e{n}"), n, n));
        }
        let before = bytes(&gates);
        let mut input = before.as_slice();
        let mut restored = Gates::decode(Config::default(), &mut input).unwrap();
        assert!(input.is_empty());
        assert_eq!(bytes(&restored), before);
        for record in [event("e77", 9_000, 9_000), event("new", 9_000, 9_000)] {
            assert_eq!(restored.admit(&record), gates.admit(&record));
        }
        assert_eq!(bytes(&restored), bytes(&gates));
        for len in 0..200 {
            assert!(Gates::decode(Config::default(), &mut &before[..len]).is_err());
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let refused = |config: Config| config.validate().unwrap_err().field;
        assert_eq!(Config::default().validate(), Ok(()));
        assert_eq!(
            refused(Config {
                grace_ms: 1,
                ..Config::default()
            }),
            "out_of_orderness_ms"
        );
        assert_eq!(
            refused(Config {
                horizon_ms: 1,
                ..Config::default()
            }),
            "grace_ms"
        );
        assert_eq!(
            refused(Config {
                dedup_window_ms: 1,
                ..Config::default()
            }),
            "dedup_window_ms"
        );
        assert_eq!(
            refused(Config {
                dedup_entries_max: 0,
                ..Config::default()
            }),
            "dedup_entries_max"
        );
    }
}
