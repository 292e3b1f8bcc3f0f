//! Requests at the moments when they are due, whatever became of those before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use impulse::clock::Stopwatch;
use tokio::runtime::Handle;

/// Latencies in microseconds, counted from when each request was due.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Arc<Mutex<Histogram<u64>>>);

impl Latencies {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self(Arc::new(Mutex::new(histogram))))
    }

    pub(crate) fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saturating_record(micros);
    }

    pub(crate) fn histogram(&self) -> Histogram<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Starts `rate * seconds` requests, each at its moment, from a thread of its own, and waits until all have ended.
/// Gives how many failed.
pub(crate) async fn open_loop<F>(
    rate: u32,
    seconds: u32,
    latencies: &Latencies,
    request: impl Fn(u64) -> F + Send + 'static,
) -> anyhow::Result<u64>
where
    F: Future<Output = bool> + Send + 'static,
{
    let runtime = Handle::current();
    let latencies = latencies.clone();
    let total = u64::from(rate) * u64::from(seconds);
    let gap = Duration::from_secs(1) / rate;
    let pacer = move || {
        let watch = Stopwatch::start();
        let mut requests = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
        let mut due = Duration::ZERO;
        for number in 0..total {
            due += gap;
            std::thread::sleep(due.saturating_sub(watch.elapsed()));
            let latencies = latencies.clone();
            let answer = request(number);
            requests.push(runtime.spawn(async move {
                let answered = answer.await;
                latencies.record(watch.elapsed().saturating_sub(due));
                answered
            }));
        }
        requests
    };
    let mut failed = 0;
    for request in tokio::task::spawn_blocking(pacer).await? {
        failed += u64::from(!request.await?);
    }
    Ok(failed)
}
