//! gRPC over real connections: every service, every error, and what a careless or hostile caller can do.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::StreamExt as _;
use impulse::server::Config;
use impulse::wire::proto;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::recommendation_service_client::RecommendationServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use prost::Message as _;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::serving::{Connection, NOW, Reply, Serving};

const VIEW: i32 = proto::EventKind::ProductView as i32;
const ADD: i32 = proto::EventKind::AddToCart as i32;

fn event(id: &str, kind: i32, user: &str, item: &str) -> proto::Event {
    proto::Event {
        event_id: id.into(),
        kind,
        user_id: user.into(),
        item_id: item.into(),
        ..proto::Event::default()
    }
}

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

async fn record(channel: &Channel, events: Vec<proto::Event>) -> proto::RecordEventsResponse {
    let request = proto::RecordEventsRequest { events };
    EventServiceClient::new(channel.clone())
        .record_events(request)
        .await
        .unwrap()
        .into_inner()
}

/// Checks the form of an error and gives its reason.
#[track_caller]
fn reason(status: &Status, code: Code) -> String {
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.check_error_details_vec().unwrap();
    let infos = details
        .iter()
        .filter(|detail| matches!(detail, tonic_types::ErrorDetail::ErrorInfo(_)));
    assert_eq!(infos.count(), 1, "{details:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, impulse::server::ERROR_DOMAIN);
    info.reason
}

#[track_caller]
fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request().unwrap();
    bad.field_violations
        .into_iter()
        .map(|one| one.field)
        .collect()
}

/// The server still takes events and answers.
async fn still_answers(serving: &Serving) {
    let channel = serving.channel().await;
    let recorded = record(&channel, vec![event("", VIEW, "alive", "i1")]).await;
    assert_eq!(recorded.results.len(), 1);
    let profile = ProfileServiceClient::new(channel)
        .get_profile(proto::GetProfileRequest {
            user_id: "alive".into(),
            min_position: recorded.position,
        })
        .await
        .unwrap();
    assert_eq!(profile.into_inner().profile.unwrap().user_id, "alive");
}

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
async fn every_wrong_field_of_a_request_is_named() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let mut recommendations = RecommendationServiceClient::new(channel.clone());
    let request = proto::RecommendRequest {
        user_id: "\u{7}".into(),
        limit: 101,
        context_items: vec![String::new()],
        return_fields: vec!["colour".into()],
        ..proto::RecommendRequest::default()
    };
    let wrong = [
        "placement",
        "user_id",
        "context_items[0]",
        "limit",
        "return_fields[0]",
    ];
    let status = recommendations
        .recommend(request.clone())
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::InvalidArgument), "INVALID_REQUEST");
    assert_eq!(fields(&status), wrong);

    let explain = proto::ExplainRequest {
        request: Some(request),
        item_id: String::new(),
    };
    let status = recommendations.explain(explain).await.unwrap_err();
    assert_eq!(fields(&status)[0], "item_id");
    assert_eq!(fields(&status)[1], "request.placement");

    let mut catalog = CatalogServiceClient::new(channel.clone());
    let items = proto::UpsertItemsRequest {
        items: vec![
            proto::Item {
                item_id: "fine".into(),
                ..proto::Item::default()
            },
            proto::Item {
                item_id: "i".into(),
                price: Some(-5.0),
                ..proto::Item::default()
            },
            proto::Item::default(),
        ],
    };
    let status = catalog.upsert_items(items).await.unwrap_err();
    assert_eq!(fields(&status), ["items[1].price", "items[2].item_id"]);
    let fine = proto::GetItemRequest {
        item_id: "fine".into(),
    };
    let status = catalog.get_item(fine).await.unwrap_err();
    assert_eq!(
        reason(&status, Code::NotFound),
        "ITEM_NOT_FOUND",
        "all or none"
    );

    let mut profiles = ProfileServiceClient::new(channel);
    let nobody = proto::GetProfileRequest::default();
    let status = profiles.get_profile(nobody).await.unwrap_err();
    assert_eq!(fields(&status), ["user_id"]);
    serving.stop().await;
}

