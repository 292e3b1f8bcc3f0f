//! Whether this process may be sent work, and how fresh its answers are.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::Millis;
use crate::server::Error;
use crate::wire::proto::Freshness;

/// The health of the process. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Health(Arc<watch::Sender<State>>);

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The state is being restored; nothing is answered yet.
    Starting,
    /// Work is welcome.
    Ready,
    /// Work under way is finished, new work belongs elsewhere.
    Draining,
}

/// The health at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the process is in its life.
    pub phase: Phase,
    /// Why, in words for an operator.
    pub why: String,
    /// Since when the state no longer follows what the shop sends, and why; `None` while it does.
    pub behind: Option<Behind>,
}

/// Intake has stopped or lags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Since when.
    pub since: Millis,
    /// Whether intake is stopped, or only behind.
    pub stopped: bool,
    /// Why, in words for an operator.
    pub why: String,
}

impl Health {
    /// A process that restores its state.
    pub fn starting(why: impl Into<String>) -> Self {
        let state = State {
            phase: Phase::Starting,
            why: why.into(),
            behind: None,
        };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// From now on work is welcome.
    pub fn set_ready(&self) {
        self.set(Phase::Ready, "ready");
    }

    /// From now on new work belongs elsewhere; there is no way back.
    pub fn set_draining(&self) {
        self.set(Phase::Draining, "draining before the end");
    }

    /// Says how far the restore is.
    pub fn set_progress(&self, why: impl Into<String>) {
        self.set(Phase::Starting, why);
    }

    fn set(&self, phase: Phase, why: impl Into<String>) {
        let why = why.into();
        self.0.send_if_modified(|state| {
            let changes =
                state.phase != Phase::Draining && (state.phase, &state.why) != (phase, &why);
            if changes {
                state.phase = phase;
                state.why = why;
            }
            changes
        });
    }

    /// Answers no longer follow what the shop sends: intake is stopped, or lags.
    pub fn set_behind(&self, now: Millis, stopped: bool, why: &str) {
        self.0.send_if_modified(|state| {
            let since = state.behind.as_ref().map_or(now, |behind| behind.since);
            let behind = Some(Behind {
                since,
                stopped,
                why: why.to_owned(),
            });
            let changes = state.behind != behind;
            state.behind = behind;
            changes
        });
    }

    /// Answers follow again.
    pub fn set_caught_up(&self) {
        self.0
            .send_if_modified(|state| state.behind.take().is_some());
    }

    /// The health at this moment.
    pub fn state(&self) -> State {
        self.0.borrow().clone()
    }

    /// Wakes at each change.
    pub fn changes(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// How up to date answers are.
    pub fn freshness(&self) -> Freshness {
        let state = self.0.borrow();
        match &state.behind {
            Some(behind) if behind.stopped => Freshness::Degraded,
            Some(_) => Freshness::CatchingUp,
            None if state.phase == Phase::Starting => Freshness::CatchingUp,
            None => Freshness::Live,
        }
    }

    /// Lets a request through once the state is there.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE while it is being restored.
    pub fn admit(&self) -> Result<(), Error> {
        let state = self.0.borrow();
        if state.phase == Phase::Starting {
            return Err(Error::unavailable("RESTORING", &state.why));
        }
        Ok(())
    }

    /// Lets a request through if the state is not older than `limit_ms`; 0 is no limit.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE if it is older.
    pub fn admit_age(&self, now: Millis, limit_ms: u64) -> Result<(), Error> {
        let state = self.0.borrow();
        let Some(behind) = state.behind.as_ref().filter(|_| limit_ms > 0) else {
            return Ok(());
        };
        let age_ms = u64::try_from(now.since(behind.since)).unwrap_or(0);
        if age_ms > limit_ms {
            return Err(Error::stale(age_ms, limit_ms));
        }
        Ok(())
    }
}

impl State {
    /// Whether a load balancer should send work here.
    pub fn ready(&self) -> bool {
        self.phase == Phase::Ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_process_never_becomes_ready_again() {
        let health = Health::starting("restoring");
        assert_eq!(health.admit().unwrap_err().reason(), "RESTORING");
        health.set_ready();
        assert!(health.admit().is_ok() && health.state().ready());
        health.set_draining();
        health.set_ready();
        assert_eq!(health.state().phase, Phase::Draining);
        assert!(health.admit().is_ok(), "work under way is finished");
    }

    #[test]
    fn the_age_of_the_state_counts_from_when_it_fell_behind() {
        let health = Health::starting("");
        health.set_ready();
        assert_eq!(health.freshness(), Freshness::Live);
        assert!(health.admit_age(Millis(1_000_000), 1).is_ok());

        health.set_behind(Millis(10_000), true, "disk full");
        health.set_behind(Millis(12_000), true, "disk full");
        assert_eq!(health.freshness(), Freshness::Degraded);
        assert!(health.admit_age(Millis(10_500), 500).is_ok());
        let error = health.admit_age(Millis(10_501), 500).unwrap_err();
        assert_eq!(error.reason(), "STALE");
        assert!(health.admit_age(Millis(99_999), 0).is_ok(), "0 is no limit");

        health.set_caught_up();
        assert_eq!(health.freshness(), Freshness::Live);
    }
}
