//! Events that wait when the engine starts, and how fast they are worked off.

use std::time::Duration;

use anyhow::Context as _;
use impulse::clock::{Clock, Stopwatch};
use impulse::domain::Millis;
use impulse::shop::{self, Shop, Traffic};
use rdkafka::producer::{BaseProducer, Producer as _};
use serde_json::{Map, Value, json};

use super::bench::{Bench, LOOK, TIMEOUT};
use crate::child::Server;

const SEED: u64 = 7;
/// How long ago the traffic begins: so long that it never reaches the present, beyond which a broker takes no record.
const HISTORY_MS: i64 = 90 * impulse::domain::DAY_MS;
/// Events produced before the clock is looked at again.
const BURST: u32 = 200;

/// A shop whose first events are in the topic.
pub(super) struct Backlog {
    traffic: Traffic,
    producer: BaseProducer,
    produce_seconds: f64,
}

impl Backlog {
    pub(super) fn produce(bench: &Bench<'_>) -> anyhow::Result<Self> {
        let history_ms = Clock::system().now().0 - HISTORY_MS;
        let shop = Shop::new(
            SEED,
            shop::Config {
                items: 10_000,
                today: Millis(history_ms),
            },
        );
        let mut traffic = Traffic::new(&shop, SEED, 50_000, Millis(history_ms));
        let producer = bench.producer(5)?;
        let watch = Stopwatch::start();
        for event in traffic.by_ref().take(bench.options.events) {
            bench.send(&producer, &event)?;
        }
        producer.flush(TIMEOUT)?;
        Ok(Self {
            traffic,
            producer,
            produce_seconds: watch.seconds(),
        })
    }

    /// From the first commit to the last.
    pub(super) fn work_off(
        &self,
        bench: &Bench<'_>,
        server: &Server,
    ) -> anyhow::Result<Map<String, Value>> {
        let events = bench.options.events as u64;
        let consumer = bench.consumer()?;
        let started = Stopwatch::start();
        let mut first = None;
        loop {
            let committed = bench.committed(&consumer)?;
            if committed > 0 && first.is_none() {
                first = Some((committed, Stopwatch::start(), server.cpu_seconds()?));
            }
            if committed >= events {
                break;
            }
            anyhow::ensure!(
                started.elapsed() < Duration::from_mins(10),
                "{committed} of {events} events after ten minutes"
            );
            std::thread::sleep(LOOK);
        }
        let (before, watch, cpu) = first.context("nothing was committed")?;
        let applied = events.saturating_sub(before).max(1);
        let seconds = watch.seconds();
        let cpu_us = (server.cpu_seconds()? - cpu) * 1e6 / applied as f64;
        let figures = [
            ("events", json!(events)),
            ("produce_seconds", json!(self.produce_seconds)),
            ("start_to_all_seconds", json!(started.seconds())),
            (
                "events_per_second",
                json!((applied as f64 / seconds).round()),
            ),
            ("server_cpu_us_per_event", json!(cpu_us)),
        ];
        Ok(figures
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect())
    }

    /// Produces further events at the rate until `enough` says so or the time is over.
    pub(super) fn go_on(
        &mut self,
        bench: &Bench<'_>,
        time: Duration,
        mut enough: impl FnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let mut sent = 0_u32;
        while watch.elapsed() < time && !enough()? {
            let due = watch.seconds() * f64::from(bench.options.rate);
            if f64::from(sent) > due {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            for event in self.traffic.by_ref().take(BURST as usize) {
                bench.send(&self.producer, &event)?;
            }
            self.producer.poll(Duration::ZERO);
            sent = sent.saturating_add(BURST);
        }
        Ok(())
    }
}
