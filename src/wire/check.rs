//! The gates that every value from outside passes: lengths, control characters, ranges.

use std::fmt;

use crate::domain::{ID_BYTES_MAX, Millis, Money, Rejection, RejectionReason, Stage};

/// Longest text (a search, a filter's choice, a title, an address, a token) accepted, in bytes.
pub const TEXT_BYTES_MAX: usize = 2_048;
/// Longest value of an item's attribute accepted, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 4_096;
/// Most lines of a cart or an order; the longest invoice of the Online Retail data set has 1,114.
pub const LINES_MAX: usize = 2_000;
/// Most choices of a filter.
pub const FILTERS_MAX: usize = 200;
/// Most entries of an event's context.
pub const CONTEXT_MAX: usize = 64;
/// Most categories of an item.
pub const CATEGORIES_MAX: usize = 16;
/// Most attributes of an item.
pub const ATTRIBUTES_MAX: usize = 128;
/// Largest quantity of one line.
pub const QUANTITY_MAX: u32 = 1_000_000;
/// Most events or items of one batch.
pub const BATCH_MAX: usize = 1_000;

/// Seconds of 0001-01-01 00:00 UTC: before it `google.protobuf.Timestamp` is not valid.
const SECONDS_MIN: i64 = -62_135_596_800;
/// Seconds of 9999-12-31 23:59:59 UTC.
const SECONDS_MAX: i64 = 253_402_300_799;

/// Where in a message a value stands; its text form is what a [`Rejection`] names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    /// A field of the message.
    Name(&'a str),
    /// An entry of a list.
    Entry(&'a str, usize),
    /// A field of an entry of a list of messages.
    Nested(&'a str, usize, &'a str),
    /// The value of a key.
    Key(&'a str, &'a str),
}

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Entry(list, place) => write!(f, "{list}[{place}]"),
            Self::Nested(list, place, name) => write!(f, "{list}[{place}].{name}"),
            Self::Key(map, key) => write!(f, "{map}[{}]", quoted(key)),
        }
    }
}