#[tokio::test]
async fn what_is_unknown_is_not_found_by_name() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let status = ProfileServiceClient::new(channel.clone())
        .get_profile(proto::GetProfileRequest {
            user_id: "stranger".into(),
            min_position: 0,
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "USER_NOT_FOUND");
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!(
        (
            resource.resource_type.as_str(),
            resource.resource_name.as_str()
        ),
        ("user", "stranger")
    );
    let status = RecommendationServiceClient::new(channel)
        .recommend(proto::RecommendRequest {
            placement: "nowhere".into(),
            ..proto::RecommendRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "PLACEMENT_NOT_FOUND");
    let status = raw_unary(&serving, "/impulse.v1.EventService/Forget", Vec::new())
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::Unimplemented), "METHOD_NOT_FOUND");
    let status = raw_unary(&serving, "/nobody.v1.Nothing/Do", Vec::new())
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::Unimplemented), "METHOD_NOT_FOUND");
    let unknown = ["service=\"unknown\"", "code=\"UNIMPLEMENTED\""];
    assert!(serving.metric("impulse_grpc_requests_total", &unknown) >= 1.0);
    serving.stop().await;
}

#[tokio::test]
async fn a_deadline_stops_the_wait_and_says_what_was_waited_for() {
    let serving = Serving::with(Config {
        query_deadline_ms: 80,
        ..Config::default()
    })
    .await;
    let wait = proto::GetProfileRequest {
        user_id: "u".into(),
        min_position: 1 << 40,
    };
    // Not by a client library: that would end the call by itself at the same moment.
    for asked in ["grpc-timeout: 30m\r\n", "grpc-timeout: 1H\r\n", ""] {
        let reply = ask_web(
            &serving,
            "/impulse.v1.ProfileService/GetProfile",
            asked,
            &wait,
        )
        .await;
        let status = reply.grpc_status();
        assert_eq!(
            reason(&status, Code::DeadlineExceeded),
            "POSITION_NOT_REACHED",
            "{asked:?}"
        );
        let metadata = status.get_details_error_info().unwrap().metadata;
        assert_eq!(metadata["minPosition"], (1_u64 << 40).to_string());
    }
    let late = ["method=\"GetProfile\"", "code=\"DEADLINE_EXCEEDED\""];
    assert!((serving.metric("impulse_grpc_requests_total", &late) - 3.0).abs() < 0.1);
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

#[tokio::test]
async fn both_protocols_give_the_same_answer() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let items = br#"[{"itemId":"i1","title":"Trail runner","price":89,"currency":"EUR","categories":["shoes"],
                      "attributes":{"colour":"red"}}, {"itemId":"i2","title":"Socks"}]"#;
    assert_eq!(serving.ask("POST", "/v1/items", items).await.status, 200);
    let batch = vec![
        event("a", VIEW, "u", "i1"),
        event("b", ADD, "u", "i1"),
        event("c", VIEW, "u", "i2"),
        event("d", VIEW, "v", "i1"),
        event("e", VIEW, "v", "i2"),
    ];
    let position = record(&channel, batch).await.position;

    let profile = ProfileServiceClient::new(channel.clone())
        .get_profile(proto::GetProfileRequest {
            user_id: "u".into(),
            min_position: position,
        })
        .await
        .unwrap()
        .into_inner();
    assert_same(&serving, "GET", "/v1/users/u/profile", b"", &profile).await;

    let item = CatalogServiceClient::new(channel.clone())
        .get_item(proto::GetItemRequest {
            item_id: "i1".into(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(item.item.as_ref().unwrap().price, Some(89.0));
    assert_same(&serving, "GET", "/v1/items/i1", b"", &item).await;

    let episodes = TriggerServiceClient::new(channel.clone())
        .list_episodes(proto::ListEpisodesRequest { limit: 10 })
        .await
        .unwrap()
        .into_inner();
    assert_same(&serving, "GET", "/v1/episodes?limit=10", b"", &episodes).await;
    same_recommendations(&serving, channel, position).await;
    serving.stop().await;
}

async fn same_recommendations(serving: &Serving, channel: Channel, position: u64) {
    let request = proto::RecommendRequest {
        placement: "home".into(),
        user_id: "u".into(),
        limit: 5,
        return_fields: vec!["title".into(), "price".into()],
        min_position: position,
        ..proto::RecommendRequest::default()
    };
    let mut recommendations = RecommendationServiceClient::new(channel);
    let answer = recommendations
        .recommend(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.items.is_empty());
    assert_eq!(answer.freshness(), proto::Freshness::Live);
    let body = serde_json::to_vec(&request).unwrap();
    assert_same(serving, "POST", "/v1/recommendations:query", &body, &answer).await;
    let snake = format!(
        r#"{{"placement":"home","user_id":"u","limit":5,"return_fields":["title","price"],"min_position":{position}}}"#
    );
    assert_same(
        serving,
        "POST",
        "/v1/recommendations:query",
        snake.as_bytes(),
        &answer,
    )
    .await;

    let request = proto::ExplainRequest {
        request: Some(request),
        item_id: "i2".into(),
    };
    let explained = recommendations
        .explain(request.clone())
        .await
        .unwrap()
        .into_inner();
    let body = serde_json::to_vec(&request).unwrap();
    assert_same(
        serving,
        "POST",
        "/v1/recommendations:explain",
        &body,
        &explained,
    )
    .await;
}

/// The answer of HTTP is the JSON form of the answer of gRPC; only the time spent may differ.
async fn assert_same<T: serde::Serialize>(
    serving: &Serving,
    method: &str,
    path: &str,
    body: &[u8],
    expected: &T,
) {
    let mut found = serving.ask(method, path, body).await.json();
    let mut expected = serde_json::to_value(expected).unwrap();
    for json in [&mut found, &mut expected] {
        json.as_object_mut().unwrap().remove("tookUs");
    }
    assert_eq!(found, expected, "{method} {path}");
}

#[tokio::test]
async fn errors_are_the_same_in_both_protocols() {
    let serving = Serving::start().await;
    let request = proto::RecommendRequest {
        placement: "home".into(),
        limit: 1_000,
        ..proto::RecommendRequest::default()
    };
    let body = serde_json::to_vec(&request).unwrap();
    let status = RecommendationServiceClient::new(serving.channel().await)
        .recommend(request)
        .await
        .unwrap_err();
    let reply = serving
        .ask("POST", "/v1/recommendations:query", &body)
        .await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.reason(), reason(&status, Code::InvalidArgument));
    assert_eq!(reply.fields(), fields(&status));
    assert_eq!(reply.json()["error"]["message"], status.message());
    assert_eq!(reply.json()["error"]["status"], "INVALID_ARGUMENT");
    serving.stop().await;
}

#[tokio::test]
async fn nothing_is_answered_before_the_state_is_there_and_stale_answers_can_be_refused() {
    let serving = Serving::start().await;
    let channel = serving.channel().await;
    let mut recommendations = RecommendationServiceClient::new(channel.clone());
    serving.health.set_progress("12 of 100 segments read");
    let status = recommendations
        .recommend(proto::RecommendRequest {
            placement: "home".into(),
            ..proto::RecommendRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::Unavailable), "RESTORING");
    assert!(status.message().contains("12 of 100"));
    let retry = status.get_details_retry_info().unwrap();
    assert!(retry.retry_delay.unwrap() > Duration::ZERO);

    serving.health.set_ready();
    let five_seconds_ago = NOW.plus(-5_000);
    serving
        .health
        .set_behind(five_seconds_ago, true, "the disk is full");
    let status = recommendations
        .recommend(proto::RecommendRequest {
            placement: "home".into(),
            max_staleness_ms: 1_000,
            ..proto::RecommendRequest::default()
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::Unavailable), "STALE");
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["ageMs"],
        "5000"
    );
    serving.stop().await;
}

