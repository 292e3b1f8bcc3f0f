//! An event on its way in: filled field by field by a decoder, then checked once, the same for every format.

use crate::domain::{
    Event, EventDetails, EventKind, Id, LineItem, Millis, Money, Rejection, RejectionReason, Stage,
};
use crate::wire::check::{self, Field};
use crate::wire::traceparent;

/// What a decoder has read so far. Nothing in it is checked, but no list is longer than its limit and one.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) event_id: Id,
    pub(super) user_id: Id,
    pub(super) visitor_id: Id,
    pub(super) session_id: Id,
    pub(super) item_id: Id,
    pub(super) quantity: u32,
    pub(super) price: Option<f64>,
    pub(super) revenue: Option<f64>,
    pub(super) created: Option<Stamp>,
    pub(super) sent: Option<Stamp>,
    pub(super) lines: Vec<DraftLine>,
    pub(super) details: Option<Box<EventDetails>>,
}

/// What the tracker says happened.
#[derive(Debug, Default)]
pub(super) enum Kind {
    /// Nothing, or the number 0.
    #[default]
    Missing,
    /// A kind of ours.
    Known(EventKind),
    /// A number of no kind.
    Number(i32),
    /// A name of no kind.
    Name(Id),
}

/// A line of a cart or an order.
#[derive(Clone, Debug, Default)]
pub(super) struct DraftLine {
    pub(super) item_id: Id,
    pub(super) quantity: u32,
    pub(super) price: Option<f64>,
}

/// A point in time as `google.protobuf.Timestamp` has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stamp {
    pub(super) seconds: i64,
    pub(super) nanos: i32,
}

impl Stamp {
    pub(super) fn millis(self) -> Millis {
        Millis(self.seconds.saturating_mul(1_000)).plus(i64::from(self.nanos / 1_000_000))
    }
}

impl From<Millis> for Stamp {
    fn from(time: Millis) -> Self {
        let nanos = time.0.rem_euclid(1_000) * 1_000_000;
        Self {
            seconds: time.0.div_euclid(1_000),
            nanos: i32::try_from(nanos).unwrap_or_default(),
        }
    }
}

impl Kind {
    /// The kind with this number of the wire format.
    pub(super) fn from_number(number: i32) -> Self {
        let Ok(place) = usize::try_from(number) else {
            return Self::Number(number);
        };
        match place.checked_sub(1) {
            None => Self::Missing,
            Some(place) => EventKind::ALL
                .get(place)
                .map_or(Self::Number(number), |kind| Self::Known(*kind)),
        }
    }
}

impl Draft {
    /// The fields that most events lack, made when the first of them is read.
    pub(super) fn details(&mut self) -> &mut EventDetails {
        self.details.get_or_insert_default()
    }

    /// Adds a line; those far beyond the limit are left out, and the check refuses the event.
    pub(super) fn push_line(&mut self, line: DraftLine) {
        if self.lines.len() <= check::LINES_MAX {
            self.lines.push(line);
        }
    }

    /// Adds a choice of a filter, as [`Draft::push_line`].
    pub(super) fn push_filter(&mut self, filter: &str) {
        let filters = &mut self.details().filters;
        if filters.len() <= check::FILTERS_MAX {
            filters.push(filter.into());
        }
    }

    /// Sets an entry of the context, as [`Draft::push_line`]; the later of two with one key counts.
    pub(super) fn insert_context(&mut self, key: &str, value: &str) {
        let context = &mut self.details().context;
        match context.binary_search_by(|(known, _)| known.as_str().cmp(key)) {
            Ok(place) => {
                if let Some((_, known)) = context.get_mut(place) {
                    *known = value.into();
                }
            }
            Err(place) if context.len() <= check::CONTEXT_MAX => {
                context.insert(place, (key.into(), value.into()));
            }
            Err(_) => {}
        }
    }

    /// Sets the trace; a text that is none leaves the event without one.
    pub(super) fn set_traceparent(&mut self, text: &[u8]) {
        let trace = traceparent::parse(text);
        if trace.is_some() || self.details.is_some() {
            self.details().traceparent = trace;
        }
    }

    /// The event, if every gate lets it through: schema, then required fields, then values and limits.
    pub(super) fn into_checked(self) -> Result<Event, Rejection> {
        let kind = self.known_kind()?;
        self.check_required(kind)?;
        self.check_values()?;
        self.check_lines()?;
        self.into_trusted()
    }

    /// The event as it was written by ourselves: only what cannot be an event at all is refused, so that a limit
    /// that becomes tighter never makes an old log unreadable.
    pub(super) fn into_trusted(mut self) -> Result<Event, Rejection> {
        let kind = self.known_kind()?;
        if !self.lines.is_empty() {
            let lines = std::mem::take(&mut self.lines);
            self.details().lines = lines.into_iter().map(DraftLine::into_line).collect();
        }
        if let Some(units) = self.revenue {
            self.details().revenue = Some(rounded(units));
        }
        if self.user_id.is_empty() {
            self.user_id = std::mem::take(&mut self.visitor_id);
        } else if !self.visitor_id.is_empty() {
            self.details().visitor = std::mem::take(&mut self.visitor_id);
        }
        Ok(Event {
            kind,
            id: self.event_id,
            user: self.user_id,
            session: self.session_id,
            item: self.item_id,
            quantity: self.quantity,
            price: self.price.map(rounded),
            created: self.created.map(Stamp::millis),
            sent: self.sent.map(Stamp::millis),
            details: self
                .details
                .filter(|details| **details != EventDetails::default()),
        })
    }

