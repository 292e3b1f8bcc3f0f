//! Pages of the trigger log and the dead-letter log, and open episodes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;

use crate::server::Error;
use crate::server::service::Context;
use crate::wire::proto;

use super::Routes;
use super::body::{self, Params};
use super::openapi::Operation;

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    let from = "first sequence number; the oldest kept if absent";
    routes
        .add(
            Operation::get("/v1/triggers", "A page of the trigger log")
                .query("from", from)
                .query("limit", "at most 1,000")
                .answers("TriggerPage"),
            triggers,
        )
        .add(
            Operation::get("/v1/episodes", "Open episodes, soonest deadline first")
                .query("limit", "100 if absent, at most 1,000")
                .answers("ListEpisodesResponse"),
            episodes,
        )
        .add(
            Operation::get("/v1/dead-letters", "A page of the dead-letter log")
                .query("from", from)
                .query("limit", "at most 1,000")
                .answers("DeadLetterPage"),
            dead_letters,
        )
}

/// `GET /v1/triggers?from=SEQ&limit=N`; the next page begins at `next`.
async fn triggers(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Error> {
    let params = Params::of(&request)?;
    let page = context
        .trigger_page(params.number("from")?, params.number("limit")?)
        .await?;
    Ok(body::json(
        &json!({"triggers": page.records, "next": page.next, "newest": page.newest}),
    ))
}

/// `GET /v1/dead-letters?from=SEQ&limit=N`; the next page begins at `next`.
async fn dead_letters(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Error> {
    let params = Params::of(&request)?;
    let page = context
        .dead_letter_page(params.number("from")?, params.number("limit")?)
        .await?;
    Ok(body::json(
        &json!({"deadLetters": page.records, "next": page.next, "newest": page.newest}),
    ))
}

/// `GET /v1/episodes?limit=N`.
async fn episodes(
    State(context): State<Arc<Context>>,
    request: Request,
) -> Result<Response, Error> {
    let call = body::call_of(&request);
    let limit = Params::of(&request)?.number("limit")?;
    let question = proto::ListEpisodesRequest { limit };
    Ok(body::json(&context.episodes(question, call)?))
}
