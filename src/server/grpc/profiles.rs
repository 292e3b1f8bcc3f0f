//! `impulse.v1.ProfileService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::server::service::Context;
use crate::wire::proto;

use super::answer;
use super::guard::call_of;
use super::stubs::profile_service_server::ProfileService;

/// The service.
pub(super) struct Profiles(pub(super) Arc<Context>);

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_profile(
        &self,
        request: Request<proto::GetProfileRequest>,
    ) -> Result<Response<proto::GetProfileResponse>, Status> {
        let call = call_of(&request);
        Ok(answer(self.0.profile(request.into_inner(), call).await?))
    }
}
