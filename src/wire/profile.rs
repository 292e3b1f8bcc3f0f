//! Profiles as protobuf messages.

use crate::domain::{Affinity, Id, ProfileView, SessionView};
use crate::wire::event::{consent_to_proto, timestamp};
use crate::wire::proto;
use crate::wire::trigger::cart_to_proto;

/// The message of a profile.
pub fn to_proto(profile: &ProfileView) -> proto::Profile {
    proto::Profile {
        user_id: profile.user.to_string(),
        preferred_categories: names(&profile.categories),
        avg_price_range: profile
            .price_band
            .map_or_else(String::new, |band| band.name().to_owned()),
        last_viewed: profile.last_viewed_titles.clone(),
        loyalty_score: profile.loyalty_score,
        preferred_brands: names(&profile.brands),
        category_affinities: profile.categories.iter().map(affinity_to_proto).collect(),
        brand_affinities: profile.brands.iter().map(affinity_to_proto).collect(),
        last_viewed_ids: ids(&profile.last_viewed),
        cart: Some(cart_to_proto(&profile.cart)),
        session: profile.session.as_ref().map(session_to_proto),
        orders: profile.orders,
        revenue: profile.revenue.units(),
        purchased_ids: ids(&profile.purchased),
        last_order_at: profile.last_order.map(timestamp),
        first_seen_at: Some(timestamp(profile.first_seen)),
        last_seen_at: Some(timestamp(profile.last_seen)),
        events: profile.events,
        sessions: profile.sessions,
        consent: consent_to_proto(profile.consent),
    }
}

fn session_to_proto(session: &SessionView) -> proto::Session {
    proto::Session {
        session_id: session.id.to_string(),
        open: session.open,
        started_at: Some(timestamp(session.started)),
        last_event_at: Some(timestamp(session.last_event)),
        items: ids(&session.items),
        events: session.events,
    }
}

fn affinity_to_proto(affinity: &Affinity) -> proto::Affinity {
    proto::Affinity {
        name: affinity.name.to_string(),
        share: affinity.share,
        recent: affinity.recent,
        long_term: affinity.long_term,
    }
}

fn names(affinities: &[Affinity]) -> Vec<String> {
    affinities
        .iter()
        .map(|affinity| affinity.name.to_string())
        .collect()
}

fn ids(ids: &[Id]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
