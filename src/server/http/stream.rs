//! What happens, as server-sent events: accepted events, triggers, figures once a second.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};

use crate::clock::Stopwatch;
use crate::domain;
use crate::server::Error;
use crate::server::connection::stopped;
use crate::server::service::Context;
use crate::wire::proto;

use super::openapi::Operation;
use super::{Routes, events};

/// Most events that a reader is sent in a second; a page shows no more, and of the others it is told the number.
const EVENTS_PER_SECOND_MAX: u32 = 300;

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    let summary = "Accepted events, triggers and figures as server-sent events";
    routes.add(Operation::get("/v1/stream", summary).streams(), follow)
}

/// `GET /v1/stream`: events named `event`, `trigger`, `stats`, and `missed` for what a reader was too slow for.
async fn follow(State(context): State<Arc<Context>>) -> Result<Response, Error> {
    context.health.admit()?;
    let mut stop = context.stop.clone();
    let ended = async move { stopped(&mut stop).await };
    let triggers = new_triggers(&context)
        .take_while(|record| std::future::ready(record.is_ok()))
        .filter_map(|record| std::future::ready(record.ok()))
        .map(|record| named("trigger", &record));
    let figures = WatchStream::from_changes(context.figures.subscribe())
        .map(|figures| named("stats", &figures));
    let all = stream::select(stream::select(accepted(&context), triggers), figures)
        .take_until(Box::pin(ended))
        .map(Ok::<_, Infallible>);
    Ok(Sse::new(all)
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// Trigger records from now on; none where they are a topic of Kafka.
fn new_triggers(
    context: &Context,
) -> impl Stream<Item = Result<proto::Trigger, Error>> + Send + use<> {
    let records = context
        .logs()
        .and_then(|logs| context.subscribe(logs.triggers.newest() + 1, true));
    stream::iter(records.ok()).flatten()
}

/// Accepted events, no more in a second than a page can show; the number of those left out follows.
fn accepted(context: &Arc<Context>) -> impl Stream<Item = Event> + Send + use<> {
    let mut second = Stopwatch::start();
    let mut sent = 0;
    let mut missed = 0;
    let missed_total = context.metrics.stream_missed.clone();
    BroadcastStream::new(context.events.subscribe()).flat_map(move |received| {
        let mut said = Vec::new();
        let skipped = match &received {
            Err(BroadcastStreamRecvError::Lagged(skipped)) => *skipped,
            Ok(_) => u64::from(sent >= EVENTS_PER_SECOND_MAX),
        };
        missed += skipped;
        missed_total.inc_by(skipped);
        if second.elapsed().as_secs() > 0 {
            second.lap();
            sent = 0;
            if missed > 0 {
                said.push(named("missed", &json!({"missed": missed})));
                missed = 0;
            }
        }
        if let (Ok(event), 0) = (received, skipped) {
            sent += 1;
            said.push(shopper_event(&event));
        }
        stream::iter(said)
    })
}

fn shopper_event(event: &domain::Event) -> Event {
    named("event", &events::to_json(event))
}

fn named<T: Serialize>(name: &'static str, said: &T) -> Event {
    // Our messages have text keys and finite numbers, so that writing them cannot fail.
    Event::default()
        .event(name)
        .json_data(said)
        .unwrap_or_default()
}
