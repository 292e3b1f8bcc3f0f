//! Which fields of an item an answer carries.

use crate::server::error::Violation;
use crate::wire::proto;

/// A choice of fields of `Item`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(u16);

/// The names of the fields, in the order of their numbers.
const NAMES: [&str; 11] = [
    "item_id",
    "title",
    "categories",
    "brand",
    "price",
    "currency",
    "available",
    "stock",
    "attributes",
    "image_url",
    "created_at",
];

impl Fields {
    /// The fields of these names, in either case; `*` is all of them.
    ///
    /// # Errors
    ///
    /// If a name is none of a field.
    pub(super) fn parse(names: &[String]) -> Result<Self, Violation> {
        let mut fields = Self::default();
        for (place, name) in names.iter().enumerate() {
            if name == "*" {
                fields.0 = u16::MAX;
                continue;
            }
            let found = NAMES
                .iter()
                .position(|known| known == name || is_camel_of(known, name));
            let Some(found) = found else {
                return Err(Violation::new(
                    format!("return_fields[{place}]"),
                    format!("no field of an item; there are *, {}", NAMES.join(", ")),
                ));
            };
            fields.0 |= 1 << found;
        }
        Ok(fields)
    }

    /// Whether none is chosen.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The item with the chosen fields only.
    pub(super) fn select(self, item: proto::Item) -> proto::Item {
        let chosen = |name| {
            NAMES
                .iter()
                .position(|known| *known == name)
                .is_some_and(|place| self.0 & (1 << place) != 0)
        };
        let mut selected = proto::Item::default();
        if chosen("item_id") {
            selected.item_id = item.item_id;
        }
        if chosen("categories") {
            selected.categories = item.categories;
        }
        if chosen("attributes") {
            selected.attributes = item.attributes;
        }
        selected.title = item.title.filter(|_| chosen("title"));
        selected.brand = item.brand.filter(|_| chosen("brand"));
        selected.price = item.price.filter(|_| chosen("price"));
        selected.currency = item.currency.filter(|_| chosen("currency"));
        selected.available = item.available.filter(|_| chosen("available"));
        selected.stock = item.stock.filter(|_| chosen("stock"));
        selected.image_url = item.image_url.filter(|_| chosen("image_url"));
        selected.created_at = item.created_at.filter(|_| chosen("created_at"));
        selected
    }
}

/// Whether `camel` is the lowerCamelCase of `snake`.
fn is_camel_of(snake: &str, camel: &str) -> bool {
    let mut camel = camel.chars();
    let mut upper = false;
    for letter in snake.chars() {
        if letter == '_' {
            upper = true;
            continue;
        }
        let expected = if upper {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        upper = false;
        if camel.next() != Some(expected) {
            return false;
        }
    }
    camel.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> proto::Item {
        proto::Item {
            item_id: "i".into(),
            title: Some("Trail runner".into()),
            price: Some(89.0),
            image_url: Some("/i.png".into()),
            ..proto::Item::default()
        }
    }

    fn selected(names: &[&str]) -> proto::Item {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Fields::parse(&names).unwrap().select(item())
    }

    #[test]
    fn only_the_chosen_fields_are_there() {
        let some = selected(&["title", "imageUrl"]);
        assert_eq!((some.item_id.as_str(), some.price), ("", None));
        assert_eq!(some.title.as_deref(), Some("Trail runner"));
        assert_eq!(some.image_url.as_deref(), Some("/i.png"));
        assert_eq!(selected(&["*"]), item());
        assert!(Fields::parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_name_of_no_field_is_told_with_its_place() {
        let names = ["title".to_owned(), "colour".to_owned()];
        let violation = Fields::parse(&names).unwrap_err();
        assert_eq!(violation.field, "return_fields[1]");
        assert!(violation.detail.contains("created_at"));
    }

    #[test]
    fn the_names_are_those_of_the_message() {
        let json = serde_json::to_value(item()).unwrap();
        for key in json.as_object().unwrap().keys() {
            assert!(
                NAMES.iter().any(|name| is_camel_of(name, key)),
                "{key} is no known field"
            );
        }
    }
}
