//! Times as text: RFC 3339 and its looser relatives in published data sets.

use crate::domain::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};

/// The time in a text such as `2026-03-01T12:30:05.250+01:00`. The date and the time of day may be parted by a space,
/// the zone may be `Z`, `UTC` after a space, an offset or absent, which means UTC. A leap second counts as the second
/// before. `None` if the text is no such time.
pub(super) fn parse(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, rest @ ..] = bytes else {
        return None;
    };
    let year = number(&[*y0, *y1, *y2, *y3])?;
    let day = days(year, number(&[*m0, *m1])?, number(&[*d0, *d1])?)?;
    let [
        b'T' | b't' | b' ',
        h0,
        h1,
        b':',
        i0,
        i1,
        b':',
        s0,
        s1,
        rest @ ..,
    ] = rest
    else {
        return None;
    };
    let of_day = time_of_day(
        number(&[*h0, *h1])?,
        number(&[*i0, *i1])?,
        number(&[*s0, *s1])?,
    )?;
    let (fraction_ms, zone) = fraction(rest)?;
    Some(Millis(day * DAY_MS + of_day + fraction_ms - offset(zone)?))
}

/// Milliseconds since midnight; a leap second counts as the second before.
pub(super) fn time_of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    ((0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second))
        .then(|| hour * HOUR_MS + minute * MINUTE_MS + second.min(59) * SECOND_MS)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar in the years 1 to 9999; `None` if there is no such day.
pub(super) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March end with the leap day, so that the months before it have fixed lengths.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days_to_1970 = 719_468;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - days_to_1970)
}

/// The number in some ASCII digits.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    const DIGITS_MAX: usize = 18;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |value: i64, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// Milliseconds of a fraction of a second, if there is one, and what follows it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', digits @ ..] = text else {
        return Some((0, text));
    };
    let length = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let mut ms = 0;
    for place in 0..3 {
        let digit = digits.get(place).map_or(0, |byte| i64::from(byte - b'0'));
        ms = ms * 10 + digit;
    }
    Some((ms, rest))
}

/// Milliseconds by which a zone is ahead of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"" | b"Z" | b"z" | b" UTC" | b" Z" => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let ahead = time_of_day(number(&[*h0, *h1])?, number(&[*m0, *m1])?, 0)?;
            Some(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{days, parse};
    use crate::domain::{DAY_MS, Millis};

    #[test]
    fn times_are_read_in_every_form() {
        let expected = Some(Millis(1_396_867_869_277));
        for text in [
            "2014-04-07T10:51:09.277Z",
            "2014-04-07t10:51:09.2779999z",
            "2014-04-07 10:51:09.277 UTC",
            "2014-04-07 10:51:09.277",
            "2014-04-07T12:51:09.277+02:00",
            "2014-04-07T00:21:09.277-10:30",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(Millis(0)));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(Millis(-500)));
        assert_eq!(
            parse("2016-12-31T23:59:60Z"),
            Some(Millis(1_483_228_799_000))
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2014",
            "2014-04-07",
            "2014-02-29T00:00:00Z",
            "2014-13-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2014-04-07T24:00:00Z",
            "2014-04-07T10:51:09.Z",
            "2014-04-07T10:51:09+2",
            "2014-04-07T10:51:09 CET",
            "２014-04-07T10:51:09Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut expected = days(1, 1, 1).unwrap();
        assert_eq!(expected * DAY_MS, -62_135_596_800_000);
        for year in 1..=9999 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = days(year, month, day) {
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(expected * DAY_MS, 253_402_300_800_000);
    }
}
