//! What we write for others, trigger records and dead letters, is read back.

use impulse::domain::{
    CartView, LineItem, Millis, Money, Rejection, RejectionReason, Stage, Trigger, TriggerId,
    TriggerKind, TriggerReason,
};
use impulse::wire::{dead_letter, traceparent, trigger};

const TRACE: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn triggers_are_read_back() {
    for kind in [
        TriggerKind::Fire,
        TriggerKind::Cancel,
        TriggerKind::Suppressed,
        TriggerKind::Expired,
    ] {
        let expected = Trigger {
            seq: 7,
            kind,
            id: TriggerId([0xab; 16]),
            revision: 1,
            rule: "cart_abandonment".into(),
            rule_version: 1,
            user: "u".into(),
            episode: "e".into(),
            reason: TriggerReason::BelowMinimumValue,
            cart: CartView {
                lines: vec![line("i", 2, Some(Money(5)))],
                value: Money(3_000_000_000_000_001),
                currency: "EUR".into(),
                updated: Some(Millis(-1)),
            },
            recommendations: vec!["a".into(), "b".into()],
            deadline: Millis(1_000),
            fired: Millis(2_001),
            expires: Millis(3_000),
            position: 12,
            traceparent: traceparent::parse(TRACE),
        };
        let mut bytes = Vec::new();
        trigger::encode(&expected, 3, &mut bytes);
        assert_eq!(trigger::decode(&bytes), Ok((expected, 3)));
    }
    assert_eq!(trigger::parse_id("+bababababababababababababababab"), None);
}

#[test]
fn dead_letters_are_read_back_byte_for_byte() {
    for reason in RejectionReason::ALL {
        let expected = dead_letter::DeadLetter {
            seq: 1,
            received: Millis(5),
            source: "http".to_owned(),
            rejection: Rejection {
                stage: Stage::Value,
                reason,
                field: "price".to_owned(),
                detail: "it is -1".to_owned(),
            },
            payload: vec![0, 255, 10],
            content_type: "application/json".to_owned(),
        };
        let mut bytes = Vec::new();
        dead_letter::encode(&expected, &mut bytes);
        assert_eq!(dead_letter::decode(&bytes), Ok(expected));
    }
}

fn line(item: &str, quantity: u32, price: Option<Money>) -> LineItem {
    LineItem {
        item: item.into(),
        quantity,
        price,
    }
}
