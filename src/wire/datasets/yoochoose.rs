//! `YooChoose` (`RecSys` Challenge 2015), without a header: clicks are session, timestamp, item, category; buys are session,
//! timestamp, item, price, quantity. A file with a header that names `SessionId` is read as `session-rec` writes it.
//!
//! A session is all that is known of a shopper, so it is the visitor too. Of the category, `0` is nothing, one or two
//! digits are a category, `S` is a special offer and kept as such, and a longer number is a brand. A buy without a
//! price has the price 0, which is read as unknown, and at least one piece was bought.

use crate::domain::{EventDetails, EventKind, Input, Rejection, RejectionReason};
use crate::wire::datasets::row::{EventIds, amount, split, time_text, whole};
use crate::wire::datasets::session_rec::SessionRec;
use crate::wire::datasets::{Format, Layout, Line, Out, bad_line};
use crate::wire::draft::{Draft, Kind};

pub(super) struct YooChoose {
    ids: EventIds,
    with_header: Option<SessionRec>,
}

impl Default for YooChoose {
    fn default() -> Self {
        Self {
            ids: EventIds::new(Format::YooChoose.name()),
            with_header: None,
        }
    }
}

impl Layout for YooChoose {
    fn header(&mut self, line: &str) -> Result<bool, Rejection> {
        if !line.to_ascii_lowercase().contains("sessionid") {
            return Ok(false);
        }
        self.with_header.insert(SessionRec::default()).header(line)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        if let Some(with_header) = &mut self.with_header {
            return with_header.read(line, out);
        }
        let row = split(line.text, ',')?;
        let row: Vec<&str> = row.iter().map(AsRef::as_ref).collect();
        let (session, time, item) = match row.as_slice() {
            [session, time, item, _] | [session, time, item, _, _] => (*session, *time, *item),
            _ => {
                let detail = format!("the line has {} fields; a click has 4, a buy 5", row.len());
                return Err(bad_line(RejectionReason::MalformedLine, "", detail));
            }
        };
        let mut draft = Draft {
            event_id: self.ids.id([line.raw]),
            visitor_id: session.into(),
            session_id: session.into(),
            item_id: item.into(),
            created: Some(time_text("timestamp", time)?.into()),
            ..Draft::default()
        };
        match row.as_slice() {
            [.., price, quantity] if row.len() == 5 => {
                draft.kind = Kind::Known(EventKind::Purchase);
                draft.price = amount("price", price)?.filter(|price| *price != 0.0);
                let quantity = whole("quantity", quantity)?.max(1);
                draft.quantity = u32::try_from(quantity).unwrap_or(u32::MAX);
            }
            [.., category] => {
                draft.kind = Kind::Known(EventKind::ProductView);
                if *category != "0" {
                    set_category(category, draft.details());
                }
            }
            [] => {}
        }
        out.push_back(Ok(Input::Event(draft.into_checked()?)));
        Ok(())
    }
}

fn set_category(category: &str, details: &mut EventDetails) {
    const CATEGORY_DIGITS_MAX: usize = 2;
    if category.len() <= CATEGORY_DIGITS_MAX {
        details.category = category.into();
    } else {
        details.brand = category.into();
    }
}
