//! One event as JSON: every spelling that means it, and every mistake by its name and place.

use impulse::domain::{Event, EventKind, Id, Millis, Money, Rejection, RejectionReason, Stage};
use impulse::wire::{event, json};

fn accepted(text: &str) -> Event {
    json::event(text.as_bytes()).unwrap_or_else(|refused| panic!("{text}: {refused:?}"))
}

#[track_caller]
fn refused(text: &str, reason: RejectionReason, field: &str) -> Rejection {
    let refused = json::event(text.as_bytes()).expect_err(text);
    assert_eq!(
        (refused.reason, refused.field.as_str()),
        (reason, field),
        "{text}"
    );
    refused
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
        r#"{"event_id":"\u0065\u0031","kind":6,"user_id":"u1","session_id":"s1","item_id":"i1",
            "quantity":2,"price":19.99,"currency":"EUR","created_at":1396867869277.0}"#,
    ] {
        assert_eq!(accepted(same), expected, "{same}");
    }
}

#[test]
fn the_call_of_the_shop_page_is_an_event() {
    let view = accepted(
        r#"{"userId":12345,"eventType":"product_view","metadata":{"productId":"ps5-controller","page":"/p/1",
            "price":69.99,"dwell_ms":1200,"nested":{"a":[1]},"nothing":null}}"#,
    );
    assert_eq!((&*view.user, &*view.item), ("12345", "ps5-controller"));
    let context: Vec<(&str, &str)> = view
        .details
        .iter()
        .flat_map(|details| &details.context)
        .map(|(key, value)| (&**key, &**value))
        .collect();
    assert_eq!(
        context,
        [
            ("dwell_ms", "1200"),
            ("nested", r#"{"a":[1]}"#),
            ("page", "/p/1")
        ]
    );
    let filter = accepted(
        r#"{"userId":"u","eventType":"filter_selection","metadata":{"brand":"sony","color":"black"}}"#,
    );
    assert_eq!(
        filter.details.unwrap().filters,
        ["brand:sony", "color:black"]
    );
    let filter = accepted(
        r#"{"userId":"u","eventType":"filter_selection","metadata":{"filters":{"max_price":50}}}"#,
    );
    assert_eq!(filter.details.unwrap().filters, ["max_price:50"]);
    let search =
        accepted(r#"{"userId":"u","eventType":"search_query","metadata":{"query":"ps5"}}"#);
    assert_eq!(search.details.unwrap().query, "ps5");
    for kind in ["purchase", "add_to_cart"] {
        let text =
            format!(r#"{{"userId":"u","eventType":"{kind}","metadata":{{"product_id":7}}}}"#);
        assert_eq!(accepted(&text).item, "7");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_refused_by_name() {
    use RejectionReason as R;
    for (fields, reason, field) in [
        (
            r#""kind":"product_view","item_id":"i""#,
            R::MissingField,
            "user_id",
        ),
        (r#""user_id":"u","item_id":"i""#, R::MissingField, "kind"),
        (
            r#""kind":"EVENT_KIND_UNSPECIFIED","user_id":"u""#,
            R::MissingField,
            "kind",
        ),
        (r#""kind":"teleport","user_id":"u""#, R::UnknownKind, "kind"),
        (r#""kind":99,"user_id":"u""#, R::UnknownKind, "kind"),
        (r#""kind":-1,"user_id":"u""#, R::UnknownKind, "kind"),
        (
            r#""kind":["product_view"],"user_id":"u""#,
            R::WrongType,
            "kind",
        ),
        (
            r#""kind":"product_view","user_id":"u""#,
            R::MissingField,
            "item_id",
        ),
        (
            r#""kind":"search_query","user_id":"u""#,
            R::MissingField,
            "query",
        ),
        (
            r#""kind":"filter_selection","user_id":"u""#,
            R::MissingField,
            "filters",
        ),
        (
            r#""kind":"purchase","user_id":"u""#,
            R::MissingField,
            "items",
        ),
        (
            r#""kind":"consent_change","user_id":"u","consent":{}"#,
            R::MissingField,
            "consent",
        ),
        (
            r#""kind":"identify","user_id":"u""#,
            R::MissingField,
            "visitor_id",
        ),
        (
            r#""kind":"identify","visitor_id":"v""#,
            R::MissingField,
            "user_id",
        ),
        (
            r#""kind":"cart_view","user_id":"a\u0000b""#,
            R::ControlCharacter,
            "user_id",
        ),
        (
            r#""kind":"cart_view","user_id":{"id":1}"#,
            R::WrongType,
            "user_id",
        ),
        (
            r#""kind":"cart_view","user_id":1.5"#,
            R::WrongType,
            "user_id",
        ),
        (
            r#""kind":"cart_view","user_id":true"#,
            R::WrongType,
            "user_id",
        ),
        (
            r#""kind":"search_query","user_id":"u","query":"a\u0000""#,
            R::ControlCharacter,
            "query",
        ),
        (
            r#""kind":"cart_view","user_id":"u","price":-0.01"#,
            R::InvalidValue,
            "price",
        ),
        (
            r#""kind":"cart_view","user_id":"u","price":1e300"#,
            R::InvalidValue,
            "price",
        ),
        (
            r#""kind":"cart_view","user_id":"u","price":"NaN""#,
            R::InvalidValue,
            "price",
        ),
        (
            r#""kind":"cart_view","user_id":"u","price":"dear""#,
            R::InvalidValue,
            "price",
        ),
        (
            r#""kind":"cart_view","user_id":"u","price":[1]"#,
            R::WrongType,
            "price",
        ),
        (
            r#""kind":"cart_view","user_id":"u","revenue":-1"#,
            R::InvalidValue,
            "revenue",
        ),
        (
            r#""kind":"cart_view","user_id":"u","quantity":-1"#,
            R::InvalidValue,
            "quantity",
        ),
        (
            r#""kind":"cart_view","user_id":"u","quantity":1.5"#,
            R::InvalidValue,
            "quantity",
        ),
        (
            r#""kind":"cart_view","user_id":"u","quantity":99999999999"#,
            R::InvalidValue,
            "quantity",
        ),
        (
            r#""kind":"cart_view","user_id":"u","currency":"euro""#,
            R::InvalidValue,
            "currency",
        ),
        (
            r#""kind":"cart_view","user_id":"u","created_at":"yesterday""#,
            R::InvalidValue,
            "created_at",
        ),
        (
            r#""kind":"cart_view","user_id":"u","created_at":9e18"#,
            R::InvalidValue,
            "created_at",
        ),
        (
            r#""kind":"cart_view","user_id":"u","sent_at":{}"#,
            R::WrongType,
            "sent_at",
        ),
        (
            r#""kind":"purchase","user_id":"u","items":"i""#,
            R::WrongType,
            "items",
        ),
        (
            r#""kind":"purchase","user_id":"u","items":[{"item_id":"i"},7]"#,
            R::WrongType,
            "items[1]",
        ),
        (
            r#""kind":"purchase","user_id":"u","items":[{"price":1}]"#,
            R::MissingField,
            "items[0].item_id",
        ),
        (
            r#""kind":"purchase","user_id":"u","items":[{"item_id":"i","price":-1}]"#,
            R::InvalidValue,
            "items[0].price",
        ),
        (
            r#""kind":"purchase","user_id":"u","items":[{"item_id":"i","quantity":"x"}]"#,
            R::InvalidValue,
            "items[0].quantity",
        ),
        (
            r#""kind":"filter_selection","user_id":"u","filters":["a",{}]"#,
            R::WrongType,
            "filters[1]",
        ),
        (
            r#""kind":"cart_view","user_id":"u","consent":{"marketing":"maybe"}"#,
            R::WrongType,
            "consent.marketing",
        ),
        (
            r#""kind":"cart_view","user_id":"u","context":{"k":"\u0001"}"#,
            R::ControlCharacter,
            r#"context["k"]"#,
        ),
    ] {
        let refused = refused(&format!("{{{fields}}}"), reason, field);
        assert!(!refused.detail.is_empty(), "{fields}");
    }
}

#[test]
fn limits_are_refused_as_limits() {
    let long = "x".repeat(257);
    let text = "y".repeat(2_049);
    let lines = vec![r#"{"item_id":"i"}"#; 2_001].join(",");
    let filters = vec![r#""f""#; 201].join(",");
    let context: Vec<String> = (0..65).map(|i| format!(r#""k{i}":"v""#)).collect();
    for (fields, field) in [
        (
            format!(r#""kind":"cart_view","user_id":"{long}""#),
            "user_id",
        ),
        (
            format!(r#""kind":"search_query","user_id":"u","query":"{text}""#),
            "query",
        ),
        (
            format!(r#""kind":"purchase","user_id":"u","items":[{lines}]"#),
            "items",
        ),
        (
            format!(r#""kind":"filter_selection","user_id":"u","filters":[{filters}]"#),
            "filters",
        ),
        (
            format!(
                r#""kind":"cart_view","user_id":"u","context":{{{}}}"#,
                context.join(",")
            ),
            "context",
        ),
    ] {
        let refused = refused(&format!("{{{fields}}}"), RejectionReason::TooLong, field);
        assert_eq!(refused.stage, Stage::Limit);
    }
}

#[test]
fn unknown_fields_that_do_not_fit_are_left_out() {
    let extras: Vec<String> = (0..100).map(|i| format!(r#""extra{i:03}":{i}"#)).collect();
    let long = "x".repeat(3_000);
    let event = accepted(&format!(
        r#"{{"kind":"cart_view","user_id":"u","long":"{long}","nul":"a\u0000b",{}}}"#,
        extras.join(",")
    ));
    let context = event.details.unwrap().context;
    assert_eq!(context.len(), 64);
    assert_eq!(context[0], (Id::from("extra000"), Id::from("0")));
    let event =
        accepted(r#"{"kind":"cart_view","user_id":"u","page":"outer","context":{"page":"inner"}}"#);
    assert_eq!(event.details.unwrap().context[0].1, "inner");
}

#[test]
fn errors_say_the_place() {
    let refused =
        json::event(b"{\"kind\":\"cart_view\",\n \"user_id\":\"u\", \"price\":[]}").unwrap_err();
    assert!(
        refused
            .detail
            .starts_with("`price`: invalid type: sequence"),
        "{}",
        refused.detail
    );
    assert!(
        refused.detail.contains("at line 2 column"),
        "{}",
        refused.detail
    );
    let refused = json::event(b"{\"kind\":\"cart_view\",}").unwrap_err();
    assert_eq!(
        (refused.stage, refused.reason),
        (Stage::Parse, RejectionReason::MalformedJson)
    );
    assert!(
        refused.detail.contains("at line 1 column"),
        "{}",
        refused.detail
    );
    let refused = json::event(b"{\"kind\":\"\xff\"}").unwrap_err();
    assert_eq!(refused.detail, "not UTF-8 from byte 9 on");
    let huge = format!(
        r#"{{"kind":"cart_view","user_id":"u","consent":"{}"}}"#,
        "x".repeat(100_000)
    );
    let refused = json::event(huge.as_bytes()).unwrap_err();
    assert!(refused.detail.len() < 400, "{}", refused.detail.len());
}

#[test]
fn a_clock_a_year_ahead_is_not_a_matter_of_form() {
    let event =
        accepted(r#"{"kind":"cart_view","user_id":"u","created_at":"2999-01-01T00:00:00Z"}"#);
    assert_eq!(event.created, Some(Millis(32_472_144_000_000)));
}
