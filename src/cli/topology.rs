//! `impulse topology`: the topics that a Kafka cluster needs, shown, compared with a cluster, and created.

#[cfg(feature = "kafka")]
mod broker;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, table};
use crate::stream::topology::{Topic, Topology};

/// Most brokers that can hold a copy.
const REPLICATION_MAX: i64 = 16;

/// Show the topics that a Kafka cluster needs, compare them with what it has, create them.
#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// Show the topics: who writes, who reads, how long records are kept.
    Show(Declared),
    /// Compare the topics with those of a cluster; exits with 1 if they differ.
    #[cfg(feature = "kafka")]
    Diff(broker::Diff),
    /// Create what is missing and change what can be changed. If a change would lose records or move keys to other
    /// partitions, nothing at all is done (exit code 65), and it says what to do instead.
    #[cfg(feature = "kafka")]
    Apply(broker::Apply),
}

/// Which topics.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse topology show\n  impulse topology show --file topics.yaml --output json"
)]
pub(crate) struct Declared {
    /// The topics in YAML, as in topology/topics.yaml; without it the built-in ones.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Copies of each record, instead of those in the file: 1 for a cluster of one broker.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=REPLICATION_MAX))]
    replication: Option<u32>,
}

pub(crate) fn run(topics: &Topics, output: Output) -> Result<(), Failure> {
    match topics {
        Topics::Show(declared) => show(declared, output),
        #[cfg(feature = "kafka")]
        Topics::Diff(diff) => broker::diff(diff, output),
        #[cfg(feature = "kafka")]
        Topics::Apply(apply) => broker::apply(apply, output),
    }
}

impl Declared {
    fn read(&self) -> Result<Topology, Failure> {
        let topology = match &self.file {
            Some(file) => read(file)?,
            None => Topology::default(),
        };
        Ok(match self.replication {
            Some(replication) => topology.with_replication(replication),
            None => topology,
        })
    }
}

fn read(file: &Path) -> Result<Topology, Failure> {
    let place = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(exit::NO_INPUT, format!("{place}: {error}")))?;
    Topology::parse(&text).map_err(|error| Failure::new(exit::CONFIG, format!("{place}: {error}")))
}

fn show(declared: &Declared, output: Output) -> Result<(), Failure> {
    let topology = declared.read()?;
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let topics: Vec<_> = topology.topics().iter().map(topic_json).collect();
        writeln!(out, "{}", json!({ "topics": topics }))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = topology.topics().iter().map(row).collect();
    table::write(&mut out, &COLUMNS, &rows)?;
    writeln!(out)?;
    let purposes: Vec<Vec<String>> = topology
        .topics()
        .iter()
        .map(|topic| vec![topic.name.clone(), topic.purpose.clone()])
        .collect();
    table::write(&mut out, &["topic", "purpose"], &purposes)?;
    if !output.quiet {
        writeln!(
            out,
            "\nnext: impulse topology diff --brokers 127.0.0.1:9092"
        )?;
    }
    Ok(())
}

const COLUMNS: [&str; 8] = [
    "topic",
    "key",
    "partitions",
    "copies",
    "retention",
    "cleanup",
    "producer",
    "consumer",
];

fn row(topic: &Topic) -> Vec<String> {
    vec![
        topic.name.clone(),
        topic.key.clone().unwrap_or_else(|| "none".to_owned()),
        topic.partitions.to_string(),
        topic.replication.to_string(),
        retention(topic),
        topic.cleanup.policy().to_owned(),
        topic.producer.clone(),
        topic.consumer.clone(),
    ]
}

fn retention(topic: &Topic) -> String {
    topic
        .retention
        .map_or_else(|| "last of each key".to_owned(), |kept| kept.to_string())
}

fn topic_json(topic: &Topic) -> serde_json::Value {
    json!({
        "topic": topic.name,
        "role": topic.role.name(),
        "key": topic.key,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "minInsync": topic.min_insync,
        "settings": topic.settings(),
        "producer": topic.producer,
        "consumer": topic.consumer,
        "purpose": topic.purpose,
    })
}
