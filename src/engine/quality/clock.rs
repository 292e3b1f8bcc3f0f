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

#[cfg(test)]
mod tests {
    use super::event_time;
    use crate::domain::{DAY_MS, Event, EventKind, Id, MINUTE_MS, Millis, TimeRule};
    use crate::engine::quality::Config;

    const RECEIVED: i64 = 1_700_000_000_000;

    /// Times are milliseconds after the receipt; `None` for ticks means that none was seen.
    fn check(
        created: Option<i64>,
        sent: Option<i64>,
        tick: Option<i64>,
        expected: (i64, TimeRule),
    ) {
        let absolute = |ms: Option<i64>| ms.map(|ms| Millis(RECEIVED + ms));
        let event = Event {
            kind: EventKind::ProductView,
            id: Id::default(),
            user: Id::from("ann"),
            session: Id::default(),
            item: Id::from("shoe"),
            quantity: 0,
            price: None,
            created: absolute(created),
            sent: absolute(sent),
            details: None,
        };
        let config = Config::default();
        let (at, rule) = event_time(&config, absolute(tick), Millis(RECEIVED), &event);
        assert_eq!((at.0 - RECEIVED, rule), expected, "{event:?}");
    }

    #[test]
    fn a_device_is_believed_about_the_delay() {
        let year = 365 * DAY_MS;
        check(Some(-900), Some(-100), None, (-800, TimeRule::DeviceDelay));
        check(
            Some(year),
            Some(year + 10),
            Some(0),
            (-10, TimeRule::DeviceDelay),
        );
        check(
            Some(-year),
            Some(-year + 10),
            Some(0),
            (-10, TimeRule::DeviceDelay),
        );
    }

    #[test]
    fn the_time_of_creation_is_believed_if_plausible() {
        check(Some(-5), None, None, (-5, TimeRule::Created));
        check(
            Some(-7 * DAY_MS),
            None,
            None,
            (-7 * DAY_MS, TimeRule::Created),
        );
        check(Some(-7 * DAY_MS - 1), None, None, (0, TimeRule::Received));
        check(
            Some(5 * MINUTE_MS),
            None,
            None,
            (5 * MINUTE_MS, TimeRule::Created),
        );
        check(Some(5 * MINUTE_MS + 1), None, None, (0, TimeRule::Received));
    }

    #[test]
    fn without_a_time_of_creation_the_receipt_counts() {
        check(None, None, None, (0, TimeRule::Received));
        check(None, Some(-9), None, (0, TimeRule::Received));
    }

    #[test]
    fn the_future_is_put_at_the_last_tick() {
        check(
            Some(MINUTE_MS),
            None,
            Some(0),
            (MINUTE_MS, TimeRule::Created),
        );
        check(Some(MINUTE_MS + 1), None, Some(0), (0, TimeRule::ClockSkew));
        check(
            Some(MINUTE_MS + 1),
            Some(0),
            Some(-7),
            (-7, TimeRule::ClockSkew),
        );
        check(
            None,
            None,
            Some(-2 * MINUTE_MS),
            (-2 * MINUTE_MS, TimeRule::ClockSkew),
        );
    }

    #[test]
    fn times_at_the_ends_of_the_range_stay_in_it() {
        let (first, last) = (i64::MIN, i64::MAX - RECEIVED);
        check(
            Some(first),
            Some(last),
            None,
            (-i64::MAX, TimeRule::DeviceDelay),
        );
        check(Some(last), Some(first), None, (last, TimeRule::DeviceDelay));
        check(Some(last), Some(first), Some(0), (0, TimeRule::ClockSkew));
    }
}
