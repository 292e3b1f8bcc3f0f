//! From an event's being sent to an answer that shows it: the item just viewed is the newest of the profile.

use clap::Args;
use impulse::clock::Stopwatch;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::{Event, EventKind, GetProfileRequest, RecordEventsRequest};
use serde_json::json;
use tonic::transport::Channel;

use crate::child::Server;
use crate::pace::Latencies;
use crate::report::{self, Steal};

/// What to do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many events, one after the other.
    #[arg(long, default_value_t = 5_000)]
    events: u32,
    /// `os` or `sync`.
    #[arg(long, default_value = "os")]
    durability: String,
}

impl Options {
    pub(crate) fn smoke() -> Self {
        Self {
            events: 500,
            durability: "os".to_owned(),
        }
    }
}

pub(crate) async fn run(options: &Options, json: bool) -> anyhow::Result<()> {
    let since = Steal::look();
    let server = Server::impulse(&options.durability)?;
    let channel = Channel::from_shared(server.address.clone())?
        .connect()
        .await?;
    let mut events = EventServiceClient::new(channel.clone());
    let mut profiles = ProfileServiceClient::new(channel);
    let (visible, acknowledged) = (Latencies::new()?, Latencies::new()?);
    let mut stale = 0;
    for number in 0..options.events {
        let item_id = format!("item-{number}");
        let event = Event {
            event_id: format!("event-{number}"),
            kind: EventKind::ProductView.into(),
            user_id: format!("user-{}", number % 100),
            item_id: item_id.clone(),
            ..Event::default()
        };
        let watch = Stopwatch::start();
        let answer = events
            .record_events(RecordEventsRequest {
                events: vec![event.clone()],
            })
            .await?;
        acknowledged.record(watch.elapsed());
        let request = GetProfileRequest {
            user_id: event.user_id,
            min_position: answer.into_inner().position,
        };
        let profile = profiles
            .get_profile(request)
            .await?
            .into_inner()
            .profile
            .unwrap_or_default();
        visible.record(watch.elapsed());
        stale += u32::from(profile.last_viewed_ids.first() != Some(&item_id));
    }
    let figures = json!({
        "durability": options.durability,
        "stale_answers": stale,
        "event_to_acknowledged": report::percentiles(&acknowledged.histogram()),
        "event_to_visible": report::percentiles(&visible.histogram()),
    });
    report::print("freshness", figures, since, json)
}
