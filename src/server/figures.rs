//! What the page shows of the process: a few figures, made once a second while somebody looks.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Stopwatch;
use crate::server::connection::stopped;
use crate::server::service::Context;
use crate::wire::event::{timestamp, watermark};

/// How often the figures are made.
const INTERVAL: Duration = Duration::from_secs(1);
/// Quantiles are of the answers of this many intervals.
const WINDOW_INTERVALS: u32 = 10;
/// The longest answer that is told apart, in microseconds.
const TOOK_US_MAX: u64 = 10_000_000;

/// How long answers took lately.
#[derive(Debug)]
pub(super) struct AnswerTimes(Mutex<Window>);

#[derive(Debug)]
struct Window {
    /// Of this window and of the one before, so that there is never too little to look at.
    current: Option<Histogram<u32>>,
    previous: Option<Histogram<u32>>,
    answers: u64,
}

impl AnswerTimes {
    pub(super) fn new() -> Self {
        // Two digits of microseconds up to ten seconds are 20 kB.
        let empty = Histogram::new_with_bounds(1, TOOK_US_MAX, 2).ok();
        Self(Mutex::new(Window {
            current: empty.clone(),
            previous: empty,
            answers: 0,
        }))
    }

    /// Counts an answer.
    pub(super) fn observe(&self, took_us: u64) {
        let mut window = self.0.lock();
        window.answers += 1;
        if let Some(current) = &mut window.current {
            current.saturating_record(took_us.clamp(1, TOOK_US_MAX));
        }
    }

    /// Answers so far, and the median and 99th percentile of the last ones.
    fn read(&self) -> (u64, u64, u64) {
        let window = self.0.lock();
        let Some(mut both) = window.current.clone() else {
            return (window.answers, 0, 0);
        };
        if let Some(previous) = &window.previous {
            // Both have the same bounds, so nothing is left out.
            both.add(previous).unwrap_or_default();
        }
        let at = |quantile| both.value_at_quantile(quantile);
        (window.answers, at(0.5), at(0.99))
    }

    fn rotate(&self) {
        let mut window = self.0.lock();
        let Window {
            current, previous, ..
        } = &mut *window;
        std::mem::swap(current, previous);
        if let Some(current) = current {
            current.reset();
        }
    }
}

/// Makes the figures until the end; nobody looking costs a comparison a second.
pub(super) async fn run(context: Arc<Context>, figures: watch::Sender<Value>) {
    let mut stop = context.stop.clone();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = (context.view.position(), Stopwatch::start());
    for count in 1_u32.. {
        tokio::select! {
            _ = interval.tick() => {}
            () = stopped(&mut stop) => return,
        }
        if context.health.admit().is_err() {
            continue;
        }
        let position = context.view.position();
        let seconds = last.1.seconds();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = position.saturating_sub(last.0) as f64 / seconds.max(1e-3);
        last = (position, Stopwatch::start());
        if figures.receiver_count() > 0 {
            figures.send_replace(figures_of(&context, rate));
        }
        if count % WINDOW_INTERVALS == 0 {
            context.answer_times.rotate();
        }
    }
}

fn figures_of(context: &Context, events_per_second: f64) -> Value {
    let stats = context.view.stats();
    let (answers, p50, p99) = context.answer_times.read();
    json!({
        "asOf": watermark(context.view.watermark()),
        "now": timestamp(context.clock.now()),
        "speed": context.clock.speed(),
        "position": context.view.position(),
        "freshness": context.health.freshness().as_str_name(),
        "eventsPerSecond": (events_per_second * 10.0).round() / 10.0,
        "answers": answers,
        "tookUsP50": p50,
        "tookUsP99": p99,
        "profiles": stats.profiles,
        "items": stats.items,
        "pairs": stats.pairs,
        "episodesOpen": stats.episodes_open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_this_window_and_the_last() {
        let times = AnswerTimes::new();
        for _ in 0..99 {
            times.observe(20);
        }
        times.observe(5_000);
        let (answers, p50, p99) = times.read();
        assert_eq!((answers, p50, p99), (100, 20, 20));

        times.rotate();
        assert_eq!(times.read().1, 20, "the last window still counts");
        times.rotate();
        assert_eq!(times.read(), (100, 0, 0));
        times.observe(u64::MAX);
        assert!(times.read().2 >= TOOK_US_MAX / 2);
    }
}