#[tokio::test]
async fn health_says_when_to_send_work() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let serving = Serving::start().await;
    let mut client = HealthClient::new(serving.channel().await);
    let ask = |service: &str| HealthCheckRequest {
        service: service.into(),
    };
    let process = client.check(ask("")).await.unwrap().into_inner();
    assert_eq!(process.status(), ServingStatus::Serving);
    let mut watched = client.watch(ask("readiness")).await.unwrap().into_inner();
    // What is seen first depends on how far the follower of the health is.
    while watched.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    serving.health.set_draining();
    let next = watched.message().await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    let status = client.check(ask("nobody")).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "NOT_FOUND");
    serving.stop().await;
    assert!(
        watched.message().await.unwrap().is_none(),
        "whoever watches is let go"
    );
}

#[tokio::test]
async fn reflection_shows_every_service_in_both_versions() {
    let serving = Serving::start().await;
    let services = [
        "impulse.v1.CatalogService",
        "impulse.v1.EventService",
        "impulse.v1.ProfileService",
        "impulse.v1.RecommendationService",
        "impulse.v1.TriggerService",
        "grpc.health.v1.Health",
    ];
    macro_rules! listed {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let ask = |what| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(what),
            };
            let requests = futures::stream::iter([
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(
                    "google.rpc.ErrorInfo".into(),
                )),
                ask(MessageRequest::FileContainingSymbol(
                    "impulse.v1.RecommendRequest".into(),
                )),
            ]);
            let mut client = ServerReflectionClient::new(serving.channel().await);
            let mut answers = client
                .server_reflection_info(requests)
                .await
                .unwrap()
                .into_inner();
            let mut next = async || answers.message().await.unwrap().unwrap().message_response;
            let Some(MessageResponse::ListServicesResponse(list)) = next().await else {
                panic!("no list");
            };
            for _ in 0..2 {
                let file = next().await;
                let found = matches!(file, Some(MessageResponse::FileDescriptorResponse(_)));
                assert!(found, "{file:?}");
            }
            list.service
                .into_iter()
                .map(|one| one.name)
                .collect::<Vec<_>>()
        }};
    }
    for listed in [listed!(v1), listed!(v1alpha)] {
        for service in services {
            assert!(
                listed.iter().any(|name| name == service),
                "{service} in {listed:?}"
            );
        }
    }
    serving.stop().await;
}

