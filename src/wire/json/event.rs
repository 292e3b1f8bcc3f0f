//! One event in canonical JSON.

use std::fmt;

use serde::de::{DeserializeSeed as _, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use crate::domain::{Event, EventKind, Id, Rejection, RejectionReason, Stage};
use crate::wire::check::{self, Field};
use crate::wire::draft::{Draft, DraftLine, Kind};
use crate::wire::json::value::{
    Choice, IdText, List, Number, Object, TakeEntries, TakeFields, Text, Time,
};
use crate::wire::json::{malformed, plain_text, sentence};
use crate::wire::traceparent;

/// The event in this text.
pub(super) fn read(text: &str) -> Result<Event, Rejection> {
    draft(text)?.into_checked()
}

/// What this text says, not yet checked.
pub(super) fn draft(text: &str) -> Result<Draft, Rejection> {
    let mut reader = Reader::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object(&mut reader)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    if let Err(error) = read {
        return Err(reader.refusal(&error));
    }
    if !text.trim_ascii_start().starts_with('{') {
        return Err(no_object());
    }
    Ok(reader.into_draft())
}

fn no_object() -> Rejection {
    Rejection {
        stage: Stage::Schema,
        reason: RejectionReason::WrongType,
        field: String::new(),
        detail: "an event is a JSON object, not null".to_owned(),
    }
}

/// What has been read, and where the reader stands in case of an error.
#[derive(Default)]
struct Reader {
    draft: Draft,
    /// Fields of no name of ours, in the order read.
    extras: Vec<(Id, Id)>,
    place: Place,
    /// Whether the error that was just returned is about a value, not about a type.
    out_of_range: bool,
}

/// The field being read.
#[derive(Clone, Default)]
enum Place {
    #[default]
    Whole,
    Field(&'static str),
    Entry(&'static str, usize),
    LineField(usize, &'static str),
    Context(Id),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(name) => f.write_str(name),
            Self::Entry(list, place) => Field::Entry(list, *place).fmt(f),
            Self::LineField(place, name) => Field::Nested("items", *place, name).fmt(f),
            Self::Context(key) => Field::Key("context", key).fmt(f),
        }
    }
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
        let field = self.place.to_string();
        let detail = if field.is_empty() {
            sentence(error)
        } else {
            format!("`{field}`: {}", sentence(error))
        };
        Rejection {
            stage,
            reason,
            field,
            detail,
        }
    }

    fn into_draft(mut self) -> Draft {
        let filters_given = self
            .draft
            .details
            .as_deref()
            .is_some_and(|details| !details.filters.is_empty());
        if matches!(self.draft.kind, Kind::Known(EventKind::FilterSelection)) && !filters_given {
            self.filters_from_fields();
            return self.draft;
        }
        for (name, value) in self.extras {
            let context = &mut self.draft.details().context;
            let place = context.binary_search_by(|(known, _)| known.cmp(&name));
            if let Err(place) = place
                && context.len() < check::CONTEXT_MAX
            {
                context.insert(place, (name, value));
            }
        }
        self.draft
    }

    /// A filter without a list of choices says what was chosen in its other fields.
    fn filters_from_fields(&mut self) {
        let known = self.draft.details.as_deref().map(|details| {
            [
                (Id::const_new("category"), details.category.clone()),
                (Id::const_new("brand"), details.brand.clone()),
            ]
        });
        let chosen = known
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_empty())
            .chain(std::mem::take(&mut self.extras));
        for (name, value) in chosen {
            let filter = compact_str::format_compact!("{name}:{value}");
            if filter.len() <= check::TEXT_BYTES_MAX {
                self.draft.push_filter(&filter);
            }
        }
    }

    /// An error about a value; the deserializer adds line and column.
    fn out_of_range<E: serde::de::Error>(&mut self, why: String) -> E {
        self.out_of_range = true;
        E::custom(why)
    }

    fn amount<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<Option<f64>, A::Error> {
        let number: Number = map.next_value()?;
        number.amount().map_err(|why| self.out_of_range(why))
    }

    fn quantity<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<u32, A::Error> {
        let number: Number = map.next_value()?;
        let count = number.count().map_err(|why| self.out_of_range(why))?;
        // A quantity beyond the type is beyond the limit, and refused as such.
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn take_time<'de, A: MapAccess<'de>>(
        &mut self,
        map: &mut A,
    ) -> Result<Option<crate::domain::Millis>, A::Error> {
        let time: Time = map.next_value()?;
        time.at().map_err(|why| self.out_of_range(why))
    }

    fn take_kind<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let IdText(name) = map.next_value()?;
        self.draft.kind = kind_of(name);
        Ok(())
    }

    /// Keeps a field of no name of ours, unless there is no room for it.
    fn take_extra<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let raw: &RawValue = map.next_value()?;
        // An escape takes up to six bytes a character; what is longer than that is too long in any case.
        let room = self.extras.len() < check::CONTEXT_MAX
            && raw.get().len() <= 6 * check::TEXT_BYTES_MAX
            && check::id(Field::Name("context"), name).is_ok();
        if room
            && let Some(value) = plain_text::<Id>(raw)
            && !value.is_empty()
            && check::text(Field::Name("context"), &value, check::TEXT_BYTES_MAX).is_ok()
        {
            self.extras.push((name.into(), value));
        }
        Ok(())
    }

    /// Takes a field that most events lack; `false` if the name is none of them.
    fn take_detail<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        let (place, field): (_, fn(&mut crate::domain::EventDetails) -> &mut Id) = match name {
            "currency" => ("currency", |details| &mut details.currency),
            "cart_id" | "cartId" => ("cart_id", |details| &mut details.cart_id),
            "order_id" | "orderId" => ("order_id", |details| &mut details.order_id),
            "query" | "search_query" | "searchQuery" | "search_term" | "searchTerm" => {
                ("query", |details| &mut details.query)
            }
            "placement" => ("placement", |details| &mut details.placement),
            "attribution_token" | "attributionToken" => ("attribution_token", |details| {
                &mut details.attribution_token
            }),
            "source" => ("source", |details| &mut details.source),
            "category" => ("category", |details| &mut details.category),
            "brand" => ("brand", |details| &mut details.brand),
            _ => return Ok(false),
        };
        self.place = Place::Field(place);
        let IdText(text) = map.next_value()?;
        if !text.is_empty() {
            *field(self.draft.details()) = text;
        }
        Ok(true)
    }

    /// Takes a list or an object; `false` if the name is none of them.
    fn take_nested<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "items" => {
                self.place = Place::Field("items");
                map.next_value_seed(List(&mut Lines(self)))?;
            }
            "filters" => {
                self.place = Place::Field("filters");
                map.next_value_seed(FilterChoices(self))?;
            }
            "consent" => {
                self.place = Place::Field("consent");
                map.next_value_seed(Object(&mut ConsentFields(self)))?;
            }
            "context" => {
                self.place = Place::Field("context");
                map.next_value_seed(Object(&mut ContextFields(self)))?;
            }
            "metadata" => {
                self.place = Place::Field("metadata");
                map.next_value_seed(Object(self))?;
            }
            traceparent::NAME => {
                let raw: &RawValue = map.next_value()?;
                let text = raw.get().trim_matches('"');
                self.draft.set_traceparent(text.as_bytes());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'de> TakeFields<'de> for Reader {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        let (place, field): (_, fn(&mut Draft) -> &mut Id) = match &*name {
            "event_id" | "eventId" => ("event_id", |draft| &mut draft.event_id),
            "user_id" | "userId" => ("user_id", |draft| &mut draft.user_id),
            "visitor_id" | "visitorId" => ("visitor_id", |draft| &mut draft.visitor_id),
            "session_id" | "sessionId" => ("session_id", |draft| &mut draft.session_id),
            "item_id" | "itemId" | "product_id" | "productId" => {
                ("item_id", |draft| &mut draft.item_id)
            }
            "kind" | "event_type" | "eventType" => {
                self.place = Place::Field("kind");
                return self.take_kind(map);
            }
            "quantity" => {
                self.place = Place::Field("quantity");
                self.draft.quantity = self.quantity(map)?;
                return Ok(());
            }
            "price" => {
                self.place = Place::Field("price");
                self.draft.price = self.amount(map)?;
                return Ok(());
            }
            "revenue" => {
                self.place = Place::Field("revenue");
                self.draft.revenue = self.amount(map)?;
                return Ok(());
            }
            "created_at" | "createdAt" => {
                self.place = Place::Field("created_at");
                self.draft.created = self.take_time(map)?.map(Into::into);
                return Ok(());
            }
            "sent_at" | "sentAt" => {
                self.place = Place::Field("sent_at");
                self.draft.sent = self.take_time(map)?.map(Into::into);
                return Ok(());
            }
            other => {
                if !self.take_detail(other, map)? && !self.take_nested(other, map)? {
                    self.take_extra(other, map)?;
                }
                return Ok(());
            }
        };
        self.place = Place::Field(place);
        let IdText(text) = map.next_value()?;
        *field(&mut self.draft) = text;
        Ok(())
    }
}

