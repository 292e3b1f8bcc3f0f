//! Whether a shopper allows messages, in event time: the choice made last counts, whatever the order of arrival.

use bytes::{Buf, BufMut, TryGetError};
use thin_vec::ThinVec;

use crate::domain::{Millis, Traceparent, TriggerKind, TriggerReason};

use super::settle::{Draft, Terms};
use super::state::Shopping;

/// A shopper's yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// When it was made, in event time.
    pub made: Millis,
    /// What it was.
    pub allowed: bool,
}

/// What a shopper said to one question: the answer that was settled last, and those that came after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices(ThinVec<Choice>);

impl Choice {
    /// Of two choices of one moment the refusal counts as the later.
    fn order(self) -> (Millis, bool) {
        (self.made, !self.allowed)
    }
}

impl Choices {
    /// Takes a choice in, and forgets what nobody will ask for if it is only asked about times from `settled` on.
    /// Returns whether there were more than `max` and the oldest had to go.
    pub fn learn(&mut self, choice: Choice, settled: Millis, max: usize) -> bool {
        let place = self
            .0
            .partition_point(|other| other.order() <= choice.order());
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(1);
        }
        self.0.insert(place, choice);
        let in_force = self.0.partition_point(|other| other.made <= settled);
        self.0.drain(..in_force.saturating_sub(1));
        let too_many = self.0.len().saturating_sub(max.max(1));
        self.0.drain(..too_many);
        too_many > 0
    }

    /// The choice in force at `time`.
    pub fn as_of(&self, time: Millis) -> Option<Choice> {
        let made = self.0.partition_point(|other| other.made <= time);
        self.0.get(made.checked_sub(1)?).copied()
    }

    /// The choice made last.
    pub fn last(&self) -> Option<bool> {
        self.0.last().map(|choice| choice.allowed)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        const HEADER: usize = 16;
        match self.0.capacity() {
            0 => 0,
            capacity => HEADER + capacity * size_of::<Choice>(),
        }
    }

    /// Writes the choices so that [`Choices::decode`] gives them back.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for choice in &self.0 {
            out.put_i64_le(choice.made.0);
            out.put_u8(u8::from(choice.allowed));
        }
    }

    /// Reads what [`Choices::encode`] wrote.
    ///
    /// # Errors
    ///
    /// If `input` ends too early.
    pub fn decode(input: &mut &[u8]) -> Result<Self, TryGetError> {
        let len = input.try_get_u32_le()?;
        let choice = |_| {
            Ok(Choice {
                made: Millis(input.try_get_i64_le()?),
                allowed: input.try_get_u8()? != 0,
            })
        };
        (0..len).map(choice).collect::<Result<_, _>>().map(Self)
    }
}

impl Shopping {
    /// Takes back what fired although, as a refusal of time `made` shows, no message was allowed at its deadline.
    pub(super) fn refuse(
        &mut self,
        made: Millis,
        trace: Option<Traceparent>,
        terms: &mut Terms<'_>,
    ) {
        let refused = self.fired.extract_if(.., |fired| {
            (fired.allowed..=fired.deadline).contains(&made)
                && terms.watermark <= fired.watermark + terms.grace_ms
        });
        terms.drafts.extend(refused.map(|fired| Draft {
            kind: TriggerKind::Cancel,
            reason: TriggerReason::NoConsent,
            user: terms.user,
            episode: fired.id,
            deadline: fired.deadline,
            contents: fired.contents,
            trace: trace.map(Box::new).or(fired.trace),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Choices};
    use crate::domain::Millis;

    /// Learns choices of these times, settled to the time that goes with each.
    fn choices(learned: &[(i64, bool, i64)]) -> Choices {
        let mut choices = Choices::default();
        for &(made, allowed, settled) in learned {
            let made = Millis(made);
            assert!(!choices.learn(Choice { made, allowed }, Millis(settled), 9));
        }
        choices
    }

    fn at(choices: &Choices, time: i64) -> Option<bool> {
        choices.as_of(Millis(time)).map(|choice| choice.allowed)
    }

    #[test]
    fn the_choice_made_last_is_in_force_whenever_it_came() {
        let one = choices(&[(10, true, 0), (30, true, 0), (20, false, 0)]);
        let other = choices(&[(20, false, 0), (30, true, 0), (10, true, 0)]);
        assert_eq!(one, other);
        let said: Vec<Option<bool>> = [9, 10, 19, 20, 29, 30].map(|time| at(&one, time)).into();
        let expected = [
            None,
            Some(true),
            Some(true),
            Some(false),
            Some(false),
            Some(true),
        ];
        assert_eq!(said, expected);
        assert_eq!(one.last(), Some(true));
    }

    #[test]
    fn of_one_moment_the_refusal_counts() {
        let one = choices(&[(10, true, 0), (10, false, 0)]);
        assert_eq!(one, choices(&[(10, false, 0), (10, true, 0)]));
        assert_eq!(at(&one, 10), Some(false));
    }

    #[test]
    fn what_is_settled_is_kept_once() {
        let mut settled = choices(&[(10, true, 0), (20, false, 0), (40, true, 30)]);
        assert_eq!((at(&settled, 30), at(&settled, 19)), (Some(false), None));
        let older = Choice {
            made: Millis(15),
            allowed: true,
        };
        assert!(!settled.learn(older, Millis(30), 9));
        assert_eq!(
            at(&settled, 30),
            Some(false),
            "an older one changes nothing"
        );
        for made in 50..60 {
            let full = settled.learn(
                Choice {
                    made: Millis(made),
                    allowed: true,
                },
                Millis(30),
                9,
            );
            assert_eq!(full, made >= 57);
        }
        let mut bytes = Vec::new();
        settled.encode(&mut bytes);
        assert_eq!(Choices::decode(&mut bytes.as_slice()), Ok(settled));
        assert!(Choices::decode(&mut &bytes[..bytes.len() - 1]).is_err());
    }
}
