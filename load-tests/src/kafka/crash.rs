//! How long a kill -9 keeps events waiting.

use std::time::Duration;

use impulse::clock::Stopwatch;
use serde_json::{Value, json};

use super::backlog::Backlog;
use super::bench::{Bench, LOOK, TIMEOUT};
use crate::child::Server;

/// Between kills.
const STEADY: Duration = Duration::from_secs(4);

/// kill -9 and a start, again and again, while events come: how long until positions move again.
pub(super) fn kill_again_and_again(
    bench: &Bench<'_>,
    mut server: Server,
    backlog: &mut Backlog,
) -> anyhow::Result<Value> {
    let consumer = bench.consumer()?;
    let rate = bench.options.rate;
    let mut outages = Vec::new();
    for _ in 0..bench.options.kills {
        backlog.go_on(bench, STEADY, || Ok(false))?;
        let before = bench.committed(&consumer)?;
        drop(server);
        let dead = Stopwatch::start();
        server = bench.serve(&[])?;
        let mut looked = Stopwatch::start();
        backlog.go_on(bench, TIMEOUT, || {
            if looked.elapsed() < LOOK {
                return Ok(false);
            }
            looked = Stopwatch::start();
            // What the dead one committed last may show late, so it must be a quarter of a second more.
            Ok(bench.committed(&consumer)? > before + u64::from(rate / 4))
        })?;
        outages.push(dead.seconds());
    }
    outages.sort_by(f64::total_cmp);
    let median = outages.get(outages.len() / 2).copied().unwrap_or_default();
    Ok(json!({
        "rate": rate,
        "resumed_seconds_median": median,
        "resumed_seconds_max": outages.last(),
    }))
}
