//! gRPC and HTTP say the same.

use impulse::wire::proto;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use impulse::wire::proto::recommendation_service_client::RecommendationServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::{ADD, VIEW, event, fields, reason, record};
use crate::serving::Serving;

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