    fn known_kind(&self) -> Result<EventKind, Rejection> {
        let unknown = |found: String| {
            check::refused(
                Stage::Schema,
                RejectionReason::UnknownKind,
                Field::Name("kind"),
                format!("{found} is no event kind; `product_view` (1) to `identify` (18) are"),
            )
        };
        match &self.kind {
            Kind::Known(kind) => Ok(*kind),
            Kind::Missing => Err(check::missing("kind", "`kind` is required".to_owned())),
            Kind::Number(number) => Err(unknown(number.to_string())),
            Kind::Name(name) => Err(unknown(check::quoted(name))),
        }
    }

    fn check_required(&self, kind: EventKind) -> Result<(), Rejection> {
        let details = self.details.as_deref();
        let need = |given: bool, field: &str, words: &str| {
            if given {
                return Ok(());
            }
            let detail = format!("{} needs {words}", kind.name());
            Err(check::missing(field, detail))
        };
        let user = !self.user_id.is_empty();
        let visitor = !self.visitor_id.is_empty();
        let item = !self.item_id.is_empty();
        if kind == EventKind::Identify {
            need(user, "user_id", "`user_id`")?;
            return need(visitor, "visitor_id", "`visitor_id`");
        }
        need(user || visitor, "user_id", "`user_id` or `visitor_id`")?;
        match kind {
            EventKind::ProductView
            | EventKind::ProductClick
            | EventKind::AddToCart
            | EventKind::RemoveFromCart
            | EventKind::WishlistAdd
            | EventKind::RecommendationClick => need(item, "item_id", "`item_id`"),
            EventKind::Purchase | EventKind::Refund | EventKind::RecommendationImpression => need(
                item || !self.lines.is_empty(),
                "items",
                "`items` or `item_id`",
            ),
            EventKind::SearchQuery => {
                let given = details.is_some_and(|details| !details.query.is_empty());
                need(given, "query", "`query`")
            }
            EventKind::FilterSelection => {
                let given = details.is_some_and(|details| !details.filters.is_empty());
                need(given, "filters", "`filters`")
            }
            EventKind::ConsentChange => {
                let given = details.is_some_and(|details| {
                    details.consent.personalization.is_some() || details.consent.marketing.is_some()
                });
                let words = "`consent` with `personalization` or `marketing`";
                need(given, "consent", words)
            }
            EventKind::ProductListView
            | EventKind::CartView
            | EventKind::CartUpdate
            | EventKind::CheckoutStart
            | EventKind::TriggerDelivered
            | EventKind::Identify => Ok(()),
        }
    }

    fn check_values(&self) -> Result<(), Rejection> {
        check::id(Field::Name("event_id"), &self.event_id)?;
        check::id(Field::Name("user_id"), &self.user_id)?;
        check::id(Field::Name("visitor_id"), &self.visitor_id)?;
        check::id(Field::Name("session_id"), &self.session_id)?;
        check::id(Field::Name("item_id"), &self.item_id)?;
        check::quantity(Field::Name("quantity"), self.quantity)?;
        check_money(Field::Name("price"), self.price)?;
        check_money(Field::Name("revenue"), self.revenue)?;
        check_stamp("created_at", self.created)?;
        check_stamp("sent_at", self.sent)?;
        self.details.as_deref().map_or(Ok(()), check_details)
    }

    fn check_lines(&self) -> Result<(), Rejection> {
        check::count("items", self.lines.len(), check::LINES_MAX)?;
        for (place, line) in self.lines.iter().enumerate() {
            let field = |name| Field::Nested("items", place, name);
            check::required_id(field("item_id"), &line.item_id)?;
            check::quantity(field("quantity"), line.quantity)?;
            check_money(field("price"), line.price)?;
        }
        Ok(())
    }
}

impl DraftLine {
    fn into_line(self) -> LineItem {
        LineItem {
            item: self.item_id,
            quantity: self.quantity.max(1),
            price: self.price.map(rounded),
        }
    }
}

/// The nearest amount; what has been checked is not changed by it.
pub(super) fn rounded(units: f64) -> Money {
    Money::from_units(units).unwrap_or(if units > 0.0 { Money::MAX } else { Money::ZERO })
}

pub(super) fn check_money(field: Field<'_>, units: Option<f64>) -> Result<(), Rejection> {
    units.map_or(Ok(()), |units| check::money(field, units).map(|_| ()))
}

pub(super) fn check_stamp(name: &'static str, stamp: Option<Stamp>) -> Result<(), Rejection> {
    stamp.map_or(Ok(()), |stamp| {
        check::time(Field::Name(name), stamp.seconds, stamp.nanos).map(|_| ())
    })
}

fn check_details(details: &EventDetails) -> Result<(), Rejection> {
    check::id(Field::Name("source"), &details.source)?;
    check::id(Field::Name("cart_id"), &details.cart_id)?;
    check::id(Field::Name("order_id"), &details.order_id)?;
    check::id(Field::Name("placement"), &details.placement)?;
    check::id(Field::Name("category"), &details.category)?;
    check::id(Field::Name("brand"), &details.brand)?;
    check::currency(Field::Name("currency"), &details.currency)?;
    let text = |field, value: &Id| check::text(field, value, check::TEXT_BYTES_MAX);
    text(Field::Name("query"), &details.query)?;
    text(Field::Name("attribution_token"), &details.attribution_token)?;
    check::count("filters", details.filters.len(), check::FILTERS_MAX)?;
    for (place, filter) in details.filters.iter().enumerate() {
        text(Field::Entry("filters", place), filter)?;
    }
    check::count("context", details.context.len(), check::CONTEXT_MAX)?;
    for (key, value) in &details.context {
        check::id(Field::Key("context", key), key)?;
        text(Field::Key("context", key), value)?;
    }
    Ok(())
}
