//! Which items of a file have been upserted already.

use std::collections::HashMap;

use crate::domain::{Id, Input, ItemPatch, Millis, Money};

/// Items whose upsert was given, with the price it gave.
#[derive(Debug, Default)]
pub(super) struct KnownItems(HashMap<Id, Option<Money>>);

/// What a line says about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It was not seen before.
    New,
    /// Its price is another one than before.
    Price,
    /// Nothing new.
    Nothing,
}

impl KnownItems {
    /// Beyond so many items all are forgotten and upserted once more, which changes nothing but the log's length.
    const ITEMS_MAX: usize = 1_000_000;

    /// Compares an item with what was known of it and remembers it.
    pub(super) fn see(&mut self, item: &Id, price: Option<Money>) -> News {
        if let Some(known) = self.0.get_mut(item) {
            if price.is_none() || *known == price {
                return News::Nothing;
            }
            *known = price;
            return News::Price;
        }
        if self.0.len() == Self::ITEMS_MAX {
            self.0.clear();
        }
        self.0.insert(item.clone(), price);
        News::New
    }
}

/// The upsert of an item that was first seen at `created`.
pub(super) fn upsert(patch: ItemPatch, created: Millis) -> Input {
    Input::ItemUpsert(Box::new(ItemPatch {
        created: Some(created),
        ..patch
    }))
}

#[cfg(test)]
mod tests {
    use super::{KnownItems, News};
    use crate::domain::Money;

    #[test]
    fn an_item_is_new_once_and_news_when_its_price_changes() {
        let mut known = KnownItems::default();
        let mut see = |item: &str, price: Option<i64>| known.see(&item.into(), price.map(Money));
        assert_eq!(see("a", Some(5)), News::New);
        assert_eq!(see("a", Some(5)), News::Nothing);
        assert_eq!(see("b", None), News::New);
        assert_eq!(see("a", None), News::Nothing);
        assert_eq!(see("a", Some(6)), News::Price);
        assert_eq!(see("b", Some(6)), News::Price);
    }
}
