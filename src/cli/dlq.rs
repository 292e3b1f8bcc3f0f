//! `impulse dlq`: what a server refused, and why.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, http, serve, table};

/// Look at what a server refused.
#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// List refused messages, oldest first.
    List(List),
}

/// List refused messages, oldest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  impulse dlq list\n  impulse dlq list --from 101 --limit 500 --output json"
)]
pub(crate) struct List {
    /// First sequence number wanted.
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// How many, at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// The server's HTTP port.
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:8080")]
    http: String,
}

pub(crate) fn run(dlq: &Dlq, output: Output) -> Result<(), Failure> {
    let Dlq::List(list) = dlq;
    let path = format!("/v1/dead-letters?from={}&limit={}", list.from, list.limit);
    let page = serve::runtime()?.block_on(http::get_json(&list.http, &path))?;
    let Some(letters) = page.get("deadLetters").and_then(Value::as_array) else {
        let message = format!("{}{path} answers without `deadLetters`", list.http);
        return Err(Failure::new(exit::UNAVAILABLE, message));
    };
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        for letter in letters {
            writeln!(out, "{letter}")?;
        }
    } else if letters.is_empty() {
        writeln!(out, "nothing was refused from {} on", list.from)?;
    } else {
        table::write(&mut out, &COLUMNS, &rows(letters))?;
        if !output.quiet && letters.len() == list.limit as usize {
            let next = page.get("next").map_or_else(String::new, text);
            writeln!(out, "next: impulse dlq list --from {next}")?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Columns of the table with the fields they show.
const COLUMNS: [&str; 7] = [
    "seq", "received", "source", "stage", "reason", "field", "detail",
];
const FIELDS: [&str; 7] = [
    "seq",
    "receivedAt",
    "source",
    "stage",
    "reason",
    "field",
    "detail",
];

fn rows(letters: &[Value]) -> Vec<Vec<String>> {
    let cell = |letter: &Value, field| letter.get(field).map_or_else(String::new, text);
    letters
        .iter()
        .map(|letter| FIELDS.map(|field| cell(letter, field)).into())
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
