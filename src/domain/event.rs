//! What shoppers do.

use serde::{Deserialize, Serialize};

use crate::domain::{Id, Millis, Money, Traceparent};

/// What a shopper did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A product page was seen.
    ProductView,
    /// A list of products was seen.
    ProductListView,
    /// A product in a list was clicked.
    ProductClick,
    /// A search was sent.
    SearchQuery,
    /// A filter of a list was chosen.
    FilterSelection,
    /// An item was put into the cart.
    AddToCart,
    /// An item was taken out of the cart.
    RemoveFromCart,
    /// The cart page was seen.
    CartView,
    /// The whole cart, as it is from now on.
    CartUpdate,
    /// The checkout was entered.
    CheckoutStart,
    /// Items were bought.
    Purchase,
    /// Items came back.
    Refund,
    /// An item was put on a wish list.
    WishlistAdd,
    /// A recommended item was shown.
    RecommendationImpression,
    /// A recommended item was clicked.
    RecommendationClick,
    /// A trigger's message reached the shopper.
    TriggerDelivered,
    /// The shopper's consent changed.
    ConsentChange,
    /// An anonymous visitor became known.
    Identify,
}

impl EventKind {
    /// Every kind, in the order of the wire format's numbers, which begin with 1.
    pub const ALL: [Self; 18] = [
        Self::ProductView,
        Self::ProductListView,
        Self::ProductClick,
        Self::SearchQuery,
        Self::FilterSelection,
        Self::AddToCart,
        Self::RemoveFromCart,
        Self::CartView,
        Self::CartUpdate,
        Self::CheckoutStart,
        Self::Purchase,
        Self::Refund,
        Self::WishlistAdd,
        Self::RecommendationImpression,
        Self::RecommendationClick,
        Self::TriggerDelivered,
        Self::ConsentChange,
        Self::Identify,
    ];

    /// Its name in the canonical JSON form and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProductView => "product_view",
            Self::ProductListView => "product_list_view",
            Self::ProductClick => "product_click",
            Self::SearchQuery => "search_query",
            Self::FilterSelection => "filter_selection",
            Self::AddToCart => "add_to_cart",
            Self::RemoveFromCart => "remove_from_cart",
            Self::CartView => "cart_view",
            Self::CartUpdate => "cart_update",
            Self::CheckoutStart => "checkout_start",
            Self::Purchase => "purchase",
            Self::Refund => "refund",
            Self::WishlistAdd => "wishlist_add",
            Self::RecommendationImpression => "recommendation_impression",
            Self::RecommendationClick => "recommendation_click",
            Self::TriggerDelivered => "trigger_delivered",
            Self::ConsentChange => "consent_change",
            Self::Identify => "identify",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One line of a cart or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineItem {
    /// The item.
    pub item: Id,
    /// How many, at least 1.
    pub quantity: u32,
    /// Price of one, if known.
    pub price: Option<Money>,
}

/// What a shopper allows; `None` leaves the earlier choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// Use of behaviour for recommendations.
    pub personalization: Option<bool>,
    /// Messages.
    pub marketing: Option<bool>,
}

/// One event, checked: the required fields are there and every value is in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Unique within `details.source`; empty if the tracker gives none.
    pub id: Id,
    /// The shopper: the user id if known, else the visitor id. Not empty.
    pub user: Id,
    /// The tracker's session; may be empty.
    pub session: Id,
    /// The item; empty where the kind needs none.
    pub item: Id,
    /// How many; 0 if not given.
    pub quantity: u32,
    /// Price of one, if given.
    pub price: Option<Money>,
    /// When it happened, by the device.
    pub created: Option<Millis>,
    /// When it was sent, by the device.
    pub sent: Option<Millis>,
    /// What most events lack.
    pub details: Option<Box<EventDetails>>,
}

/// The fields that most events lack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventDetails {
    /// The visitor id beside a user id; `identify` links the two.
    pub visitor: Id,
    /// Who made the event id.
    pub source: Id,
    /// ISO 4217 code of the amounts.
    pub currency: Id,
    /// Lines of a cart or an order.
    pub lines: Vec<LineItem>,
    /// The shop's cart.
    pub cart_id: Id,
    /// The shop's order.
    pub order_id: Id,
    /// The order's total.
    pub revenue: Option<Money>,
    /// Text of a search.
    pub query: Id,
    /// Choices of a filter.
    pub filters: Vec<Id>,
    /// Placement of a recommendation.
    pub placement: Id,
    /// Token of the answer that recommended the item.
    pub attribution_token: Id,
    /// What the shopper allows.
    pub consent: Consent,
    /// Category of the item, when the tracker knows it.
    pub category: Id,
    /// Brand of the item, when the tracker knows it.
    pub brand: Id,
    /// Anything else, in the order of its keys.
    pub context: Vec<(Id, Id)>,
    /// The trace it belongs to; what it causes belongs to the same.
    pub traceparent: Option<Traceparent>,
}

impl Event {
    /// The trace it belongs to.
    pub fn traceparent(&self) -> Option<Traceparent> {
        self.details.as_deref()?.traceparent
    }
}
