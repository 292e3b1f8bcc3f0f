//! One item of the catalog in canonical JSON.

use std::fmt::Write as _;

use serde::de::{DeserializeSeed as _, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use crate::domain::{ItemPatch, Rejection, RejectionReason, Stage};
use crate::wire::check;
use crate::wire::event::timestamp;
use crate::wire::json::value::{
    Choice, IdText, List, Number, Object, TakeEntries, TakeFields, Text, Time,
};
use crate::wire::json::{malformed, plain_text, sentence};
use crate::wire::{item, proto};

/// The change of an item in this text.
pub(super) fn read(text: &str) -> Result<ItemPatch, Rejection> {
    let mut reader = Reader::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object(&mut reader)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    read.map_err(|error| reader.refusal(&error))?;
    item::from_proto(reader.item)
}

#[derive(Default)]
struct Reader {
    item: proto::Item,
    place: String,
    out_of_range: bool,
}

impl Reader {
    #[cold]
    fn refusal(&self, error: &serde_json::Error) -> Rejection {
        if !error.is_data() {
            return malformed(error);
        }
        let (stage, reason) = if self.out_of_range {
            (Stage::Value, RejectionReason::InvalidValue)
        } else {
            (Stage::Schema, RejectionReason::WrongType)
        };
        Rejection {
            stage,
            reason,
            field: self.place.clone(),
            detail: format!("`{}`: {}", self.place, sentence(error)),
        }
    }

    fn out_of_range<E: serde::de::Error>(&mut self, why: String) -> E {
        self.out_of_range = true;
        E::custom(why)
    }

    fn take_value<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "price" => {
                let number: Number = map.next_value()?;
                self.item.price = number.amount().map_err(|why| self.out_of_range(why))?;
            }
            "available" => {
                let Choice(choice) = map.next_value()?;
                self.item.available = choice;
            }
            "stock" => {
                let number: Number = map.next_value()?;
                self.item.stock = if matches!(number, Number::Absent) {
                    None
                } else {
                    Some(number.count().map_err(|why| self.out_of_range(why))?)
                };
            }
            "created_at" => {
                let time: Time = map.next_value()?;
                let time = time.at().map_err(|why| self.out_of_range(why))?;
                self.item.created_at = time.map(timestamp);
            }
            "categories" => map.next_value_seed(List(&mut Categories(self)))?,
            "attributes" => map.next_value_seed(Object(&mut Attributes(self)))?,
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> TakeFields<'de> for Reader {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        let name = match &*name {
            "itemId" | "product_id" | "productId" => "item_id",
            "imageUrl" => "image_url",
            "createdAt" => "created_at",
            name => name,
        };
        name.clone_into(&mut self.place);
        let field = match name {
            "item_id" => {
                let IdText(text) = map.next_value()?;
                self.item.item_id = text.into();
                return Ok(());
            }
            "title" => &mut self.item.title,
            "brand" => &mut self.item.brand,
            "currency" => &mut self.item.currency,
            "image_url" => &mut self.item.image_url,
            name => return self.take_value(name, map),
        };
        // An empty text takes the value away; `null` is as good as absent.
        let text: Option<IdText> = map.next_value()?;
        *field = text.map(|IdText(text)| text.into());
        Ok(())
    }
}

struct Categories<'r>(&'r mut Reader);

impl<'de> TakeEntries<'de> for Categories<'_> {
    fn take_next<A: SeqAccess<'de>>(
        &mut self,
        place: usize,
        seq: &mut A,
    ) -> Result<bool, A::Error> {
        self.0.place = format!("categories[{place}]");
        let Some(IdText(category)) = seq.next_element()? else {
            return Ok(false);
        };
        if self.0.item.categories.len() <= check::CATEGORIES_MAX {
            self.0.item.categories.push(category.into());
        }
        Ok(true)
    }
}

struct Attributes<'r>(&'r mut Reader);

impl<'de> TakeFields<'de> for Attributes<'_> {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        let reader = &mut *self.0;
        reader.place.clear();
        if write!(reader.place, "attributes[{}]", check::quoted(&name)).is_err() {
            reader.place.clear();
        }
        let raw: &RawValue = map.next_value()?;
        let attributes = &mut reader.item.attributes;
        if let Some(value) = plain_text(raw)
            && attributes.len() <= check::ATTRIBUTES_MAX
        {
            attributes.insert(name.to_owned(), value);
        }
        Ok(())
    }
}
