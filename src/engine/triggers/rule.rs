//! What is declared for a rule in `topology/triggers.yaml`.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use crate::domain::{DAY_MS, EventKind, HOUR_MS, Id, MINUTE_MS, Money, SECOND_MS};

const WAIT_MS_MIN: i64 = SECOND_MS;
const WAIT_MS_MAX: i64 = 30 * DAY_MS;
const RULE_NAME_BYTES_MAX: usize = 64;

/// The kinds of event that can be signs of life of a cart.
const SIGNS_OF_LIFE: [EventKind; 5] = [
    EventKind::AddToCart,
    EventKind::RemoveFromCart,
    EventKind::CartUpdate,
    EventKind::CartView,
    EventKind::CheckoutStart,
];

/// The rules in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    cart_abandonment: Option<CartAbandonment>,
}

/// A cart with something in it is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartAbandonment {
    /// Name of the rule.
    pub rule: Id,
    /// Its major version; a new one makes new trigger ids.
    pub major: u32,
    /// Silence that makes a cart abandoned.
    pub wait_ms: i64,
    /// What the cart must be worth at the deadline, in units of its currency.
    pub minimum_value: Money,
    /// How long after the deadline a message is still of use.
    pub expires_after_ms: i64,
    /// Kinds of event that begin the wait anew.
    pub reset_on: Vec<EventKind>,
    /// Kinds of event that leave at least so much time.
    pub extend_on: Vec<(EventKind, i64)>,
}

impl Default for CartAbandonment {
    fn default() -> Self {
        Self {
            rule: Id::const_new("cart_abandonment"),
            major: 1,
            wait_ms: HOUR_MS,
            minimum_value: Money::ZERO,
            expires_after_ms: DAY_MS,
            reset_on: vec![
                EventKind::AddToCart,
                EventKind::RemoveFromCart,
                EventKind::CartUpdate,
                EventKind::CartView,
            ],
            extend_on: vec![(EventKind::CheckoutStart, 15 * MINUTE_MS)],
        }
    }
}

impl CartAbandonment {
    /// The time that an event of this kind leaves at least until the deadline; `None` if it is no sign of life.
    pub fn leaves_ms(&self, kind: EventKind) -> Option<i64> {
        let reset = self.reset_on.contains(&kind).then_some(self.wait_ms);
        let extend = self
            .extend_on
            .iter()
            .filter(|(extending, _)| *extending == kind);
        extend.map(|(_, by_ms)| *by_ms).chain(reset).max()
    }
}

/// Why a file of rules is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct RuleError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong there, and what is expected.
    pub message: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            cart_abandonment: Some(CartAbandonment::default()),
        }
    }
}

impl From<CartAbandonment> for Rules {
    fn from(rule: CartAbandonment) -> Self {
        Self {
            cart_abandonment: Some(rule),
        }
    }
}

impl Rules {
    /// No rule: no episode is ever opened.
    pub const NONE: Self = Self {
        cart_abandonment: None,
    };

    /// Reads a file of rules.
    ///
    /// # Errors
    ///
    /// If it is no YAML, has an unknown key, or asks for something impossible.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let declared: Vec<Spanned<Declaration>> =
            serde_saphyr::from_str(text).map_err(|error| {
                let message = error
                    .without_snippet()
                    .render_with_formatter(&UserMessageFormatter);
                let place = error.location().unwrap_or(Location::UNKNOWN);
                // The place is said by the error itself.
                let suffix = format!(" at line {}, column {}", place.line(), place.column());
                let message = message.strip_suffix(&suffix).unwrap_or(&message);
                refuse(place, message)
            })?;
        let mut declared = declared.into_iter();
        let first = declared.next();
        if let Some(second) = declared.next() {
            let message = "a second rule: one rule, for abandoned carts, is supported";
            return Err(refuse(second.referenced, message));
        }
        let cart_abandonment = first.map(|rule| rule.value.check()).transpose()?;
        Ok(Self { cart_abandonment })
    }

    /// The rule for abandoned carts, if declared.
    pub fn cart_abandonment(&self) -> Option<&CartAbandonment> {
        self.cart_abandonment.as_ref()
    }
}

