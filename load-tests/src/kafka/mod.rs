//! Events from a real broker: how fast they are applied exactly once and what that costs, how long a crash keeps them
//! waiting, and how soon after its time a trigger can be read.

mod backlog;
mod bench;
mod crash;
mod due;
mod guarantee;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use self::backlog::Backlog;
use self::bench::Bench;
use self::guarantee::Guarantee;
use crate::report::{self, Steal};

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where a broker is; `topology/kafka/broker up` starts one.
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// What to measure, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["backlog", "crash"])]
    phases: Vec<Phase>,
    /// How many events wait when the engine starts.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Partitions of the events topic.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Events a second while the engine is killed.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// How often it is killed.
    #[arg(long, default_value_t = 5)]
    kills: u32,
    /// Time between transactions, in milliseconds.
    #[arg(long, default_value_t = 100)]
    interval_ms: u64,
    /// Events a second while triggers are waited for.
    #[arg(long, default_value_t = 5_000)]
    due_rate: u32,
    /// Carts a second that are left lying then.
    #[arg(long, default_value_t = 100)]
    due_carts: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 60)]
    due_seconds: u32,
    /// Guarantees to compare, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["exactly_once", "at_least_once"])]
    guarantees: Vec<Guarantee>,
    /// How often the backlog is worked off under each of them.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// A backlog worked off.
    Backlog,
    /// kill -9 while events come, on the state that a backlog left.
    Crash,
    /// From a trigger's being due to its being read.
    Due,
    /// The same backlog under one guarantee and the other, alternately.
    Guarantee,
}

pub(crate) async fn run(options: &Options, json: bool) -> anyhow::Result<()> {
    let since = Steal::look();
    let asked = |phase| options.phases.contains(&phase);
    let mut figures = Map::new();
    figures.insert("partitions".to_owned(), json!(options.partitions));
    figures.insert(
        "transaction_interval_ms".to_owned(),
        json!(options.interval_ms),
    );
    if asked(Phase::Backlog) || asked(Phase::Crash) {
        let bench = Bench::new(options, "backlog").await?;
        let mut backlog = Backlog::produce(&bench)?;
        let server = bench.serve(&[])?;
        figures.extend(backlog.work_off(&bench, &server)?);
        if asked(Phase::Crash) {
            let outages = crash::kill_again_and_again(&bench, server, &mut backlog)?;
            figures.insert("kills".to_owned(), outages);
        }
        bench.remove_topics().await?;
    }
    if asked(Phase::Due) {
        figures.insert("due".to_owned(), due::run(options).await?);
    }
    if asked(Phase::Guarantee) {
        figures.insert("guarantees".to_owned(), guarantee::run(options).await?);
    }
    report::print("kafka", Value::Object(figures), since, json)
}
