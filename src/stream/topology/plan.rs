//! Compares the topics as declared with those of a cluster, and says for each difference whether it can be mended
//! without losing records or breaking the order of keys.

use std::collections::BTreeMap;

use super::spec::{Topic, Topology};

/// What a cluster has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// How many brokers answer.
    pub brokers: usize,
    /// Its topics by name.
    pub topics: BTreeMap<String, Found>,
}

/// A topic as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its partitions.
    pub partitions: u32,
    /// Copies of the partition that has the fewest.
    pub replication: u32,
    /// Whether a record was ever written to it.
    pub written: bool,
    /// Its settings in force, wherever they come from.
    pub settings: BTreeMap<String, String>,
    /// Those of them that were made for this topic.
    pub own: BTreeMap<String, String>,
}

/// One thing that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: String,
    /// `topic`, `partitions`, `replication` or a setting by its Kafka name.
    pub setting: String,
    /// As declared.
    pub wanted: String,
    /// As it is; `None` if it is not there.
    pub found: Option<String>,
    /// What is to be done.
    pub step: Step,
}

/// What is to be done about a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the topic.
    Create,
    /// Add partitions.
    Grow,
    /// Change the setting.
    Set,
    /// Nothing, because it would do harm or cannot be done.
    Refuse {
        /// What would happen.
        why: String,
        /// What to do instead.
        instead: String,
    },
}

impl Step {
    /// Its name in tables and JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Grow => "add partitions",
            Self::Set => "set",
            Self::Refuse { .. } => "refused",
        }
    }
}

/// Everything in which the cluster differs, in the order of declaration. `force` allows what loses records.
pub fn compare(topology: &Topology, cluster: &Cluster, force: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    for topic in topology.topics() {
        match cluster.topics.get(&topic.name) {
            None => differences.push(missing(topic, cluster.brokers)),
            Some(found) => {
                differences.extend(partitions(topic, found));
                differences.extend(replication(topic, found));
                differences.extend(settings(topic, found, force));
            }
        }
    }
    differences
}

fn missing(topic: &Topic, brokers: usize) -> Difference {
    let step = if topic.replication as usize > brokers {
        Step::Refuse {
            why: format!(
                "{} copies need as many brokers, and {brokers} answered",
                topic.replication
            ),
            instead: format!("start more brokers, or say --replication {brokers}"),
        }
    } else {
        Step::Create
    };
    let wanted = format!(
        "{} partitions of {} copies",
        topic.partitions, topic.replication
    );
    difference(topic, "topic", wanted, None, step)
}

fn partitions(topic: &Topic, found: &Found) -> Option<Difference> {
    let (wanted, has) = (topic.partitions, found.partitions);
    let step = match &topic.key {
        _ if wanted == has => return None,
        _ if wanted < has => Step::Refuse {
            why: "Kafka never takes partitions away".to_owned(),
            instead: format!("declare {has} partitions, or move to a topic of another name"),
        },
        Some(key) if found.written => Step::Refuse {
            why: format!(
                "it holds records, and those of the same {key} would from now on go to another partition"
            ),
            instead: format!(
                "declare {has} partitions, or move to a topic of another name with {wanted}"
            ),
        },
        Some(_) | None => Step::Grow,
    };
    let (wanted, has) = (wanted.to_string(), has.to_string());
    Some(difference(topic, "partitions", wanted, Some(has), step))
}

fn replication(topic: &Topic, found: &Found) -> Option<Difference> {
    let (wanted, has) = (topic.replication, found.replication);
    (wanted != has).then(|| {
        let step = Step::Refuse {
            why: "copies of a topic that is there are moved by Kafka's own tool".to_owned(),
            instead: format!(
                "move them with kafka-reassign-partitions, or say --replication {has}"
            ),
        };
        difference(
            topic,
            "replication",
            wanted.to_string(),
            Some(has.to_string()),
            step,
        )
    })
}

fn settings(topic: &Topic, found: &Found, force: bool) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (key, wanted) in topic.settings() {
        let has = found.settings.get(key);
        if has.is_some_and(|has| same(key, &wanted, has)) {
            continue;
        }
        let harm = has.and_then(|has| harm(key, &wanted, has));
        let step = match harm {
            Some((why, instead)) if found.written && !force => Step::Refuse { why, instead },
            Some(_) | None => Step::Set,
        };
        differences.push(difference(topic, key, wanted, has.cloned(), step));
    }
    differences
}

/// Whether two values mean the same; a list of policies has no order.
fn same(key: &str, one: &str, other: &str) -> bool {
    let words = |value: &str| {
        let mut words: Vec<String> = value.split(',').map(|word| word.trim().into()).collect();
        words.sort();
        words
    };
    one == other || (key == "cleanup.policy" && words(one) == words(other))
}

/// How a change of this setting loses records that are there, and what to do instead.
fn harm(key: &str, wanted: &str, has: &str) -> Option<(String, String)> {
    match key {
        "retention.ms" | "retention.bytes" => shortens(wanted, has).then(|| {
            (
                "records that are there would be deleted earlier".to_owned(),
                format!("declare what is in force ({key} {has}), or say --force if they may go"),
            )
        }),
        "cleanup.policy" => Some((
            format!("records that are there would be handled as {wanted}, no longer as {has}"),
            "move to a topic of another name, or say --force if records may go".to_owned(),
        )),
        _ => None,
    }
}