/// A rule as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    rule: Spanned<String>,
    major: Option<Spanned<u32>>,
    start: Option<Start>,
    reset_on: Option<Vec<Spanned<EventKind>>>,
    extend_on: Option<Vec<Extension>>,
    wait: Option<Spanned<String>>,
    minimum_value: Option<Spanned<f64>>,
    expires_after: Option<Spanned<String>>,
}

/// What opens an episode.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    event: Spanned<EventKind>,
}

/// An event that leaves at least so much time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    event: Spanned<EventKind>,
    by: Spanned<String>,
}

impl Declaration {
    fn check(self) -> Result<CartAbandonment, RuleError> {
        let mut rule = CartAbandonment {
            rule: name(&self.rule)?,
            ..CartAbandonment::default()
        };
        if let Some(major) = self.major {
            if major.value == 0 {
                return Err(refuse(major.referenced, "major is 0, expected 1 or more"));
            }
            rule.major = major.value;
        }
        if let Some(start) = self.start
            && start.event.value != EventKind::AddToCart
        {
            let found = start.event.value.name();
            let message = format!("start.event is {found}, expected add_to_cart");
            return Err(refuse(start.event.referenced, message));
        }
        if let Some(kinds) = self.reset_on {
            rule.reset_on = kinds
                .iter()
                .map(|kind| sign_of_life("reset_on", kind))
                .collect::<Result<_, _>>()?;
        }
        if let Some(extensions) = self.extend_on {
            rule.extend_on = extensions
                .iter()
                .map(|Extension { event, by }| {
                    Ok((sign_of_life("extend_on", event)?, duration("by", by)?))
                })
                .collect::<Result<_, _>>()?;
        }
        if let Some(wait) = self.wait {
            rule.wait_ms = duration("wait", &wait)?;
        }
        if let Some(expires_after) = self.expires_after {
            rule.expires_after_ms = duration("expires_after", &expires_after)?;
        }
        if let Some(minimum) = self.minimum_value {
            let message = "minimum_value is no amount, expected 0 to 1000000000";
            rule.minimum_value = Money::from_units(minimum.value)
                .ok_or_else(|| refuse(minimum.referenced, message))?;
        }
        Ok(rule)
    }
}

fn name(name: &Spanned<String>) -> Result<Id, RuleError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.value.is_empty()
        || name.value.len() > RULE_NAME_BYTES_MAX
        || !name.value.chars().all(is_plain)
    {
        let message = format!(
            "rule is named {:?}, expected 1 to {RULE_NAME_BYTES_MAX} of a-z, 0-9 and _",
            name.value
        );
        return Err(refuse(name.referenced, message));
    }
    Ok(Id::from(name.value.as_str()))
}

fn sign_of_life(field: &str, kind: &Spanned<EventKind>) -> Result<EventKind, RuleError> {
    if SIGNS_OF_LIFE.contains(&kind.value) {
        return Ok(kind.value);
    }
    let expected = SIGNS_OF_LIFE.map(EventKind::name).join(", ");
    let message = format!(
        "{field} names {}, expected one of {expected}",
        kind.value.name()
    );
    Err(refuse(kind.referenced, message))
}

fn duration(field: &str, text: &Spanned<String>) -> Result<i64, RuleError> {
    let refuse = |why: String| {
        refuse(
            text.referenced,
            format!("{field} is {:?}: {why}", text.value),
        )
    };
    let duration = humantime::parse_duration(&text.value).map_err(|error| {
        refuse(format!(
            "{error}; expected a duration such as 30m or 1h 30m"
        ))
    })?;
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    if (WAIT_MS_MIN..=WAIT_MS_MAX).contains(&ms) {
        return Ok(ms);
    }
    Err(refuse("expected 1s to 30d".to_owned()))
}

