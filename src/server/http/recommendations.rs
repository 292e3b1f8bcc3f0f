//! Recommendations, explanations and profiles.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::server::Error;
use crate::server::service::Context;
use crate::wire::proto;

use super::Routes;
use super::body::{self, Params};
use super::openapi::Operation;

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    let wait = "wait until the state holds this log position";
    routes
        .add(
            Operation::post(
                "/v1/recommendations:query",
                "Items for a placement, best first",
            )
            .body("RecommendRequest")
            .answers("RecommendResponse"),
            recommend,
        )
        .add(
            Operation::post(
                "/v1/recommendations:explain",
                "Why an item would be shown now",
            )
            .body("ExplainRequest")
            .answers("ExplainResponse"),
            explain,
        )
        .add(
            Operation::get(
                "/recommendations/{userId}",
                "Items for a shopper, ready to be shown",
            )
            .query("limit", "how many; 10 if absent, at most 100")
            .query("placement", "where they are shown")
            .query("item", "an item on the page; may be given several times")
            .query("minPosition", wait)
            .answers("RecommendedItems"),
            items_for_user,
        )
        .add(
            Operation::get("/v1/users/{userId}/profile", "What is known of a shopper")
                .query("minPosition", wait)
                .answers("GetProfileResponse"),
            profile,
        )
}

/// `POST /v1/recommendations:query`.
async fn recommend(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Error> {
    let call = body::call_of(&request);
    let request = body::message(&body::read(&context, request).await?)?;
    Ok(body::json(&context.recommend(request, call).await?))
}

/// `POST /v1/recommendations:explain`.
async fn explain(State(context): State<Arc<Context>>, request: Request) -> Result<Response, Error> {
    let call = body::call_of(&request);
    let request = body::message(&body::read(&context, request).await?)?;
    Ok(body::json(&context.explain(request, call).await?))
}

/// `GET /recommendations/{userId}`: the items alone, each with its fields, ready to be shown.
async fn items_for_user(
    State(context): State<Arc<Context>>,
    Path(user_id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let call = body::call_of(&request);
    let params = Params::of(&request)?;
    let placement = params
        .text("placement")
        .unwrap_or(&context.config.default_placement);
    let question = proto::RecommendRequest {
        placement: placement.to_owned(),
        user_id,
        context_items: params.all("item").map(str::to_owned).collect(),
        limit: params.number("limit")?,
        min_position: params.number("min_position")?,
        return_fields: vec!["*".to_owned()],
        ..proto::RecommendRequest::default()
    };
    let response = context.recommend(question, call).await?;
    Ok(body::json(&response.items))
}

/// `GET /v1/users/{userId}/profile`.
async fn profile(
    State(context): State<Arc<Context>>,
    Path(user_id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let call = body::call_of(&request);
    let question = proto::GetProfileRequest {
        user_id,
        min_position: Params::of(&request)?.number("min_position")?,
    };
    Ok(body::json(&context.profile(question, call).await?))
}
