//! Arbitrary events, items, records and bytes: both readings and both writings agree.

use impulse::domain::{
    Consent, Event, EventDetails, EventKind, Id, Input, ItemPatch, LineItem, Millis, Money, Record,
    Rejection, Traceparent,
};
use impulse::wire::{event, item, json, proto, record};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;

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

fn trace() -> impl Strategy<Value = Option<Traceparent>> {
    let trace = (1..=u128::MAX, 1..=u64::MAX, any::<u8>());
    option::of(trace.prop_map(|(trace_id, span_id, flags)| Traceparent {
        trace_id: trace_id.to_be_bytes(),
        span_id: span_id.to_be_bytes(),
        flags,
    }))
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
    let ids = (id(), id(), id(), id(), id(), id(), trace());
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
            brand: "b".into(),
            context: context
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            traceparent: ids.6,
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
            "traceparent",
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
