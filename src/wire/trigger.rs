//! Records of the trigger log as protobuf messages, in and out.

use crate::domain::{
    CartView, EpisodeView, Id, LineItem, Millis, Money, Rejection, RejectionReason, Stage, Trigger,
    TriggerId, TriggerKind, TriggerReason,
};
use crate::wire::event::{line_to_proto, stamp, timestamp};
use crate::wire::protobuf::malformed;
use crate::wire::{draft, proto, traceparent};

const REASONS: [TriggerReason; 6] = [
    TriggerReason::Inactivity,
    TriggerReason::Purchased,
    TriggerReason::CartEmptied,
    TriggerReason::BelowMinimumValue,
    TriggerReason::NoConsent,
    TriggerReason::Stale,
];

/// The message of a record. `epoch` is the owner's; the engine does not know it.
pub fn to_proto(trigger: &Trigger, epoch: u64) -> proto::Trigger {
    proto::Trigger {
        seq: trigger.seq,
        kind: kind_to_proto(trigger.kind).into(),
        trigger_id: trigger.id.to_string(),
        revision: trigger.revision,
        rule: trigger.rule.to_string(),
        rule_version: trigger.rule_version,
        user_id: trigger.user.to_string(),
        episode_id: trigger.episode.to_string(),
        reason: trigger.reason.name().to_owned(),
        cart: Some(cart_to_proto(&trigger.cart)),
        recommendations: trigger
            .recommendations
            .iter()
            .map(ToString::to_string)
            .collect(),
        deadline: Some(timestamp(trigger.deadline)),
        fired_at: Some(timestamp(trigger.fired)),
        expires_at: Some(timestamp(trigger.expires)),
        position: trigger.position,
        epoch,
        traceparent: trigger
            .traceparent
            .map_or_else(String::new, |trace| trace.to_string()),
    }
}

/// The record of a message that we ourselves have written; the epoch is left to the caller.
///
/// # Errors
///
/// If the message has a kind, a reason or an id that no version of ours writes.
pub fn from_proto(message: proto::Trigger) -> Result<Trigger, Rejection> {
    let kind = kind_from_proto(message.kind())
        .ok_or_else(|| unknown("kind", &message.kind.to_string()))?;
    let id =
        parse_id(&message.trigger_id).ok_or_else(|| unknown("trigger_id", &message.trigger_id))?;
    let reason = REASONS
        .into_iter()
        .find(|reason| reason.name() == message.reason)
        .ok_or_else(|| unknown("reason", &message.reason))?;
    let time = |time: Option<_>| time.map_or(Millis::default(), |time| stamp(time).millis());
    Ok(Trigger {
        seq: message.seq,
        kind,
        id,
        revision: message.revision,
        rule: message.rule.into(),
        rule_version: message.rule_version,
        user: message.user_id.into(),
        episode: message.episode_id.into(),
        reason,
        cart: message.cart.map(cart_from_proto).unwrap_or_default(),
        recommendations: message.recommendations.into_iter().map(Id::from).collect(),
        deadline: time(message.deadline),
        fired: time(message.fired_at),
        expires: time(message.expires_at),
        position: message.position,
        traceparent: traceparent::parse(message.traceparent.as_bytes()),
    })
}

/// Appends the record's `impulse.v1.Trigger` to `out`.
pub fn encode(trigger: &Trigger, epoch: u64, out: &mut Vec<u8>) {
    prost::Message::encode_raw(&to_proto(trigger, epoch), out);
}

/// The record in the bytes of an `impulse.v1.Trigger`, and the owner's epoch.
///
/// # Errors
///
/// If the bytes are no such message, or as [`from_proto`].
pub fn decode(bytes: &[u8]) -> Result<(Trigger, u64), Rejection> {
    let message: proto::Trigger =
        prost::Message::decode(bytes).map_err(|error| malformed("Trigger", &error))?;
    let epoch = message.epoch;
    Ok((from_proto(message)?, epoch))
}

/// The message of an open episode.
pub fn episode_to_proto(episode: &EpisodeView) -> proto::Episode {
    proto::Episode {
        trigger_id: episode.id.to_string(),
        rule: episode.rule.to_string(),
        user_id: episode.user.to_string(),
        deadline: Some(timestamp(episode.deadline)),
        cart: Some(cart_to_proto(&episode.cart)),
    }
}

/// The message of a cart.
pub fn cart_to_proto(cart: &CartView) -> proto::Cart {
    proto::Cart {
        items: cart.lines.iter().map(line_to_proto).collect(),
        value: cart.value.units(),
        currency: cart.currency.to_string(),
        updated_at: cart.updated.map(timestamp),
    }
}

/// The id in 32 hexadecimal digits; `None` if the text is none.
pub fn parse_id(text: &str) -> Option<TriggerId> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16)
        .ok()
        .map(|bits| TriggerId(bits.to_be_bytes()))
}

fn cart_from_proto(cart: proto::Cart) -> CartView {
    CartView {
        lines: cart
            .items
            .into_iter()
            .map(|line| LineItem {
                item: line.item_id.into(),
                quantity: line.quantity.max(1),
                price: line.price.map(draft::rounded),
            })
            .collect(),
        value: total_from_units(cart.value),
        currency: cart.currency.into(),
        updated: cart.updated_at.map(|time| stamp(time).millis()),
    }
}

/// A sum may be larger than the largest amount accepted from outside.
#[expect(clippy::cast_possible_truncation, reason = "saturates, as sums do")]
fn total_from_units(units: f64) -> Money {
    Money((units * 1e6).round() as i64)
}

fn kind_to_proto(kind: TriggerKind) -> proto::TriggerKind {
    match kind {
        TriggerKind::Fire => proto::TriggerKind::Fire,
        TriggerKind::Cancel => proto::TriggerKind::Cancel,
        TriggerKind::Suppressed => proto::TriggerKind::Suppressed,
        TriggerKind::Expired => proto::TriggerKind::Expired,
    }
}

fn kind_from_proto(kind: proto::TriggerKind) -> Option<TriggerKind> {
    match kind {
        proto::TriggerKind::Unspecified => None,
        proto::TriggerKind::Fire => Some(TriggerKind::Fire),
        proto::TriggerKind::Cancel => Some(TriggerKind::Cancel),
        proto::TriggerKind::Suppressed => Some(TriggerKind::Suppressed),
        proto::TriggerKind::Expired => Some(TriggerKind::Expired),
    }
}

fn unknown(field: &str, value: &str) -> Rejection {
    Rejection {
        stage: Stage::Schema,
        reason: RejectionReason::InvalidValue,
        field: field.to_owned(),
        detail: format!("no trigger record has {field} {value:?}"),
    }
}
