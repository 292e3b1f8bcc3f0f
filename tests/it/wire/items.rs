//! Items as JSON.

use impulse::domain::{Id, Money};
use impulse::wire::{item, json};

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
