//! What an event causes belongs to the trace of the event, whichever way that came.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use impulse::wire::proto;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use tonic::Request;

use crate::serving::{NOW, Serving};

/// The trace of this number.
fn trace(number: u32) -> String {
    format!("00-0af7651916cd43dd8448eb21{number:08x}-b7ad6b7169203331-01")
}

/// The same headers or metadata for one call.
fn traced<T>(number: u32, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let trace = trace(number).parse().unwrap();
    request.metadata_mut().insert("traceparent", trace);
    request
}

/// An item put into a cart two hours ago.
fn cart(user: &str) -> String {
    let at_ms = NOW.0 - 7_200_000;
    format!(r#"{{"kind":"add_to_cart","userId":"{user}","itemId":"i","createdAt":{at_ms}}}"#)
}

/// As [`cart`].
fn cart_message(user: &str, number: Option<u32>) -> proto::Event {
    proto::Event {
        kind: proto::EventKind::AddToCart.into(),
        user_id: user.to_owned(),
        item_id: "i".to_owned(),
        created_at: Some(pbjson_types::Timestamp {
            seconds: NOW.0 / 1_000 - 7_200,
            nanos: 0,
        }),
        traceparent: number.map(trace).unwrap_or_default(),
        ..proto::Event::default()
    }
}

async fn post(serving: &Serving, path: &str, headers: &str, body: &str) {
    let mut connection = serving.connection().await;
    let body = body.as_bytes();
    let reply = connection.ask_with("POST", path, headers, body).await;
    assert!(!reply.text().contains("REJECTED"), "{}", reply.text());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_trigger_belongs_to_the_trace_of_its_cause() {
    let serving = Serving::start().await;
    let header = |number| format!("TraceParent: {}\r\n", trace(number));
    post(&serving, "/v1/events", &header(1), &cart("by-http")).await;
    let twice = header(1) + &header(2);
    post(&serving, "/v1/events", &twice, &cart("by-two")).await;
    let wrong = "traceparent: 00-0af7-01\r\n";
    post(&serving, "/v1/events", wrong, &cart("by-none")).await;
    let own = cart("by-itself").replace('}', &format!(r#","traceparent":"{}"}}"#, trace(2)));
    post(&serving, "/v1/events", &header(1), &own).await;
    post(&serving, "/track-event", &header(3), &cart("by-tracker")).await;

    let channel = serving.channel().await;
    let mut client = EventServiceClient::new(channel.clone());
    let events = vec![
        cart_message("by-grpc", None),
        cart_message("by-message", Some(5)),
    ];
    let batch = traced(4, proto::RecordEventsRequest { events });
    client.record_events(batch).await.unwrap();
    let batch = proto::StreamEventsRequest {
        events: vec![cart_message("by-stream", None)],
        historical: false,
    };
    let stream = traced(6, futures::stream::iter([batch]));
    let acks = client.stream_events(stream).await.unwrap();
    assert_eq!(acks.into_inner().count().await, 1);
    // Time goes on.
    let look = format!(
        r#"{{"kind":"cart_view","userId":"other","createdAt":{}}}"#,
        NOW.0
    );
    post(&serving, "/v1/events", "", &look).await;

    let request = proto::SubscribeRequest {
        no_follow: true,
        ..proto::SubscribeRequest::default()
    };
    let mut triggers = TriggerServiceClient::new(channel);
    let told = triggers.subscribe(request).await.unwrap().into_inner();
    let told: BTreeMap<String, String> = told
        .map(|one| one.unwrap().trigger.unwrap())
        .map(|trigger| (trigger.user_id, trigger.traceparent))
        .collect()
        .await;
    let expected = [
        ("by-grpc", trace(4)),
        ("by-http", trace(1)),
        ("by-itself", trace(2)),
        ("by-message", trace(5)),
        ("by-none", String::new()),
        ("by-stream", trace(6)),
        ("by-tracker", trace(3)),
        ("by-two", String::new()),
    ];
    let expected = expected.map(|(user, trace)| (user.to_owned(), trace));
    assert_eq!(told, BTreeMap::from(expected));
    let page = serving.ask("GET", "/v1/triggers", b"").await.json();
    let listed = page["triggers"].as_array().unwrap();
    for trigger in listed {
        let user = trigger["userId"].as_str().unwrap();
        let listed = trigger["traceparent"].as_str().unwrap_or_default();
        assert_eq!(listed, told[user], "{user}");
    }
    assert_eq!(listed.len(), told.len());
    serving.stop().await;
}
