//! What is declared for a rule in `topology/triggers.yaml`.

use serde::Deserialize;
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use crate::domain::{DAY_MS, EventKind, HOUR_MS, Id, Money, SECOND_MS};

const WAIT_MS_MIN: i64 = SECOND_MS;
const WAIT_MS_MAX: i64 = 30 * DAY_MS;
const RULE_NAME_BYTES_MAX: usize = 64;

/// The kinds of event that can reset the timer of an abandoned cart.
const RESETTING: [EventKind; 5] = [
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
    /// Kinds of event that are signs of life.
    pub reset_on: Vec<EventKind>,
}

impl Default for CartAbandonment {
    fn default() -> Self {
        Self {
            rule: Id::const_new("cart_abandonment"),
            major: 1,
            wait_ms: HOUR_MS,
            minimum_value: Money::ZERO,
            expires_after_ms: DAY_MS,
            reset_on: RESETTING.to_vec(),
        }
    }
}

impl CartAbandonment {
    /// Whether an event of this kind resets the timer.
    pub fn resets_on(&self, kind: EventKind) -> bool {
        self.reset_on.contains(&kind)
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
            rule.reset_on = kinds.into_iter().map(resetting).collect::<Result<_, _>>()?;
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

fn resetting(kind: Spanned<EventKind>) -> Result<EventKind, RuleError> {
    if RESETTING.contains(&kind.value) {
        return Ok(kind.value);
    }
    let expected = RESETTING.map(EventKind::name).join(", ");
    let message = format!(
        "reset_on has {}, expected some of {expected}",
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
