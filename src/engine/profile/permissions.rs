//! What a shopper allows, for the few who say so.

use crate::domain::{Consent, Millis};
use crate::engine::codec::Corrupt;
use crate::engine::triggers::{Choice, Choices};

/// Choices about messages that are kept at most; more are made within the bound of disorder by no person.
const CHOICES_MAX: usize = 32;

/// A shopper's choices; 8 bytes for who never made any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permissions(Option<Box<Both>>);

#[derive(Clone, Debug, Default)]
struct Both {
    /// Only the last: readers ask about now.
    personalization: Choices,
    marketing: Choices,
}

impl Permissions {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes in what was chosen at `made`. Triggers ask about times from `settled` on. Returns whether a choice that
    /// they may ask for had to go.
    pub(crate) fn learn(&mut self, consent: Consent, made: Millis, settled: Millis) -> bool {
        if consent == Consent::default() {
            return false;
        }
        let both = self.0.get_or_insert_default();
        if let Some(allowed) = consent.personalization {
            let choice = Choice { made, allowed };
            both.personalization.learn(choice, Millis(i64::MAX), 1);
        }
        consent.marketing.is_some_and(|allowed| {
            let choice = Choice { made, allowed };
            both.marketing.learn(choice, settled, CHOICES_MAX)
        })
    }

    /// What holds now, whatever the watermark has reached.
    pub(crate) fn consent(&self) -> Consent {
        self.0
            .as_ref()
            .map_or_else(Consent::default, |both| Consent {
                personalization: both.personalization.last(),
                marketing: both.marketing.last(),
            })
    }

    /// The choice about messages in force at `time`.
    pub(crate) fn marketing_as_of(&self, time: Millis) -> Option<Choice> {
        self.0.as_ref()?.marketing.as_of(time)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |both| {
            size_of::<Both>() + both.personalization.heap_bytes() + both.marketing.heap_bytes()
        })
    }

    /// Nothing for who never made a choice: whether there is something to decode is to be written elsewhere.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(both) = &self.0 {
            both.personalization.encode(out);
            both.marketing.encode(out);
        }
    }

    pub(crate) fn decode(input: &mut &[u8]) -> Result<Self, Corrupt> {
        Ok(Self(Some(Box::new(Both {
            personalization: Choices::decode(input)?,
            marketing: Choices::decode(input)?,
        }))))
    }
}

#[cfg(test)]
mod tests {
    use super::Permissions;
    use crate::domain::{Consent, Millis};

    fn marketing(choice: bool) -> Consent {
        Consent {
            marketing: Some(choice),
            ..Consent::default()
        }
    }

    #[test]
    fn a_change_keeps_what_it_leaves_out() {
        let mut permissions = Permissions::default();
        permissions.learn(Consent::default(), Millis(1), Millis(0));
        assert!(permissions.is_empty());
        permissions.learn(marketing(true), Millis(1), Millis(0));
        let no = Consent {
            personalization: Some(false),
            marketing: None,
        };
        permissions.learn(no, Millis(2), Millis(0));
        let both = Consent {
            personalization: Some(false),
            marketing: Some(true),
        };
        assert_eq!(permissions.consent(), both);
        permissions.learn(marketing(false), Millis(3), Millis(0));
        assert_eq!(permissions.consent().marketing, Some(false));
        permissions.learn(marketing(true), Millis(2), Millis(0));
        assert_eq!(permissions.consent().marketing, Some(false), "made before");
        assert!(permissions.marketing_as_of(Millis(2)).unwrap().allowed);
    }
}
