//! Events in, one batch or a stream of them.

use bytes::BufMut as _;
use futures::StreamExt as _;
use impulse::wire::proto;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::event_service_client::EventServiceClient;
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::raw::raw_unary;
use super::{VIEW, event, fields, reason, record, still_answers};
use crate::serving::Serving;

#[tokio::test]
async fn each_event_of_a_batch_has_its_own_result() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let batch = vec![
        event("e1", VIEW, "u1", "i1"),
        event("e1", VIEW, "u1", "i1"),
        event("e2", 99, "u1", "i1"),
        event("e3", VIEW, "", "i1"),
        proto::Event {
            price: Some(-1.0),
            ..event("e4", VIEW, "u1", "i1")
        },
        event("e5", VIEW, "u\u{0}1", "i1"),
        event("e6", VIEW, "u1", ""),
    ];
    let answer = record(&channel, batch).await;
    let found: Vec<_> = answer
        .results
        .iter()
        .map(|one| {
            let told = (one.status(), one.reason.as_str(), one.field.as_str());
            (one.event_id.as_str(), told)
        })
        .collect();
    let rejected = proto::EventStatus::Rejected;
    assert_eq!(
        found,
        [
            ("e1", (proto::EventStatus::Accepted, "", "")),
            ("e1", (proto::EventStatus::Duplicate, "", "")),
            ("e2", (rejected, "unknown_kind", "kind")),
            ("e3", (rejected, "missing_field", "user_id")),
            ("e4", (rejected, "invalid_value", "price")),
            ("e5", (rejected, "control_character", "user_id")),
            ("e6", (rejected, "missing_field", "item_id")),
        ]
    );
    assert!(answer.position > 0);
    assert_eq!(answer.durability(), proto::Durability::Os);
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn one_event_that_is_no_message_is_refused_alone_and_kept() {
    let serving = Serving::start().await;
    let good = event("ok", VIEW, "u1", "i1").encode_to_vec();
    let bad = b"\xff\xff\xff\xffnot protobuf";
    let mut batch = Vec::new();
    for bytes in [good.as_slice(), bad] {
        batch.put_u8(0x0a);
        batch.put_u8(u8::try_from(bytes.len()).unwrap());
        batch.put_slice(bytes);
    }
    let answer = raw_unary(&serving, "/impulse.v1.EventService/RecordEvents", batch)
        .await
        .unwrap();
    let answer = proto::RecordEventsResponse::decode(answer).unwrap();
    assert_eq!(answer.results[0].status(), proto::EventStatus::Accepted);
    assert_eq!(answer.results[1].reason, "malformed_protobuf");
    let letters = serving.ask("GET", "/v1/dead-letters", b"").await.json();
    let letter: proto::DeadLetter =
        serde_json::from_value(letters["deadLetters"][0].clone()).unwrap();
    assert_eq!(letter.payload, bad);
    assert_eq!(
        (letter.source.as_str(), letter.stage.as_str()),
        ("grpc", "parse")
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_the_callers_mistake() {
    let serving = Serving::start().await;
    let garbage = b"\x0a\xff\xff\xff\xff\x0f cut".to_vec();
    for path in [
        "/impulse.v1.EventService/RecordEvents",
        "/impulse.v1.RecommendationService/Recommend",
        "/impulse.v1.ProfileService/GetProfile",
        "/impulse.v1.CatalogService/UpsertItems",
        "/impulse.v1.TriggerService/ListEpisodes",
    ] {
        let status = raw_unary(&serving, path, garbage.clone())
            .await
            .unwrap_err();
        assert_eq!(
            reason(&status, Code::InvalidArgument),
            "MALFORMED",
            "{path}"
        );
        let bad = status.get_details_bad_request().unwrap();
        assert_eq!(bad.field_violations[0].reason, "MALFORMED_PROTOBUF");
    }
    let letters = serving.ask("GET", "/v1/dead-letters", b"").await.json();
    let letters = letters["deadLetters"].as_array().unwrap();
    assert_eq!(letters.len(), 1, "only events are kept: {letters:?}");
    let letter: proto::DeadLetter = serde_json::from_value(letters[0].clone()).unwrap();
    assert_eq!(letter.payload, garbage);
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn too_much_at_once_is_refused_with_the_limit() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let mut events = EventServiceClient::new(channel.clone());
    let mut catalog = CatalogServiceClient::new(channel);

    let request = proto::RecordEventsRequest {
        events: vec![event("", VIEW, "u", "i"); 100_000],
    };
    let status = events.record_events(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOO_MANY");
    assert_eq!(fields(&status), ["events"]);
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata["limit"], "1000");
    assert_eq!(metadata["found"], "100000");

    let item = proto::Item {
        item_id: "i".into(),
        ..proto::Item::default()
    };
    let request = proto::UpsertItemsRequest {
        items: vec![item; 100_000],
    };
    let status = catalog.upsert_items(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOO_MANY");
    assert_eq!(fields(&status), ["items"]);

    let request = proto::DeleteItemsRequest {
        item_ids: vec!["i".into(); 100_000],
    };
    let status = catalog.delete_items(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOO_MANY");

    let request = proto::RecordEventsRequest {
        events: vec![event("", VIEW, &"x".repeat(10 << 20), "i")],
    };
    let status = events.record_events(request).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::ResourceExhausted),
        "REQUEST_TOO_LARGE"
    );
    let metadata = status.get_details_error_info().unwrap().metadata;
    assert_eq!(metadata["limitBytes"], (4 << 20).to_string());
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn a_stream_is_acknowledged_batch_by_batch_in_order() {
    let serving = Serving::start().await;
    let mut client = EventServiceClient::new(serving.channel().await);
    let batches = (0..50).map(|batch| proto::StreamEventsRequest {
        events: (0..20)
            .map(|one| event(&format!("{batch}-{one}"), VIEW, "u", "i"))
            .chain(Some(event("bad", 0, "u", "i")))
            .collect(),
        historical: false,
    });
    let acks: Vec<_> = client
        .stream_events(futures::stream::iter(batches))
        .await
        .unwrap()
        .into_inner()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(acks.len(), 50);
    let mut position = 0;
    for (number, ack) in (0..).zip(&acks) {
        assert_eq!((ack.batch, ack.accepted, ack.duplicates), (number, 20, 0));
        assert_eq!(ack.rejected[0].index, 20);
        let result = ack.rejected[0].result.as_ref().unwrap();
        assert_eq!(
            (result.event_id.as_str(), result.field.as_str()),
            ("bad", "kind")
        );
        assert!(ack.position >= position + 20, "{ack:?}");
        position = ack.position;
    }
    let ended = ["method=\"StreamEvents\"", "code=\"OK\""];
    assert!((serving.metric("impulse_grpc_requests_total", &ended) - 1.0).abs() < 0.1);
    serving.stop().await;
}

#[tokio::test]
async fn a_stream_ends_at_a_batch_that_is_too_long_and_keeps_what_it_acknowledged() {
    let serving = Serving::start().await;
    let mut client = EventServiceClient::new(serving.channel().await);
    let batches = [3, 1_001, 3].map(|count| proto::StreamEventsRequest {
        events: vec![event("", VIEW, "u", "i"); count],
        historical: false,
    });
    let mut acks = client
        .stream_events(futures::stream::iter(batches))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(acks.message().await.unwrap().unwrap().batch, 0);
    let status = acks.message().await.unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "TOO_MANY");
    serving.stop().await;
}
