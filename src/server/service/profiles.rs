//! What is known of a shopper.

use crate::server::Error;
use crate::server::limits::Call;
use crate::wire::event::watermark;
use crate::wire::{profile, proto};

use super::Context;
use super::check::Check;

impl Context {
    /// The profile of a shopper.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if nothing is known of them.
    pub(in crate::server) async fn profile(
        &self,
        request: proto::GetProfileRequest,
        call: Call,
    ) -> Result<proto::GetProfileResponse, Error> {
        let mut check = Check::default();
        check.required("user_id", &request.user_id);
        check.done()?;
        self.health.admit()?;
        self.reach(request.min_position, &call).await?;
        let position = self.view.position();
        let found = self
            .view
            .profile(&request.user_id)
            .map_err(Error::not_owner)?
            .ok_or_else(|| Error::user_not_found(&request.user_id))?;
        let mut response = proto::GetProfileResponse {
            profile: Some(profile::to_proto(&found)),
            as_of: watermark(self.view.watermark()),
            position,
            ..proto::GetProfileResponse::default()
        };
        response.set_freshness(self.health.freshness());
        response.took_us = call.started.micros();
        Ok(response)
    }
}
