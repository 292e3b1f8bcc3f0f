//! Items of the catalog as protobuf messages, in and out.

use pbjson_types::Timestamp;

use crate::domain::{Id, Item, ItemPatch, Money, Rejection};
use crate::wire::check::{self, Field};
use crate::wire::draft::Stamp;
use crate::wire::event::{self, timestamp};
use crate::wire::protobuf::{Broken, Fields};
use crate::wire::{draft, proto};

/// The change of an item in the bytes of an `impulse.v1.Item`. Beyond their limits lists are not read, so that a hostile
/// message takes no more memory than it has bytes.
///
/// # Errors
///
/// If the bytes are no such message or one of the gates of [`from_proto`] refuses it.
pub fn decode(bytes: &[u8]) -> Result<ItemPatch, Rejection> {
    let message = read(Fields(bytes)).map_err(|broken| broken.refusal("Item"))?;
    from_proto(message)
}

fn read(mut fields: Fields<'_>) -> Result<proto::Item, Broken> {
    let mut item = proto::Item::default();
    while let Some((tag, value)) = fields.next()? {
        match tag {
            1 => value.text()?.clone_into(&mut item.item_id),
            2 => item.title = Some(value.text()?.to_owned()),
            3 => {
                let category = value.text()?;
                if item.categories.len() <= check::CATEGORIES_MAX {
                    item.categories.push(category.to_owned());
                }
            }
            4 => item.brand = Some(value.text()?.to_owned()),
            5 => item.price = Some(value.double()?),
            6 => item.currency = Some(value.text()?.to_owned()),
            7 => item.available = Some(value.bool()?),
            8 => item.stock = Some(value.uint64()?),
            9 => {
                let (name, text) = event::read_pair(value.message()?)?;
                if let Some(known) = item.attributes.get_mut(name) {
                    text.clone_into(known);
                } else if item.attributes.len() <= check::ATTRIBUTES_MAX {
                    item.attributes.insert(name.to_owned(), text.to_owned());
                }
            }
            10 => item.image_url = Some(value.text()?.to_owned()),
            11 => {
                let mut created = item.created_at.map(event::stamp);
                event::read_stamp(value.message()?, &mut created)?;
                item.created_at =
                    created.map(|Stamp { seconds, nanos }| Timestamp { seconds, nanos });
            }
            _ => {}
        }
    }
    Ok(item)
}

/// The change of an item that a message asks for. An absent field keeps its value; an empty list too.
///
/// # Errors
///
/// If the id is missing or a value is out of its range. The rejection names the field.
pub fn from_proto(message: proto::Item) -> Result<ItemPatch, Rejection> {
    check_message(&message)?;
    Ok(trusted(message))
}

/// The change that we ourselves have written, without the gates.
pub(super) fn trusted(message: proto::Item) -> ItemPatch {
    ItemPatch {
        id: message.item_id.into(),
        title: message.title,
        categories: message.categories.into_iter().map(Id::from).collect(),
        brand: message.brand.map(Id::from),
        price: message.price.map(draft::rounded),
        currency: message.currency.map(Id::from),
        available: message.available,
        stock: message.stock,
        attributes: message
            .attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        image_url: message.image_url,
        created: message.created_at.map(|time| event::stamp(time).millis()),
    }
}

fn check_message(message: &proto::Item) -> Result<(), Rejection> {
    check::required_id(Field::Name("item_id"), &message.item_id)?;
    draft::check_money(Field::Name("price"), message.price)?;
    draft::check_stamp("created_at", message.created_at.map(event::stamp))?;
    let text = |field, value: &Option<String>| {
        value.as_deref().map_or(Ok(()), |value| {
            check::text(field, value, check::TEXT_BYTES_MAX)
        })
    };
    text(Field::Name("title"), &message.title)?;
    text(Field::Name("image_url"), &message.image_url)?;
    check::count(
        "categories",
        message.categories.len(),
        check::CATEGORIES_MAX,
    )?;
    for (place, category) in message.categories.iter().enumerate() {
        check::required_id(Field::Entry("categories", place), category)?;
    }
    check::id(
        Field::Name("brand"),
        message.brand.as_deref().unwrap_or_default(),
    )?;
    check::currency(
        Field::Name("currency"),
        message.currency.as_deref().unwrap_or_default(),
    )?;
    check::count(
        "attributes",
        message.attributes.len(),
        check::ATTRIBUTES_MAX,
    )?;
    for (name, value) in &message.attributes {
        let field = Field::Key("attributes", name);
        check::required_id(field, name)?;
        check::text(field, value, check::ATTRIBUTE_BYTES_MAX)?;
    }
    Ok(())
}

/// The message that asks for a change; [`from_proto`] gives the same change back.
pub fn patch_to_proto(patch: &ItemPatch) -> proto::Item {
    proto::Item {
        item_id: patch.id.to_string(),
        title: patch.title.clone(),
        categories: patch.categories.iter().map(ToString::to_string).collect(),
        brand: patch.brand.as_ref().map(ToString::to_string),
        price: patch.price.map(Money::units),
        currency: patch.currency.as_ref().map(ToString::to_string),
        available: patch.available,
        stock: patch.stock,
        attributes: attributes(&patch.attributes),
        image_url: patch.image_url.clone(),
        created_at: patch.created.map(timestamp),
    }
}

/// The item as it stands. What is unknown is absent.
pub fn to_proto(item: &Item) -> proto::Item {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    proto::Item {
        item_id: item.id.to_string(),
        title: given(&item.title),
        categories: item.categories.iter().map(ToString::to_string).collect(),
        brand: given(&item.brand),
        price: item.price.map(Money::units),
        currency: given(&item.currency),
        available: Some(item.available),
        stock: item.stock,
        attributes: attributes(&item.attributes),
        image_url: given(&item.image_url),
        created_at: Some(timestamp(item.created)),
    }
}

fn attributes(pairs: &[(Id, String)]) -> std::collections::BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect()
}
