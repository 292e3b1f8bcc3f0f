//! Whether a partition's silence is known, or only nothing is heard of it.

use crate::stream::kafka::Extent;

/// What was seen of the end of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Silence {
    /// The end was reached and nothing came since.
    reached: bool,
    /// Where the partition ended when the broker was first asked after that.
    end: Option<i64>,
}

impl Silence {
    /// A record came.
    pub(super) fn broken(&mut self) {
        *self = Self::default();
    }

    /// Everything there was has been read.
    pub(super) fn reached(&mut self) {
        *self = Self {
            reached: true,
            end: None,
        };
    }

    /// Whether everything was read, as far as was heard.
    pub(super) fn is_reached(self) -> bool {
        self.reached
    }

    /// How many records are left to read if the next one is at `next`. Once the end was reached, the ends of others'
    /// transactions do not count, although they have offsets; what came since does.
    pub(super) fn behind(self, extent: Extent, next: i64) -> i64 {
        let from = if self.reached {
            self.end.unwrap_or(extent.end)
        } else {
            next
        };
        extent.end.saturating_sub(from).max(0)
    }

    /// Whether the broker itself says, now, that there is nothing more than what was read. `extent` is its answer;
    /// without one nothing is known, and an outage must not look like silence. An end that moves while nothing arrives
    /// means records that are not read yet.
    pub(super) fn is_known(&mut self, extent: Option<Extent>) -> bool {
        match extent {
            Some(extent) if self.reached => *self.end.get_or_insert(extent.end) == extent.end,
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(end: i64) -> Extent {
        Extent { begin: 0, end }
    }

    #[test]
    fn silence_is_known_while_the_broker_confirms_it() {
        let mut silence = Silence::default();
        assert!(
            !silence.is_known(Some(end(7))),
            "the end was not reached yet"
        );
        silence.reached();
        assert!(silence.is_known(Some(end(7))));
        assert!(silence.is_known(Some(end(7))));
        silence.broken();
        assert!(!silence.is_known(Some(end(8))));
    }

    #[test]
    fn a_broker_that_is_away_confirms_nothing() {
        let mut silence = Silence::default();
        silence.reached();
        assert!(!silence.is_known(None));
        assert!(silence.is_known(Some(end(7))));
        assert!(!silence.is_known(None));
    }

    #[test]
    fn what_comes_after_the_end_was_reached_is_left_to_read() {
        let mut silence = Silence::default();
        assert_eq!(silence.behind(end(9), 4), 5);
        silence.reached();
        assert_eq!(silence.behind(end(9), 8), 0, "the end of a transaction");
        assert!(silence.is_known(Some(end(9))));
        assert_eq!(silence.behind(end(12), 8), 3, "the reader hears nothing");
    }

    #[test]
    fn an_end_that_moves_unheard_is_no_silence() {
        let mut silence = Silence::default();
        silence.reached();
        assert!(silence.is_known(Some(end(7))));
        assert!(
            !silence.is_known(Some(end(9))),
            "two records are on their way"
        );
        silence.reached();
        assert!(silence.is_known(Some(end(9))));
    }
}
