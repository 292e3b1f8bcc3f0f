//! What to show.

use crate::domain::{Answer, Explanation, Query, Trigger};
use crate::engine::QueryError;
use crate::engine::state::State;

/// Where recommendations appear.
#[derive(Clone, Debug, Default)]
pub struct Placements {}

impl Placements {
    /// Reads a declaration.
    ///
    /// # Errors
    ///
    /// If it is wrong.
    pub fn parse(_text: &str) -> Result<Self, String> {
        Ok(Self {})
    }
}

pub(crate) fn answer(_state: &State, _query: &Query) -> Result<Answer, QueryError> {
    unimplemented!()
}

pub(crate) fn explain(
    _state: &State,
    _query: &Query,
    _item: &str,
) -> Result<Option<Explanation>, QueryError> {
    unimplemented!()
}

pub(crate) fn enrich(_state: &State, _trigger: &mut Trigger) {}
