//! Takes what arrives, and says what became of it.

use bytes::Bytes;
use http::HeaderMap;

use crate::domain::{Event, Input, Rejection, Traceparent};
use crate::pipeline::{Batch, Durability, Entry, Origin, Receipt, Status};
use crate::server::Error;
use crate::wire::{proto, traceparent};

use super::Context;

impl Context {
    /// Submits entries and waits until they are as durable as configured.
    ///
    /// # Errors
    ///
    /// If they were not taken; none of them is acknowledged then.
    pub(in crate::server) async fn record(
        &self,
        origin: Origin,
        entries: Vec<Entry>,
    ) -> Result<Receipt, Error> {
        self.health.admit()?;
        let batch = Batch {
            origin,
            historical: false,
            entries,
        };
        let submitted = self.ingest.submit(batch).await;
        submitted.map_err(|refused| Error::refused(&refused))
    }

    /// As [`Context::record`] for a batch of a stream: when the queue is full it waits, and so does its sender.
    ///
    /// # Errors
    ///
    /// As [`Context::record`].
    pub(in crate::server) async fn record_patiently(&self, batch: Batch) -> Result<Receipt, Error> {
        self.health.admit()?;
        let submitted = self.ingest.submit_patiently(batch).await;
        submitted.map_err(|refused| Error::refused(&refused))
    }

    /// Puts something that could not be read into the dead-letter log.
    ///
    /// # Errors
    ///
    /// If it was not taken.
    pub(in crate::server) async fn bury(
        &self,
        origin: Origin,
        rejection: Rejection,
        bytes: Bytes,
        media_type: &'static str,
    ) -> Result<(), Error> {
        let entry = Entry {
            content: Err(rejection),
            raw: Some((bytes, media_type)),
        };
        self.record(origin, vec![entry]).await.map(drop)
    }

    /// How safe accepted events are.
    pub(in crate::server) fn durability(&self) -> proto::Durability {
        match self.ingest.durability() {
            Durability::Sync => proto::Durability::Sync,
            Durability::Os => proto::Durability::Os,
        }
    }
}

/// The trace of a call.
pub(in crate::server) fn trace_of(headers: &HeaderMap) -> Option<Traceparent> {
    let values = headers.get_all(traceparent::NAME).iter();
    traceparent::only(values.map(http::HeaderValue::as_bytes))
}

/// An event with its own bytes; the trace of the call is its own unless it names another.
pub(in crate::server) fn entry(
    mut event: Result<Event, Rejection>,
    trace: Option<Traceparent>,
    raw: Bytes,
    media_type: &'static str,
) -> Entry {
    if let (Ok(event), Some(trace)) = (&mut event, trace) {
        let details = event.details.get_or_insert_default();
        details.traceparent.get_or_insert(trace);
    }
    Entry {
        content: event.map(Input::Event),
        raw: Some((raw, media_type)),
    }
}

/// What became of one event.
pub(in crate::server) fn result(event_id: String, status: &Status) -> proto::EventResult {
    let mut result = proto::EventResult {
        event_id,
        ..proto::EventResult::default()
    };
    match status {
        Status::Accepted => result.set_status(proto::EventStatus::Accepted),
        Status::Duplicate => result.set_status(proto::EventStatus::Duplicate),
        Status::Rejected(rejection) => {
            result.set_status(proto::EventStatus::Rejected);
            rejection.reason.name().clone_into(&mut result.reason);
            result.field.clone_from(&rejection.field);
            result.detail.clone_from(&rejection.detail);
        }
    }
    result
}