/// The lines of a cart or an order.
struct Lines<'r>(&'r mut Reader);

impl<'de> TakeEntries<'de> for Lines<'_> {
    fn take_next<A: SeqAccess<'de>>(
        &mut self,
        place: usize,
        seq: &mut A,
    ) -> Result<bool, A::Error> {
        if place > check::LINES_MAX {
            return Ok(seq.next_element::<IgnoredAny>()?.is_some());
        }
        self.0.place = Place::Entry("items", place);
        let mut line = LineFields {
            reader: self.0,
            place,
            line: DraftLine::default(),
        };
        let found = seq.next_element_seed(Object(&mut line))?.is_some();
        let line = line.line;
        if found {
            self.0.draft.push_line(line);
        }
        Ok(found)
    }
}

/// The fields of a line.
struct LineFields<'r> {
    reader: &'r mut Reader,
    place: usize,
    line: DraftLine,
}

impl<'de> TakeFields<'de> for LineFields<'_> {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        match &*name {
            "item_id" | "itemId" | "product_id" | "productId" => {
                self.reader.place = Place::LineField(self.place, "item_id");
                let IdText(item) = map.next_value()?;
                self.line.item_id = item;
            }
            "quantity" => {
                self.reader.place = Place::LineField(self.place, "quantity");
                self.line.quantity = self.reader.quantity(map)?;
            }
            "price" => {
                self.reader.place = Place::LineField(self.place, "price");
                self.line.price = self.reader.amount(map)?;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// What a shopper allows.
struct ConsentFields<'r>(&'r mut Reader);