fn refuse(place: Location, message: impl Into<String>) -> RuleError {
    RuleError {
        line: place.line(),
        column: place.column(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{CartAbandonment, Rules};
    use crate::domain::{EventKind, MINUTE_MS, Money, SECOND_MS};

    #[test]
    fn the_shipped_file_declares_the_defaults() {
        let shipped = include_str!("../../../topology/triggers.yaml");
        assert_eq!(Rules::parse(shipped), Ok(Rules::default()));
    }

    #[test]
    fn everything_can_be_declared() {
        let text = "- rule: forgotten\n  major: 2\n  start: { event: add_to_cart }\n  reset_on: [cart_view]\n  \
                    extend_on: [{ event: cart_update, by: 90s }]\n  wait: 1h 30m\n  minimum_value: 19.99\n  \
                    expires_after: 7d\n";
        let rules = Rules::parse(text).unwrap();
        let rule = rules.cart_abandonment().unwrap();
        assert_eq!((rule.rule.as_str(), rule.major), ("forgotten", 2));
        assert_eq!(rule.leaves_ms(EventKind::CartView), Some(90 * MINUTE_MS));
        assert_eq!(rule.leaves_ms(EventKind::CartUpdate), Some(90 * SECOND_MS));
        assert_eq!(rule.leaves_ms(EventKind::AddToCart), None);
        assert_eq!(rule.minimum_value, Money(19_990_000));
        assert_eq!(rule.expires_after_ms, 7 * 24 * 60 * MINUTE_MS);
    }

    #[test]
    fn what_is_not_declared_is_the_default() {
        let rules = Rules::parse("- rule: cart_abandonment\n").unwrap();
        assert_eq!(rules.cart_abandonment(), Some(&CartAbandonment::default()));
        assert_eq!(Rules::parse("[]"), Ok(Rules::NONE));
        assert_eq!(Rules::parse("# none yet\n"), Ok(Rules::NONE));
    }

    /// Text, line and column of the complaint, and what it must say.
    fn check(text: &str, line: u64, column: u64, says: &str) {
        let error = Rules::parse(text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(!error.message.contains("line"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        check("- rule: a\n  wait: 0s\n", 2, 9, "expected 1s to 30d");
        check("- rule: a\n  wait: 31d\n", 2, 9, "expected 1s to 30d");
        check(
            "- rule: a\n  wait: soon\n",
            2,
            9,
            "expected a duration such as 30m",
        );
        check("- rule: a\n  wiat: 30m\n", 2, 3, "wiat");
        check("- major: 1\n", 1, 3, "rule");
        check("- rule: a\n  major: 0\n", 2, 10, "expected 1 or more");
        check("- rule: a\n  major: -1\n", 2, 10, "invalid u32");
        check(
            "- rule: Cart Abandonment\n",
            1,
            9,
            "expected 1 to 64 of a-z",
        );
        check(
            "- rule: a\n  reset_on: [purchase]\n",
            2,
            14,
            "names purchase",
        );
        check("- rule: a\n  reset_on: [sneeze]\n", 2, 14, "sneeze");
        check(
            "- rule: a\n  start: { event: cart_view }\n",
            2,
            19,
            "expected add_to_cart",
        );
        check("- rule: a\n  minimum_value: -1\n", 2, 18, "expected 0 to");
        check("- rule: a\n  minimum_value: .nan\n", 2, 18, "expected 0 to");
        check("- rule: a\n- rule: b\n", 2, 3, "one rule");
        check(
            "- rule: a\n  expires_after: 30 years\n",
            2,
            18,
            "expected 1s to 30d",
        );
        check("- rule: [a\n", 1, 9, "expected string");
        check("rule: a\n", 1, 1, "expected sequence");
    }
}
