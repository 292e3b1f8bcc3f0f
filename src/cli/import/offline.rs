//! Inputs straight into the log of a data directory that no server has open.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::app;
use crate::cli::exit::{self, Failure};
use crate::cli::import::rejects::Rejects;
use crate::cli::import::send::Totals;
use crate::cli::serve::failure;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{Input, Rejection};
use crate::pipeline::{Batch, Entry, IdleHold, Ingest, Origin, Pipeline, Refused, Status};
use crate::stream::embedded::Repair;
use crate::wire::{event, proto};

/// A data directory that is open for this import alone.
#[derive(Debug)]
pub(super) struct Offline {
    pipeline: Pipeline,
    ingest: Ingest,
    skipped: u64,
    rejects: Arc<Mutex<Rejects>>,
    /// Nothing is abandoned while history is read; the next server finds out what was.
    _hold: IdleHold,
    pub(super) totals: Totals,
}

impl Offline {
    /// Locks the directory and restores its state, as a server does. `skipped` events of the history were left out.
    pub(super) fn open(
        config: &Config,
        skipped: u64,
        rejects: Arc<Mutex<Rejects>>,
    ) -> Result<Self, Failure> {
        let pipeline = app::open(config, &Clock::system(), Repair::Refuse)
            .map_err(|error| failure(error.into()))?;
        let ingest = pipeline.ingest();
        Ok(Self {
            _hold: ingest.hold_idle(),
            ingest,
            pipeline,
            skipped,
            rejects,
            totals: Totals::default(),
        })
    }

    /// Records inputs and waits until they are durable: first the items among them, then the events.
    pub(super) async fn send(&mut self, inputs: Vec<Input>) -> Result<(), Failure> {
        let (events, items): (Vec<Input>, Vec<Input>) = inputs
            .into_iter()
            .partition(|input| matches!(input, Input::Event(_)));
        for inputs in [items, events] {
            if !inputs.is_empty() {
                self.record(inputs).await?;
            }
        }
        Ok(())
    }

    /// Takes a last snapshot and closes the directory.
    pub(super) async fn finish(self) -> Result<Totals, Failure> {
        let Self {
            pipeline, totals, ..
        } = self;
        tokio::task::spawn_blocking(move || pipeline.stop())
            .await
            .map_err(|error| Failure::new(exit::SOFTWARE, error))?;
        Ok(totals)
    }

    async fn record(&mut self, inputs: Vec<Input>) -> Result<(), Failure> {
        let entries = inputs.iter().map(|input| Entry {
            content: Ok(input.clone()),
            raw: None,
        });
        let batch = Batch {
            origin: Origin::Import,
            historical: true,
            entries: entries.collect(),
        };
        let receipt = self.ingest.submit_patiently(batch).await;
        let receipt = receipt.map_err(|refused| self.gave_up(refused))?;
        self.totals.position = self.totals.position.max(receipt.position);
        for (input, status) in inputs.iter().zip(&receipt.statuses) {
            match (input, status) {
                (Input::Event(_), Status::Accepted) => self.totals.accepted += 1,
                (Input::Event(_), Status::Duplicate) => self.totals.duplicates += 1,
                (Input::Event(event), Status::Rejected(why)) => {
                    self.totals.refused += 1;
                    let event = event::to_proto(event);
                    self.rejects.lock().event(&event, &result(why))?;
                }
                (_, Status::Accepted) => self.totals.items += 1,
                (_, Status::Duplicate | Status::Rejected(_)) => {}
            }
        }
        Ok(())
    }

    fn gave_up(&self, refused: Refused) -> Failure {
        let Totals {
            accepted,
            duplicates,
            refused: rejected,
            ..
        } = self.totals;
        let done = self.skipped + accepted + duplicates + rejected;
        let message =
            format!("{refused}; to go on after the events that were kept, add: --skip {done}");
        Failure::new(exit::IO, message)
    }
}

/// What a server would have answered.
fn result(rejection: &Rejection) -> proto::EventResult {
    proto::EventResult {
        reason: rejection.reason.name().to_owned(),
        field: rejection.field.clone(),
        detail: rejection.detail.clone(),
        ..proto::EventResult::default()
    }
}
