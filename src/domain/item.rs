//! What the shop sells.

use crate::domain::{Id, Millis, Money};

/// An item as the catalog holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// The shop's id.
    pub id: Id,
    /// What people call it; empty if unknown.
    pub title: String,
    /// From the broadest to the narrowest.
    pub categories: Vec<Id>,
    /// The maker; empty if unknown.
    pub brand: Id,
    /// Price of one.
    pub price: Option<Money>,
    /// ISO 4217 code of `price`; empty if unknown.
    pub currency: Id,
    /// Whether the shop offers it.
    pub available: bool,
    /// How many are left, if the shop counts them.
    pub stock: Option<u64>,
    /// Anything else, in the order of its keys.
    pub attributes: Vec<(Id, String)>,
    /// Where its picture is; empty if unknown.
    pub image_url: String,
    /// When it came into the shop, or was first seen.
    pub created: Millis,
    /// Whether it was upserted and not deleted since; otherwise it was only seen in events.
    pub in_catalog: bool,
}

/// A change of an item; what is `None` (or empty, for lists) keeps its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemPatch {
    /// The shop's id. Not empty.
    pub id: Id,
    /// New title.
    pub title: Option<String>,
    /// New categories, if not empty.
    pub categories: Vec<Id>,
    /// New brand.
    pub brand: Option<Id>,
    /// New price.
    pub price: Option<Money>,
    /// New currency.
    pub currency: Option<Id>,
    /// New availability.
    pub available: Option<bool>,
    /// New stock.
    pub stock: Option<u64>,
    /// Attributes to add or replace, in the order of their keys.
    pub attributes: Vec<(Id, String)>,
    /// New picture.
    pub image_url: Option<String>,
    /// When it came into the shop.
    pub created: Option<Millis>,
}
