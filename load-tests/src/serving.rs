//! Recommendations at a steady rate while events come in, beside an empty service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use impulse::clock::Stopwatch;
use impulse::domain::Millis;
use impulse::shop::{self, Shop, Traffic};
use impulse::wire;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::recommendation_service_client::RecommendationServiceClient;
use impulse::wire::proto::{RecommendRequest, StreamEventsRequest, UpsertItemsRequest};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::child::Server;
use crate::pace::{Latencies, open_loop};
use crate::report::{self, Steal};

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Recommendations a second.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    /// Events a second meanwhile.
    #[arg(long, default_value_t = 50_000)]
    ingest_rate: u32,
    /// Length of the measurement.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Events before the measurement.
    #[arg(long, default_value_t = 500_000)]
    warmup_events: usize,
    /// Items in the shop.
    #[arg(long, default_value_t = 10_000)]
    items: u32,
    /// Its visitors.
    #[arg(long, default_value_t = 50_000)]
    visitors: u32,
}

impl Options {
    pub(crate) fn smoke() -> Self {
        Self {
            rate: 500,
            ingest_rate: 5_000,
            seconds: 3,
            warmup_events: 20_000,
            items: 1_000,
            visitors: 5_000,
        }
    }
}

const SEED: u64 = 7;
const BATCH: usize = 500;
const START: Millis = Millis(1_700_000_000_000);

pub(crate) async fn run(options: &Options, json: bool) -> anyhow::Result<()> {
    let since = Steal::look();
    let echo = Server::echo()?;
    let server = Server::impulse("os")?;
    let channel = Channel::from_shared(server.address.clone())?
        .connect()
        .await?;
    let nothing = Channel::from_shared(echo.address.clone())?
        .connect()
        .await?;
    let config = shop::Config {
        items: options.items,
        today: START,
    };
    let shop = Shop::new(SEED, config);
    let mut traffic = Traffic::new(&shop, SEED, options.visitors, START);
    load_catalogue(&shop, channel.clone()).await?;
    let asked = Asked {
        users: warm_up(&mut traffic, options.warmup_events, &server).await?,
        empty: HealthClient::new(nothing),
        recommend: RecommendationServiceClient::new(channel),
    };
    let alone = asked.measure(options, &server).await?;
    let (done, sending) = ingest(traffic, options, &server).await?;
    let watch = Stopwatch::start();
    let with_ingest = asked.measure(options, &server).await?;
    let seconds = watch.seconds();
    done.store(true, Ordering::Relaxed);
    let ingested = sending.await??;
    let figures = json!({
        "rate": options.rate,
        "alone": alone,
        "with_ingest": with_ingest,
        "events_per_second": f64::from(u32::try_from(ingested)?) / seconds,
    });
    report::print("serving", figures, since, json)
}

/// Whom to ask, and about whom.
#[derive(Clone)]
struct Asked {
    users: Vec<String>,
    empty: HealthClient<Channel>,
    recommend: RecommendationServiceClient<Channel>,
}

impl Asked {
    /// The empty service, then recommendations, each at the rate asked for.
    async fn measure(
        &self,
        options: &Options,
        server: &Server,
    ) -> anyhow::Result<serde_json::Value> {
        let empty = Latencies::new()?;
        let asked = self.clone();
        open_loop(options.rate, options.seconds, &empty, move |_| {
            let mut client = asked.empty.clone();
            async move { client.check(HealthCheckRequest::default()).await.is_ok() }
        })
        .await?;
        let answers = Latencies::new()?;
        let cpu_before = server.cpu_seconds()?;
        let asked = self.clone();
        let ask = move |number| asked.ask(number);
        let failed = open_loop(options.rate, options.seconds, &answers, ask).await?;
        let (empty, answers) = (empty.histogram(), answers.histogram());
        let ratio = |quantile| {
            let ratio = answers.value_at_quantile(quantile) as f64
                / empty.value_at_quantile(quantile).max(1) as f64;
            (ratio * 100.0).round() / 100.0
        };
        Ok(json!({
            "failed_or_empty": failed,
            "recommend": report::percentiles(&answers),
            "empty_service": report::percentiles(&empty),
            "ratio_p50": ratio(0.5),
            "ratio_p99": ratio(0.99),
            "server_cpu_seconds": server.cpu_seconds()? - cpu_before,
        }))
    }

