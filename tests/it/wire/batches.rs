//! Bodies of several events: each is read or refused by itself, and hostile ones do no harm.

use impulse::domain::RejectionReason;
use impulse::wire::{event, json};

#[test]
fn one_bad_event_of_a_batch_is_refused_by_itself() {
    let body = br#" {"client":"x","events":[{"kind":"cart_view","user_id":"a"}, {"kind":"cart_view", "price":-1} ,7,
        {"kind":"cart_view","user_id":"b"}]} "#;
    let decoded = json::events(body).unwrap();
    let users: Vec<Result<&str, &str>> = decoded
        .iter()
        .map(|entry| {
            entry
                .value
                .as_ref()
                .map(|event| event.user.as_str())
                .map_err(|refused| refused.field.as_str())
        })
        .collect();
    assert_eq!(users, [Ok("a"), Err("user_id"), Err(""), Ok("b")]);
    assert_eq!(decoded[1].raw, br#"{"kind":"cart_view", "price":-1}"#);
    assert_eq!(decoded[2].raw, b"7");
    let one = br#"{"kind":"cart_view","user_id":"a"}"#;
    let decoded = json::events(one).unwrap();
    assert_eq!((decoded.len(), decoded[0].raw), (1, &one[..]));
    assert_eq!(json::events(b"[]").unwrap(), []);
    assert!(json::events(b"[null]").unwrap()[0].value.is_err());
}

#[test]
fn a_batch_that_is_no_batch_is_refused_whole() {
    use RejectionReason as R;
    let many = format!("[{}]", vec!["{}"; 1_001].join(","));
    for (body, reason, field) in [
        (&b""[..], R::MalformedJson, ""),
        (b"hello", R::MalformedJson, ""),
        (b"[{}", R::MalformedJson, ""),
        (b"[{}] []", R::MalformedJson, ""),
        (b"7", R::WrongType, "events"),
        (b"\"a\"", R::WrongType, "events"),
        (b"null", R::WrongType, "events"),
        (b"{\"events\":{}}", R::WrongType, "events"),
        (many.as_bytes(), R::TooLong, "events"),
    ] {
        let refused = json::events(body).expect_err("a batch");
        assert_eq!(
            (refused.reason, refused.field.as_str()),
            (reason, field),
            "{body:?}"
        );
    }
    assert_eq!(
        json::events(many.replacen("{},", "", 1).as_bytes())
            .unwrap()
            .len(),
        1_000
    );
}

#[test]
fn hostile_bodies_are_refused_without_harm() {
    for open in [
        "[",
        "{\"metadata\":",
        "{\"context\":{\"a\":",
        "{\"items\":[",
        "{\"x\":[",
    ] {
        let deep = open.repeat(100_000);
        assert!(json::events(deep.as_bytes()).is_err(), "{open}");
        assert!(json::event(deep.as_bytes()).is_err(), "{open}");
        assert!(json::items(deep.as_bytes()).is_err(), "{open}");
    }
    let ten_mib = format!(
        r#"{{"kind":"cart_view","user_id":"u","blob":"{}"}}"#,
        "x".repeat(10 << 20)
    );
    assert_eq!(
        json::events(ten_mib.as_bytes()).unwrap()[0]
            .value
            .as_ref()
            .unwrap()
            .details,
        None
    );
    let many = format!("[{}]", "0,".repeat(5 << 20));
    assert!(json::events(many.as_bytes()).is_err());
    let empty_lines = [0x52, 0].repeat(1 << 19);
    assert_eq!(
        event::decode(&empty_lines).unwrap_err().reason,
        RejectionReason::MissingField
    );
}
