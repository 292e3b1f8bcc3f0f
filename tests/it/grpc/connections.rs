//! What comes with every gRPC server: health, reflection, browsers, packing, many calls at a time.

use bytes::Buf as _;
use impulse::wire::proto;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::trigger_service_client::TriggerServiceClient;
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use super::raw::ask_web;
use super::{VIEW, event, reason};
use crate::serving::Serving;

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
