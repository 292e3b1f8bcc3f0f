//! From a trigger's being due to its being read by somebody who reads only what is committed.
//!
//! Each cart is left lying after one event. Its trigger is due when the time of its partition reaches the deadline, and
//! that time is the newest event's less what events may be out of order. So under steady traffic the moment is known
//! beforehand: deadline plus that bound. The wait for the next event of the partition counts against the engine; it is
//! shown beside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use impulse::clock::{Clock, Deadline, Stopwatch};
use impulse::domain::{Event, EventKind, Id, Millis};
use impulse::wire::proto::{Trigger, TriggerKind};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, Producer as _};
use serde_json::{Value, json};

use super::Options;
use super::bench::{Bench, LOOK, TIMEOUT};
use crate::child::Server;
use crate::report;

/// Silence that makes a cart abandoned.
const WAIT: Duration = Duration::from_secs(2);
/// What events may be out of order, as the engine has it by default.
const OUT_OF_ORDERNESS_MS: i64 = 5_000;
/// Traffic without carts before the first, while connections are made, and after the last, until all have spoken.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(10);
/// How long the last triggers may take when there is no traffic any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Shoppers who only look around.
const VISITORS: u64 = 10_000;

pub(super) async fn run(options: &Options) -> anyhow::Result<Value> {
    anyhow::ensure!(
        options.due_carts > 0 && options.due_carts <= options.due_rate,
        "--due-carts is {}, expected 1 to the {} events a second of --due-rate",
        options.due_carts,
        options.due_rate
    );
    let bench = Bench::new(options, "due").await?;
    let rules = tempfile::NamedTempFile::new()?;
    let wait = format!("- rule: cart_abandonment\n  wait: {}s\n", WAIT.as_secs());
    std::fs::write(rules.path(), wait)?;
    let path = rules.path().to_str().context("a path of another kind")?;
    let server = bench.serve(&[("IMPULSE__TOPOLOGY__TRIGGERS", path)])?;
    until_ready(&server)?;

    let open = Arc::new(AtomicBool::new(true));
    let listener = {
        let (reader, open) = (bench.reader("triggers")?, Arc::clone(&open));
        std::thread::spawn(move || listen(&reader, &open))
    };
    let sent = Steady::new(&bench)?.run();
    open.store(false, Ordering::Release);
    let heard = listener.join();
    let sent = sent?;
    let heard = heard.map_err(|_| anyhow::anyhow!("the listener ended early"))??;
    let own = server.get("/metrics")?;
    drop(server);
    bench.remove_topics().await?;
    Ok(json!({
        "rate": options.due_rate,
        "carts": sent.carts,
        "fires": heard.fires.len(),
        "repeated": heard.repeated,
        "before_due": heard.early,
        "subtracted_ms": OUT_OF_ORDERNESS_MS,
        "producer_behind_ms_max": sent.behind_ms_max,
        "due_to_read": report::percentiles(&heard.due_to_read),
        "of_it_until_next_event": report::percentiles(&heard.due_to_event),
        "engine_step_to_committed": of_the_engine(&own, "impulse_trigger_delay_seconds"),
        "engine_event_to_servable": of_the_engine(&own, "impulse_event_to_servable_seconds"),
        "engine_transaction_mean_us": mean_us(&own, "impulse_kafka_transaction_seconds"),
    }))
}

fn until_ready(server: &Server) -> anyhow::Result<()> {
    let end = Deadline::after(TIMEOUT);
    while !server.get("/readyz")?.starts_with("HTTP/1.1 200") {
        anyhow::ensure!(!end.has_passed(), "{}", server.get("/readyz")?);
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Events at their moments, whatever became of those before.
struct Steady<'a> {
    bench: &'a Bench<'a>,
    producer: BaseProducer,
    clock: Clock,
}

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    carts: u64,
    /// How late an event was sent, at most: that counts against the engine.
    behind_ms_max: i64,
}

impl<'a> Steady<'a> {
    fn new(bench: &'a Bench<'a>) -> anyhow::Result<Self> {
        Ok(Self {
            producer: bench.producer(0)?,
            clock: Clock::system(),
            bench,
        })
    }

    fn run(&self) -> anyhow::Result<Sent> {
        let options = self.bench.options;
        let rate = u64::from(options.due_rate);
        let carts = Duration::from_secs(u64::from(options.due_seconds));
        let begin = BEFORE.as_secs() * rate;
        let end = begin + carts.as_secs() * rate;
        let all = end + AFTER.as_secs() * rate;
        let every = rate / u64::from(options.due_carts);
        let start = self.clock.now();
        let watch = Stopwatch::start();
        let mut sent = Sent::default();
        for number in 0..all {
            let due = Duration::from_nanos(number.saturating_mul(1_000_000_000) / rate);
            std::thread::sleep(due.saturating_sub(watch.elapsed()));
            let at = start + i64::try_from(due.as_millis())?;
            let is_cart = (begin..end).contains(&number) && number.is_multiple_of(every);
            sent.carts += u64::from(is_cart);
            sent.behind_ms_max = sent.behind_ms_max.max(self.clock.now().since(at));
            self.bench
                .send(&self.producer, &event(number, is_cart, at))?;
            self.producer.poll(Duration::ZERO);
        }
        self.producer.flush(TIMEOUT)?;
        Ok(sent)
    }
}

