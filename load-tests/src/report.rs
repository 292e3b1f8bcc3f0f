//! Figures with their conditions: machine, steal time, command.

use std::io::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Share of processor time that the hypervisor took, between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steal {
    stolen: u64,
    total: u64,
}

impl Steal {
    pub(crate) fn look() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let fields: Vec<u64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        Self {
            stolen: fields.get(7).copied().unwrap_or(0),
            total: fields.iter().take(8).sum(),
        }
    }

    /// Per cent since `earlier`.
    pub(crate) fn percent_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        100.0 * self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64
    }
}

/// Percentiles of latencies in microseconds.
pub(crate) fn percentiles(histogram: &Histogram<u64>) -> Value {
    json!({
        "count": histogram.len(),
        "p50_us": histogram.value_at_quantile(0.5),
        "p90_us": histogram.value_at_quantile(0.9),
        "p99_us": histogram.value_at_quantile(0.99),
        "p999_us": histogram.value_at_quantile(0.999),
        "max_us": histogram.max(),
    })
}

/// Prints a scenario's figures with the conditions of the run.
pub(crate) fn print(
    scenario: &str,
    mut figures: Value,
    since: Steal,
    json: bool,
) -> anyhow::Result<()> {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim());
    let command: Vec<String> = std::env::args().skip(1).collect();
    let conditions = json!({
        "scenario": scenario,
        "machine": format!(
            "{} x {model}",
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
        ),
        "steal_percent": (Steal::look().percent_since(since) * 10.0).round() / 10.0,
        "command": format!("load-tests {}", command.join(" ")),
    });
    if let (Some(figures), Value::Object(conditions)) = (figures.as_object_mut(), conditions) {
        figures.extend(conditions);
    }
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{figures}")?;
    } else {
        writeln!(out, "{scenario}")?;
        print_lines(&mut out, &figures, 1)?;
    }
    Ok(())
}

fn print_lines(
    out: &mut impl std::io::Write,
    figures: &Value,
    depth: usize,
) -> std::io::Result<()> {
    let indent = "  ".repeat(depth);
    for (name, value) in figures
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "scenario")
    {
        if value.is_object() {
            writeln!(out, "{indent}{name}")?;
            print_lines(out, value, depth + 1)?;
        } else {
            writeln!(out, "{indent}{name:<22} {value}")?;
        }
    }
    Ok(())
}
