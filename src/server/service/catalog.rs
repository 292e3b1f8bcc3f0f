//! Items, prices and stock.

use crate::domain::{Input, ItemPatch, Rejection};
use crate::pipeline::{Entry, Origin, Status};
use crate::server::Error;
use crate::server::error::Violation;
use crate::wire::{BATCH_MAX, item, proto};

use super::Context;
use super::check::Check;

impl Context {
    /// Adds or changes items: all of them, or none if one is wrong.
    ///
    /// # Errors
    ///
    /// If one of them is wrong, or the batch was not taken.
    pub(in crate::server) async fn upsert_items(
        &self,
        origin: Origin,
        patches: Vec<Result<ItemPatch, Rejection>>,
    ) -> Result<proto::UpsertItemsResponse, Error> {
        if patches.len() > BATCH_MAX {
            return Err(Error::too_many("items", patches.len(), BATCH_MAX));
        }
        let mut check = Check::default();
        let mut entries = Vec::with_capacity(patches.len());
        for (place, patch) in patches.into_iter().enumerate() {
            match patch {
                Ok(patch) => entries.push(Entry {
                    content: Ok(Input::ItemUpsert(Box::new(patch))),
                    raw: None,
                }),
                Err(refused) => check.push(Violation::of(&refused, &format!("items[{place}]"))),
            }
        }
        check.done()?;
        let receipt = self.record(origin, entries).await?;
        Ok(proto::UpsertItemsResponse {
            upserted: count_accepted(&receipt.statuses),
            position: receipt.position,
        })
    }

    /// Takes items out of every future answer.
    ///
    /// # Errors
    ///
    /// If an id is wrong, or the batch was not taken.
    pub(in crate::server) async fn delete_items(
        &self,
        origin: Origin,
        ids: Vec<String>,
    ) -> Result<proto::DeleteItemsResponse, Error> {
        if ids.len() > BATCH_MAX {
            return Err(Error::too_many("item_ids", ids.len(), BATCH_MAX));
        }
        let mut check = Check::default();
        check.ids("item_ids", &ids, BATCH_MAX);
        check.done()?;
        self.health.admit()?;
        let known = ids
            .into_iter()
            .filter(|id| self.view.item(id).is_some_and(|item| item.in_catalog));
        let entries: Vec<Entry> = known
            .map(|id| Entry {
                content: Ok(Input::ItemDelete(id.into())),
                raw: None,
            })
            .collect();
        if entries.is_empty() {
            return Ok(proto::DeleteItemsResponse {
                deleted: 0,
                position: self.view.position(),
            });
        }
        let receipt = self.record(origin, entries).await?;
        Ok(proto::DeleteItemsResponse {
            deleted: count_accepted(&receipt.statuses),
            position: receipt.position,
        })
    }

    /// One item as it stands.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if it was never seen.
    pub(in crate::server) fn item(
        &self,
        request: &proto::GetItemRequest,
    ) -> Result<proto::GetItemResponse, Error> {
        let mut check = Check::default();
        check.required("item_id", &request.item_id);
        check.done()?;
        self.health.admit()?;
        let found = self
            .view
            .item(&request.item_id)
            .ok_or_else(|| Error::item_not_found(&request.item_id))?;
        Ok(proto::GetItemResponse {
            in_catalog: found.in_catalog,
            item: Some(item::to_proto(&found)),
        })
    }
}

fn count_accepted(statuses: &[Status]) -> u32 {
    let accepted = statuses
        .iter()
        .filter(|status| matches!(status, Status::Accepted))
        .count();
    u32::try_from(accepted).unwrap_or(u32::MAX)
}
