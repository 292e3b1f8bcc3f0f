//! Every format in and out: what was written is read back, and what is wrong is refused by name.

use impulse::domain::{Event, EventKind, Millis, Money};
use impulse::wire::{event, json};

fn accepted(text: &str) -> Event {
    json::event(text.as_bytes()).unwrap_or_else(|refused| panic!("{text}: {refused:?}"))
}

#[test]
fn the_numbers_of_the_kinds_are_those_of_the_protos() {
    for kind in EventKind::ALL {
        let mut event = accepted(r#"{"kind":"cart_view","user_id":"u"}"#);
        event.kind = kind;
        let name = format!("EVENT_KIND_{}", kind.name().to_uppercase());
        assert_eq!(event::to_proto(&event).kind().as_str_name(), name);
    }
}

#[test]
fn both_spellings_and_every_form_of_kind_and_time_mean_the_same() {
    let expected = accepted(
        r#"{"event_id":"e1","kind":"add_to_cart","user_id":"u1","session_id":"s1","item_id":"i1",
            "quantity":2,"price":19.99,"currency":"EUR","created_at":1396867869277}"#,
    );
    assert_eq!(expected.kind, EventKind::AddToCart);
    assert_eq!(expected.price, Some(Money(19_990_000)));
    assert_eq!(expected.created, Some(Millis(1_396_867_869_277)));
    for same in [
        r#"{"eventId":"e1","kind":"ADD_TO_CART","userId":"u1","sessionId":"s1","itemId":"i1",
            "quantity":2.0,"price":"19.99","currency":"EUR","createdAt":"2014-04-07T10:51:09.277Z"}"#,
        r#"{"eventId":"e1","kind":"EVENT_KIND_ADD_TO_CART","userId":"u1","sessionId":"s1","productId":"i1",
            "quantity":"2","price":19.99,"currency":"EUR","createdAt":"2014-04-07T12:51:09.277+02:00","revenue":null}"#,
        r#"{"userId":"u1","eventType":"add_to_cart","metadata":{"event_id":"e1","product_id":"i1","quantity":2,
            "price":19.99,"currency":"EUR","sessionId":"s1","created_at":"1396867869277"}}"#,
    ] {
        assert_eq!(accepted(same), expected, "{same}");
    }
}
