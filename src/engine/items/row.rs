//! What is kept of one item, and its form as bytes.

use bytes::{Buf, BufMut, TryGetError};

use crate::domain::Millis;
use crate::engine::items::decay::{Era, LogCount, rebase};
use crate::engine::items::pairs::{Pairs, Place};

/// One item. Decayed values are relative to the landmark of `era`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The snapshot that holds this row already, or needs not.
    pub(super) epoch: u32,
    pub(super) era: Era,
    /// Decayed number of distinct sessions with a view of it.
    pub(super) sessions: f64,
    pub(super) popularity: LogCount,
    /// Undecayed number of views and interactions.
    pub(super) events: u32,
    pub(super) last_event: Millis,
    pub(super) created: Millis,
    /// Seen in the same session.
    pub(super) viewed: Supported,
    /// Seen afterwards in the same session; not decayed.
    pub(super) transitions: Pairs,
    /// Most items are never bought.
    pub(super) bought: Option<Box<Bought>>,
}

/// Pairs with the number of sessions or baskets behind each: a lower bound, for it starts anew when an entry does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Supported {
    pub(super) pairs: Pairs,
    support: Vec<u16>,
}

/// The baskets an item was in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Bought {
    /// Decayed number of baskets.
    pub(super) baskets: f64,
    /// Bought together.
    pub(super) together: Supported,
}

impl Row {
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            era: 0,
            sessions: 0.0,
            popularity: LogCount::ZERO,
            events: 0,
            last_event: Millis::MIN,
            created: Millis::MIN,
            viewed: Supported::default(),
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
        self.viewed.pairs.scale(factor as f32);
        if let Some(bought) = &mut self.bought {
            bought.baskets *= factor;
            bought.together.pairs.scale(factor as f32);
        }
    }

    /// Entries in all its rows.
    pub(super) fn entries(&self) -> usize {
        let bought = self
            .bought
            .as_ref()
            .map_or(0, |bought| bought.together.pairs.len());
        self.viewed.pairs.len() + self.transitions.len() + bought
    }

    /// Appends the row to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.era);
        out.put_f64_le(self.sessions);
        out.put_f64_le(self.popularity.key());
        out.put_u32_le(self.events);
        out.put_i64_le(self.last_event.0);
        out.put_i64_le(self.created.0);
        encode_pairs(&self.viewed.pairs, out);
        self.viewed
            .support
            .iter()
            .for_each(|count| out.put_u16_le(*count));
        encode_pairs(&self.transitions, out);
        out.put_u8(u8::from(self.bought.is_some()));
        if let Some(bought) = &self.bought {
            out.put_f64_le(bought.baskets);
            encode_pairs(&bought.together.pairs, out);
            bought
                .together
                .support
                .iter()
                .for_each(|count| out.put_u16_le(*count));
        }
    }

    /// Reads what [`Row::encode`] wrote. Rows longer than `entries_max`, written under another setting, lose their
    /// smallest entries.
    pub(super) fn decode(
        epoch: u32,
        entries_max: usize,
        input: &mut &[u8],
    ) -> Result<Self, TryGetError> {
        let mut row = Self::new(epoch);
        row.era = input.try_get_u32_le()?;
        row.sessions = input.try_get_f64_le()?;
        row.popularity = LogCount::from_key(input.try_get_f64_le()?);
        row.events = input.try_get_u32_le()?;
        row.last_event = Millis(input.try_get_i64_le()?);
        row.created = Millis(input.try_get_i64_le()?);
        row.viewed = Supported::decode(entries_max, input)?;
        row.transitions = decode_pairs(input)?;
        row.transitions.shrink(entries_max);
        if input.try_get_u8()? != 0 {
            row.bought = Some(Box::new(Bought {
                baskets: input.try_get_f64_le()?,
                together: Supported::decode(entries_max, input)?,
            }));
        }
        Ok(row)
    }
}

impl Supported {
    /// As [`Pairs::add`], and one session or basket more; answers whether an entry was appended.
    pub(super) fn add(&mut self, partner: u32, weight: f32, entries_max: usize) -> bool {
        match self.pairs.add(partner, weight, entries_max) {
            Place::Found(index) => {
                if let Some(count) = self.support.get_mut(index) {
                    *count = count.saturating_add(1);
                }
                false
            }
            Place::Appended => {
                self.support.push(1);
                true
            }
            Place::Replaced(index) => {
                if let Some(count) = self.support.get_mut(index) {
                    *count = 1;
                }
                false
            }
        }
    }

    /// Partners, weights and supports.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f32, u16)> {
        let supports = self.support.iter().copied();
        self.pairs
            .iter()
            .zip(supports)
            .map(|((partner, weight), support)| (partner, weight, support))
    }

    /// Weight and support of `partner`; nothing if it is not there.
    pub(super) fn get(&self, partner: u32) -> Option<(f32, u16)> {
        let index = self.pairs.find(partner)?;
        Some((
            self.pairs.weight(index),
            self.support.get(index).copied().unwrap_or_default(),
        ))
    }

    fn decode(entries_max: usize, input: &mut &[u8]) -> Result<Self, TryGetError> {
        let mut pairs = decode_pairs(input)?;
        let mut support = Vec::with_capacity(pairs.len());
        for _ in 0..pairs.len() {
            support.push(input.try_get_u16_le()?);
        }
        for index in pairs.shrink(entries_max) {
            support.swap_remove(index);
        }
        Ok(Self { pairs, support })
    }
}

fn encode_pairs(pairs: &Pairs, out: &mut Vec<u8>) {
    out.put_u32_le(pairs.len() as u32);
    for (partner, weight) in pairs.iter() {
        out.put_u32_le(partner);
        out.put_f32_le(weight);
    }
}

fn decode_pairs(input: &mut &[u8]) -> Result<Pairs, TryGetError> {
    let entries = input.try_get_u32_le()? as usize;
    let requested = entries.saturating_mul(8);
    // Before anything is allocated for what is not there.
    if input.remaining() < requested {
        return Err(TryGetError {
            requested,
            available: input.remaining(),
        });
    }
    let mut pairs = Pairs::default();
    for _ in 0..entries {
        pairs.push(input.try_get_u32_le()?, input.try_get_f32_le()?);
    }
    Ok(pairs)
}
