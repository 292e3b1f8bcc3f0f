//! `impulse.v1.RecommendationService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::server::service::Context;
use crate::wire::proto;

use super::answer;
use super::guard::call_of;
use super::stubs::recommendation_service_server::RecommendationService;

/// The service.
pub(super) struct Recommendations(pub(super) Arc<Context>);

#[tonic::async_trait]
impl RecommendationService for Recommendations {
    async fn recommend(
        &self,
        request: Request<proto::RecommendRequest>,
    ) -> Result<Response<proto::RecommendResponse>, Status> {
        let call = call_of(&request);
        Ok(answer(self.0.recommend(request.into_inner(), call).await?))
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Status> {
        let call = call_of(&request);
        Ok(answer(self.0.explain(request.into_inner(), call).await?))
    }
}
