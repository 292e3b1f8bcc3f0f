//! The live line on a terminal: what the shop does right now.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use crate::clock::{Clock, Stopwatch};
use crate::domain::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::engine::View;

use super::tally::{Summary, Tally};

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Keeps the line up to date until told to stop. Where standard error is no terminal nothing is drawn.
pub(super) async fn show(
    view: View,
    clock: Clock,
    tally: Arc<Tally>,
    mut stop: watch::Receiver<bool>,
) {
    let line = ProgressBar::new_spinner();
    line.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  {msg}") {
        line.set_style(style);
    }
    let mut lap = Stopwatch::start();
    let mut accepted = 0;
    while !*stop.borrow_and_update() {
        let summary = tally.summary(0, Duration::ZERO, 0);
        let seconds = lap.lap().as_secs_f64().max(1e-3);
        let rate = per_second(summary.events.accepted - accepted, seconds);
        accepted = summary.events.accepted;
        line.set_message(said(
            clock.now(),
            rate,
            view.stats().episodes_open,
            &summary,
        ));
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            _ = stop.changed() => {}
        }
    }
    line.finish_and_clear();
}

fn said(now: Millis, events_per_second: f64, waiting: u64, summary: &Summary) -> String {
    let mut line = weekday_and_time(now);
    let triggers = &summary.triggers;
    // Writing to a string does not fail.
    let _written = write!(
        line,
        "   {events_per_second:.0} events/s   {} answers, {}   carts: {waiting} waiting, {} fired, {} suppressed",
        summary.answers, summary.round_trip_us, triggers.fired, triggers.suppressed,
    );
    line
}

/// `Sun 18:42`, UTC.
fn weekday_and_time(now: Millis) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    // 1970-01-01 was a Thursday.
    let day = usize::try_from(now.0.div_euclid(DAY_MS).rem_euclid(7)).unwrap_or(0);
    let weekday = WEEKDAYS.get(day).copied().unwrap_or_default();
    let of_day = now.0.rem_euclid(DAY_MS);
    let (hours, minutes) = (of_day / HOUR_MS, of_day % HOUR_MS / MINUTE_MS);
    format!("{weekday} {hours:02}:{minutes:02}")
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::weekday_and_time;
    use crate::domain::Millis;

    #[test]
    fn times_are_told_with_their_weekday() {
        assert_eq!(weekday_and_time(Millis(0)), "Thu 00:00");
        // 2026-11-22 17:05 UTC, a Sunday.
        assert_eq!(weekday_and_time(Millis(1_795_367_100_000)), "Sun 17:05");
    }
}
