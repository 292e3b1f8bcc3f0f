//! What is judged: the engine, or the engine with a known bug around it.

use impulse::domain::{Millis, Money, Outcome, Record, Trigger};
use impulse::engine::triggers::Rules;
use impulse::engine::{Config, Engine, Outbox, View};

use super::carts::CartRule;

/// The rules of the product.
const RULES: &str = include_str!("../../../topology/triggers.yaml");

/// The settings of the product, with the rule's own minimum value.
pub(crate) fn config(rule: &CartRule) -> Config {
    let minimum = format!("minimum_value: {}", rule.minimum_value.units());
    let rules = RULES.replace("minimum_value: 0", &minimum);
    assert_eq!(rules == RULES, rule.minimum_value == Money::ZERO);
    Config {
        rules: Rules::parse(&rules).unwrap(),
        ..Config::default()
    }
}

/// Something that takes records as the engine does.
pub(crate) trait Subject {
    /// Applies a record and hands over the trigger records it brings.
    fn apply(&mut self, record: &Record, triggers: &mut Vec<Trigger>) -> Outcome;

    /// A reader of its state.
    fn view(&self) -> View;

    /// How far time is.
    fn watermark(&self) -> Millis {
        self.view().watermark()
    }
}

/// The engine as it is.
pub(crate) struct Honest {
    /// The engine.
    pub(crate) engine: Engine,
}

impl Honest {
    /// An engine that has seen nothing.
    pub(crate) fn new(rule: &CartRule) -> Self {
        Self {
            engine: Engine::new(config(rule)),
        }
    }
}

impl Subject for Honest {
    fn apply(&mut self, record: &Record, triggers: &mut Vec<Trigger>) -> Outcome {
        let mut outbox = Outbox::default();
        let outcome = self.engine.apply(record, &mut outbox);
        triggers.append(&mut outbox.triggers);
        outcome
    }

    fn view(&self) -> View {
        self.engine.view()
    }
}
