//! When an event happened, as far as its clock can be believed.

use crate::domain::{Event, Millis, TimeRule};

use super::Config;

/// The event time of an event received at `received`, and how it was found.
///
/// A device that gives both of its times is believed about the delay between them, not about the time itself. An
/// event that claims to come from the future of the owner's clock is put at that clock's last known time; while no
/// tick was ever seen there is nothing to compare with.
pub(super) fn event_time(
    config: &Config,
    last_tick: Option<Millis>,
    received: Millis,
    event: &Event,
) -> (Millis, TimeRule) {
    let claimed = match (event.created, event.sent) {
        (Some(created), Some(sent)) => (received - sent.since(created), TimeRule::DeviceDelay),
        (Some(created), None) if is_plausible(config, received, created) => {
            (created, TimeRule::Created)
        }
        (Some(_) | None, _) => (received, TimeRule::Received),
    };
    match last_tick {
        Some(tick) if claimed.0 > tick + config.skew_ms => (tick, TimeRule::ClockSkew),
        Some(_) | None => claimed,
    }
}

fn is_plausible(config: &Config, received: Millis, created: Millis) -> bool {
    created >= received - config.created_past_ms_max
        && created <= received + config.created_future_ms_max
}
