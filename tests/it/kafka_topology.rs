//! The topics of `topology/topics.yaml` on a real broker: what is missing is made, what would lose records is refused.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{Broker, unique};

/// A file of topics of its own on the broker of the tests.
struct Case {
    broker: &'static Broker,
    folder: TempDir,
    events: String,
    snapshots: String,
}

impl Case {
    fn new() -> Option<Self> {
        Some(Self {
            broker: Broker::shared()?,
            folder: tempfile::tempdir().unwrap(),
            events: unique("events"),
            snapshots: unique("snapshots"),
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("topics.yaml")
    }

    /// Two topics of so many partitions, the events kept for so long.
    fn declare(&self, partitions: u32, retention: &str) {
        let Self {
            events, snapshots, ..
        } = self;
        let text = format!(
            "- {{ topic: {events}, role: events, key: user id, partitions: {partitions}, replication: 3, min_insync: 2,
    retention: {retention}, cleanup: delete, producer: shop, consumer: impulse, purpose: Input. }}
- {{ topic: {snapshots}, role: snapshots, key: chunk, partitions: {partitions}, replication: 3, min_insync: 2,
    cleanup: compact, config: {{ segment.ms: 60000 }}, producer: impulse, consumer: impulse, purpose: State. }}
"
        );
        fs::write(self.file(), text).unwrap();
    }

    fn topology(&self, action: &str, further: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_impulse"))
            .args(["topology", action, "--brokers", self.broker.bootstrap()])
            .args(["--replication", "1", "--output", "json", "--file"])
            .arg(self.file())
            .args(further)
            .output()
            .unwrap()
    }

    /// Exit code and answer of `impulse topology diff`.
    fn diff(&self) -> (Option<i32>, Value) {
        answer(&self.topology("diff", &[]))
    }

    /// Exit code and answer of `impulse topology apply`.
    fn apply(&self, further: &[&str]) -> (Option<i32>, Value) {
        answer(&self.topology("apply", further))
    }

    /// What Kafka's own tool says of the events.
    fn described(&self) -> String {
        let servers = self.broker.bootstrap();
        let tool = ["tool", "TopicCommand", "--bootstrap-server", servers];
        let asked = ["--describe", "--topic", self.events.as_str()];
        self.broker.run(&[tool.as_slice(), &asked].concat())
    }

    fn write_a_record(&self) {
        let properties = format!("bootstrap.servers={}", self.broker.bootstrap());
        self.broker.run(&[
            "tool",
            "ProducerPerformance",
            "--topic",
            &self.events,
            "--num-records",
            "1",
            "--record-size",
            "10",
            "--throughput",
            "-1",
            "--producer-props",
            &properties,
        ]);
    }
}

fn answer(output: &Output) -> (Option<i32>, Value) {
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON, {error}: {output:?}"));
    (output.status.code(), answer)
}

/// `what` and `step` of each line of an answer.
fn steps<'a>(answer: &'a Value, list: &str) -> Vec<(&'a str, &'a str)> {
    let lines = answer[list].as_array().unwrap().iter();
    lines
        .map(|line| {
            (
                line["what"].as_str().unwrap(),
                line["step"].as_str().unwrap(),
            )
        })
        .collect()
}

