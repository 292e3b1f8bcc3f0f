//! `impulse triggers tail` and `impulse health`: what a running server decides, and how it is.

use std::io::Write as _;

use clap::{Args, Subcommand};
use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::cli::ask::print_json;
use crate::cli::client::{Server, refused};
use crate::cli::exit::{self, Failure};
use crate::cli::{Format, Output, serve};
use crate::wire::proto;
use crate::wire::proto::trigger_service_client::TriggerServiceClient;

/// The trigger log.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  impulse triggers tail\n  impulse triggers tail --from 0 --no-follow --output json"
)]
pub(crate) enum Triggers {
    /// Print records, one a line: those from a sequence number on, then each new one.
    Tail {
        #[command(flatten)]
        server: Server,
        /// First sequence number; 0 for the oldest kept.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// End after the last record that is there now.
        #[arg(long)]
        no_follow: bool,
    },
}

/// Ask whether a server may be sent work; exits with 69 if not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  impulse health\n  impulse health --to grpc://127.0.0.1:50051")]
pub(crate) struct Health {
    #[command(flatten)]
    server: Server,
}

pub(crate) fn triggers(command: &Triggers, output: Output) -> Result<(), Failure> {
    let Triggers::Tail {
        server,
        from,
        no_follow,
    } = command;
    serve::runtime()?.block_on(async {
        let mut client = TriggerServiceClient::new(server.connect().await?);
        let request = proto::SubscribeRequest {
            from_seq: *from,
            no_follow: *no_follow,
        };
        let answer = client
            .subscribe(request)
            .await
            .map_err(|status| refused(&status))?;
        let mut records = answer.into_inner();
        while let Some(record) = records.next().await {
            let record = record.map_err(|status| refused(&status))?;
            print_trigger(&record.trigger.unwrap_or_default(), output)?;
        }
        Ok(())
    })
}

fn print_trigger(trigger: &proto::Trigger, output: Output) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        return print_json(&mut out, trigger);
    }
    let kind = trigger
        .kind()
        .as_str_name()
        .trim_start_matches("TRIGGER_KIND_")
        .to_lowercase();
    let cart = trigger.cart.clone().unwrap_or_default();
    writeln!(
        out,
        "{:>6}  {kind:<10}  {:<18}  {:<18}  {:<20}  {} items, {:.2} {}",
        trigger.seq,
        trigger.rule,
        trigger.user_id,
        trigger.reason,
        cart.items.len(),
        cart.value,
        cart.currency
    )?;
    Ok(())
}

pub(crate) fn health(command: &Health, output: Output) -> Result<(), Failure> {
    let status = serve::runtime()?.block_on(async {
        let mut client = HealthClient::new(command.server.connect().await?);
        let request = HealthCheckRequest {
            service: "readiness".to_owned(),
        };
        client
            .check(request)
            .await
            .map_err(|status| refused(&status))
    })?;
    let status = status.into_inner().status();
    let ready = status == ServingStatus::Serving;
    let mut out = std::io::stdout().lock();
    if output.format == Format::Json {
        print_json(
            &mut out,
            &serde_json::json!({ "ready": ready, "status": status.as_str_name() }),
        )?;
    } else if ready {
        writeln!(out, "ready")?;
    }
    if ready {
        return Ok(());
    }
    let message = format!(
        "not ready ({}); see /readyz of its HTTP port for the reason",
        status.as_str_name()
    );
    Err(Failure::new(exit::UNAVAILABLE, message))
}
