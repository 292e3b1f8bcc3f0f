//! Reads `topology/topics.yaml`: every mistake is refused with its line and column.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use super::spec::{Cleanup, Retention, Role, Topic, Topology};

/// Most partitions of a topic.
const PARTITIONS_MAX: u32 = 4_096;
/// Most copies of a record.
const REPLICATION_MAX: u32 = 16;
/// Longest name of a topic, as Kafka bounds it.
const NAME_BYTES_MAX: usize = 249;
/// Longest text for people.
const TEXT_BYTES_MAX: usize = 400;
/// Settings that have a field of their own.
const FIELDS: [(&str, &str); 3] = [
    ("cleanup.policy", "cleanup"),
    ("min.insync.replicas", "min_insync"),
    ("retention.ms", "retention"),
];

/// Why a file of topics is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TopicsError {
    /// Line, from 1; 0 if it is the whole file.
    pub line: u64,
    /// Column, from 1; 0 if it is the whole file.
    pub column: u64,
    /// What is wrong there, and what is expected.
    pub message: String,
}

impl Topology {
    /// Reads a file of topics.
    ///
    /// # Errors
    ///
    /// If it is no YAML, has an unknown key or an impossible value, or if its topics do not go together.
    pub fn parse(text: &str) -> Result<Self, TopicsError> {
        let declared: Vec<Spanned<Declaration>> =
            serde_saphyr::from_str(text).map_err(|error| {
                refuse(
                    error.location().unwrap_or(Location::UNKNOWN),
                    &UserMessageFormatter.format_message(error.without_snippet()),
                )
            })?;
        let mut topics: Vec<Topic> = Vec::with_capacity(declared.len());
        for declaration in declared {
            let declaration = declaration.value;
            let (name, role) = (declaration.topic.referenced, declaration.role.referenced);
            let partitions = declaration.partitions.referenced;
            let topic = declaration.check()?;
            if let Some(other) = topics
                .iter()
                .find(|known| collide(&known.name, &topic.name))
            {
                let message = if other.name == topic.name {
                    format!("topic {} is declared twice", topic.name)
                } else {
                    format!(
                        "topic {} differs from {} only in `.` and `_`, which Kafka's metrics cannot tell apart",
                        topic.name, other.name
                    )
                };
                return Err(refuse(name, &message));
            }
            if let Some(other) = topics.iter().find(|known| known.role == topic.role) {
                let message = format!(
                    "role {} is already that of {}",
                    topic.role.name(),
                    other.name
                );
                return Err(refuse(role, &message));
            }
            if let Some(first) = topics.first()
                && first.partitions != topic.partitions
            {
                let message = format!(
                    "partitions is {} and {} has {}, expected the same for all: what partition p of the events brings goes out to partition p",
                    topic.partitions, first.name, first.partitions
                );
                return Err(refuse(partitions, &message));
            }
            topics.push(topic);
        }
        if !topics.iter().any(|topic| topic.role == Role::Events) {
            return Err(refuse(Location::UNKNOWN, "no topic has the role events"));
        }
        Ok(Self { topics })
    }
}

/// Kafka's metrics write both as one character.
fn collide(one: &str, other: &str) -> bool {
    one.replace('.', "_") == other.replace('.', "_")
}

/// A topic as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    topic: Spanned<String>,
    role: Spanned<Role>,
    key: Spanned<String>,
    partitions: Spanned<u64>,
    replication: Spanned<u64>,
    min_insync: Spanned<u64>,
    retention: Option<Spanned<String>>,
    cleanup: Spanned<Cleanup>,
    #[serde(default)]
    config: BTreeMap<String, Spanned<String>>,
    producer: Spanned<String>,
    consumer: Spanned<String>,
    purpose: Spanned<String>,
}

