//! What exactly-once costs: the same backlog worked off with it and without it, alternately in one run.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::Options;
use super::backlog::Backlog;
use super::bench::Bench;

/// What the engine promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Guarantee {
    /// Outputs and position in one transaction.
    ExactlyOnce,
    /// Outputs first, then the position.
    AtLeastOnce,
}

impl Guarantee {
    /// Its value in the settings.
    const fn name(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// What each round gave under one guarantee.
#[derive(Debug)]
struct Rounds {
    guarantee: Guarantee,
    events_per_second: Vec<f64>,
    cpu_us: Vec<f64>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Value> {
    let mut all: Vec<Rounds> = options
        .guarantees
        .iter()
        .map(|guarantee| Rounds {
            guarantee: *guarantee,
            events_per_second: Vec::new(),
            cpu_us: Vec::new(),
        })
        .collect();
    for round in 0..options.rounds {
        // Who begins differs from round to round: the broker grows warmer, and its disk fuller.
        if round > 0 {
            all.reverse();
        }
        for rounds in &mut all {
            let name = rounds.guarantee.name();
            let bench = Bench::new(options, &format!("{name}-{round}")).await?;
            let backlog = Backlog::produce(&bench)?;
            let server = bench.serve(&[("IMPULSE__KAFKA__GUARANTEE", name)])?;
            let figures = backlog.work_off(&bench, &server)?;
            drop(server);
            bench.remove_topics().await?;
            let figure = |name: &str| figures.get(name).and_then(Value::as_f64);
            rounds.events_per_second.extend(figure("events_per_second"));
            rounds.cpu_us.extend(figure("server_cpu_us_per_event"));
        }
    }
    let mut figures = Map::new();
    figures.insert("rounds".to_owned(), json!(options.rounds));
    for rounds in &all {
        figures.insert(rounds.guarantee.name().to_owned(), rounds.figures());
    }
    let of = |guarantee| all.iter().find(|rounds| rounds.guarantee == guarantee);
    if let (Some(exactly), Some(at_least)) =
        (of(Guarantee::ExactlyOnce), of(Guarantee::AtLeastOnce))
    {
        let ratio = median(&exactly.events_per_second) / median(&at_least.events_per_second);
        figures.insert("exactly_once_to_at_least_once".to_owned(), json!(ratio));
    }
    Ok(Value::Object(figures))
}

impl Rounds {
    fn figures(&self) -> Value {
        json!({
            "events_per_second": self.events_per_second,
            "events_per_second_median": median(&self.events_per_second),
            "server_cpu_us_per_event": self.cpu_us,
            "server_cpu_us_per_event_median": median(&self.cpu_us),
        })
    }
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
