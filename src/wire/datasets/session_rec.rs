//! The clicks of the `session-rec` benchmark: tab-separated, with a header that names at least `SessionId`, `ItemId` and
//! `Time` (seconds, fractions allowed), in any order; other columns are passed over.
//!
//! A session is all that is known of a shopper, so it is the visitor too.

use crate::domain::{EventKind, Input, Rejection};
use crate::wire::datasets::row::{Columns, EventIds, split, time_s};
use crate::wire::datasets::{Format, Layout, Line, Out};
use crate::wire::draft::{Draft, Kind};

pub(super) struct SessionRec {
    columns: Columns<3>,
    ids: EventIds,
}

impl Default for SessionRec {
    fn default() -> Self {
        Self {
            columns: Columns::unknown(),
            ids: EventIds::new(Format::SessionRec.name()),
        }
    }
}

impl Layout for SessionRec {
    fn header(&mut self, line: &str) -> Result<bool, Rejection> {
        self.columns = Columns::find(line, '\t', ["SessionId", "ItemId", "Time"], 3)?;
        Ok(true)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let row = split(line.text, '\t')?;
        let [session, item, time] = self.columns.pick(&row)?;
        let draft = Draft {
            kind: Kind::Known(EventKind::ProductView),
            event_id: self.ids.id([line.raw]),
            visitor_id: session.into(),
            session_id: session.into(),
            item_id: item.into(),
            created: Some(time_s("Time", time)?.into()),
            ..Draft::default()
        };
        out.push_back(Ok(Input::Event(draft.into_checked()?)));
        Ok(())
    }
}
