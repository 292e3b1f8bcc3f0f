//! Headers of a dead letter: what went wrong, by the names that Kafka Connect gave them, and back.
//!
//! Kafka Connect names where a record came from and the error; our own three say the rest of a
//! [`Rejection`](crate::domain::Rejection). The record keeps its own headers before these. A record that was put back and
//! failed again has them twice, and the last count.

use crate::domain::{Rejection, RejectionReason, Stage};

const TOPIC: &str = "__connect.errors.topic";
const PARTITION: &str = "__connect.errors.partition";
const OFFSET: &str = "__connect.errors.offset";
const STAGE: &str = "__connect.errors.stage";
const CLASS: &str = "__connect.errors.exception.class.name";
const MESSAGE: &str = "__connect.errors.exception.message";
const REASON: &str = "impulse-reason";
const FIELD: &str = "impulse-field";
const TRUNCATED: &str = "impulse-truncated";

/// Every header of ours; `impulse dlq replay` leaves them out.
pub const NAMES: [&str; 9] = [
    TOPIC, PARTITION, OFFSET, STAGE, CLASS, MESSAGE, REASON, FIELD, TRUNCATED,
];

const STAGES: [Stage; 6] = [
    Stage::Parse,
    Stage::Schema,
    Stage::Required,
    Stage::Value,
    Stage::Clock,
    Stage::Limit,
];

/// Why and from where a record became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The topic it was read from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Why it was refused.
    pub rejection: Rejection,
    /// Bytes that its value had, if the dead letter keeps only the first of them.
    pub truncated_from: Option<u64>,
}

/// The headers, to be written after those of the record itself.
pub fn encode(failed: &Failed) -> Vec<(&'static str, String)> {
    let rejection = &failed.rejection;
    let reason = rejection.reason.name();
    let mut headers = vec![
        (TOPIC, failed.topic.clone()),
        (PARTITION, failed.partition.to_string()),
        (OFFSET, failed.offset.to_string()),
        (STAGE, rejection.stage.name().to_owned()),
        (CLASS, reason.to_owned()),
        (MESSAGE, rejection.detail.clone()),
        (REASON, reason.to_owned()),
        (FIELD, rejection.field.clone()),
    ];
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
    let truncated_from = match place(TRUNCATED) {
        Some(bytes) if Some(bytes) > place(TOPIC) => Some(last(TRUNCATED)?.parse().ok()?),
        Some(_) | None => None,
    };
    Some(Failed {
        topic: last(TOPIC)?.to_owned(),
        partition: last(PARTITION)?.parse().ok()?,
        offset: last(OFFSET)?.parse().ok()?,
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
            topic: "impulse.events.v1".to_owned(),
            partition: 3,
            offset: 9_000_000_000,
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
        second.offset = 10;
        let both = [encode(&failed(Some(5))), encode(&second)].concat();
        assert_eq!(read(&both), Some(second));
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
