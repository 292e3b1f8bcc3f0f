//! Headers of a dead letter: what went wrong, by the names that Kafka Connect gave them, and back.
//!
//! Kafka Connect names where a record came from and the error; our own say the rest of a
//! [`Rejection`](crate::domain::Rejection). The record keeps its own headers before these. A record that was put back and
//! failed again has them twice, and the last count.
//!
//! What a caller handed over and the door refused was in no topic. As with Kafka Connect, whose headers of topic,
//! partition and offset are those of a record that was read, it has none of the three: `impulse-source` says how it came.

use std::fmt;

use crate::domain::{Rejection, RejectionReason, Stage};

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const SOURCE: &str = "impulse-source";
const STAGE: &str = "__connect.errors.stage";
const CLASS: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";
const REASON: &str = "impulse-reason";
const FIELD: &str = "impulse-field";
const TRUNCATED: &str = "impulse-truncated";

/// Every header of ours; `impulse dlq replay` leaves them out.
pub const NAMES: [&str; 10] = [
    TOPIC, PARTITION, OFFSET, SOURCE, STAGE, CLASS, MESSAGE, REASON, FIELD, TRUNCATED,
];

const STAGES: [Stage; 6] = [
    Stage::Parse,
    Stage::Schema,
    Stage::Required,
    Stage::Value,
    Stage::Clock,
    Stage::Limit,
];

/// Where something was before it became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a topic.
    Record {
        /// Its name.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset there.
        offset: i64,
    },
    /// In the hands of a caller who came this way, such as `http`.
    Caller(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record {
                topic,
                partition,
                offset,
            } => write!(f, "{topic}/{partition}/{offset}"),
            Self::Caller(way) => f.write_str(way),
        }
    }
}

/// Why and from where something became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Where it was.
    pub source: Source,
    /// Why it was refused.
    pub rejection: Rejection,
    /// Bytes that its value had, if the dead letter keeps only the first of them.
    pub truncated_from: Option<u64>,
}

/// The headers, to be written after those of the record itself.
pub fn encode(failed: &Failed) -> Vec<(&'static str, String)> {
    let rejection = &failed.rejection;
    let reason = rejection.reason.name();
    let mut headers = match &failed.source {
        Source::Record {
            topic,
            partition,
            offset,
        } => vec![
            (TOPIC, topic.clone()),
            (PARTITION, partition.to_string()),
            (OFFSET, offset.to_string()),
        ],
        Source::Caller(way) => vec![(SOURCE, way.clone())],
    };
    headers.extend([
        (STAGE, rejection.stage.name().to_owned()),
        (CLASS, reason.to_owned()),
        (MESSAGE, rejection.detail.clone()),
        (REASON, reason.to_owned()),
        (FIELD, rejection.field.clone()),
    ]);
    if let Some(bytes) = failed.truncated_from {
        headers.push((TRUNCATED, bytes.to_string()));
    }
    headers
}

