//! `RetailRocket`: `timestamp` (ms), `visitorid`, `event`, `itemid`, `transactionid`; extended files add `sessionid` and
//! `categoryid`.
//!
//! Every row is one event, also the rows of one transaction: they have one order id. The layout has no prices. A
//! `categoryid` becomes the item's category, upserted when the item is first seen; without that column the items stay
//! known from events alone.

use crate::domain::{EventKind, Id, Input, ItemPatch, Rejection};
use crate::wire::datasets::items::{KnownItems, News, upsert};
use crate::wire::datasets::row::{Columns, EventIds, split, time_ms, unknown_kind};
use crate::wire::datasets::{Format, Layout, Line, Out};
use crate::wire::draft::{Draft, Kind};

pub(super) struct RetailRocket {
    columns: Columns<7>,
    ids: EventIds,
    items: KnownItems,
}

impl Default for RetailRocket {
    fn default() -> Self {
        Self {
            columns: Columns::unknown(),
            ids: EventIds::new(Format::RetailRocket.name()),
            items: KnownItems::default(),
        }
    }
}

impl Layout for RetailRocket {
    fn header(&mut self, line: &str) -> Result<bool, Rejection> {
        let names = [
            "timestamp",
            "visitorid",
            "event",
            "itemid",
            "transactionid",
            "sessionid",
            "categoryid",
        ];
        self.columns = Columns::find(line, ',', names, 4)?;
        Ok(true)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let row = split(line.text, ',')?;
        let [time, visitor, kind, item, order, session, category] = self.columns.pick(&row)?;
        let kind = match kind {
            "view" => EventKind::ProductView,
            "addtocart" => EventKind::AddToCart,
            "transaction" => EventKind::Purchase,
            _ => {
                return Err(unknown_kind(
                    "event",
                    kind,
                    "view, addtocart or transaction",
                ));
            }
        };
        let time = time_ms("timestamp", time)?;
        let mut draft = Draft {
            kind: Kind::Known(kind),
            event_id: self.ids.id([line.raw]),
            visitor_id: visitor.into(),
            session_id: session.into(),
            item_id: item.into(),
            created: Some(time.into()),
            ..Draft::default()
        };
        if !order.is_empty() || !category.is_empty() {
            let details = draft.details();
            details.order_id = order.into();
            details.category = category.into();
        }
        let event = draft.into_checked()?;
        if !category.is_empty() && self.items.see(&event.item, None) == News::New {
            let patch = ItemPatch {
                id: event.item.clone(),
                categories: vec![Id::from(category)],
                ..ItemPatch::default()
            };
            out.push_back(Ok(upsert(patch, time)));
        }
        out.push_back(Ok(Input::Event(event)));
        Ok(())
    }
}