/// A value in a message to people: escaped, and cut so that a hostile one cannot flood a log.
pub(super) fn quoted(value: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut shown: String = value.chars().take(CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// A refusal of a value.
#[cold]
pub(super) fn refused(
    stage: Stage,
    reason: RejectionReason,
    field: Field<'_>,
    detail: String,
) -> Rejection {
    Rejection {
        stage,
        reason,
        field: field.to_string(),
        detail,
    }
}

/// A refusal because a required field is missing or empty.
#[cold]
pub(super) fn missing(field: &str, detail: String) -> Rejection {
    refused(
        Stage::Required,
        RejectionReason::MissingField,
        Field::Name(field),
        detail,
    )
}

/// A refusal because a value is out of its range.
#[cold]
pub(super) fn invalid(field: Field<'_>, detail: String) -> Rejection {
    refused(Stage::Value, RejectionReason::InvalidValue, field, detail)
}

/// Ids are short and hold no control characters, so that they can be printed, logged and compared anywhere.
pub(super) fn id(field: Field<'_>, value: &str) -> Result<(), Rejection> {
    if value.len() <= ID_BYTES_MAX && printable(value) {
        return Ok(());
    }
    Err(bad_text(field, value, ID_BYTES_MAX))
}

/// An id that may not be empty.
pub(super) fn required_id(field: Field<'_>, value: &str) -> Result<(), Rejection> {
    if value.is_empty() {
        return Err(refused(
            Stage::Required,
            RejectionReason::MissingField,
            field,
            format!("`{field}` is required"),
        ));
    }
    id(field, value)
}

/// Texts may be longer and hold tabs and line breaks, but no other control characters.
pub(super) fn text(field: Field<'_>, value: &str, bytes_max: usize) -> Result<(), Rejection> {
    let fine = value.len() <= bytes_max
        && (printable(value) || !value.chars().any(|c| c.is_control() && !is_layout(c)));
    if fine {
        return Ok(());
    }
    Err(bad_text(field, value, bytes_max))
}

fn is_layout(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

fn printable(value: &str) -> bool {
    // One pass without a branch per byte; only other scripts take the slow way.
    let others = value.bytes().fold(0, |others, byte| {
        others | u8::from(!(0x20..0x7f).contains(&byte))
    });
    others == 0 || !value.chars().any(char::is_control)
}

#[cold]
fn bad_text(field: Field<'_>, value: &str, bytes_max: usize) -> Rejection {
    if value.len() > bytes_max {
        let detail = format!(
            "`{field}` has {} bytes; at most {bytes_max} are allowed",
            value.len()
        );
        return refused(Stage::Limit, RejectionReason::TooLong, field, detail);
    }
    let found = value.char_indices().find(|(_, c)| c.is_control());
    let detail = found.map_or_else(String::new, |(offset, c)| {
        format!(
            "`{field}` holds the control character U+{:04X} at byte {offset}",
            u32::from(c)
        )
    });
    refused(
        Stage::Value,
        RejectionReason::ControlCharacter,
        field,
        detail,
    )
}

/// Lists end somewhere.
pub(super) fn count(field: &str, found: usize, count_max: usize) -> Result<(), Rejection> {
    if found <= count_max {
        return Ok(());
    }
    Err(refused(
        Stage::Limit,
        RejectionReason::TooLong,
        Field::Name(field),
        format!("`{field}` has more than {count_max} entries"),
    ))
}

/// An amount is finite, not negative and at most [`Money::MAX`].
pub(super) fn money(field: Field<'_>, units: f64) -> Result<Money, Rejection> {
    Money::from_units(units).ok_or_else(|| {
        let detail = format!("`{field}` is {units}; an amount lies between 0 and 1000000000");
        invalid(field, detail)
    })
}

/// A currency is empty or three letters of ISO 4217.
pub(super) fn currency(field: Field<'_>, code: &str) -> Result<(), Rejection> {
    if code.is_empty() || (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        return Ok(());
    }
    let detail = format!(
        "`{field}` is {}; expected three upper-case letters of ISO 4217, as in EUR",
        quoted(code)
    );
    Err(invalid(field, detail))
}

/// A quantity is at most [`QUANTITY_MAX`].
pub(super) fn quantity(field: Field<'_>, value: u32) -> Result<(), Rejection> {
    if value <= QUANTITY_MAX {
        return Ok(());
    }
    let detail = format!("`{field}` is {value}; at most {QUANTITY_MAX} is allowed");
    Err(invalid(field, detail))
}

/// A point in time as `google.protobuf.Timestamp` has it; less than a millisecond is cut off.
pub(super) fn time(field: Field<'_>, seconds: i64, nanos: i32) -> Result<Millis, Rejection> {
    if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) && (0..1_000_000_000).contains(&nanos) {
        return Ok(Millis(seconds * 1_000 + i64::from(nanos / 1_000_000)));
    }
    let detail = format!(
        "`{field}` is {seconds} seconds and {nanos} nanoseconds; a time lies in the years 1 to 9999, its nanoseconds \
         between 0 and 999999999"
    );
    Err(invalid(field, detail))
}

#[cfg(test)]
mod tests {
    use super::{Field, currency, id, money, text, time};
    use crate::domain::{Millis, RejectionReason};

    #[test]
    fn ids_hold_no_control_characters_and_end_somewhere() {
        let check = |value: &str| id(Field::Name("item_id"), value).map_err(|r| r.reason);
        assert_eq!(check("sku-1 ü 靴"), Ok(()));
        for bad in ["a\0", "a\tb", "\u{7f}", "\u{85}"] {
            assert_eq!(
                check(bad),
                Err(RejectionReason::ControlCharacter),
                "{bad:?}"
            );
        }
        assert_eq!(check(&"x".repeat(256)), Ok(()));
        assert_eq!(check(&"x".repeat(257)), Err(RejectionReason::TooLong));
    }

    #[test]
    fn texts_may_have_lines_but_no_nul() {
        let check = |value: &str| text(Field::Name("query"), value, 20).map_err(|r| r.reason);
        assert_eq!(check("red\tshoes\r\nsize 9"), Ok(()));
        assert_eq!(check("red\0"), Err(RejectionReason::ControlCharacter));
        assert_eq!(check(&"x".repeat(21)), Err(RejectionReason::TooLong));
    }

    #[test]
    fn a_refusal_names_the_place() {
        let refused = money(Field::Nested("items", 3, "price"), -1.0).unwrap_err();
        assert_eq!(refused.field, "items[3].price");
        assert!(
            refused
                .detail
                .starts_with("`items[3].price` is -1; an amount"),
            "{}",
            refused.detail
        );
        let refused = id(Field::Key("context", "a\0b"), "\0").unwrap_err();
        assert_eq!(refused.field, "context[\"a\\0b\"]");
    }

    #[test]
    fn currencies_are_three_capitals() {
        for good in ["", "EUR", "XTS"] {
            assert!(currency(Field::Name("currency"), good).is_ok());
        }
        for bad in ["eur", "EURO", "E1R", "€"] {
            assert!(currency(Field::Name("currency"), bad).is_err());
        }
    }

    #[test]
    fn times_lie_in_four_digit_years() {
        let check = |seconds, nanos| time(Field::Name("created_at"), seconds, nanos).ok();
        assert_eq!(check(1, 2_999_999), Some(Millis(1_002)));
        assert_eq!(check(-1, 1_000_000), Some(Millis(-999)));
        assert_eq!(check(253_402_300_800, 0), None);
        assert_eq!(check(0, -1), None);
        assert_eq!(check(0, 1_000_000_000), None);
    }
}
