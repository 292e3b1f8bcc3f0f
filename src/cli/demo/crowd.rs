//! The demo's visitors: they do what their intent says, look at recommendations, and answer to reminders.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::domain::{Event, EventKind, Id, Input, Millis};
use crate::pipeline::{Batch, Entry, Ingest, Origin, Refused};
use crate::shop::Traffic;

use super::stragglers::Stragglers;
use super::tally::Tally;

/// How often the visitors act, at least.
const PACE: Duration = Duration::from_millis(20);
/// Events of one batch, at most; the recommendations shown in the meantime come on top.
const BATCH_EVENTS_MAX: usize = 500;
/// One product page in so many asks for recommendations.
const PAGES_PER_QUESTION: u64 = 6;
/// Where they are shown.
const PLACEMENT: Id = Id::const_new("product");

/// A product page of a visitor that asks for recommendations.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) user: Id,
    pub(super) item: Id,
}

/// What reaches the visitors from outside.
#[derive(Debug)]
pub(super) enum Word {
    /// Recommendations were shown.
    Shown {
        user: Id,
        items: Vec<Id>,
        attribution_token: Id,
    },
    /// The message of a trigger was delivered.
    Reminded { user: Id, trigger_id: Id },
}

/// The visitors, and where they send what they do.
pub(super) struct Crowd {
    pub(super) traffic: Traffic,
    pub(super) stragglers: Stragglers,
    pub(super) clock: Clock,
    pub(super) ingest: Ingest,
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) words: mpsc::Receiver<Word>,
    pub(super) tally: Arc<Tally>,
}

impl Crowd {
    /// Lives until told to stop, or until the server takes nothing more.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut pages = 0;
        while !*stop.borrow_and_update() {
            let now = self.clock.now();
            let mut events = self.hear(now);
            let full = self.act(now, &mut events, &mut pages);
            if !events.is_empty() && self.send(&events, &mut stop).await.is_err() {
                return;
            }
            if !full {
                tokio::select! {
                    () = tokio::time::sleep(PACE) => {}
                    _ = stop.changed() => {}
                }
            }
        }
    }

    /// What the visitors do about what they saw and were told.
    fn hear(&mut self, now: Millis) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < BATCH_EVENTS_MAX
            && let Ok(word) = self.words.try_recv()
        {
            match word {
                Word::Shown {
                    user,
                    items,
                    attribution_token,
                } => {
                    let seen =
                        self.traffic
                            .show(&user, &items, &PLACEMENT, &attribution_token, now);
                    let clicks = seen
                        .iter()
                        .filter(|event| event.kind == EventKind::RecommendationClick)
                        .count() as u64;
                    self.tally.shown(seen.len() as u64 - clicks, clicks);
                    events.extend(seen);
                }
                Word::Reminded { user, trigger_id } => {
                    events.extend(self.traffic.remind(&user, trigger_id, now));
                }
            }
        }
        events
    }

    /// What the visitors do by themselves up to now; true if there is more.
    fn act(&mut self, now: Millis, events: &mut Vec<Event>, pages: &mut u64) -> bool {
        let room = events.len() + BATCH_EVENTS_MAX;
        while events.len() < room
            && let Some(event) = self.stragglers.next(now)
        {
            events.push(event);
        }
        while self.traffic.next_at().is_some_and(|at| at <= now) {
            if events.len() >= room {
                return true;
            }
            let Some(event) = self.traffic.next() else {
                return false;
            };
            if event.kind == EventKind::ProductView {
                *pages += 1;
                if pages.is_multiple_of(PAGES_PER_QUESTION) {
                    // When the server is slow some pages come without recommendations.
                    let _asked = self.questions.try_send(Question {
                        user: event.user.clone(),
                        item: event.item.clone(),
                    });
                }
            }
            events.extend(self.stragglers.pass(event));
        }
        false
    }

    async fn send(
        &self,
        events: &[Event],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Refused> {
        for part in events.chunks(1_000) {
            loop {
                match self.ingest.submit(batch(part, false)).await {
                    Ok(receipt) => {
                        self.tally.recorded(&receipt.statuses);
                        break;
                    }
                    Err(Refused::Overloaded | Refused::DiskFull) if !*stop.borrow_and_update() => {
                        tokio::time::sleep(PACE).await;
                    }
                    Err(refused) => return Err(refused),
                }
            }
        }
        Ok(())
    }
}

/// A batch of the demo's own.
pub(super) fn batch(events: &[Event], historical: bool) -> Batch {
    Batch {
        origin: Origin::Demo,
        historical,
        entries: events
            .iter()
            .map(|event| entry(Input::Event(event.clone())))
            .collect(),
    }
}

/// An entry without bytes of its own.
pub(super) fn entry(input: Input) -> Entry {
    Entry {
        content: Ok(input),
        raw: None,
    }
}