#[test]
fn topics_are_created_as_declared() {
    let Some(case) = Case::new() else { return };
    case.declare(3, "7d");
    let (code, answer) = case.diff();
    assert_eq!(code, Some(1));
    let missing = [("topic", "create"), ("topic", "create")];
    assert_eq!(steps(&answer, "differences"), missing);
    let (code, answer) = case.apply(&[]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(steps(&answer, "steps"), missing);
    let described = case.described();
    for word in [
        "PartitionCount: 3",
        "ReplicationFactor: 1",
        "retention.ms=604800000",
    ] {
        assert!(described.contains(word), "no {word} in {described}");
    }
    assert_eq!(
        case.diff(),
        (
            Some(0),
            serde_json::json!({ "same": true, "differences": [] })
        )
    );
    assert_eq!(case.apply(&[]).0, Some(0));
}

#[test]
fn a_changed_setting_is_set_and_the_others_stay() {
    let Some(case) = Case::new() else { return };
    case.declare(1, "7d");
    assert_eq!(case.apply(&[]).0, Some(0));
    let servers = case.broker.bootstrap();
    let tool = ["tool", "kafka.admin.ConfigCommand"];
    let place = ["--bootstrap-server", servers, "--entity-type", "topics"];
    let change = ["--entity-name", case.events.as_str(), "--alter"];
    let by_hand = ["--add-config", "max.message.bytes=12345"];
    case.broker
        .run(&[tool.as_slice(), &place, &change, &by_hand].concat());
    case.declare(1, "8d");
    let (code, answer) = case.diff();
    assert_eq!(code, Some(1));
    assert_eq!(steps(&answer, "differences"), [("retention.ms", "set")]);
    assert_eq!(case.apply(&[]).0, Some(0));
    let described = case.described();
    assert!(described.contains("retention.ms=691200000"), "{described}");
    assert!(described.contains("max.message.bytes=12345"), "{described}");
    assert_eq!(case.diff().0, Some(0));
}

#[test]
fn partitions_grow_only_while_no_record_was_written() {
    let Some(case) = Case::new() else { return };
    case.declare(2, "7d");
    assert_eq!(case.apply(&[]).0, Some(0));
    case.declare(3, "7d");
    let (code, answer) = case.apply(&[]);
    assert_eq!(code, Some(0), "{answer}");
    let grown = [
        ("partitions", "add partitions"),
        ("partitions", "add partitions"),
    ];
    assert_eq!(steps(&answer, "steps"), grown);
    case.write_a_record();
    case.declare(4, "9d");
    let (code, answer) = case.apply(&["--force"]);
    assert_eq!(code, Some(65));
    assert_eq!(answer["applied"], false);
    let (why, instead) = (&answer["steps"][0]["why"], &answer["steps"][0]["instead"]);
    assert!(why.as_str().unwrap().contains("user id"), "{why}");
    assert!(
        instead.as_str().unwrap().contains("another name"),
        "{instead}"
    );
    let described = case.described();
    assert!(described.contains("PartitionCount: 3"), "{described}");
    assert!(
        described.contains("retention.ms=604800000"),
        "all or nothing: {described}"
    );
    case.declare(2, "7d");
    assert_eq!(
        case.apply(&["--force"]).0,
        Some(65),
        "partitions are never taken away"
    );
}

#[test]
fn records_are_kept_shorter_only_by_force() {
    let Some(case) = Case::new() else { return };
    case.declare(1, "7d");
    assert_eq!(case.apply(&[]).0, Some(0));
    case.write_a_record();
    case.declare(1, "1h");
    let (code, answer) = case.apply(&[]);
    assert_eq!(code, Some(65));
    assert_eq!(steps(&answer, "steps"), [("retention.ms", "refused")]);
    assert!(case.described().contains("retention.ms=604800000"));
    assert_eq!(case.apply(&["--force"]).0, Some(0));
    assert!(case.described().contains("retention.ms=3600000"));
}

#[test]
fn more_copies_than_brokers_are_refused_with_a_way_out() {
    let Some(case) = Case::new() else { return };
    case.declare(1, "7d");
    let output = Command::new(env!("CARGO_BIN_EXE_impulse"))
        .args([
            "topology",
            "apply",
            "--brokers",
            case.broker.bootstrap(),
            "--file",
        ])
        .arg(case.file())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("--replication 1"), "{said}");
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_impulse"))
        .args([
            "topology",
            "diff",
            "--brokers",
            "127.0.0.1:1",
            "--timeout",
            "2s",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    for word in ["127.0.0.1:1", "refused", "topology/kafka/broker up"] {
        assert!(said.contains(word), "no {word} in {said}");
    }
}

#[test]
fn a_property_that_is_none_is_named_without_its_value() {
    let output = Command::new(env!("CARGO_BIN_EXE_impulse"))
        .args([
            "topology",
            "diff",
            "--brokers",
            "127.0.0.1:1",
            "-X",
            "sasl.passwort=hunter2",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("sasl.passwort") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn the_topics_are_shown_without_a_cluster() {
    let show = |further: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_impulse"))
            .args(["topology", "show"])
            .args(further)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = show(&[]);
    for word in [
        "impulse.events.v1",
        "user id",
        "7d",
        "last of each key",
        "next: impulse topology diff",
    ] {
        assert!(table.contains(word), "no {word} in {table}");
    }
    let json: Value = serde_json::from_str(&show(&["--output", "json"])).unwrap();
    assert_eq!(json["topics"][0]["settings"]["retention.ms"], "604800000");
}

#[test]
fn the_containers_run_the_kafka_that_the_tests_run() {
    let read = |file: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(root.join("topology").join(file)).unwrap()
    };
    let pom = read("kafka/pom.xml");
    let (_, rest) = pom.split_once("<kafka.version>").unwrap();
    let (version, _) = rest.split_once("</kafka.version>").unwrap();
    let compose: Value = serde_saphyr::from_str(&read("compose.yaml")).unwrap();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services["kafka"]["image"],
        format!("apache/kafka:{version}")
    );
    for (name, service) in services {
        assert!(
            service["healthcheck"].is_object(),
            "{name} has no health check"
        );
    }
}