/// What the headers of a dead letter say; `None` if they are not those that [`encode`] writes.
pub fn decode(headers: &[(&str, &[u8])]) -> Option<Failed> {
    let last = |name| {
        let mut named = headers.iter().rev().filter(|(known, _)| *known == name);
        std::str::from_utf8(named.next()?.1).ok()
    };
    let (stage, reason) = (last(STAGE)?, last(REASON)?);
    // Of two sets the last is whole: a later one without this header means that nothing is missing.
    let place = |name| headers.iter().rposition(|(known, _)| *known == name);
    let source = if place(SOURCE) > place(TOPIC) {
        Source::Caller(last(SOURCE)?.to_owned())
    } else {
        Source::Record {
            topic: last(TOPIC)?.to_owned(),
            partition: last(PARTITION)?.parse().ok()?,
            offset: last(OFFSET)?.parse().ok()?,
        }
    };
    let truncated_from = match place(TRUNCATED) {
        Some(bytes) if Some(bytes) > place(TOPIC).max(place(SOURCE)) => {
            Some(last(TRUNCATED)?.parse().ok()?)
        }
        Some(_) | None => None,
    };
    Some(Failed {
        source,
        rejection: Rejection {
            stage: STAGES.into_iter().find(|known| known.name() == stage)?,
            reason: RejectionReason::ALL
                .into_iter()
                .find(|known| known.name() == reason)?,
            field: last(FIELD)?.to_owned(),
            detail: last(MESSAGE)?.to_owned(),
        },
        truncated_from,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(truncated_from: Option<u64>) -> Failed {
        Failed {
            source: Source::Record {
                topic: "impulse.events.v1".to_owned(),
                partition: 3,
                offset: 9_000_000_000,
            },
            rejection: Rejection {
                stage: Stage::Value,
                reason: RejectionReason::InvalidValue,
                field: "price".to_owned(),
                detail: "`price` is -1, expected 0 or more".to_owned(),
            },
            truncated_from,
        }
    }

    /// The headers as they come back from a broker.
    fn read(headers: &[(&'static str, String)]) -> Option<Failed> {
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        decode(&headers)
    }

    #[test]
    fn the_names_are_those_of_kafka_connect() {
        let headers = encode(&failed(None));
        let expected = [
            ("__connect.errors.topic", "impulse.events.v1"),
            ("__connect.errors.partition", "3"),
            ("__connect.errors.offset", "9000000000"),
            ("__connect.errors.stage", "value"),
            ("__connect.errors.exception.class.name", "invalid_value"),
            (
                "__connect.errors.exception.message",
                "`price` is -1, expected 0 or more",
            ),
            ("impulse-reason", "invalid_value"),
            ("impulse-field", "price"),
        ];
        assert_eq!(
            headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        assert!(headers.iter().all(|(name, _)| NAMES.contains(name)));
    }

    #[test]
    fn what_is_written_is_read() {
        for truncated in [None, Some(2_000_000)] {
            let letter = failed(truncated);
            assert_eq!(read(&encode(&letter)), Some(letter));
        }
        for reason in RejectionReason::ALL {
            for stage in STAGES {
                let mut letter = failed(None);
                (letter.rejection.reason, letter.rejection.stage) = (reason, stage);
                assert_eq!(read(&encode(&letter)), Some(letter));
            }
        }
    }

    #[test]
    fn the_last_failure_counts() {
        let mut second = failed(None);
        second.rejection.field = "quantity".to_owned();
        let both = [encode(&failed(Some(5))), encode(&second)].concat();
        assert_eq!(read(&both), Some(second));
    }

    #[test]
    fn what_was_in_no_topic_names_none() {
        let record = failed(Some(5));
        let caller = Failed {
            source: Source::Caller("http".to_owned()),
            ..failed(None)
        };
        let headers = encode(&caller);
        assert!(headers.contains(&("impulse-source", "http".to_owned())));
        let places = [TOPIC, PARTITION, OFFSET];
        assert!(!headers.iter().any(|(name, _)| places.contains(name)));
        let then = |first: &Failed, second: &Failed| [encode(first), encode(second)].concat();
        assert_eq!(read(&then(&record, &caller)), Some(caller.clone()));
        assert_eq!(read(&then(&caller, &record)), Some(record.clone()));
        assert_eq!(record.source.to_string(), "impulse.events.v1/3/9000000000");
        assert_eq!(caller.source.to_string(), "http");
    }

    #[test]
    fn other_headers_are_no_dead_letter() {
        assert_eq!(read(&[]), None);
        for missing in 0..8 {
            let mut headers = encode(&failed(None));
            // What Kafka Connect calls the class is ours a second time.
            if headers.remove(missing).0 != "__connect.errors.exception.class.name" {
                assert_eq!(read(&headers), None, "{missing}");
            }
        }
        let mut headers = encode(&failed(None));
        headers[2].1 = "nine".to_owned();
        assert_eq!(read(&headers), None);
    }
}