impl<'de> TakeFields<'de> for ConsentFields<'_> {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        match &*name {
            "personalization" => {
                self.0.place = Place::Field("consent.personalization");
                let Choice(choice) = map.next_value()?;
                self.0.draft.details().consent.personalization = choice;
            }
            "marketing" => {
                self.0.place = Place::Field("consent.marketing");
                let Choice(choice) = map.next_value()?;
                self.0.draft.details().consent.marketing = choice;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Anything else the tracker knows: values that are not text are kept as their JSON.
struct ContextFields<'r>(&'r mut Reader);

impl<'de> TakeFields<'de> for ContextFields<'_> {
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error> {
        self.0.place = Place::Context(Id::from(&*name));
        let raw: &RawValue = map.next_value()?;
        if let Some(value) = plain_text::<Id>(raw) {
            self.0.draft.insert_context(&name, &value);
        }
        Ok(())
    }
}

/// The choices of a filter: a list of texts, or an object whose entries become `name:value`.
struct FilterChoices<'r>(&'r mut Reader);

impl<'de> serde::de::DeserializeSeed<'de> for FilterChoices<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for FilterChoices<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of texts, or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        for place in 0.. {
            self.0.place = Place::Entry("filters", place);
            let Some(IdText(filter)) = seq.next_element()? else {
                break;
            };
            self.0.draft.push_filter(&filter);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Text<'de>>()? {
            let raw: &RawValue = map.next_value()?;
            if let Some(value) = plain_text::<Id>(raw) {
                let filter = compact_str::format_compact!("{}:{value}", &*name);
                self.0.draft.push_filter(&filter);
            }
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.0.draft.push_filter(text);
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The kind of a name in any case, with or without the prefix of the wire format, or of a number.
fn kind_of(name: Id) -> Kind {
    if name.is_empty() {
        return Kind::Missing;
    }
    if let Some(kind) = EventKind::from_name(&name) {
        return Kind::Known(kind);
    }
    if let Ok(number) = name.parse() {
        return Kind::from_number(number);
    }
    if name.len() > 64 {
        return Kind::Name(name);
    }
    let lower = name.to_ascii_lowercase();
    let short = lower.strip_prefix("event_kind_").unwrap_or(&lower);
    if short == "unspecified" {
        return Kind::Missing;
    }
    EventKind::from_name(short).map_or(Kind::Name(name), Kind::Known)
}
