//! Our own events in canonical JSON, one a line; an event without an id gets one made from its line.

use crate::domain::{Input, Rejection};
use crate::wire::datasets::row::EventIds;
use crate::wire::datasets::{Format, Layout, Line, Out};
use crate::wire::json;

pub(super) struct Jsonl {
    ids: EventIds,
}

impl Default for Jsonl {
    fn default() -> Self {
        Self {
            ids: EventIds::new(Format::Jsonl.name()),
        }
    }
}

impl Layout for Jsonl {
    fn header(&mut self, _line: &str) -> Result<bool, Rejection> {
        Ok(false)
    }

    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection> {
        let mut event = json::event(line.raw)?;
        if event.id.is_empty() {
            event.id = self.ids.id([line.raw]);
        }
        out.push_back(Ok(Input::Event(event)));
        Ok(())
    }
}
