//! `impulse evaluate`: how well the rankers foretell recorded sessions.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output};
use crate::engine::items;
use crate::evaluate::{
    Format as Layout, Log, Protocol, RankerKind, ReadError, Report, Settings, evaluate, svg,
};

/// Events walked between two changes of the progress bar.
const PROGRESS_STEP: u64 = 256;

/// Measure how well the rankers foretell the next item of recorded sessions.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse evaluate --train train.tsv --test test.tsv --format session-rec --ranker ddco,transitions\n  impulse evaluate --events events.csv --format retailrocket --prequential --output json"
)]
pub(crate) struct Evaluate {
    /// Learn this file, then predict --test.
    #[arg(
        long,
        value_name = "FILE",
        requires = "test",
        required_unless_present = "events",
        conflicts_with = "events"
    )]
    train: Option<PathBuf>,
    /// Predict every item of every session of this file from the items before it.
    #[arg(long, value_name = "FILE", requires = "train")]
    test: Option<PathBuf>,
    /// Learn and predict this one file, event by event.
    #[arg(long, value_name = "FILE", requires = "prequential")]
    events: Option<PathBuf>,
    /// Predict each event, then learn it.
    #[arg(long, requires = "events")]
    prequential: bool,
    /// Share of --events that is learned before the first prediction.
    #[arg(long, value_name = "SHARE", default_value_t = 0.4, value_parser = share)]
    warmup: f64,
    /// Whether events of --test are learned once they are predicted.
    #[arg(long, value_enum, default_value_t = Switch::Off, conflicts_with = "events")]
    learn: Switch,
    /// Layout of the files: session-rec or retailrocket.
    #[arg(long = "format", value_name = "FORMAT")]
    layout: Layout,
    /// Rankers, separated by commas: ddco, `also_viewed`, transitions, popular.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "ddco"
    )]
    ranker: Vec<RankerKind>,
    /// Predict without the events of the session that are younger than this, as if they arrived late.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    session_lag: std::time::Duration,
    /// Earlier views of a session that a view is paired with [default: 10].
    #[arg(long, value_name = "VIEWS")]
    window: Option<u32>,
    /// Entries in a row of co-occurrence or transitions [default: 100].
    #[arg(long, value_name = "ENTRIES")]
    row_entries_max: Option<u32>,
    /// Draw hit rate and mean reciprocal rank into this SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// No.
    Off,
    /// Yes.
    On,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..1.0).contains(&share) {
        Ok(share)
    } else {
        Err("must be at least 0 and below 1".to_owned())
    }
}

pub(crate) fn run(command: &Evaluate, output: Output) -> Result<(), Failure> {
    let items = command.items()?;
    let protocol = command.protocol()?;
    let bar = progress_bar(command, &protocol, output);
    let mut runs = Vec::new();
    for kind in &command.ranker {
        bar.set_message(kind.name());
        let mut walked = 0_u64;
        runs.extend(evaluate(*kind, &items, &protocol, &mut || {
            walked += 1;
            if walked.is_multiple_of(PROGRESS_STEP) {
                bar.inc(PROGRESS_STEP);
            }
        }));
        bar.inc(walked % PROGRESS_STEP);
    }
    bar.finish_and_clear();
    let report = Report {
        settings: command.settings(&protocol, items),
        runs,
    };
    if let Some(path) = &command.plot {
        std::fs::write(path, svg(&report)).map_err(|error| {
            Failure::new(exit::CANNOT_CREATE, format!("{}: {error}", path.display()))
        })?;
    }
    print(&report, output)
}

impl Evaluate {
    /// Settings of the item rows.
    fn items(&self) -> Result<items::Config, Failure> {
        let mut config = items::Config::default();
        config.window = self.window.unwrap_or(config.window);
        config.row_entries_max = self.row_entries_max.unwrap_or(config.row_entries_max);
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Failure::new(exit::USAGE, problems.join("\n")))
        }
    }

    /// Reads the files.
    fn protocol(&self) -> Result<Protocol, Failure> {
        let mut log = Log::new();
        let mut read = |path: &PathBuf| log.read(path, self.layout).map_err(unreadable);
        let mut protocol = match (&self.train, &self.test, &self.events) {
            (Some(train), Some(test), _) => {
                let train = read(train)?;
                Protocol::split(train, read(test)?, self.learn == Switch::On)
            }
            (_, _, Some(events)) => Protocol::prequential(read(events)?, self.warmup),
            _ => {
                return Err(Failure::new(
                    exit::USAGE,
                    "give --train and --test, or --events and --prequential",
                ));
            }
        };
        protocol.session_lag_ms = i64::try_from(self.session_lag.as_millis()).unwrap_or(i64::MAX);
        Ok(protocol)
    }

    fn settings(&self, protocol: &Protocol, items: items::Config) -> Settings {
        let name = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        Settings {
            version: env!("CARGO_PKG_VERSION"),
            train: name(&self.train),
            test: name(&self.test),
            events: name(&self.events),
            format: self.layout.name(),
            learn: protocol.learn,
            warmup: self.events.is_some().then_some(self.warmup),
            session_lag_ms: protocol.session_lag_ms,
            items,
        }
    }
}

/// A bar on standard error, if that is a terminal and nobody wants it quiet.
fn progress_bar(command: &Evaluate, protocol: &Protocol, output: Output) -> ProgressBar {
    if output.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new((protocol.events.len() * command.ranker.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:12} {wide_bar} {percent}% {eta}") {
        bar.set_style(style);
    }
    bar
}

fn print(report: &Report, output: Output) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match output.format {
        Format::Json => {
            let text = serde_json::to_string(report);
            writeln!(
                out,
                "{}",
                text.map_err(|error| Failure::new(exit::SOFTWARE, error))?
            )?;
        }
        Format::Table => write!(out, "{report}")?,
    }
    out.flush()?;
    Ok(())
}

fn unreadable(error: ReadError) -> Failure {
    let code = if matches!(error, ReadError::Io { .. }) {
        exit::IO
    } else {
        exit::DATA
    };
    Failure::new(code, error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    /// What is said about `arguments`; nothing if they are right.
    fn check(arguments: &str, complaint: &str) {
        let words = ["impulse", "evaluate"]
            .into_iter()
            .chain(arguments.split_whitespace());
        let said =
            Cli::try_parse_from(words).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(
            said.contains(complaint) && said.is_empty() == complaint.is_empty(),
            "{arguments}: {said}"
        );
    }

    #[test]
    fn the_documented_forms_are_understood() {
        check(
            "--train a --test b --format session-rec --learn on --ranker ddco,popular",
            "",
        );
        check(
            "--events a --format retailrocket --prequential --warmup 0.3 --session-lag 60s --plot p.svg",
            "",
        );
    }

    #[test]
    fn wrong_usage_is_explained() {
        check("--format session-rec", "--train");
        check("--train a --format session-rec", "--test");
        check("--events a --format retailrocket", "--prequential");
        check(
            "--events a --format retailrocket --prequential --warmup 1.5",
            "below 1",
        );
        check(
            "--train a --test b --format otto",
            "session-rec, retailrocket",
        );
        check(
            "--train a --test b --format session-rec --ranker ddco+rerank",
            "ddco, also_viewed, transitions, popular",
        );
    }
}
