//! gRPC over real connections: every service, every error, and what a careless or hostile caller can do.

mod both_protocols;
mod connections;
mod events;
mod raw;
mod requests;
mod triggers;

use impulse::wire::proto;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::profile_service_client::ProfileServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::serving::Serving;

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
