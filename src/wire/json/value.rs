//! Values of canonical JSON in every form that trackers send them in.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::domain::{Id, Millis};
use crate::wire::time;

/// A text, borrowed where it has no escapes.
pub(super) struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        from.deserialize_str(Reader)
    }
}

/// An id or a text: a string, or a whole number in its decimal form; empty for `null`.
pub(super) struct IdText(pub(super) Id);

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = IdText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<IdText, E> {
                Ok(IdText(Id::from(text)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<IdText, E> {
                Ok(IdText(compact_str::ToCompactString::to_compact_string(
                    &number,
                )))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<IdText, E> {
                Ok(IdText(compact_str::ToCompactString::to_compact_string(
                    &number,
                )))
            }

            fn visit_unit<E: Error>(self) -> Result<IdText, E> {
                Ok(IdText(Id::default()))
            }
        }

        from.deserialize_any(Reader)
    }
}

/// A number, or a text that should hold one.
pub(super) enum Number {
    /// `null`.
    Absent,
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Other(f64),
    /// A text that holds no number.
    Unreadable(String),
}

impl Number {
    /// As an amount; what is not finite stays so and is refused later.
    #[expect(clippy::cast_precision_loss, reason = "such amounts are out of range")]
    pub(super) fn amount(self) -> Result<Option<f64>, String> {
        match self {
            Self::Absent => Ok(None),
            Self::Whole(value) => Ok(Some(value as f64)),
            Self::Other(value) => Ok(Some(value)),
            Self::Unreadable(text) => Err(format!("{text:?} is no number")),
        }
    }

    /// As a count; 0 if absent.
    pub(super) fn count(self) -> Result<u64, String> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Absent => Ok(0),
            Self::Whole(value) => Ok(value),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and in range, checked here"
            )]
            Self::Other(value) if value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&value) => {
                Ok(value as u64)
            }
            Self::Other(value) => Err(format!("{value} is no whole number from 0 on")),
            Self::Unreadable(text) => Err(format!("{text:?} is no number")),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number::Whole(number))
            }

            #[expect(clippy::cast_precision_loss, reason = "negative, so refused later")]
            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Other(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Other(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                let trimmed = text.trim();
                if let Ok(whole) = trimmed.parse() {
                    return Ok(Number::Whole(whole));
                }
                Ok(trimmed.parse().map_or_else(
                    |_| Number::Unreadable(text.chars().take(60).collect()),
                    Number::Other,
                ))
            }

            fn visit_unit<E: Error>(self) -> Result<Number, E> {
                Ok(Number::Absent)
            }
        }

        from.deserialize_any(Reader)
    }
}

/// A point in time.
pub(super) enum Time {
    /// `null` or an empty text.
    Absent,
    /// A time.
    At(Millis),
    /// Something else; its text.
    Unreadable(String),
}

impl Time {
    /// The time, if there is one.
    pub(super) fn at(self) -> Result<Option<Millis>, String> {
        match self {
            Self::Absent => Ok(None),
            Self::At(time) => Ok(Some(time)),
            Self::Unreadable(text) => Err(format!(
                "{text:?} is neither RFC 3339, as in 2026-03-01T12:30:05.250Z, nor milliseconds since 1970"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 text or in milliseconds")
            }

            fn visit_i64<E: Error>(self, ms: i64) -> Result<Time, E> {
                Ok(Time::At(Millis(ms)))
            }

            fn visit_u64<E: Error>(self, ms: u64) -> Result<Time, E> {
                Ok(i64::try_from(ms).map_or_else(
                    |_| Time::Unreadable(ms.to_string()),
                    |ms| Time::At(Millis(ms)),
                ))
            }

            #[expect(clippy::cast_possible_truncation, reason = "saturates; refused later")]
            fn visit_f64<E: Error>(self, ms: f64) -> Result<Time, E> {
                Ok(Time::At(Millis(ms as i64)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                let trimmed = text.trim();
                if trimmed.is_empty() {
                    return Ok(Time::Absent);
                }
                let time = time::parse(trimmed).or_else(|| trimmed.parse().ok().map(Millis));
                Ok(time.map_or_else(
                    || Time::Unreadable(text.chars().take(60).collect()),
                    Time::At,
                ))
            }

            fn visit_unit<E: Error>(self) -> Result<Time, E> {
                Ok(Time::Absent)
            }
        }

        from.deserialize_any(Reader)
    }
}

/// Yes or no, also in quotes or as 0 and 1.
pub(super) struct Choice(pub(super) Option<bool>);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Choice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: Error>(self, choice: bool) -> Result<Choice, E> {
                Ok(Choice(Some(choice)))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Choice, E> {
                match number {
                    0 => Ok(Choice(Some(false))),
                    1 => Ok(Choice(Some(true))),
                    _ => Err(E::invalid_value(
                        serde::de::Unexpected::Unsigned(number),
                        &self,
                    )),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Choice, E> {
                match text {
                    "true" => Ok(Choice(Some(true))),
                    "false" => Ok(Choice(Some(false))),
                    _ => Err(no_text(&self)),
                }
            }

            fn visit_unit<E: Error>(self) -> Result<Choice, E> {
                Ok(Choice(None))
            }
        }

        from.deserialize_any(Reader)
    }
}

/// Someone who takes the fields of an object as they come.
pub(super) trait TakeFields<'de> {
    /// Takes the value of the field `name` from `map`.
    fn take<A: MapAccess<'de>>(&mut self, name: Text<'de>, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object field by field; `null` is an object without fields.
pub(super) struct Object<'t, T>(pub(super) &'t mut T);

impl<'de, T: TakeFields<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: TakeFields<'de>> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key()? {
            self.0.take(name, &mut map)?;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(no_text(&self))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Someone who takes the entries of a list as they come.
pub(super) trait TakeEntries<'de> {
    /// Takes the next entry from `seq`; `false` at the end.
    fn take_next<A: SeqAccess<'de>>(&mut self, place: usize, seq: &mut A)
    -> Result<bool, A::Error>;
}

/// Reads a list entry by entry; `null` is an empty list.
pub(super) struct List<'t, T>(pub(super) &'t mut T);

impl<'de, T: TakeEntries<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: TakeEntries<'de>> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut place = 0;
        while self.0.take_next(place, &mut seq)? {
            place += 1;
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(no_text(&self))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The error of a text where none belongs. Serde's own would quote the whole of it, however long it is.
pub(super) fn no_text<E: Error>(expected: &dyn serde::de::Expected) -> E {
    E::invalid_type(serde::de::Unexpected::Other("text"), expected)
}
