//! Events as fast as they are taken, until they are as durable as configured.

use clap::Args;
use impulse::clock::Stopwatch;
use impulse::domain::Millis;
use impulse::shop::{self, Shop, Traffic};
use impulse::wire::proto::event_service_client::EventServiceClient;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::child::Server;
use crate::report::{self, Steal};
use crate::serving::next_batch;

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many events.
    #[arg(long, default_value_t = 2_000_000)]
    events: usize,
    /// `os` or `sync`.
    #[arg(long, default_value = "os")]
    durability: String,
    /// Batches under way.
    #[arg(long, default_value_t = 4)]
    in_flight: usize,
}

impl Options {
    pub(crate) fn smoke() -> Self {
        Self {
            events: 50_000,
            durability: "os".to_owned(),
            in_flight: 4,
        }
    }
}

const SEED: u64 = 7;
const BATCH: usize = 1_000;
const START: Millis = Millis(1_700_000_000_000);

pub(crate) async fn run(options: &Options, json: bool) -> anyhow::Result<()> {
    let since = Steal::look();
    let server = Server::impulse(&options.durability)?;
    let shop = Shop::new(
        SEED,
        shop::Config {
            items: 10_000,
            today: START,
        },
    );
    let mut traffic = Traffic::new(&shop, SEED, 50_000, START);
    let batches: Vec<_> = (0..options.events.div_ceil(BATCH))
        .map(|_| next_batch(&mut traffic, BATCH))
        .collect();
    let sent = batches.len() * BATCH;
    let mut client = EventServiceClient::connect(server.address.clone()).await?;
    let (sender, receiver) = mpsc::channel(options.in_flight);
    let mut answers = client
        .stream_events(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    let cpu_before = server.cpu_seconds()?;
    let watch = Stopwatch::start();
    let sending = tokio::spawn(async move {
        for batch in batches {
            if sender.send(batch).await.is_err() {
                return;
            }
        }
    });
    let mut accepted = 0_u64;
    while let Some(answer) = answers.next().await.transpose()? {
        accepted += u64::from(answer.accepted);
    }
    sending.await?;
    let seconds = watch.seconds();
    let cpu = server.cpu_seconds()? - cpu_before;
    let figures = json!({
        "durability": options.durability,
        "events": sent,
        "accepted": accepted,
        "seconds": seconds,
        "events_per_second": (accepted as f64 / seconds).round(),
        "server_cpu_us_per_event": cpu * 1e6 / accepted.max(1) as f64,
    });
    report::print("ingest", figures, since, json)
}