/// Below zero means without bound.
fn shortens(wanted: &str, has: &str) -> bool {
    let bound = |value: &str| match value.parse::<i64>() {
        Ok(value) if value >= 0 => value,
        Ok(_) | Err(_) => i64::MAX,
    };
    bound(wanted) < bound(has)
}

fn difference(
    topic: &Topic,
    setting: &str,
    wanted: String,
    found: Option<String>,
    step: Step,
) -> Difference {
    Difference {
        topic: topic.name.clone(),
        setting: setting.to_owned(),
        wanted,
        found,
        step,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Difference, Found, Step, compare};
    use crate::stream::topology::{Retention, Topology};

    const DAY_MS: i64 = 86_400_000;

    /// One topic of four partitions on one broker, keyed by user, kept for seven days.
    fn declared() -> Topology {
        let mut topology = Topology::default().with_replication(1);
        topology.topics.truncate(1);
        topology.topics[0].partitions = 4;
        topology
    }

    /// The same, as a broker has it.
    fn found(written: bool) -> Found {
        let settings = [
            ("cleanup.policy", "delete".to_owned()),
            ("min.insync.replicas", "1".to_owned()),
            ("retention.ms", (7 * DAY_MS).to_string()),
            ("segment.ms", "604800000".to_owned()),
        ];
        Found {
            partitions: 4,
            replication: 1,
            written,
            settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
            ..Found::default()
        }
    }

    fn differences(topology: &Topology, found: Option<Found>, force: bool) -> Vec<Difference> {
        let name = topology.topics[0].name.clone();
        let topics = found
            .into_iter()
            .map(|found| (name.clone(), found))
            .collect();
        compare(topology, &Cluster { brokers: 1, topics }, force)
    }

    /// The only difference.
    fn difference(topology: &Topology, found: Found, force: bool) -> Difference {
        let mut all = differences(topology, Some(found), force);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn is_refused(difference: &Difference) -> bool {
        matches!(difference.step, Step::Refuse { .. })
    }

    #[test]
    fn what_is_as_declared_is_no_difference() {
        assert_eq!(differences(&declared(), Some(found(true)), false), []);
    }

    #[test]
    fn a_missing_topic_is_created_where_there_are_brokers_for_its_copies() {
        assert_eq!(differences(&declared(), None, false)[0].step, Step::Create);
        let three = declared().with_replication(3);
        let Step::Refuse { instead, .. } = &differences(&three, None, true)[0].step else {
            panic!("three copies on one broker");
        };
        assert!(instead.contains("--replication 1"), "{instead}");
    }

    #[test]
    fn partitions_are_never_taken_away() {
        let mut topology = declared();
        topology.topics[0].partitions = 3;
        for written in [false, true] {
            assert!(is_refused(&difference(&topology, found(written), true)));
        }
    }

    #[test]
    fn partitions_are_added_where_no_key_moves() {
        let mut topology = declared();
        topology.topics[0].partitions = 5;
        assert!(is_refused(&difference(&topology, found(true), true)));
        assert_eq!(difference(&topology, found(false), false).step, Step::Grow);
        topology.topics[0].key = None;
        assert_eq!(difference(&topology, found(true), false).step, Step::Grow);
    }

    #[test]
    fn records_are_kept_longer_but_not_shorter() {
        let kept = |retention, force, written| {
            let mut topology = declared();
            topology.topics[0].retention = Some(retention);
            difference(&topology, found(written), force)
        };
        assert_eq!(kept(Retention::Ms(8 * DAY_MS), false, true).step, Step::Set);
        assert_eq!(kept(Retention::Forever, false, true).step, Step::Set);
        assert!(is_refused(&kept(Retention::Ms(6 * DAY_MS), false, true)));
        assert_eq!(kept(Retention::Ms(6 * DAY_MS), true, true).step, Step::Set);
        assert_eq!(
            kept(Retention::Ms(6 * DAY_MS), false, false).step,
            Step::Set
        );
        let mut forever = found(true);
        forever.settings.insert("retention.ms".into(), "-1".into());
        assert!(is_refused(&difference(&declared(), forever, false)));
    }

    #[test]
    fn another_cleanup_needs_force() {
        let mut compacted = found(true);
        let policy = "cleanup.policy".to_owned();
        compacted
            .settings
            .insert(policy.clone(), "compact,delete".into());
        assert!(is_refused(&difference(
            &declared(),
            compacted.clone(),
            false
        )));
        assert_eq!(difference(&declared(), compacted, true).step, Step::Set);
        assert!(super::same(&policy, "compact,delete", "delete,compact"));
    }

    #[test]
    fn a_setting_that_harms_nothing_is_set() {
        let mut topology = declared();
        topology.topics[0]
            .config
            .insert("segment.ms".into(), "1000".into());
        let set = difference(&topology, found(true), false);
        assert_eq!(
            (set.found.as_deref(), set.step),
            (Some("604800000"), Step::Set)
        );
    }

    #[test]
    fn copies_are_left_to_kafkas_own_tool() {
        let mut twice = found(false);
        twice.replication = 2;
        assert!(is_refused(&difference(&declared(), twice, true)));
    }
}
