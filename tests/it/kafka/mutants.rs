//! Known damage put into what was observed of an honest run: the checker must see each.

use super::checker::{Observed, judge};

/// What may happen to a log.
#[derive(Clone, Copy, Debug)]
enum Damage {
    TriggerLost,
    TriggerTwice,
    TriggerInvented,
    SuppressionLost,
    DeadLetterLost,
    DeadLetterTwice,
    DeadLetterOfAnotherRecord,
    TransactionMissing,
    TransactionTwice,
    PositionBehind,
    PositionAhead,
    NumberRepeated,
    PurchaseForgotten,
}

impl Damage {
    const ALL: [Self; 13] = [
        Self::TriggerLost,
        Self::TriggerTwice,
        Self::TriggerInvented,
        Self::SuppressionLost,
        Self::DeadLetterLost,
        Self::DeadLetterTwice,
        Self::DeadLetterOfAnotherRecord,
        Self::TransactionMissing,
        Self::TransactionTwice,
        Self::PositionBehind,
        Self::PositionAhead,
        Self::NumberRepeated,
        Self::PurchaseForgotten,
    ];

    fn put_into(self, observed: &mut Observed) {
        match self {
            Self::TriggerLost => drop(observed.triggers.remove(7)),
            Self::TriggerTwice => observed.triggers.push(observed.triggers[7].clone()),
            Self::TriggerInvented => {
                let other = observed.triggers[8].clone();
                let text = String::from_utf8(observed.triggers[7].value.clone()).unwrap();
                let user = other.json()["userId"].as_str().unwrap().to_owned();
                let own = observed.triggers[7].json()["userId"]
                    .as_str()
                    .unwrap()
                    .to_owned();
                let invented = text.replace(&format!("\"{own}\""), &format!("\"{user}x\""));
                observed.triggers[7].value = invented.into_bytes();
            }
            Self::SuppressionLost => drop(observed.suppressions.remove(7)),
            Self::DeadLetterLost => drop(observed.dead_letters.remove(3)),
            Self::DeadLetterTwice => observed.dead_letters.push(observed.dead_letters[3].clone()),
            Self::DeadLetterOfAnotherRecord => {
                let headers = observed.dead_letters[4].headers.clone();
                observed.dead_letters[3].headers = headers;
            }
            Self::TransactionMissing => drop(observed.commits.remove(1)),
            Self::TransactionTwice => observed.commits.insert(1, observed.commits[1].clone()),
            Self::PositionBehind => observed.positions[0] -= 1,
            Self::PositionAhead => observed.positions[0] += 1,
            Self::NumberRepeated => {
                let first = observed.triggers[0].headers.clone();
                observed.triggers[1].headers = first;
            }
            Self::PurchaseForgotten => {
                for event in &mut observed.events {
                    let text = String::from_utf8(event.value.clone()).unwrap();
                    event.value = text.replace("purchase", "product_view").into_bytes();
                }
            }
        }
    }
}

/// Every damage is seen, and what is none is none.
pub(super) fn all_are_caught(honest: &Observed) {
    assert_eq!(judge(honest).err(), None);
    let mut resent = honest.clone();
    let readable = honest.events.iter();
    let readable = readable.filter(|event| !event.value.starts_with(b"poison"));
    resent.events.extend(readable.cloned());
    let repeated = resent.events.len() - honest.events.len();
    assert_eq!(judge(&resent).unwrap().repeated, repeated);
    for damage in Damage::ALL {
        let mut damaged = honest.clone();
        damage.put_into(&mut damaged);
        let Err(wrong) = judge(&damaged) else {
            panic!("{damage:?} is not seen");
        };
        println!("{damage:?} is seen: {}", wrong[0]);
    }
}
