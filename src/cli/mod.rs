//! The command line: tables for people, JSON for scripts, and a next step at the end.

mod exit;
mod http;
mod table;
mod client;
mod demo;
mod evaluate;
mod dlq;
mod import;
mod serve;
mod ask;
mod watch;
mod settings;
mod topology;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::exit::Failure;

/// A streaming real-time decision engine for e-commerce.
#[derive(Debug, Parser)]
#[command(
    name = "impulse",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Examples:\n  impulse demo\n  impulse serve --data-dir ./impulse-data\n  impulse recommend --user alice"
)]
pub struct Cli {
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// Tables for people or JSON for scripts.
    #[arg(long = "output", global = true, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// No progress and no hints.
    #[arg(long, global = true)]
    pub quiet: bool,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For scripts: to standard output, and nothing else is.
    Json,
}

/// Where settings come from.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// Settings in TOML; the environment (`IMPULSE__SECTION__KEY`) and flags go before it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve gRPC and HTTP on a data directory.
    Serve(serve::Serve),
    /// Open a shop with simulated visitors: everything embedded, nothing to install.
    Demo(demo::Demo),
    /// Ask for recommendations.
    Recommend(ask::Recommend),
    /// Why an item would be recommended, with the arithmetic.
    Explain(ask::Explain),
    /// What is known of a shopper.
    #[command(subcommand)]
    Profile(ask::Profile),
    /// The trigger log.
    #[command(subcommand)]
    Triggers(watch::Triggers),
    /// Ask whether a server may be sent work.
    Health(watch::Health),
    /// Measure how well the rankers foretell recorded sessions.
    Evaluate(Box<evaluate::Evaluate>),
    /// Feed a server with the history in files.
    Import(import::Import),
    /// Look at what a server refused.
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Show the topics that a Kafka cluster needs, compare them with what it has, create them.
    #[command(subcommand)]
    Topology(topology::Topics),
    /// Check or show the settings.
    #[command(subcommand)]
    Config(settings::Action),
}

/// Runs the command of these arguments.
///
/// # Errors
///
/// A message that says what is wrong and what to do, with the code to exit with.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let output = cli.output;
    match cli.command {
        Command::Serve(serve) => serve::run(&serve, output),
        Command::Demo(demo) => demo::run(demo, output),
        Command::Recommend(command) => ask::recommend(&command, output),
        Command::Explain(command) => ask::explain(&command, output),
        Command::Profile(command) => ask::profile(&command, output),
        Command::Triggers(command) => watch::triggers(&command, output),
        Command::Health(command) => watch::health(&command, output),
        Command::Evaluate(evaluate) => evaluate::run(&evaluate, output),
        Command::Import(import) => import::run(&import, output),
        Command::Dlq(dlq) => dlq::run(&dlq, output),
        Command::Topology(topics) => topology::run(&topics, output),
        Command::Config(action) => settings::run(action, output),
    }
}
