//! `impulse dlq`: what was refused, and why; and putting it back when the reason is gone.

#[cfg(feature = "kafka")]
mod kafka;
mod server;

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::client::Server;
use crate::cli::exit::Failure;
use crate::cli::{Format, Output, serve, table};

/// Look at what was refused, and put it back.
#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// List refused messages, oldest first.
    List(List),
    /// Put refused messages back, after what was wrong with them is mended: a clock, a limit, a decoder.
    Replay(Replay),
}

/// Which messages.
#[derive(Debug, Args)]
struct Which {
    /// First sequence number wanted; of a topic, the first offset in each partition.
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// How many, at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Only those refused for this reason, such as `too_old`.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// The server's HTTP port.
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:8080")]
    http: String,
    #[cfg(feature = "kafka")]
    #[command(flatten)]
    topic: kafka::Topic,
}

/// List refused messages, oldest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse dlq list\n  impulse dlq list --from 101 --limit 500 --output json\n  impulse dlq list --brokers 127.0.0.1:9092 --reason malformed_json"
)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
}

/// Put refused messages back under their own event ids: what was taken before is a duplicate. What is still wrong is
/// refused again.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse dlq replay --reason too_old --limit 1000\n  impulse dlq replay --dry-run\n  impulse dlq replay --brokers 127.0.0.1:9092 --reason clock_skew"
)]
pub(crate) struct Replay {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    server: Server,
    /// Say what would be put back, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What became of the messages that were put back.
#[derive(Clone, Copy, Debug, Default)]
struct Replayed {
    /// Taken by the server, or by the topic.
    accepted: usize,
    /// Known before.
    duplicates: usize,
    /// Refused again, or not readable as an event.
    refused: usize,
}

pub(crate) fn run(dlq: &Dlq, output: Output) -> Result<(), Failure> {
    match dlq {
        #[cfg(feature = "kafka")]
        Dlq::List(List { which }) if which.topic.is_given() => kafka::list(which, output),
        #[cfg(feature = "kafka")]
        Dlq::Replay(replay) if replay.which.topic.is_given() => kafka::replay(replay, output),
        Dlq::List(List { which }) => serve::runtime()?.block_on(server::list(which, output)),
        Dlq::Replay(replay) => serve::runtime()?.block_on(server::replay(replay, output)),
    }
}

impl Which {
    fn wants(&self, reason: &str) -> bool {
        self.reason.as_ref().is_none_or(|wanted| wanted == reason)
    }
}

/// Prints letters, and how the next page is asked for if there is one.
fn show(
    letters: &[Value],
    columns: &[&str],
    fields: &[&str],
    next: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        for letter in letters {
            writeln!(out, "{letter}")?;
        }
    } else if letters.is_empty() {
        writeln!(out, "nothing was refused from there on")?;
    } else {
        table::write(&mut out, columns, &rows(letters, fields))?;
        if let Some(next) = next.filter(|_| !output.quiet) {
            writeln!(out, "next: {next}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Prints what became of what was put back.
fn tell(replayed: Replayed, output: Output) -> Result<(), Failure> {
    let Replayed {
        accepted,
        duplicates,
        refused,
    } = replayed;
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        let told = serde_json::json!({
            "accepted": accepted, "duplicates": duplicates, "refused": refused,
        });
        writeln!(out, "{told}")?;
    } else {
        writeln!(
            out,
            "{accepted} put back, {duplicates} known before, {refused} refused again"
        )?;
        if refused > 0 && !output.quiet {
            writeln!(out, "next: impulse dlq list")?;
        }
    }
    out.flush()?;
    Ok(())
}

fn rows(letters: &[Value], fields: &[&str]) -> Vec<Vec<String>> {
    let cell = |letter: &Value, field: &&str| letter.get(*field).map_or_else(String::new, text);
    letters
        .iter()
        .map(|letter| fields.iter().map(|field| cell(letter, field)).collect())
        .collect()
}

/// A value as it is read; canonical JSON has numbers of 64 bits in quotes.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.escape_debug().to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}
