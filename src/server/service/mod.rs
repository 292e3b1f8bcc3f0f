//! What the server does, whichever protocol asks: requests and answers are the messages of the protos.

mod check;
mod events;
mod catalog;
mod fields;
mod profiles;
mod recommendations;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::domain::{Event, Position};
use crate::metrics::Metrics;
use crate::pipeline::{Ingest, Views};
use crate::server::figures::AnswerTimes;
use crate::server::limits::Call;
use crate::server::{Config, Error, Health, Logs};

pub(super) use self::events::{entry, result, trace_of};

/// How often a call that waits for a position looks again. The position is one atomic read, and a caller that passes
/// the position of its own acknowledged write does not wait at all.
const POSITION_POLL: Duration = Duration::from_millis(1);

/// What every service works with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) view: Views,
    pub(super) ingest: Ingest,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    pub(super) logs: Option<Logs>,
    pub(super) health: Health,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) answer_times: AnswerTimes,
    /// The figures of the page, made while somebody reads them.
    pub(super) figures: watch::Sender<Value>,
    /// True once streams are to end.
    pub(super) stop: watch::Receiver<bool>,
}

impl Context {
    /// Waits until the state holds `position`.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED` if that does not happen in time; `FAILED_PRECONDITION` if there are many positions.
    async fn reach(&self, position: Position, call: &Call) -> Result<(), Error> {
        if position > 0 && self.logs.is_none() {
            return Err(Error::positions_in_kafka());
        }
        while self.view.position() < position {
            if call.patience().is_zero() {
                return Err(Error::position_not_reached(position, self.view.position()));
            }
            tokio::time::sleep(POSITION_POLL).await;
        }
        Ok(())
    }
}
