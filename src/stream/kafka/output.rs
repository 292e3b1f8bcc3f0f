//! Records that a transaction writes, and how they are recognised when they are read back.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::domain::{Millis, Seq};

use super::Topics;

/// Header that names an output for good: the same decision has the same identity, whoever makes it, however often.
pub const IDENTITY_HEADER: &str = "impulse-identity";
/// Header with the number of the transaction that wrote a record.
pub const TRANSACTION_HEADER: &str = "impulse-transaction";
/// Header with the number of a trigger record within its partition.
pub const SEQ_HEADER: &str = "impulse-seq";

/// Where outputs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputTopic {
    /// What to say.
    Triggers,
    /// What was not said.
    Suppressions,
    /// What was refused.
    DeadLetters,
    /// What came too late.
    Late,
}

impl OutputTopic {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Triggers,
        Self::Suppressions,
        Self::DeadLetters,
        Self::Late,
    ];

    /// The topic's name.
    pub fn name(self, topics: &Topics) -> &str {
        match self {
            Self::Triggers => &topics.triggers,
            Self::Suppressions => &topics.suppressions,
            Self::DeadLetters => &topics.dead_letters,
            Self::Late => &topics.late,
        }
    }
}

/// One record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where to.
    pub topic: OutputTopic,
    /// What names it for good.
    pub identity: String,
    /// Its number, if it is a trigger record, else 0.
    pub seq: Seq,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// Headers besides ours.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Event time.
    pub time: Millis,
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a [u8]> {
    let named = message.headers()?.iter();
    // A record that is written on keeps its own headers, and ours come after them.
    let last = named.filter(|header| header.key.eq_ignore_ascii_case(name));
    last.last()?.value
}

/// The text of a header of a record; `None` if it is not there or no text.
pub fn text_header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    std::str::from_utf8(header(message, name)?).ok()
}