    /// Whether the answer to request `number` held something.
    fn ask(&self, number: u64) -> impl Future<Output = bool> + Send + use<> {
        let mut client = self.recommend.clone();
        let place = usize::try_from(number).unwrap_or(0) % self.users.len();
        let request = RecommendRequest {
            placement: "home".into(),
            user_id: self.users.get(place).cloned().unwrap_or_default(),
            ..RecommendRequest::default()
        };
        async move {
            let answer = client.recommend(request).await;
            answer.is_ok_and(|answer| !answer.get_ref().items.is_empty())
        }
    }
}

/// Sends the whole catalogue.
pub(crate) async fn load_catalogue(shop: &Shop, channel: Channel) -> anyhow::Result<()> {
    let mut catalog = CatalogServiceClient::new(channel);
    let items: Vec<_> = shop
        .catalogue()
        .map(|patch| wire::item::patch_to_proto(&patch))
        .collect();
    for items in items.chunks(1_000) {
        catalog
            .upsert_items(UpsertItemsRequest {
                items: items.to_vec(),
            })
            .await?;
    }
    Ok(())
}

/// One batch of the shop's traffic.
pub(crate) fn next_batch(traffic: &mut Traffic, size: usize) -> StreamEventsRequest {
    let events = traffic
        .take(size)
        .map(|event| wire::event::to_proto(&event))
        .collect();
    StreamEventsRequest {
        events,
        historical: true,
    }
}

/// Streams events as fast as they are taken; gives shoppers of the last ones.
async fn warm_up(
    traffic: &mut Traffic,
    events: usize,
    server: &Server,
) -> anyhow::Result<Vec<String>> {
    let mut client = EventServiceClient::connect(server.address.clone()).await?;
    let (sender, receiver) = mpsc::channel(4);
    let mut answers = client
        .stream_events(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    let mut users = Vec::new();
    let mut waiting = 0;
    for _ in 0..events.div_ceil(BATCH) {
        let batch = next_batch(traffic, BATCH);
        users.extend(
            batch
                .events
                .iter()
                .take(20)
                .map(|event| event.user_id.clone())
                .filter(|id| !id.is_empty()),
        );
        sender.send(batch).await?;
        waiting += 1;
        if waiting == 4 {
            answers.next().await.transpose()?;
            waiting -= 1;
        }
    }
    drop(sender);
    while answers.next().await.transpose()?.is_some() {}
    let kept = users.len().saturating_sub(5_000);
    users.drain(..kept);
    anyhow::ensure!(!users.is_empty(), "the traffic names no shoppers");
    Ok(users)
}

type Ingesting = (
    Arc<AtomicBool>,
    tokio::task::JoinHandle<anyhow::Result<u64>>,
);

/// Streams events at the rate asked for until the flag is set; gives how many were sent.
async fn ingest(
    mut traffic: Traffic,
    options: &Options,
    server: &Server,
) -> anyhow::Result<Ingesting> {
    let mut client = EventServiceClient::connect(server.address.clone()).await?;
    let (sender, receiver) = mpsc::channel(16);
    let mut answers = client
        .stream_events(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let gap = Duration::from_secs_f64(
        f64::from(u32::try_from(BATCH)?) / f64::from(options.ingest_rate.max(1)),
    );
    // Made beforehand: the generator must not take the processor from the server while it is measured.
    let count = options.ingest_rate as usize * 2 * options.seconds as usize / BATCH + 1;
    let batches: Vec<_> = (0..count)
        .map(|_| next_batch(&mut traffic, BATCH))
        .collect();
    let drain = tokio::spawn(async move { while matches!(answers.next().await, Some(Ok(_))) {} });
    let task = tokio::spawn(async move {
        let mut sent = 0;
        let mut interval = tokio::time::interval(gap);
        for batch in batches {
            interval.tick().await;
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            sent += batch.events.len() as u64;
            sender.send(batch).await?;
        }
        drop(sender);
        drain.await?;
        Ok(sent)
    });
    Ok((stop, task))
}
