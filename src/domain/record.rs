//! What the log holds and what becomes of it.

use crate::domain::{Event, Id, ItemPatch, Millis};

/// One input record: the state is a function of the sequence of these and of nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it arrived, by the owner's clock; for history, when it was created.
    pub received: Millis,
    /// What arrived.
    pub input: Input,
}

/// What can arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A shopper did something.
    Event(Event),
    /// An item was added or changed.
    ItemUpsert(Box<ItemPatch>),
    /// An item was taken out.
    ItemDelete(Id),
    /// The owner's clock stood here. Wall time enters only this way.
    Tick {
        /// The owner's clock; never goes back.
        wall: Millis,
        /// Whether the log was known to be read to its end long enough for silence to count as evidence: only then
        /// does the watermark follow the clock.
        caught_up: bool,
    },
}

/// How the event time of an event was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeRule {
    /// `received - (sent - created)`: the device gave both times.
    DeviceDelay,
    /// `created`, which was plausible.
    Created,
    /// `received`: nothing better was known.
    Received,
    /// The last tick: the event claimed to be from the future.
    ClockSkew,
}

/// What became of an input record.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is part of the state; the position grew by one.
    Applied {
        /// How its event time was found.
        time_rule: TimeRule,
        /// It came too late for triggers and only taught counts; write it to the late log.
        late: bool,
    },
    /// It was known; nothing changed and it does not belong in the log.
    Duplicate,
    /// It cannot be used; nothing changed and it belongs in the dead-letter log.
    Rejected(Rejection),
}

/// The gate that refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The bytes are not of the format.
    Parse,
    /// The message is not an event.
    Schema,
    /// A field that the kind needs is missing.
    Required,
    /// A value is out of its range.
    Value,
    /// The time cannot be used.
    Clock,
    /// A limit was reached.
    Limit,
}

impl Stage {
    /// Its name in dead letters and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Schema => "schema",
            Self::Required => "required",
            Self::Value => "value",
            Self::Clock => "clock",
            Self::Limit => "limit",
        }
    }
}

/// Why something was refused; a closed set, so that it can label a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionReason {
    /// Not JSON.
    MalformedJson,
    /// Not protobuf.
    MalformedProtobuf,
    /// A line of a file that is not of its layout.
    MalformedLine,
    /// JSON, but of another shape: a wrong type, not an object.
    WrongType,
    /// No such event kind.
    UnknownKind,
    /// A required field is missing or empty.
    MissingField,
    /// A value is out of its range: negative price, bad currency, bad time.
    InvalidValue,
    /// A text holds a NUL or another control character where none belongs.
    ControlCharacter,
    /// An id or a text is longer than allowed, or a list has too many entries.
    TooLong,
    /// The event is older than the horizon behind the watermark.
    TooOld,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::MalformedJson,
        Self::MalformedProtobuf,
        Self::MalformedLine,
        Self::WrongType,
        Self::UnknownKind,
        Self::MissingField,
        Self::InvalidValue,
        Self::ControlCharacter,
        Self::TooLong,
        Self::TooOld,
    ];

    /// Its name in dead letters, answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::MalformedProtobuf => "malformed_protobuf",
            Self::MalformedLine => "malformed_line",
            Self::WrongType => "wrong_type",
            Self::UnknownKind => "unknown_kind",
            Self::MissingField => "missing_field",
            Self::InvalidValue => "invalid_value",
            Self::ControlCharacter => "control_character",
            Self::TooLong => "too_long",
            Self::TooOld => "too_old",
        }
    }
}

/// Why something was refused, in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which gate.
    pub stage: Stage,
    /// Why, in one word.
    pub reason: RejectionReason,
    /// The field that is wrong, as the wire names it; empty if it is none.
    pub field: String,
    /// A sentence that says what was found and what is expected.
    pub detail: String,
}
