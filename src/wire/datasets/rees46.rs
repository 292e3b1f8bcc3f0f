//! REES46: `event_time`, `event_type`, `product_id`, `category_id`, `category_code`, `brand`, `price`, `user_id`,
//! `user_session`.
//!
//! A category code such as `appliances.kitchen.washer` is a path: the item gets the categories `appliances`,
//! `appliances.kitchen` and `appliances.kitchen.washer`, the event the last of them. Where the code is empty the
//! number stands for it. An item is upserted when it is first seen and when its price changes. The files name no
//! currency.

use crate::domain::{EventKind, Id, Input, ItemPatch, Rejection};
use crate::wire::check::CATEGORIES_MAX;
use crate::wire::datasets::items::{KnownItems, News, upsert};
use crate::wire::datasets::row::{Columns, EventIds, amount, split, time_text, unknown_kind};
use crate::wire::datasets::{Format, Layout, Line, Out};
use crate::wire::draft::{Draft, Kind};

pub(super) struct Rees46 {
    columns: Columns<9>,
    ids: EventIds,
    items: KnownItems,
}

impl Default for Rees46 {
    fn default() -> Self {
        Self {
            columns: Columns::unknown(),
            ids: EventIds::new(Format::Rees46.name()),
            items: KnownItems::default(),
        }
    }
}

impl Layout for Rees46 {
    fn header(&mut self, line: &str) -> Result<bool, Rejection> {
        let names = [
            "event_time",
            "event_type",
            "product_id",
            "user_id",
            "price",
            "category_id",
            "category_code",
            "brand",
            "user_session",
        ];
        self.columns = Columns::find(line, ',', names, 5)?;
        Ok(true)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let row = split(line.text, ',')?;
        let [time, kind, item, user, price, number, code, brand, session] =
            self.columns.pick(&row)?;
        let kind = match kind {
            "view" => EventKind::ProductView,
            "cart" => EventKind::AddToCart,
            "remove_from_cart" => EventKind::RemoveFromCart,
            "purchase" => EventKind::Purchase,
            _ => {
                let known = "view, cart, remove_from_cart or purchase";
                return Err(unknown_kind("event_type", kind, known));
            }
        };
        let time = time_text("event_time", time)?;
        let category = if code.is_empty() { number } else { code };
        let mut draft = Draft {
            kind: Kind::Known(kind),
            event_id: self.ids.id([line.raw]),
            user_id: user.into(),
            session_id: session.into(),
            item_id: item.into(),
            price: amount("price", price)?,
            created: Some(time.into()),
            ..Draft::default()
        };
        if !category.is_empty() || !brand.is_empty() {
            let details = draft.details();
            details.category = category.into();
            details.brand = brand.into();
        }
        let event = draft.into_checked()?;
        let news = self.items.see(&event.item, event.price);
        let patch = || ItemPatch {
            id: event.item.clone(),
            price: event.price,
            ..ItemPatch::default()
        };
        match news {
            News::New => {
                let patch = ItemPatch {
                    categories: path(category),
                    brand: (!brand.is_empty()).then(|| brand.into()),
                    ..patch()
                };
                out.push_back(Ok(upsert(patch, time)));
            }
            News::Price => out.push_back(Ok(Input::ItemUpsert(Box::new(patch())))),
            News::Nothing => {}
        }
        out.push_back(Ok(Input::Event(event)));
        Ok(())
    }
}

/// Every category on the way to this one, the broadest first, as many as an item may have.
fn path(category: &str) -> Vec<Id> {
    let ends = category
        .match_indices('.')
        .map(|(end, _)| end)
        .chain([category.len()]);
    ends.filter_map(|end| category.get(..end))
        .filter(|part| !part.is_empty())
        .take(CATEGORIES_MAX)
        .map(Id::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::path;
    use crate::wire::check::CATEGORIES_MAX;

    #[test]
    fn a_category_code_is_a_path() {
        assert_eq!(path("a.b.c"), ["a", "a.b", "a.b.c"]);
        assert_eq!(path("2103807459595387724"), ["2103807459595387724"]);
        assert!(path("").is_empty());
        let deep = vec!["c"; CATEGORIES_MAX + 5].join(".");
        assert_eq!(path(&deep).len(), CATEGORIES_MAX);
    }
}
