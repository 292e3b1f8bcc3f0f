//! Memory that queries use again and again, so that answering allocates little more than the answer.

use parking_lot::Mutex;

use crate::engine::items::Scratch;
use crate::engine::recommend::draft::Draft;
use crate::engine::recommend::placement::Placement;
use crate::engine::recommend::question::Question;
use crate::engine::recommend::recommenders::{self, Recommender};
use crate::engine::state::State;

/// Workspaces kept for later. One holds 8 bytes an item and more than this many readers at once are rare.
const IDLE_MAX: usize = 64;

/// Workspaces that nobody uses at the moment: as many as there were readers at once.
#[derive(Debug, Default)]
pub(crate) struct Workspaces {
    idle: Mutex<Vec<Workspace>>,
}

/// What one reader needs to answer one query.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    pub(super) question: Question,
    pub(super) scratch: Scratch,
    pub(super) draft: Draft,
}

impl Workspaces {
    /// Lends a workspace; what is in it is whatever the last query left there.
    pub(super) fn lend<R>(&self, work: impl FnOnce(&mut Workspace) -> R) -> R {
        let idle = self.idle.lock().pop();
        let mut workspace = idle.unwrap_or_default();
        let result = work(&mut workspace);
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(workspace);
        }
        result
    }
}

impl Workspace {
    /// Fills the draft for the question: down the ladder, then with what stood back for variety, then with anything.
    pub(super) fn fill(&mut self, limit: usize, placement: &Placement, state: &State) {
        let Self {
            question,
            scratch,
            draft,
        } = self;
        draft.begin(limit, placement);
        for (rung, &recommender) in placement.ladder.iter().enumerate() {
            if draft.is_full() {
                break;
            }
            draft.step_down(rung, recommender);
            recommender.propose(question, state, scratch, draft);
        }
        draft.relax();
        draft.step_down(placement.ladder.len(), Recommender::Newest);
        if !draft.is_full() {
            recommenders::scan(question, state, draft);
        }
        // Something seen or bought before is better than nothing, and so is the cart if there is nothing else; what the
        // caller excludes is not.
        while draft.is_empty() && question.reveal() {
            recommenders::scan(question, state, draft);
        }
        draft.sort();
    }
}