impl Declaration {
    fn check(self) -> Result<Topic, TopicsError> {
        let replication = whole("replication", &self.replication, REPLICATION_MAX)?;
        let min_insync = whole("min_insync", &self.min_insync, REPLICATION_MAX)?;
        if min_insync > replication {
            let message = format!(
                "min_insync is {min_insync} of {replication} copies, expected at most {replication}: nothing could be written"
            );
            return Err(refuse(self.min_insync.referenced, &message));
        }
        let key = text("key", &self.key)?;
        Ok(Topic {
            name: name(&self.topic)?,
            role: self.role.value,
            key: (key != "none").then_some(key),
            partitions: whole("partitions", &self.partitions, PARTITIONS_MAX)?,
            replication,
            min_insync,
            retention: retention(self.retention, &self.cleanup)?,
            cleanup: self.cleanup.value,
            config: self
                .config
                .into_iter()
                .map(|(key, value)| Ok((setting(key, value.referenced)?, value.value)))
                .collect::<Result<_, _>>()?,
            producer: text("producer", &self.producer)?,
            consumer: text("consumer", &self.consumer)?,
            purpose: text("purpose", &self.purpose)?,
        })
    }
}

fn name(name: &Spanned<String>) -> Result<String, TopicsError> {
    let text = name.value.as_str();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty()
        || text.len() > NAME_BYTES_MAX
        || !text.chars().all(is_legal)
        || matches!(text, "." | "..")
    {
        let message = format!(
            "topic is named {text:?}, expected 1 to {NAME_BYTES_MAX} of letters, digits, `.`, `_` and `-`"
        );
        return Err(refuse(name.referenced, &message));
    }
    if text.starts_with("__") {
        let message = format!("topic is named {text:?}: names that begin with __ are Kafka's own");
        return Err(refuse(name.referenced, &message));
    }
    Ok(text.to_owned())
}

fn text(field: &str, text: &Spanned<String>) -> Result<String, TopicsError> {
    let value = text.value.trim();
    if value.is_empty() || value.len() > TEXT_BYTES_MAX || value.contains(char::is_control) {
        let message =
            format!("{field} is {value:?}, expected one line of 1 to {TEXT_BYTES_MAX} bytes");
        return Err(refuse(text.referenced, &message));
    }
    Ok(value.to_owned())
}

fn whole(field: &str, found: &Spanned<u64>, high: u32) -> Result<u32, TopicsError> {
    u32::try_from(found.value)
        .ok()
        .filter(|value| (1..=high).contains(value))
        .ok_or_else(|| {
            let message = format!("{field} is {}, expected 1 to {high}", found.value);
            refuse(found.referenced, &message)
        })
}

fn setting(key: String, place: Location) -> Result<String, TopicsError> {
    match FIELDS.iter().find(|(setting, _)| *setting == key) {
        Some((_, field)) => Err(refuse(
            place,
            &format!("config sets {key}, expected the field `{field}` instead"),
        )),
        None => Ok(key),
    }
}

fn retention(
    declared: Option<Spanned<String>>,
    cleanup: &Spanned<Cleanup>,
) -> Result<Option<Retention>, TopicsError> {
    let Some(declared) = declared else {
        if cleanup.value == Cleanup::Compact {
            return Ok(None);
        }
        let message = format!(
            "cleanup is {}, which needs a retention: a time such as 7d, or forever",
            cleanup.value.policy()
        );
        return Err(refuse(cleanup.referenced, &message));
    };
    let place = declared.referenced;
    if cleanup.value == Cleanup::Compact {
        let message =
            "a topic that is only compacted has no retention: its last records of each key stay";
        return Err(refuse(place, message));
    }
    if declared.value == "forever" {
        return Ok(Some(Retention::Forever));
    }
    let duration = humantime::parse_duration(&declared.value).map_err(|error| {
        let message = format!(
            "retention is {:?}: {error}; expected a time such as 7d or 36h, or forever",
            declared.value
        );
        refuse(place, &message)
    })?;
    match i64::try_from(duration.as_millis()) {
        Ok(ms) if ms > 0 => Ok(Some(Retention::Ms(ms))),
        _ => {
            let message = format!(
                "retention is {:?}, expected a time above zero, or forever",
                declared.value
            );
            Err(refuse(place, &message))
        }
    }
}

/// A refusal on one line, whatever the file has in it.
fn refuse(place: Location, message: &str) -> TopicsError {
    TopicsError {
        line: place.line(),
        column: place.column(),
        message: message.replace(char::is_control, " "),
    }
}

