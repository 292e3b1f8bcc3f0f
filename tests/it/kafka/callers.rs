//! gRPC beside Kafka: what callers hand over is produced to the events topic, and counts when it comes back from there.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::{
    Event, EventKind, EventStatus, GetItemRequest, GetProfileRequest, Item, RecordEventsRequest,
    StreamEventsRequest, UpsertItemsRequest,
};
use prost::Message as _;
use tonic::transport::Channel;

use super::rig::{Found, Rig, ready};
use crate::broker::Broker;

fn view(number: usize) -> Event {
    Event {
        event_id: format!("e{number}"),
        kind: EventKind::ProductView.into(),
        user_id: format!("u{number}"),
        item_id: "shoe".to_owned(),
        ..Event::default()
    }
}

/// Events of the topic, by their ids.
fn by_id(events: &[Found]) -> BTreeMap<String, Event> {
    events
        .iter()
        .filter(|found| found.header("ce_type").contains(".event."))
        .map(|found| {
            let event = Event::decode(found.value.as_slice()).unwrap();
            assert_eq!(found.key, event.user_id.as_bytes(), "keyed by shopper");
            (event.event_id.clone(), event)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_grpc_callers_hand_over_comes_back_through_the_events_topic() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 3).await;
    let process = rig.serve(&[]);
    ready(&process).await;
    let channel = Channel::from_shared(process.grpc()).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut catalog = CatalogServiceClient::new(channel.clone());
    let mut events = EventServiceClient::new(channel.clone());

    let item = Item {
        item_id: "shoe".to_owned(),
        title: Some("Trail runner".to_owned()),
        ..Item::default()
    };
    let request = UpsertItemsRequest { items: vec![item] };
    catalog.upsert_items(request).await.unwrap();
    let mut batch: Vec<Event> = (0..20).map(view).collect();
    batch.push(Event::default());
    let answer = events.record_events(RecordEventsRequest { events: batch });
    let answer = answer.await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 21);
    assert!(
        answer.results[..20]
            .iter()
            .all(|one| one.status() == EventStatus::Accepted)
    );
    assert_eq!(answer.results[20].status(), EventStatus::Rejected);
    assert_eq!(answer.position, 0, "positions are Kafka's");

    let batches = [20..30, 30..40].map(|numbers| StreamEventsRequest {
        events: numbers.map(view).collect(),
        historical: false,
    });
    let streamed = events.stream_events(futures::stream::iter(batches));
    let acks: Vec<_> = streamed
        .await
        .unwrap()
        .into_inner()
        .map(Result::unwrap)
        .collect()
        .await;
    let told: Vec<_> = acks.iter().map(|ack| (ack.batch, ack.accepted)).collect();
    assert_eq!(told, [(0, 10), (1, 10)]);

    rig.settled().await;
    let found = rig.read("events");
    assert_eq!(found.len(), 3 + 40, "an item goes to every partition");
    let back = by_id(&found);
    assert_eq!(back.len(), 40, "what was acknowledged is in the topic");
    assert!((0..40).all(|number| back[&format!("e{number}")].user_id == format!("u{number}")));
    let mut profiles = ProfileServiceClient::new(channel);
    for number in 0..40 {
        let request = GetProfileRequest {
            user_id: format!("u{number}"),
            ..GetProfileRequest::default()
        };
        let profile = profiles.get_profile(request).await.unwrap().into_inner();
        assert_eq!(profile.profile.unwrap().last_viewed_ids, ["shoe"]);
    }
    let request = GetItemRequest {
        item_id: "shoe".to_owned(),
    };
    let item = catalog.get_item(request).await.unwrap().into_inner();
    assert_eq!(item.item.unwrap().title(), "Trail runner");
}
