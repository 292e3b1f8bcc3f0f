//! The trigger log, the dead-letter log and open episodes.

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use prost::Message;
use tokio::sync::watch;

use crate::domain::Seq;
use crate::server::Error;
use crate::server::Logs;
use crate::server::connection::stopped;
use crate::server::limits::Call;
use crate::stream::embedded::TopicReader;
use crate::wire::event::watermark;
use crate::wire::{proto, trigger};

use super::Context;
use super::check::Check;

/// Most records of a page.
const PAGE_RECORDS_MAX: usize = 1_000;
/// Most bytes of a page; the last record may pass them.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Records read at once for a subscriber.
const STREAM_RECORDS: usize = 256;
/// Most episodes of an answer, and how many without a limit.
const EPISODES_MAX: u32 = 1_000;
const EPISODES_DEFAULT: u32 = 100;
/// The number of the newest record is told a moment before readers see it; then a subscriber looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Some records of a topic log.
#[derive(Debug)]
pub(in crate::server) struct Page<T> {
    /// In order.
    pub(in crate::server) records: Vec<T>,
    /// Where the next page begins.
    pub(in crate::server) next: Seq,
    /// The last record there is.
    pub(in crate::server) newest: Seq,
}

impl Context {
    /// A page of the trigger log; `limit` 0 is as many as fit.
    ///
    /// # Errors
    ///
    /// If the limit is too high or the log cannot be read.
    pub(in crate::server) async fn trigger_page(
        &self,
        from: Seq,
        limit: usize,
    ) -> Result<Page<proto::Trigger>, Error> {
        checked_page(&self.logs()?.triggers, from, limit).await
    }

    /// A page of the dead-letter log.
    ///
    /// # Errors
    ///
    /// As [`Context::trigger_page`].
    pub(in crate::server) async fn dead_letter_page(
        &self,
        from: Seq,
        limit: usize,
    ) -> Result<Page<proto::DeadLetter>, Error> {
        checked_page(&self.logs()?.dead_letters, from, limit).await
    }

    /// Every trigger record from `from` on, then each new one; without `follow` it ends with the last one there is.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if the trigger log is a topic of Kafka.
    pub(in crate::server) fn subscribe(
        &self,
        from: Seq,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<proto::Trigger, Error>> + Send + use<>, Error> {
        let reader = self.logs()?.triggers.clone();
        let subscription = Subscription {
            committed: self.ingest.trigger_seq(),
            stop: self.stop.clone(),
            next: from.max(1),
            last: (!follow).then(|| reader.newest()),
            reader,
            read: VecDeque::new(),
            ended: false,
        };
        Ok(futures::stream::unfold(
            subscription,
            |mut subscription| async move {
                let record = subscription.next().await?;
                subscription.ended |= record.is_err();
                Some((record, subscription))
            },
        ))
    }

    /// The topic logs, if they are here.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if they are topics of Kafka.
    pub(in crate::server) fn logs(&self) -> Result<&Logs, Error> {
        self.logs.as_ref().ok_or_else(Error::logs_in_kafka)
    }

    /// Open episodes, soonest deadline first.
    ///
    /// # Errors
    ///
    /// If the limit is too high.
    pub(in crate::server) fn episodes(
        &self,
        request: proto::ListEpisodesRequest,
        call: Call,
    ) -> Result<proto::ListEpisodesResponse, Error> {
        let mut check = Check::default();
        check.at_most("limit", request.limit.into(), EPISODES_MAX.into());
        check.done()?;
        self.health.admit()?;
        let limit = match request.limit {
            0 => EPISODES_DEFAULT,
            limit => limit,
        };
        let position = self.view.position();
        let episodes = self.view.episodes(limit as usize);
        let mut response = proto::ListEpisodesResponse {
            episodes: episodes.iter().map(trigger::episode_to_proto).collect(),
            as_of: watermark(self.view.watermark()),
            position,
            ..proto::ListEpisodesResponse::default()
        };
        response.set_freshness(self.health.freshness());
        response.took_us = call.started.micros();
        Ok(response)
    }
}

async fn checked_page<T: Message + Default + Send + 'static>(
    reader: &TopicReader,
    from: Seq,
    limit: usize,
) -> Result<Page<T>, Error> {
    let mut check = Check::default();
    check.at_most("limit", limit as u64, PAGE_RECORDS_MAX as u64);
    check.done()?;
    let limit = if limit == 0 { PAGE_RECORDS_MAX } else { limit };
    page(reader.clone(), from.max(1), limit).await
}

/// Reads and decodes a page, away from the threads that answer.
async fn page<T: Message + Default + Send + 'static>(
    reader: TopicReader,
    from: Seq,
    limit: usize,
) -> Result<Page<T>, Error> {
    let read = tokio::task::spawn_blocking(move || {
        let page = reader
            .read(from, limit, PAGE_BYTES_MAX)
            .map_err(|error| error.to_string())?;
        let mut records = Vec::with_capacity(page.records.len());
        let mut next = from.max(page.oldest.min(page.newest + 1));
        for record in page.records {
            next = record.seq + 1;
            records.push(T::decode(record.bytes).map_err(|error| error.to_string())?);
        }
        Ok::<_, String>(Page {
            records,
            next,
            newest: page.newest,
        })
    });
    let cause = match read.await {
        Ok(Ok(page)) => return Ok(page),
        Ok(Err(cause)) => cause,
        Err(cause) => cause.to_string(),
    };
    tracing::error!(from, cause, "a topic log cannot be read");
    Err(Error::internal())
}

/// A reader of the trigger log and where it stands.
struct Subscription {
    reader: TopicReader,
    committed: watch::Receiver<Seq>,
    stop: watch::Receiver<bool>,
    /// The next record to read.
    next: Seq,
    /// The last record wanted, for a reader that does not wait.
    last: Option<Seq>,
    /// Records that were read and not given yet.
    read: VecDeque<proto::Trigger>,
    ended: bool,
}

impl Subscription {
    async fn next(&mut self) -> Option<Result<proto::Trigger, Error>> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(record) = self.read.pop_front() {
                if self.last.is_some_and(|last| record.seq > last) {
                    return None;
                }
                return Some(Ok(record));
            }
            if self.last.is_some_and(|last| self.next > last) {
                return None;
            }
            if self.reader.newest() < self.next {
                if let Err(ended) = self.wait().await {
                    return Some(Err(ended));
                }
                continue;
            }
            match page(self.reader.clone(), self.next, STREAM_RECORDS).await {
                Ok(page) => {
                    self.next = page.next;
                    self.read = page.records.into();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Waits until there may be another record.
    async fn wait(&mut self) -> Result<(), Error> {
        if *self.committed.borrow_and_update() >= self.next {
            tokio::time::sleep(LOOK_AGAIN).await;
            return Ok(());
        }
        let changed = tokio::select! {
            changed = self.committed.changed() => changed.is_ok(),
            () = stopped(&mut self.stop) => false,
        };
        if changed {
            return Ok(());
        }
        let why = "the server is shutting down; subscribe again from the next record";
        Err(Error::unavailable("SHUTTING_DOWN", why))
    }
}
