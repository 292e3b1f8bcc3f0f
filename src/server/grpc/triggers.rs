//! `impulse.v1.TriggerService`.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::server::service::Context;
use crate::wire::proto;

use super::answer;
use super::guard::call_of;
use super::stubs::trigger_service_server::TriggerService;

/// The service.
pub(super) struct Triggers(pub(super) Arc<Context>);

#[tonic::async_trait]
impl TriggerService for Triggers {
    type SubscribeStream =
        Pin<Box<dyn Stream<Item = Result<proto::SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let proto::SubscribeRequest {
            from_seq,
            no_follow,
        } = request.into_inner();
        self.0.health.admit()?;
        let records = self.0.subscribe(from_seq, !no_follow)?.map(|record| {
            Ok(proto::SubscribeResponse {
                trigger: Some(record?),
            })
        });
        Ok(Response::new(Box::pin(records)))
    }

    async fn list_episodes(
        &self,
        request: Request<proto::ListEpisodesRequest>,
    ) -> Result<Response<proto::ListEpisodesResponse>, Status> {
        let call = call_of(&request);
        Ok(answer(self.0.episodes(request.into_inner(), call)?))
    }
}
