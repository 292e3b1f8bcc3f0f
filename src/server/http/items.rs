//! The catalog.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;

use crate::domain::Stage;
use crate::pipeline::Origin;
use crate::server::Error;
use crate::server::service::Context;
use crate::wire::{self, proto};

use super::openapi::Operation;
use super::{Routes, body};

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            Operation::post("/v1/items", "Adds or changes one item or at most 1,000")
                .body("ItemBatch")
                .answers("UpsertItemsResponse"),
            upsert,
        )
        .add(
            Operation::get("/v1/items/{itemId}", "One item as it stands")
                .answers("GetItemResponse"),
            get,
        )
        .add(
            Operation::delete("/v1/items/{itemId}", "Takes an item out of every answer")
                .answers("DeleteItemsResponse"),
            delete,
        )
}

/// `POST /v1/items`: one item, an array, or an object with `items`; adds or changes all of them, or none.
async fn upsert(State(context): State<Arc<Context>>, request: Request) -> Result<Response, Error> {
    let body = body::read(&context, request).await?;
    let decoded = wire::json::items(&body).map_err(|rejection| {
        if rejection.stage == Stage::Limit {
            context.metrics.limit_reached("batch_items_max");
        }
        Error::rejected(&rejection)
    })?;
    let patches = decoded.into_iter().map(|one| one.value).collect();
    Ok(body::json(
        &context.upsert_items(Origin::Http, patches).await?,
    ))
}

/// `DELETE /v1/items/{itemId}`.
async fn delete(
    State(context): State<Arc<Context>>,
    Path(item_id): Path<String>,
) -> Result<Response, Error> {
    let deleted = context.delete_items(Origin::Http, vec![item_id]).await?;
    Ok(body::json(&deleted))
}

/// `GET /v1/items/{itemId}`.
async fn get(
    State(context): State<Arc<Context>>,
    Path(item_id): Path<String>,
) -> Result<Response, Error> {
    Ok(body::json(
        &context.item(&proto::GetItemRequest { item_id })?,
    ))
}
