//! Triggers out.

use futures::StreamExt as _;
use impulse::wire::proto;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use tonic::Code;

use super::{ADD, VIEW, event, reason};
use crate::serving::{NOW, Serving};

/// An event of history, `at_ms` after [`NOW`].
fn event_at(id: &str, kind: i32, user: &str, at_ms: i64) -> proto::Event {
    let ms = NOW.0 + at_ms;
    proto::Event {
        created_at: Some(pbjson_types::Timestamp {
            seconds: ms / 1_000,
            nanos: i32::try_from(ms % 1_000).unwrap() * 1_000_000,
        }),
        ..event(id, kind, user, "i1")
    }
}

/// History in which one cart is left alone, and time goes on.
fn abandoned_cart() -> proto::StreamEventsRequest {
    proto::StreamEventsRequest {
        events: vec![
            event_at("c1", ADD, "shopper", -7_200_000),
            event_at("c2", VIEW, "other", -600_000),
            event_at("c3", VIEW, "other", -60_000),
        ],
        historical: true,
    }
}

#[tokio::test]
async fn triggers_are_told_from_any_record_on_and_as_they_come() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let mut triggers = TriggerServiceClient::new(channel.clone());
    let mut live = triggers
        .subscribe(proto::SubscribeRequest::default())
        .await
        .unwrap()
        .into_inner();
    let acks = EventServiceClient::new(channel)
        .stream_events(futures::stream::iter([abandoned_cart()]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(acks.count().await, 1);

    let fired = live.message().await.unwrap().unwrap().trigger.unwrap();
    assert_eq!((fired.seq, fired.kind()), (1, proto::TriggerKind::Fire));
    assert_eq!(
        (fired.rule.as_str(), fired.user_id.as_str()),
        ("cart_abandonment", "shopper")
    );
    assert_eq!(fired.trigger_id.len(), 32);

    let mut told = async |from_seq| {
        let request = proto::SubscribeRequest {
            from_seq,
            no_follow: true,
        };
        let stream = triggers.subscribe(request).await.unwrap().into_inner();
        let all: Vec<_> = stream
            .map(|one| one.unwrap().trigger.unwrap())
            .collect()
            .await;
        all
    };
    let all = vec![fired];
    assert_eq!(told(0).await, all);
    assert_eq!(told(1).await, all);
    assert_eq!(told(2).await, []);
    assert_eq!(told(u64::MAX).await, []);

    let page = serving
        .ask("GET", "/v1/triggers?from=1&limit=5", b"")
        .await
        .json();
    let listed: proto::Trigger = serde_json::from_value(page["triggers"][0].clone()).unwrap();
    assert_eq!(listed, all[0]);
    assert_eq!((&page["next"], &page["newest"]), (&2.into(), &1.into()));
    serving.stop().await;
    let status = live.message().await.unwrap_err();
    assert_eq!(reason(&status, Code::Unavailable), "SHUTTING_DOWN");
}
