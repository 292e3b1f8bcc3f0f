//! Open-loop load against a server of its own: latency counts from the moment a request was due, not from when it could
//! be sent, so that a stall is seen by everyone it would have kept waiting.

mod child;
mod echo;
mod freshness;
mod ingest;
mod kafka;
mod pace;
mod report;
mod serving;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As in the server.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Open-loop load against an Impulse server that this program starts and stops.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  load-tests smoke\n  load-tests serving --rate 2000 --ingest-rate 50000 --seconds 30"
)]
struct Args {
    /// JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// A few seconds of each.
    Smoke,
    /// Recommendations at a steady rate while events come in, beside an empty service on the same machine.
    Serving(serving::Options),
    /// Events as fast as they are taken, until they are as durable as configured.
    Ingest(ingest::Options),
    /// From an event's being sent to an answer that shows it.
    Freshness(freshness::Options),
    /// Events from a broker: how fast they are applied exactly once, and how long a crash keeps them waiting.
    Kafka(kafka::Options),
    /// The empty service; `serving` starts it.
    #[command(hide = true)]
    Echo {
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.scenario {
        Scenario::Smoke => {
            serving::run(&serving::Options::smoke(), args.json).await?;
            ingest::run(&ingest::Options::smoke(), args.json).await?;
            freshness::run(&freshness::Options::smoke(), args.json).await
        }
        Scenario::Serving(options) => serving::run(&options, args.json).await,
        Scenario::Ingest(options) => ingest::run(&options, args.json).await,
        Scenario::Freshness(options) => freshness::run(&options, args.json).await,
        Scenario::Kafka(options) => kafka::run(&options, args.json).await,
        Scenario::Echo { listen } => echo::serve(listen).await,
    }
}
