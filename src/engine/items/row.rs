//! What is kept of one item, and its form as bytes.

#![expect(
    clippy::cast_possible_truncation,
    reason = "weights are kept in 32 bits, and ids are dense"
)]

use bytes::{Buf, BufMut};

use crate::domain::Millis;
use crate::engine::items::decay::{DecayedCount, Era, rebase};
use crate::engine::items::pairs::Pairs;
use crate::engine::items::snapshot::DecodeError;

/// One item. Decayed values are relative to the landmark of `era`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The snapshot that holds this row already, or needs not.
    pub(super) epoch: u32,
    pub(super) era: Era,
    /// Decayed number of distinct sessions with a view of it.
    pub(super) sessions: f64,
    pub(super) popularity: DecayedCount,
    /// Undecayed number of views and interactions.
    pub(super) events: u32,
    pub(super) last_event: Millis,
    pub(super) created: Millis,
    /// Seen in the same session.
    pub(super) viewed: Pairs,
    /// Seen afterwards in the same session; not decayed.
    pub(super) transitions: Pairs,
    /// Most items are never bought.
    pub(super) bought: Option<Box<Bought>>,
}

/// The baskets an item was in.
#[derive(Clone, Debug, Default)]
pub(super) struct Bought {
    /// Decayed number of baskets.
    pub(super) baskets: f64,
    /// Bought together.
    pub(super) together: Pairs,
}

impl Row {
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            era: 0,
            sessions: 0.0,
            popularity: DecayedCount::ZERO,
            events: 0,
            last_event: Millis::MIN,
            created: Millis::MIN,
            viewed: Pairs::default(),
            transitions: Pairs::default(),
            bought: None,
        }
    }

    /// Brings the row to a later era.
    pub(super) fn rebase(&mut self, era: Era) {
        if self.era >= era {
            return;
        }
        let factor = rebase(self.era, era);
        self.era = era;
        self.sessions *= factor;
        self.viewed.scale(factor as f32);
        if let Some(bought) = &mut self.bought {
            bought.baskets *= factor;
            bought.together.scale(factor as f32);
        }
    }

    /// Entries in all its rows.
    pub(super) fn entries(&self) -> u32 {
        let bought = self
            .bought
            .as_ref()
            .map_or(0, |bought| bought.together.len());
        self.viewed.len() + self.transitions.len() + bought
    }

    /// Appends the row to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.era);
        out.put_f64_le(self.sessions);
        out.put_f64_le(self.popularity.key());
        out.put_u32_le(self.events);
        out.put_i64_le(self.last_event.0);
        out.put_i64_le(self.created.0);
        self.viewed.encode(out);
        self.transitions.encode(out);
        out.put_u8(u8::from(self.bought.is_some()));
        if let Some(bought) = &self.bought {
            out.put_f64_le(bought.baskets);
            bought.together.encode(out);
        }
    }

    /// Reads what [`Row::encode`] wrote.
    pub(super) fn decode(
        epoch: u32,
        entries_max: u32,
        input: &mut &[u8],
    ) -> Result<Self, DecodeError> {
        let mut row = Self::new(epoch);
        row.era = input.try_get_u32_le()?;
        row.sessions = input.try_get_f64_le()?;
        row.popularity = DecayedCount::from_key(input.try_get_f64_le()?);
        row.events = input.try_get_u32_le()?;
        row.last_event = Millis(input.try_get_i64_le()?);
        row.created = Millis(input.try_get_i64_le()?);
        row.viewed = Pairs::decode(entries_max, input)?;
        row.transitions = Pairs::decode(entries_max, input)?;
        if input.try_get_u8()? != 0 {
            row.bought = Some(Box::new(Bought {
                baskets: input.try_get_f64_le()?,
                together: Pairs::decode(entries_max, input)?,
            }));
        }
        Ok(row)
    }
}