#[tokio::test]
async fn browsers_reach_the_same_port_by_grpc_web() {
    let serving = Serving::start().await;
    let message = proto::ListEpisodesRequest { limit: 3 };
    let path = "/impulse.v1.TriggerService/ListEpisodes";
    let reply = ask_web(&serving, path, "", &message).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut frames = reply.body.as_slice();
    assert_eq!(frames.get_u8(), 0);
    let length = frames.get_u32() as usize;
    let answer = proto::ListEpisodesResponse::decode(&frames[..length]).unwrap();
    assert!(answer.episodes.is_empty());
    let trailers = String::from_utf8_lossy(&frames[length..]).into_owned();
    assert!(trailers.contains("grpc-status:0"), "{trailers:?}");
    serving.stop().await;
}

#[tokio::test]
async fn packed_messages_are_read_and_long_answers_packed() {
    let serving = Serving::start().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let channel = serving.channel().await;
        let mut client = EventServiceClient::new(channel)
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let events = (0..200).map(|one| event(&format!("{encoding:?}-{one}"), VIEW, "u", "i"));
        let request = proto::RecordEventsRequest {
            events: events.collect(),
        };
        let answer = client.record_events(request).await.unwrap().into_inner();
        assert_eq!(answer.results.len(), 200);
        assert!(
            answer
                .results
                .iter()
                .all(|one| one.status() == proto::EventStatus::Accepted)
        );
    }
    serving.stop().await;
}

#[tokio::test]
async fn many_calls_share_one_connection() {
    let serving = Serving::start().await;
    let mut client = TriggerServiceClient::new(serving.channel().await);
    for _ in 0..200 {
        client
            .list_episodes(proto::ListEpisodesRequest::default())
            .await
            .unwrap();
    }
    let open = serving.metric("impulse_connections_open", &["protocol=\"grpc\""]);
    assert!((open - 1.0).abs() < 0.1, "{open}");
    serving.stop().await;
}

/// Calls a method by gRPC-Web, over HTTP/1.1.
async fn ask_web(
    serving: &Serving,
    path: &str,
    headers: &str,
    message: &impl prost::Message,
) -> Reply {
    let mut body = vec![0];
    body.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut body).unwrap();
    let headers = format!("content-type: application/grpc-web+proto\r\n{headers}");
    let mut connection = Connection::open(serving.grpc).await;
    connection.ask_with("POST", path, &headers, &body).await
}

/// Calls a method with a body that need not be a message.
async fn raw_unary(serving: &Serving, path: &'static str, body: Vec<u8>) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(serving.channel().await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    client
        .unary(Request::new(Bytes::from(body)), path, RawCodec)
        .await
        .map(tonic::Response::into_inner)
}

/// Sends bytes as they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
