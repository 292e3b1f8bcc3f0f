//! Measures a stretch of traffic the way shops do.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::{DAY_MS, Event, EventKind, Id, Millis};

/// A session with more events is a bot's.
const HUMAN_EVENTS_MAX: u32 = 250;

/// Counts of a stretch of traffic; its text form is a small report. Bots are counted apart.
#[derive(Clone, Debug, Default)]
pub struct Funnel {
    sessions: BTreeMap<Id, Session>,
    first: Option<Millis>,
    last: Millis,
}

#[derive(Clone, Debug)]
struct Session {
    kinds: [u32; EventKind::ALL.len()],
    first: Millis,
    last: Millis,
}

impl Session {
    fn count(&self, kind: EventKind) -> u32 {
        self.kinds.get(kind as usize).copied().unwrap_or(0)
    }

    fn events(&self) -> u32 {
        self.kinds.iter().sum()
    }
}

impl Funnel {
    /// The funnel of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut funnel = Self::default();
        for event in events {
            funnel.observe(event);
        }
        funnel
    }

    /// Counts one event.
    pub fn observe(&mut self, event: &Event) {
        let at = event.created.unwrap_or_default();
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = self.last.max(at);
        let session = self
            .sessions
            .entry(event.session.clone())
            .or_insert(Session {
                kinds: [0; EventKind::ALL.len()],
                first: at,
                last: at,
            });
        session.last = at;
        if let Some(count) = session.kinds.get_mut(event.kind as usize) {
            *count += 1;
        }
    }

    /// Sessions of people.
    pub fn sessions(&self) -> u64 {
        self.people().count() as u64
    }

    /// Sessions of bots.
    pub fn bot_sessions(&self) -> u64 {
        self.sessions.len() as u64 - self.sessions()
    }

    /// Events of people.
    pub fn events(&self) -> u64 {
        self.people()
            .map(|session| u64::from(session.events()))
            .sum()
    }

    /// Share of one kind in the events of people.
    pub fn share(&self, kind: EventKind) -> f64 {
        ratio(self.total(kind), self.events())
    }

    /// Mean events of a session.
    pub fn events_per_session(&self) -> f64 {
        ratio(self.events(), self.sessions())
    }

    /// Median time from the first to the last event of the sessions with more than one, in milliseconds.
    pub fn session_ms_median(&self) -> i64 {
        let mut lengths: Vec<i64> = self
            .people()
            .filter(|session| session.events() > 1)
            .map(|session| session.last.since(session.first))
            .collect();
        lengths.sort_unstable();
        lengths.get(lengths.len() / 2).copied().unwrap_or(0)
    }

    /// Additions to carts for each product view.
    pub fn adds_per_view(&self) -> f64 {
        ratio(
            self.total(EventKind::AddToCart),
            self.total(EventKind::ProductView),
        )
    }

    /// Share of the sessions with something put into the cart that end without a purchase.
    pub fn abandonment(&self) -> f64 {
        let with_cart = || {
            self.people()
                .filter(|session| session.count(EventKind::AddToCart) > 0)
        };
        let bought = with_cart().filter(|session| session.count(EventKind::Purchase) > 0);
        1.0 - ratio(bought.count() as u64, with_cart().count() as u64)
    }

    /// Purchases for each session.
    pub fn conversion(&self) -> f64 {
        ratio(self.total(EventKind::Purchase), self.sessions())
    }

    fn total(&self, kind: EventKind) -> u64 {
        self.people()
            .map(|session| u64::from(session.count(kind)))
            .sum()
    }

    fn people(&self) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .filter(|session| session.events() <= HUMAN_EVENTS_MAX)
    }
}

impl fmt::Display for Funnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = as_f64(
            self.last
                .since(self.first.unwrap_or(self.last))
                .unsigned_abs(),
        ) / as_f64(DAY_MS.unsigned_abs());
        writeln!(
            f,
            "{} events of people in {} sessions over {days:.1} days; {} sessions of bots",
            self.events(),
            self.sessions(),
            self.bot_sessions()
        )?;
        writeln!(
            f,
            "{:.1} events a session, median length {:.1} min",
            self.events_per_session(),
            as_f64(self.session_ms_median().unsigned_abs()) / 60_000.0
        )?;
        writeln!(
            f,
            "view to cart {:.1} %, abandonment {:.1} %, conversion {:.1} %",
            100.0 * self.adds_per_view(),
            100.0 * self.abandonment(),
            100.0 * self.conversion()
        )?;
        for kind in EventKind::ALL {
            let share = 100.0 * self.share(kind);
            if share > 0.0 {
                writeln!(f, "{:<28}{share:>6.2} %", kind.name())?;
            }
        }
        Ok(())
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    as_f64(part) / as_f64(whole.max(1))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a sample stay far below 2^53"
)]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
