//! The real process, killed with -9 again and again while events stream in: nothing acknowledged may be lost, and the
//! trigger log must hold exactly what the events oblige it to.
//!
//! One client sends numbered batches, several in flight, and after each kill sends again what was not acknowledged. So
//! the order of the log is the order of the client, and a model of thirty lines knows every trigger.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use impulse::domain::{MINUTE_MS, Millis};
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use impulse::wire::proto::{
    Event, EventKind, GetProfileRequest, StreamEventsRequest, SubscribeRequest, TriggerKind,
};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::process::Process;

const LOOPS: u32 = 25;
const USERS: u64 = 300;
const BATCH: usize = 50;
const IN_FLIGHT: usize = 4;
/// Time from one event to the next.
const STEP_MS: i64 = 20_000;
const START: Millis = Millis(1_700_000_000_000);
const WAIT_MS: i64 = 60 * MINUTE_MS;
const OUT_OF_ORDERNESS_MS: i64 = 5_000;
/// Silence must not end the test's event time while a process starts slowly; snapshots come often.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("IMPULSE__PIPELINE__IDLE_MS", "86400000"),
    ("IMPULSE__PIPELINE__SNAPSHOT_INTERVAL_S", "1"),
    ("IMPULSE__LOG__SEGMENT_BYTES", "65536"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_no_trigger_is_lost_repeated_or_invented() {
    let seed = std::env::var("IMPULSE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(7);
    println!("IMPULSE_SEED={seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::new(seed);
    for _ in 0..LOOPS {
        let mut process = Process::serve(dir.path(), ENVIRONMENT);
        assert_eq!(
            process.started["divergences"], 0,
            "replay agrees with the log"
        );
        let life = Duration::from_millis(30 + random.below(400));
        client.send_for(&process.grpc(), life).await;
        process.kill();
    }
    let process = Process::serve(dir.path(), ENVIRONMENT);
    client.send_rest(&process.grpc()).await;
    client.check(&process.grpc()).await;
    println!(
        "{LOOPS} kills, {} events acknowledged, {} triggers",
        client.model.events,
        client.model.triggers.len()
    );
}

/// Sends batches in order and remembers what was not acknowledged.
struct Client {
    random: Random,
    model: Model,
    unacknowledged: VecDeque<StreamEventsRequest>,
    next: i64,
}

impl Client {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed ^ 0x9e37_79b9),
            model: Model::default(),
            unacknowledged: VecDeque::new(),
            next: 0,
        }
    }

    /// Streams until the time is over or the server is gone.
    async fn send_for(&mut self, address: &str, life: Duration) {
        drop(tokio::time::timeout(life, self.send(address, usize::MAX)).await);
    }

    async fn send_rest(&mut self, address: &str) {
        let waiting = self.unacknowledged.len();
        self.send(address, waiting).await;
        assert!(
            self.unacknowledged.is_empty(),
            "a healthy server acknowledges everything"
        );
    }

    /// Streams until `batches` are acknowledged: first what is left from before, then new ones.
    async fn send(&mut self, address: &str, batches: usize) {
        let mut server = EventServiceClient::connect(address.to_owned())
            .await
            .unwrap();
        let (sender, receiver) = tokio::sync::mpsc::channel(IN_FLIGHT);
        let mut sent = 0;
        while sent < IN_FLIGHT.min(batches) {
            let batch = self.batch(sent);
            sender.send(batch).await.unwrap();
            sent += 1;
        }
        let mut answers = server
            .stream_events(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner();
        let mut acknowledged = 0;
        while acknowledged < batches {
            let Some(Ok(answer)) = answers.next().await else {
                return;
            };
            assert!(answer.rejected.is_empty(), "{:?}", answer.rejected);
            acknowledged += 1;
            sent -= 1;
            let batch = self.unacknowledged.pop_front().unwrap();
            self.model.acknowledge(&batch);
            if acknowledged + sent < batches {
                let next = self.batch(sent);
                if sender.send(next).await.is_err() {
                    return;
                }
                sent += 1;
            }
        }
    }

    /// The batch behind `sent` ones that are under way: one from before, or a new one.
    fn batch(&mut self, sent: usize) -> StreamEventsRequest {
        match self.unacknowledged.get(sent) {
            Some(left) => left.clone(),
            None => self.new_batch(),
        }
    }

    fn new_batch(&mut self) -> StreamEventsRequest {
        let events = (0..BATCH).map(|_| self.new_event()).collect();
        let batch = StreamEventsRequest {
            events,
            historical: true,
        };
        self.unacknowledged.push_back(batch.clone());
        batch
    }

    fn new_event(&mut self) -> Event {
        let number = self.next;
        self.next += 1;
        let kind = match self.random.below(10) {
            0 | 1 => EventKind::AddToCart,
            2 => EventKind::Purchase,
            _ => EventKind::ProductView,
        };
        let at = START.plus(number * STEP_MS);
        Event {
            event_id: format!("event-{number}"),
            kind: kind.into(),
            user_id: format!("user-{}", self.random.below(USERS)),
            item_id: format!("item-{}", self.random.below(50)),
            created_at: Some(impulse::wire::event::timestamp(at)),
            ..Event::default()
        }
    }

    /// Compares the server with the model.
    async fn check(&self, address: &str) {
        self.check_events(address).await;
        self.check_triggers(address).await;
    }

    async fn check_events(&self, address: &str) {
        let mut server = ProfileServiceClient::connect(address.to_owned())
            .await
            .unwrap();
        for (user, events) in &self.model.events_of {
            let request = GetProfileRequest {
                user_id: user.clone(),
                min_position: 0,
            };
            let profile = server
                .get_profile(request)
                .await
                .unwrap()
                .into_inner()
                .profile
                .unwrap();
            assert_eq!(profile.events, *events, "events of {user}");
        }
    }

    async fn check_triggers(&self, address: &str) {
        let mut server = TriggerServiceClient::connect(address.to_owned())
            .await
            .unwrap();
        let request = SubscribeRequest {
            from_seq: 1,
            no_follow: true,
        };
        let mut records = server.subscribe(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        let mut ids = std::collections::BTreeSet::new();
        while let Some(record) = records.next().await {
            let trigger = record.unwrap().trigger.unwrap();
            assert_eq!(
                trigger.seq,
                found.len() as u64 + 1,
                "no gap in the trigger log"
            );
            if trigger.kind() == TriggerKind::Fire {
                assert!(
                    ids.insert(trigger.trigger_id.clone()),
                    "{trigger:?} fired twice"
                );
            }
            let deadline = trigger.deadline.as_ref().unwrap();
            let deadline_ms = deadline.seconds * 1_000 + i64::from(deadline.nanos) / 1_000_000;
            found.push((
                trigger.kind().as_str_name().to_owned(),
                trigger.user_id,
                deadline_ms,
            ));
        }
        let mut expected = self.model.finish();
        found.sort();
        expected.sort();
        assert!(expected.len() > 100, "the test has something to check");
        assert_eq!(found, expected);
    }
}

type Expected = (String, String, i64);

/// What the acknowledged events oblige the trigger log to hold.
#[derive(Default)]
struct Model {
    events: u64,
    events_of: BTreeMap<String, u64>,
    /// Deadline of the episode, and whether it can still fire.
    carts: BTreeMap<String, (i64, bool)>,
    triggers: Vec<Expected>,
    now_ms: i64,
}

impl Model {
    fn acknowledge(&mut self, batch: &StreamEventsRequest) {
        for event in &batch.events {
            self.apply(event);
        }
    }

    fn apply(&mut self, event: &Event) {
        let created = event.created_at.as_ref().unwrap();
        self.now_ms = created.seconds * 1_000 + i64::from(created.nanos) / 1_000_000;
        self.fire(self.now_ms - OUT_OF_ORDERNESS_MS);
        self.events += 1;
        *self.events_of.entry(event.user_id.clone()).or_default() += 1;
        let cart = self.carts.get_mut(&event.user_id);
        match (event.kind(), cart) {
            (EventKind::AddToCart, None) => {
                self.carts
                    .insert(event.user_id.clone(), (self.now_ms + WAIT_MS, true));
            }
            (EventKind::AddToCart, Some(cart)) if cart.1 => cart.0 = self.now_ms + WAIT_MS,
            (EventKind::Purchase, Some((deadline, waits))) => {
                if *waits {
                    let kind = TriggerKind::Suppressed.as_str_name().to_owned();
                    self.triggers.push((kind, event.user_id.clone(), *deadline));
                }
                self.carts.remove(&event.user_id);
            }
            _ => {}
        }
    }

    /// Fires everything due before the next event, which the watermark reaches 5 s later than the event before it.
    fn fire(&mut self, watermark_ms: i64) {
        for (user, (deadline, waits)) in &mut self.carts {
            if *waits && *deadline < watermark_ms {
                *waits = false;
                let kind = TriggerKind::Fire.as_str_name().to_owned();
                self.triggers.push((kind, user.clone(), *deadline));
            }
        }
    }

    /// Settles what the last event's watermark reached.
    fn finish(&self) -> Vec<Expected> {
        let watermark_ms = self.now_ms - OUT_OF_ORDERNESS_MS;
        let due = self
            .carts
            .iter()
            .filter(|(_, (deadline, waits))| *waits && *deadline <= watermark_ms);
        let fired = due.map(|(user, (deadline, _))| {
            (
                TriggerKind::Fire.as_str_name().to_owned(),
                user.clone(),
                *deadline,
            )
        });
        self.triggers.iter().cloned().chain(fired).collect()
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
