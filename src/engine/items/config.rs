//! Settings of the item rows and of the scores read from them.

use serde::{Deserialize, Serialize};

/// Largest window: the update keeps its partners on the stack.
pub const WINDOW_MAX: u32 = 64;

/// Most entries of a row.
pub const ROW_ENTRIES_LIMIT: u32 = 50_000;

/// Settings of [`Items`](super::Items). The defaults were chosen on validation slices of seven logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Earlier views of the session that a view is paired with. 1 to 64.
    pub window: u32,
    /// Steps over which the weight of a pair falls by the factor e; infinity weighs all alike.
    pub distance_scale: f64,
    /// Weight of a pair read against the order of the views, relative to the order's 1.
    pub backward_weight: f64,
    /// A transition over `j` steps weighs `1 / j^transition_exponent`.
    pub transition_exponent: f64,
    /// Days after which a session counts half; infinity forgets nothing.
    pub half_life_days: f64,
    /// Entries in a row; the smallest makes room. 1 to 50,000.
    pub row_entries_max: u32,
    /// Count a pair at every view of it, not once a session: association rules of the literature.
    pub count_repeats: bool,
    /// Days after which an event counts half in the popularity.
    pub popularity_half_life_days: f64,
    /// Items of a basket that are paired; the rest is not counted. At least 2.
    pub basket_entries_max: u32,
    /// Views of a session that are remembered for pairs.
    pub session_items_max: u32,
    /// Distinct items of a session that a query sums over, newest first.
    pub query_items_max: u32,
    /// Steps back at which a session item weighs 1/e in a query.
    pub query_scale: f64,
    /// Power of the sessions with the source item that a score is divided by.
    pub source_exponent: f64,
    /// Power of the sessions with the candidate that a score is divided by.
    pub candidate_exponent: f64,
    /// Power of the baskets with the candidate that "bought together" is divided by.
    pub basket_exponent: f64,
    /// Baskets that must hold both items of "bought together".
    pub basket_support_min: u32,
    /// "Bought together" wants more than this times the baskets that chance would bring.
    pub basket_lift_min: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: 10,
            distance_scale: 2.5,
            backward_weight: 0.8,
            transition_exponent: 1.0,
            half_life_days: 60.0,
            row_entries_max: 100,
            count_repeats: false,
            popularity_half_life_days: 1.0,
            basket_entries_max: 30,
            session_items_max: 200,
            query_items_max: 20,
            query_scale: 2.0,
            source_exponent: 0.5,
            candidate_exponent: 0.2,
            basket_exponent: 0.3,
            basket_support_min: 3,
            basket_lift_min: 1.0,
        }
    }
}

impl Config {
    /// Every mistake in the settings, each naming its field; none if they can be used.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut whole = |name: &str, value: u32, low: u32, high: u32| {
            if value < low || value > high {
                problems.push(format!("{name}: is {value}, must be {low} to {high}"));
            }
        };
        whole("window", self.window, 1, WINDOW_MAX);
        whole(
            "row_entries_max",
            self.row_entries_max,
            1,
            ROW_ENTRIES_LIMIT,
        );
        whole("basket_entries_max", self.basket_entries_max, 2, 1_000);
        whole("session_items_max", self.session_items_max, 1, 10_000);
        whole("query_items_max", self.query_items_max, 1, 1_000);
        if self.session_items_max < self.window {
            problems.push(format!(
                "session_items_max: is {}, must be at least window ({})",
                self.session_items_max, self.window
            ));
        }
        let mut positive = |name: &str, value: f64| {
            if value.is_nan() || value <= 0.0 {
                problems.push(format!("{name}: is {value}, must be above 0"));
            }
        };
        positive("distance_scale", self.distance_scale);
        positive("half_life_days", self.half_life_days);
        positive("query_scale", self.query_scale);
        let mut bounded = |name: &str, value: f64, low: f64, high: f64| {
            if !(value >= low && value <= high) {
                problems.push(format!("{name}: is {value}, must be {low} to {high}"));
            }
        };
        bounded(
            "popularity_half_life_days",
            self.popularity_half_life_days,
            0.001,
            36_500.0,
        );
        bounded("backward_weight", self.backward_weight, 0.0, 10.0);
        bounded("transition_exponent", self.transition_exponent, 0.0, 10.0);
        bounded("source_exponent", self.source_exponent, 0.0, 2.0);
        bounded("candidate_exponent", self.candidate_exponent, 0.0, 2.0);
        bounded("basket_exponent", self.basket_exponent, 0.0, 2.0);
        bounded("basket_lift_min", self.basket_lift_min, 0.0, 1e6);
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn the_defaults_are_without_problems() {
        assert_eq!(Config::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_named() {
        let config = Config {
            window: 0,
            half_life_days: f64::NAN,
            backward_weight: -1.0,
            session_items_max: 0,
            ..Config::default()
        };
        let problems = config.problems();
        for name in [
            "window",
            "half_life_days",
            "backward_weight",
            "session_items_max",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(name)),
                "{name} is missing in {problems:?}"
            );
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"windows": 5}"#).unwrap_err();
        assert!(error.to_string().contains("windows"), "{error}");
    }
}
