//! Every format in and out: what was written is read back, and what is wrong is refused by name.

use impulse::domain::{
    CartView, Consent, Event, EventDetails, EventKind, Id, Input, ItemPatch, LineItem, Millis,
    Money, Record, Rejection, RejectionReason, Stage, Trigger, TriggerId, TriggerKind,
    TriggerReason,
};
use impulse::wire::{dead_letter, event, item, json, proto, record, trigger};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

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

#[test]
fn a_clock_a_year_ahead_is_not_a_matter_of_form() {
    let event =
        accepted(r#"{"kind":"cart_view","user_id":"u","created_at":"2999-01-01T00:00:00Z"}"#);
    assert_eq!(event.created, Some(Millis(32_472_144_000_000)));
}

#[test]
fn items_are_read_in_either_spelling_and_refused_by_name() {
    let read = |text: &str| json::item(text.as_bytes());
    let patch = read(
        r#"{"itemId":7,"title":"Trail runner","categories":["shoes","trail"],"price":"89.90","currency":"EUR",
            "available":true,"stock":3,"attributes":{"colour":"red","size":43},"imageUrl":"/7.jpg",
            "createdAt":"2026-01-01T00:00:00Z","unknown":[1]}"#,
    )
    .unwrap();
    assert_eq!(
        (&*patch.id, patch.price, patch.stock),
        ("7", Some(Money(89_900_000)), Some(3))
    );
    assert_eq!(patch.attributes[1], (Id::from("size"), "43".to_owned()));
    assert_eq!(item::from_proto(item::patch_to_proto(&patch)), Ok(patch));
    for (text, field) in [
        (r#"{"title":"x"}"#, "item_id"),
        (r#"{"item_id":"i","price":-1}"#, "price"),
        (r#"{"item_id":"i","stock":-1}"#, "stock"),
        (r#"{"item_id":"i","categories":["a",""]}"#, "categories[1]"),
        (r#"{"item_id":"i","categories":["a",[]]}"#, "categories[1]"),
        (
            r#"{"item_id":"i","attributes":{"a":"\u0000"}}"#,
            r#"attributes["a"]"#,
        ),
        (r#"{"item_id":"i","currency":"€"}"#, "currency"),
        (r#"{"item_id":"i","created_at":"soon"}"#, "created_at"),
        (r#"{"item_id":"i","available":"perhaps"}"#, "available"),
    ] {
        assert_eq!(read(text).expect_err(text).field, field);
    }
    let decoded = json::items(br#"{"items":[{"item_id":"a"},{}]}"#).unwrap();
    assert!(decoded[0].value.is_ok() && decoded[1].value.is_err());
}

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

fn id() -> impl Strategy<Value = Id> {
    "[a-zA-Z0-9_ü靴-]{0,40}".prop_map(Id::from)
}

fn full_id() -> impl Strategy<Value = Id> {
    "[a-zA-Z0-9_ü靴-]{1,40}".prop_map(Id::from)
}

fn money() -> impl Strategy<Value = Option<Money>> {
    option::of((0..=Money::MAX.0).prop_map(Money))
}

fn time() -> impl Strategy<Value = Option<Millis>> {
    option::of((-62_135_596_800_000..=253_402_300_799_999_i64).prop_map(Millis))
}

fn details() -> impl Strategy<Value = EventDetails> {
    let line =
        (full_id(), 1..=1_000_000_u32, money()).prop_map(|(item, quantity, price)| LineItem {
            item,
            quantity,
            price,
        });
    let consent = (option::of(any::<bool>()), option::of(any::<bool>())).prop_map(
        |(personalization, marketing)| Consent {
            personalization,
            marketing,
        },
    );
    let ids = (id(), id(), id(), id(), id(), id(), id());
    let texts = ("[ -~\\n\\t]{0,300}", vec("[ -~]{0,40}", 0..4), "[A-Z]{3}|");
    let context = btree_map("[a-z]{0,10}", "[ -~]{0,30}", 0..5);
    (ids, texts, context, vec(line, 0..4), consent, money()).prop_map(
        |(ids, (query, filters, currency), context, lines, consent, revenue)| EventDetails {
            visitor: ids.0,
            source: ids.1,
            currency: currency.into(),
            lines,
            cart_id: ids.2,
            order_id: ids.3,
            revenue,
            query: query.into(),
            filters: filters.into_iter().map(Id::from).collect(),
            placement: ids.4,
            attribution_token: "t".into(),
            consent,
            category: ids.5,
            brand: ids.6,
            context: context
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        },
    )
}

/// An event that passes the gates.
fn any_event() -> impl Strategy<Value = Event> {
    let ids = (id(), full_id(), id(), full_id());
    let kind = prop::sample::select(EventKind::ALL.to_vec());
    (
        kind,
        ids,
        0..=1_000_000_u32,
        money(),
        (time(), time()),
        option::of(details()),
    )
        .prop_map(
            |(kind, (id, user, session, item), quantity, price, (created, sent), details)| {
                let mut details = details.map(Box::new);
                let mut need = |wanted, add: fn(&mut EventDetails)| {
                    if kind == wanted {
                        add(details.get_or_insert_default());
                    }
                };
                need(EventKind::SearchQuery, |details| details.query = "q".into());
                need(EventKind::FilterSelection, |details| {
                    details.filters.push("f".into());
                });
                need(EventKind::ConsentChange, |details| {
                    details.consent.marketing = Some(false);
                });
                need(EventKind::Identify, |details| details.visitor = "v".into());
                Event {
                    kind,
                    id,
                    user,
                    session,
                    item,
                    quantity,
                    price,
                    created,
                    sent,
                    details,
                }
            },
        )
}

/// The message of `wire::record`'s documentation, for comparison.
#[derive(Clone, PartialEq, prost::Message)]
struct RecordMessage {
    #[prost(int64, tag = "1")]
    received_ms: i64,
    #[prost(oneof = "InputMessage", tags = "2, 3, 4, 5")]
    input: Option<InputMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(clippy::large_enum_variant, reason = "lives for one comparison")]
enum InputMessage {
    #[prost(message, tag = "2")]
    Event(proto::Event),
    #[prost(message, tag = "3")]
    ItemUpsert(proto::Item),
    #[prost(string, tag = "4")]
    ItemDelete(String),
    #[prost(message, tag = "5")]
    Tick(TickMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
struct TickMessage {
    #[prost(int64, tag = "1")]
    wall_ms: i64,
    #[prost(bool, tag = "2")]
    caught_up: bool,
}

fn record_message(record: &Record) -> RecordMessage {
    RecordMessage {
        received_ms: record.received.0,
        input: Some(match &record.input {
            Input::Event(event) => InputMessage::Event(event::to_proto(event)),
            Input::ItemUpsert(patch) => InputMessage::ItemUpsert(item::patch_to_proto(patch)),
            Input::ItemDelete(item) => InputMessage::ItemDelete(item.to_string()),
            Input::Tick { wall, caught_up } => InputMessage::Tick(TickMessage {
                wall_ms: wall.0,
                caught_up: *caught_up,
            }),
        }),
    }
}

fn any_patch() -> impl Strategy<Value = ItemPatch> {
    let texts = (full_id(), option::of("[ -~]{0,40}"), option::of(id()));
    let attributes = btree_map("[a-z]{1,5}", "[ -~]{0,30}", 0..4);
    let stock = (option::of(any::<bool>()), option::of(any::<u64>()));
    (
        texts,
        vec(full_id(), 0..4),
        money(),
        attributes,
        stock,
        time(),
    )
        .prop_map(
            |((id, title, brand), categories, price, attributes, (available, stock), created)| {
                ItemPatch {
                    id,
                    image_url: title.clone(),
                    title,
                    categories,
                    brand,
                    price,
                    currency: Some("EUR".into()),
                    available,
                    stock,
                    attributes: attributes
                        .into_iter()
                        .map(|(name, value)| (name.into(), value))
                        .collect(),
                    created,
                }
            },
        )
}

fn any_record() -> impl Strategy<Value = Record> {
    let input = prop_oneof![
        any_event().prop_map(Input::Event),
        any_patch().prop_map(|patch| Input::ItemUpsert(Box::new(patch))),
        id().prop_map(Input::ItemDelete),
        (any::<i64>(), any::<bool>()).prop_map(|(wall, caught_up)| Input::Tick {
            wall: Millis(wall),
            caught_up
        }),
    ];
    (any::<i64>(), input).prop_map(|(received, input)| Record {
        received: Millis(received),
        input,
    })
}

/// What the generated message makes of the bytes.
fn decoded_by_prost(bytes: &[u8]) -> Result<Event, Rejection> {
    match proto::Event::decode(bytes) {
        Ok(message) => event::from_proto(message),
        Err(_) => Err(event::decode(bytes).expect_err("prost refuses it")),
    }
}

proptest! {
    #[test]
    fn events_are_read_back(expected in any_event()) {
        let message = event::to_proto(&expected);
        let mut bytes = Vec::new();
        event::encode(&expected, &mut bytes);
        prop_assert_eq!(&bytes, &message.encode_to_vec());
        prop_assert_eq!(&event::decode(&bytes), &Ok(expected.clone()));
        let json = serde_json::to_vec(&message).unwrap();
        prop_assert_eq!(&event::from_proto(message), &Ok(expected.clone()));
        prop_assert_eq!(&json::event(&json), &Ok(expected));
    }

    #[test]
    fn items_are_read_back(expected in any_patch()) {
        let message = item::patch_to_proto(&expected);
        let bytes = message.encode_to_vec();
        prop_assert_eq!(&item::decode(&bytes), &Ok(expected.clone()));
        let json = serde_json::to_vec(&message).unwrap();
        prop_assert_eq!(&json::item(&json), &Ok(expected));
    }

    #[test]
    fn records_are_read_back(expected in any_record()) {
        let mut bytes = vec![1, 2, 3];
        record::encode(&expected, &mut bytes);
        let bytes = bytes.split_off(3);
        prop_assert_eq!(&bytes, &record_message(&expected).encode_to_vec());
        prop_assert_eq!(&record::decode(&bytes), &Ok(expected.clone()));
        let mut bytes = Vec::new();
        record::encode_input(&expected.input, &mut bytes);
        prop_assert_eq!(record::decode_input(&bytes), Ok(expected.input));
    }

    #[test]
    fn both_readings_of_damaged_bytes_agree(
        event in any_event(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = Vec::new();
        event::encode(&event, &mut bytes);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert_eq!(event::decode(&bytes), decoded_by_prost(&bytes));
    }

    #[test]
    fn two_messages_in_one_are_one_as_prost_has_it(first in any_event(), second in any_event()) {
        let mut bytes = Vec::new();
        event::encode(&first, &mut bytes);
        event::encode(&second, &mut bytes);
        prop_assert_eq!(event::decode(&bytes), decoded_by_prost(&bytes));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_alike(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(event::decode(&bytes), decoded_by_prost(&bytes));
        drop(record::decode(&bytes));
        drop(json::events(&bytes));
        drop(json::items(&bytes));
    }

    #[test]
    fn arbitrary_json_is_refused_or_read(value in any_json()) {
        let text = value.to_string();
        if let Ok(event) = json::event(text.as_bytes()) {
            prop_assert_eq!(event::from_proto(event::to_proto(&event)), Ok(event));
        }
        if let Ok(patch) = json::item(text.as_bytes()) {
            prop_assert_eq!(item::from_proto(item::patch_to_proto(&patch)), Ok(patch));
        }
    }
}

/// JSON whose names are often ours and whose values are often not what they should be.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "event_id",
            "kind",
            "userId",
            "visitor_id",
            "item_id",
            "productId",
            "quantity",
            "price",
            "currency",
            "items",
            "revenue",
            "query",
            "filters",
            "created_at",
            "sentAt",
            "consent",
            "context",
            "metadata",
            "marketing",
            "categories",
            "attributes",
            "stock",
            "available",
            "title",
        ])
        .prop_map(ToOwned::to_owned),
        "\\PC{0,8}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC{0,12}|product_view|identify|purchase|EUR|12".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 12, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            btree_map(name.clone(), inner, 0..12)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}