fn event(number: u64, is_cart: bool, at: Millis) -> Event {
    let (kind, user) = if is_cart {
        (EventKind::AddToCart, format!("cart-{number}"))
    } else {
        // A step that is prime to their number, so that neighbours do not follow each other.
        let visitor = number.wrapping_mul(7_919) % VISITORS;
        (EventKind::ProductView, format!("visitor-{visitor}"))
    };
    Event {
        kind,
        id: Id::from(format!("event-{number}").as_str()),
        user: Id::from(user.as_str()),
        session: Id::default(),
        item: Id::from(format!("item-{}", number % 1_000).as_str()),
        quantity: 1,
        price: None,
        created: Some(at),
        sent: None,
        details: None,
    }
}

/// What came.
struct Heard {
    fires: BTreeSet<String>,
    repeated: u64,
    /// Read before they were due: then the definition would be wrong.
    early: u64,
    due_to_read: Histogram<u64>,
    due_to_event: Histogram<u64>,
}

/// Reads until nothing comes any more after the end of the traffic.
fn listen(reader: &BaseConsumer, open: &AtomicBool) -> anyhow::Result<Heard> {
    let clock = Clock::system();
    let mut heard = Heard {
        fires: BTreeSet::new(),
        repeated: 0,
        early: 0,
        due_to_read: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        due_to_event: Histogram::new_with_bounds(1, 600_000_000, 3)?,
    };
    let mut last = Stopwatch::start();
    while open.load(Ordering::Acquire) || last.elapsed() < PATIENCE {
        let Some(message) = reader.poll(LOOK) else {
            continue;
        };
        let read = clock.now();
        last = Stopwatch::start();
        let message = message?;
        let trigger: Trigger = serde_json::from_slice(message.payload().unwrap_or_default())?;
        if trigger.kind() == TriggerKind::Fire {
            heard.hear(trigger, read)?;
        }
    }
    Ok(heard)
}

impl Heard {
    fn hear(&mut self, trigger: Trigger, read: Millis) -> anyhow::Result<()> {
        let deadline = trigger.deadline.context("a FIRE without deadline")?;
        let fired = trigger.fired_at.context("a FIRE without its time")?;
        let ms = |seconds: i64, nanos: i32| seconds * 1_000 + i64::from(nanos / 1_000_000);
        let due = Millis(ms(deadline.seconds, deadline.nanos) + OUT_OF_ORDERNESS_MS);
        let event = Millis(ms(fired.seconds, fired.nanos) + OUT_OF_ORDERNESS_MS);
        self.early += u64::from(read < due);
        let micros = |ms: i64| u64::try_from(ms.max(0)).unwrap_or(0) * 1_000;
        self.due_to_read.saturating_record(micros(read.since(due)));
        self.due_to_event
            .saturating_record(micros(event.since(due)));
        let is_new = self.fires.insert(trigger.trigger_id);
        self.repeated += u64::from(!is_new);
        Ok(())
    }
}

/// What the engine itself says in a histogram: percentiles as upper edges of its buckets.
fn of_the_engine(metrics: &str, name: &str) -> Value {
    let series = |suffix: &str| {
        let name = format!("{name}_{suffix}{{");
        metrics
            .lines()
            .filter(move |line| line.starts_with(&name))
            .filter_map(|line| {
                let (labels, value) = line.rsplit_once(' ')?;
                Some((labels, value.parse::<f64>().ok()?))
            })
            .collect::<Vec<_>>()
    };
    let only = |suffix: &str| series(suffix).first().map_or(0.0, |(_, value)| *value);
    let (count, sum) = (only("count"), only("sum"));
    let below = |share: f64| {
        let buckets = series("bucket");
        let bucket = buckets.iter().find(|(_, below)| *below >= count * share)?;
        let (_, edge) = bucket.0.rsplit_once("le=\"")?;
        edge.split('"').next()?.parse::<f64>().ok()
    };
    json!({
        "count": count,
        "mean_us": (sum / count.max(1.0) * 1e6).round(),
        "p50_us_at_most": below(0.5).map(|edge| edge * 1e6),
        "p99_us_at_most": below(0.99).map(|edge| edge * 1e6),
    })
}

/// The mean of a histogram without labels.
fn mean_us(metrics: &str, name: &str) -> Option<f64> {
    let of = |suffix: &str| {
        let series = format!("{name}_{suffix} ");
        let mut lines = metrics.lines();
        lines.find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok())
    };
    Some((of("sum")? / of("count")?.max(1.0) * 1e6).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_edges_that_hold_them() {
        let metrics = "impulse_trigger_delay_seconds_bucket{rule=\"r\",le=\"0.05\"} 60\n\
            impulse_trigger_delay_seconds_bucket{rule=\"r\",le=\"0.15\"} 99\n\
            impulse_trigger_delay_seconds_bucket{rule=\"r\",le=\"+Inf\"} 100\n\
            impulse_trigger_delay_seconds_sum{rule=\"r\"} 5\n\
            impulse_trigger_delay_seconds_count{rule=\"r\"} 100\n";
        let found = of_the_engine(metrics, "impulse_trigger_delay_seconds");
        assert_eq!(found["count"], 100.0);
        assert_eq!(found["mean_us"], 50_000.0);
        assert_eq!(found["p50_us_at_most"], 50_000.0);
        assert_eq!(found["p99_us_at_most"], 150_000.0);
        let metrics = "transaction_seconds_sum 3\ntransaction_seconds_count 2\n";
        assert_eq!(mean_us(metrics, "transaction_seconds"), Some(1_500_000.0));
    }
}
