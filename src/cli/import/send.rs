//! Inputs to a server over gRPC: batches in a stream, a few under way, sent again when the stream breaks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::cli::client::Server;
use crate::cli::exit::{self, Failure};
use crate::cli::import::rejects::Rejects;
use crate::clock::Stopwatch;
use crate::domain::Input;
use crate::wire::proto::catalog_service_client::CatalogServiceClient;
use crate::wire::proto::event_service_client::EventServiceClient;
use crate::wire::{event, item, proto};

/// Batches that were sent and not acknowledged.
const IN_FLIGHT_MAX: usize = 4;
/// How long a server may be away before the import gives up.
const PATIENCE: Duration = Duration::from_mins(1);
/// First pause before another attempt; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What the server said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) refused: u64,
    pub(super) items: u64,
    pub(super) position: u64,
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Sender {
    address: String,
    skipped: u64,
    events: EventServiceClient<Channel>,
    catalog: CatalogServiceClient<Channel>,
    stream: Option<Open>,
    /// Batches that were not acknowledged, oldest first.
    in_flight: VecDeque<Vec<proto::Event>>,
    rejects: Arc<Mutex<Rejects>>,
    pub(super) totals: Totals,
}

/// A stream of batches.
#[derive(Debug)]
struct Open {
    batches: mpsc::Sender<proto::StreamEventsRequest>,
    acks: Streaming<proto::StreamEventsResponse>,
}

impl Sender {
    /// Connects. `skipped` events of the history were left out.
    pub(super) async fn connect(
        server: &Server,
        skipped: u64,
        rejects: Arc<Mutex<Rejects>>,
    ) -> Result<Self, Failure> {
        let channel = server.connect().await?;
        Ok(Self {
            address: server.address.clone(),
            skipped,
            events: EventServiceClient::new(channel.clone()),
            catalog: CatalogServiceClient::new(channel),
            stream: None,
            in_flight: VecDeque::new(),
            rejects,
            totals: Totals::default(),
        })
    }

    /// Sends inputs: first the items among them, then the events. Waits while too many batches are under way.
    pub(super) async fn send(&mut self, inputs: Vec<Input>) -> Result<(), Failure> {
        let mut items = Vec::new();
        let mut events = Vec::with_capacity(inputs.len());
        for input in inputs {
            match input {
                Input::Event(event) => events.push(event::to_proto(&event)),
                Input::ItemUpsert(patch) => items.push(item::patch_to_proto(&patch)),
                Input::ItemDelete(_) | Input::Tick { .. } => {}
            }
        }
        if self.stream.is_none() {
            self.keep_trying(None).await?;
        }
        if !items.is_empty() {
            self.upsert(items).await?;
        }
        if events.is_empty() {
            return Ok(());
        }
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.take_ack().await?;
        }
        self.in_flight.push_back(events);
        let request = self.in_flight.back().map(|events| request(events));
        if let (Some(stream), Some(request)) = (&self.stream, request)
            && stream.batches.send(request).await.is_err()
        {
            // The server has ended the stream; its reason comes in place of the next acknowledgement.
            self.take_ack().await?;
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        while !self.in_flight.is_empty() {
            self.take_ack().await?;
        }
        Ok(())
    }

    /// Waits for the acknowledgement of the oldest batch.
    async fn take_ack(&mut self) -> Result<(), Failure> {
        let answer = match &mut self.stream {
            Some(stream) => stream.acks.message().await,
            None => Ok(None),
        };
        match answer {
            Ok(Some(ack)) => self.account(&ack)?,
            Ok(None) => self.keep_trying(None).await?,
            Err(status) => self.keep_trying(Some(status)).await?,
        }
        Ok(())
    }

    fn account(&mut self, ack: &proto::StreamEventsResponse) -> Result<(), Failure> {
        let batch = self.in_flight.pop_front().unwrap_or_default();
        self.totals.accepted += u64::from(ack.accepted);
        self.totals.duplicates += u64::from(ack.duplicates);
        self.totals.refused += ack.rejected.len() as u64;
        self.totals.position = self.totals.position.max(ack.position);
        for rejected in &ack.rejected {
            let event = batch.get(rejected.index as usize);
            if let (Some(event), Some(result)) = (event, &rejected.result) {
                self.rejects.lock().event(event, result)?;
            }
        }
        Ok(())
    }

    async fn upsert(&mut self, items: Vec<proto::Item>) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        let mut pause = PAUSE;
        loop {
            let request = proto::UpsertItemsRequest {
                items: items.clone(),
            };
            match self.catalog.upsert_items(request).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    self.totals.items += u64::from(answer.upserted);
                    self.totals.position = self.totals.position.max(answer.position);
                    return Ok(());
                }
                Err(status) if may_pass(&status) && watch.elapsed() < PATIENCE => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(status) => return Err(self.gave_up(&status)),
            }
        }
    }

    /// Opens a stream and sends again what was not acknowledged, until that works or the patience is at its end.
    /// Events that had arrived nevertheless are known by their ids.
    async fn keep_trying(&mut self, mut why: Option<Status>) -> Result<(), Failure> {
        let watch = Stopwatch::start();
        let mut pause = PAUSE;
        loop {
            if let Some(status) = why.take() {
                if !may_pass(&status) || watch.elapsed() > PATIENCE {
                    return Err(self.gave_up(&status));
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            match self.open().await {
                Ok(()) => return Ok(()),
                Err(status) => why = Some(status),
            }
        }
    }

    /// Opens a stream and waits for the answer to its first, empty batch. From then on the server knows that it reads
    /// history, also while items are upserted beside the stream.
    async fn open(&mut self) -> Result<(), Status> {
        let (batches, requests) = mpsc::channel(IN_FLIGHT_MAX + 1);
        let gone = |_| Status::unavailable("the stream ended");
        batches.send(request(&[])).await.map_err(gone)?;
        for events in &self.in_flight {
            batches.send(request(events)).await.map_err(gone)?;
        }
        let acks = self
            .events
            .stream_events(ReceiverStream::new(requests))
            .await?;
        let mut open = Open {
            batches,
            acks: acks.into_inner(),
        };
        if open.acks.message().await?.is_none() {
            return Err(Status::unavailable("the stream ended"));
        }
        self.stream = Some(open);
        Ok(())
    }

    fn gave_up(&self, status: &Status) -> Failure {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other code says to try later"
        )]
        let code = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => exit::DATA,
            _ => exit::UNAVAILABLE,
        };
        let Totals {
            accepted,
            duplicates,
            refused,
            ..
        } = self.totals;
        let done = self.skipped + accepted + duplicates + refused;
        let message = format!(
            "{}: {:?}: {}; to go on after the events that were acknowledged, add: --skip {done}",
            self.address,
            status.code(),
            status.message()
        );
        Failure::new(code, message)
    }
}

fn request(events: &[proto::Event]) -> proto::StreamEventsRequest {
    proto::StreamEventsRequest {
        events: events.to_vec(),
        historical: true,
    }
}

/// Whether another attempt may succeed.
fn may_pass(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated
    )
}
