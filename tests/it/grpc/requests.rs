//! Requests that cannot be answered: wrong, about what is unknown, too early or too late.

use impulse::server::Config;
use impulse::wire::proto;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::recommendation_service_client::RecommendationServiceClient;
use std::time::Duration;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::raw::{ask_web, raw_unary};
use super::{fields, reason, still_answers};
use crate::serving::{NOW, Serving};

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
