//! `impulse.v1.EventService`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use tonic::{Request, Response, Status, Streaming};

use crate::domain::{Input, Traceparent};
use crate::pipeline::{Batch, Entry, IdleHold, Origin, Receipt, Status as Became};
use crate::server::Error;
use crate::server::connection::stopped;
use crate::server::service::{Context, entry, result, trace_of};
use crate::wire::{BATCH_MAX, event, proto};

use super::codec::Malformed;
use super::stubs::event_service_server::EventService;
use super::{answer, raw};

/// Media type of one event in the dead-letter log.
pub(super) const EVENT_MEDIA_TYPE: &str = "application/protobuf; message=impulse.v1.Event";

/// The service.
pub(super) struct Events(pub(super) Arc<Context>);

#[tonic::async_trait]
impl EventService for Events {
    async fn record_events(
        &self,
        request: Request<raw::Batch>,
    ) -> Result<Response<proto::RecordEventsResponse>, Status> {
        let trace = trace_of(request.metadata().as_ref());
        let batch = request.into_inner();
        check_count(&batch)?;
        let (entries, ids) = entries(batch.entries, trace);
        let receipt = self.0.record(Origin::Grpc, entries).await?;
        let results = ids
            .into_iter()
            .zip(&receipt.statuses)
            .map(|(id, became)| result(id, became))
            .collect();
        Ok(answer(proto::RecordEventsResponse {
            results,
            position: receipt.position,
            durability: self.0.durability().into(),
        }))
    }

    type StreamEventsStream =
        Pin<Box<dyn Stream<Item = Result<proto::StreamEventsResponse, Status>> + Send>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<raw::Batch>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        self.0.health.admit()?;
        let in_flight_max = self.0.config.stream_batches_max;
        let stream = Arc::new(EventStream {
            context: Arc::clone(&self.0),
            hold: Mutex::new(None),
            trace: trace_of(request.metadata().as_ref()),
        });
        let acks = batches(request.into_inner(), &self.0)
            .enumerate()
            .map(move |(number, batch)| {
                let stream = Arc::clone(&stream);
                async move { stream.record(number as u64, batch?).await }
            })
            .buffered(in_flight_max);
        Ok(Response::new(Box::pin(acks)))
    }
}

/// A stream of events under way.
struct EventStream {
    context: Arc<Context>,
    /// Held from the first historical batch to the end of the stream.
    hold: Mutex<Option<IdleHold>>,
    /// Trace of the call.
    trace: Option<Traceparent>,
}

impl EventStream {
    async fn record(
        &self,
        number: u64,
        batch: raw::Batch,
    ) -> Result<proto::StreamEventsResponse, Status> {
        check_count(&batch)?;
        if batch.historical {
            self.hold
                .lock()
                .get_or_insert_with(|| self.context.ingest.hold_idle());
        }
        let (entries, ids) = entries(batch.entries, self.trace);
        let batch = Batch {
            origin: Origin::Grpc,
            historical: batch.historical,
            entries,
        };
        let receipt = self.context.record_patiently(batch).await?;
        Ok(self.acknowledge(number, ids, &receipt))
    }

    fn acknowledge(
        &self,
        batch: u64,
        ids: Vec<String>,
        receipt: &Receipt,
    ) -> proto::StreamEventsResponse {
        let mut ack = proto::StreamEventsResponse {
            batch,
            position: receipt.position,
            durability: self.context.durability().into(),
            ..proto::StreamEventsResponse::default()
        };
        for ((index, became), id) in (0..).zip(&receipt.statuses).zip(ids) {
            match became {
                Became::Accepted => ack.accepted += 1,
                Became::Duplicate => ack.duplicates += 1,
                Became::Rejected(_) => ack.rejected.push(proto::RejectedEvent {
                    index,
                    result: Some(result(id, became)),
                }),
            }
        }
        ack
    }
}

/// The batches of a stream; one that cannot be decoded, or the end of the server, ends it with an error.
fn batches(
    incoming: Streaming<raw::Batch>,
    context: &Arc<Context>,
) -> impl Stream<Item = Result<raw::Batch, Status>> + Send + use<> {
    let begin = Some((incoming, context.stop.clone()));
    let context = Arc::clone(context);
    futures::stream::unfold(begin, move |state| {
        let context = Arc::clone(&context);
        async move {
            let (mut incoming, mut stop) = state?;
            let message = tokio::select! {
                message = incoming.message() => message,
                () = stopped(&mut stop) => Err(shutting_down().into()),
            };
            match message {
                Ok(Some(batch)) => Some((Ok(batch), Some((incoming, stop)))),
                Ok(None) => None,
                Err(status) => {
                    bury_malformed(&context, &status).await;
                    Some((Err(status), None))
                }
            }
        }
    })
}

/// Keeps the bytes of a message of events that could not be decoded.
pub(super) async fn bury_malformed(context: &Context, status: &Status) {
    let Some(Malformed { rejection, bytes }) = Malformed::behind(status) else {
        return;
    };
    let media_type = "application/grpc+proto";
    let buried = context.bury(Origin::Grpc, rejection.clone(), bytes.clone(), media_type);
    if let Err(error) = buried.await {
        tracing::warn!(reason = error.reason(), "a refused message was not kept");
    }
}

/// Reads each event by itself, and its id.
fn entries(events: Vec<Bytes>, trace: Option<Traceparent>) -> (Vec<Entry>, Vec<String>) {
    let mut ids = Vec::with_capacity(events.len());
    let mut entries = Vec::with_capacity(events.len());
    for bytes in events {
        let event = event::decode(&bytes);
        let read = entry(event, trace, bytes.clone(), EVENT_MEDIA_TYPE);
        ids.push(match &read.content {
            Ok(Input::Event(event)) => event.id.to_string(),
            // An event with a wrong value still has an id, and its sender looks for it.
            Ok(_) | Err(_) => event::id_of(&bytes).to_owned(),
        });
        entries.push(read);
    }
    (entries, ids)
}

fn check_count(batch: &raw::Batch) -> Result<(), Error> {
    if batch.count() > BATCH_MAX {
        return Err(Error::too_many("events", batch.count(), BATCH_MAX));
    }
    Ok(())
}

fn shutting_down() -> Error {
    let why = "the server is shutting down; send what was not acknowledged again";
    Error::unavailable("SHUTTING_DOWN", why)
}