#[cfg(test)]
mod tests {
    use crate::stream::topology::{Retention, Role, Topology};

    const EVENTS: &str = "- topic: a.events
  role: events
  key: user id
  partitions: 4
  replication: 3
  min_insync: 2
  retention: 7d
  cleanup: delete
  producer: the shop
  consumer: impulse
  purpose: The input.
";

    /// The file with one line in place of another is refused there, with these words.
    fn refused(line: &str, instead: &str, place: (u64, u64), words: &[&str]) {
        assert!(EVENTS.contains(line), "{line}");
        refused_whole(&EVENTS.replace(line, instead), place, words);
    }

    fn refused_whole(text: &str, place: (u64, u64), words: &[&str]) {
        let error = Topology::parse(text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
        for word in words {
            assert!(
                error.message.contains(word),
                "{word} is missing in: {error}"
            );
        }
    }

    #[test]
    fn a_topic_is_read_as_it_is_written() {
        let text = EVENTS.replace("7d", "forever")
            + "  config: { segment.ms: 3600000, compression.type: zstd }\n";
        let topology = Topology::parse(&text).unwrap();
        let events = topology.topic(Role::Events).unwrap();
        assert_eq!(events.retention, Some(Retention::Forever));
        let settings: Vec<(&str, String)> = events.settings().into_iter().collect();
        let expected = [
            ("cleanup.policy", "delete"),
            ("compression.type", "zstd"),
            ("min.insync.replicas", "2"),
            ("retention.ms", "-1"),
            ("segment.ms", "3600000"),
        ];
        assert_eq!(
            settings,
            expected.map(|(key, value)| (key, value.to_owned()))
        );
    }

    #[test]
    fn a_wrong_value_is_refused_where_it_stands() {
        refused("a.events", "a/events", (1, 10), &["a/events", "letters"]);
        refused("a.events", "__events", (1, 10), &["Kafka's own"]);
        refused(
            "role: events",
            "role: event",
            (2, 9),
            &["event", "dead_letters"],
        );
        refused(
            "partitions: 4",
            "partitions: 0",
            (4, 15),
            &["partitions is 0", "4096"],
        );
        refused(
            "min_insync: 2",
            "min_insync: 4",
            (6, 15),
            &["4 of 3 copies"],
        );
        refused("7d", "7 parsecs", (7, 14), &["7 parsecs", "7d"]);
        refused("7d", "0s", (7, 14), &["above zero"]);
        refused(
            "cleanup: delete",
            "cleanup: compact",
            (7, 14),
            &["only compacted"],
        );
        refused(
            "purpose: The input.",
            "purpose: ''",
            (11, 12),
            &["purpose", "one line"],
        );
    }

    #[test]
    fn an_unknown_or_missing_key_is_refused() {
        refused("partitions: 4", "partition: 4", (4, 3), &["partition"]);
        refused("  key: user id\n", "", (10, 3), &["key"]);
        refused("  retention: 7d\n", "", (7, 12), &["needs a retention"]);
        let text = format!("{EVENTS}  config: {{ retention.ms: 5 }}\n");
        refused_whole(&text, (12, 27), &["retention.ms", "`retention`"]);
    }

    #[test]
    fn topics_that_do_not_go_together_are_refused() {
        let more = |from: &str, to: &str| {
            let second = EVENTS
                .replace("a.events", "b")
                .replace("role: events", "role: late");
            format!("{EVENTS}{}", second.replace(from, to))
        };
        assert_eq!(Topology::parse(&more("", "")).unwrap().topics().len(), 2);
        refused_whole(&more("topic: b", "topic: a.events"), (12, 10), &["twice"]);
        refused_whole(&more("topic: b", "topic: a_events"), (12, 10), &["metrics"]);
        refused_whole(
            &more("role: late", "role: events"),
            (13, 9),
            &["already", "a.events"],
        );
        refused_whole(
            &more("partitions: 4", "partitions: 8"),
            (15, 15),
            &["has 4"],
        );
    }

    #[test]
    fn a_file_without_events_is_refused() {
        refused_whole("[]", (0, 0), &["role events"]);
        refused("role: events", "role: late", (0, 0), &["role events"]);
    }
}
