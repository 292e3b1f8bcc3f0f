//! `impulse.v1.CatalogService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::pipeline::Origin;
use crate::server::Error;
use crate::server::service::Context;
use crate::wire::{BATCH_MAX, item, proto};

use super::stubs::catalog_service_server::CatalogService;
use super::{answer, raw};

/// The service.
pub(super) struct Catalog(pub(super) Arc<Context>);

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn upsert_items(
        &self,
        request: Request<raw::Batch>,
    ) -> Result<Response<proto::UpsertItemsResponse>, Status> {
        let batch = request.into_inner();
        if batch.count() > BATCH_MAX {
            return Err(Error::too_many("items", batch.count(), BATCH_MAX).into());
        }
        let patches = batch
            .entries
            .iter()
            .map(|bytes| item::decode(bytes))
            .collect();
        Ok(answer(self.0.upsert_items(Origin::Grpc, patches).await?))
    }

    async fn delete_items(
        &self,
        request: Request<proto::DeleteItemsRequest>,
    ) -> Result<Response<proto::DeleteItemsResponse>, Status> {
        let ids = request.into_inner().item_ids;
        Ok(answer(self.0.delete_items(Origin::Grpc, ids).await?))
    }

    async fn get_item(
        &self,
        request: Request<proto::GetItemRequest>,
    ) -> Result<Response<proto::GetItemResponse>, Status> {
        Ok(answer(self.0.item(request.get_ref())?))
    }
}
