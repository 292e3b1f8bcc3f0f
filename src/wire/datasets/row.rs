//! Rows of separated values: cutting, columns by name, values, ids.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use crate::domain::{Id, Millis, Rejection, RejectionReason};
use crate::wire::check::quoted;
use crate::wire::datasets::bad_line;
use crate::wire::time;

/// Most fields of a line; the widest layout has nine.
const FIELDS_MAX: usize = 256;

/// The fields of a line. Quotes are as in RFC 4180; a field never goes on in the next line.
pub(super) fn split(line: &str, separator: char) -> Result<Vec<Cow<'_, str>>, Rejection> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = if let Some(inner) = rest.strip_prefix('"') {
            quoted_field(inner)?
        } else {
            let end = rest.find(separator).unwrap_or(rest.len());
            let (field, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            (Cow::Borrowed(field), after)
        };
        if fields.len() == FIELDS_MAX {
            let detail = format!("the line has more than {FIELDS_MAX} fields");
            return Err(bad_line(RejectionReason::MalformedLine, "", detail));
        }
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => {
                let detail = "a quoted field is followed by something else".to_owned();
                return Err(bad_line(RejectionReason::MalformedLine, "", detail));
            }
        }
    }
}

/// A field after its opening quote, and what follows its closing quote.
fn quoted_field(inner: &str) -> Result<(Cow<'_, str>, &str), Rejection> {
    let mut field = Cow::Borrowed("");
    let mut rest = inner;
    while let Some((part, after)) = rest.split_once('"') {
        if field.is_empty() {
            field = Cow::Borrowed(part);
        } else {
            field.to_mut().push_str(part);
        }
        match after.strip_prefix('"') {
            Some(next) => {
                field.to_mut().push('"');
                rest = next;
            }
            None => return Ok((field, after)),
        }
    }
    let detail = "a quote is not closed in its line".to_owned();
    Err(bad_line(RejectionReason::MalformedLine, "", detail))
}

/// Where the columns of a layout stand in a file.
#[derive(Debug)]
pub(super) struct Columns<const N: usize> {
    names: [&'static str; N],
    places: Vec<Option<usize>>,
}

impl<const N: usize> Columns<N> {
    /// Before the header was read.
    pub(super) fn unknown() -> Self {
        Self {
            names: [""; N],
            places: Vec::new(),
        }
    }

    /// Finds columns by their names, in any case; the first `required` of them must be there.
    pub(super) fn find(
        header: &str,
        separator: char,
        names: [&'static str; N],
        required: usize,
    ) -> Result<Self, Rejection> {
        let found = split(header, separator)?;
        let places: Vec<Option<usize>> = names
            .iter()
            .map(|name| {
                found
                    .iter()
                    .position(|column| column.trim().eq_ignore_ascii_case(name))
            })
            .collect();
        for (name, place) in names.iter().zip(&places).take(required) {
            if place.is_none() {
                let detail = format!(
                    "the first line has no column `{name}`; it is {}",
                    quoted(header)
                );
                return Err(bad_line(RejectionReason::MalformedLine, name, detail));
            }
        }
        Ok(Self { names, places })
    }

    /// The values of a row, in the order of the names; empty for columns that the file does not have.
    pub(super) fn pick<'r>(&self, row: &'r [Cow<'_, str>]) -> Result<[&'r str; N], Rejection> {
        let mut values = [""; N];
        for (slot, (name, place)) in values.iter_mut().zip(self.names.iter().zip(&self.places)) {
            let Some(place) = *place else { continue };
            let Some(value) = row.get(place) else {
                let detail = format!(
                    "the line has {} fields; `{name}` is number {}",
                    row.len(),
                    place + 1
                );
                return Err(bad_line(RejectionReason::MalformedLine, name, detail));
            };
            *slot = value;
        }
        Ok(values)
    }
}

/// A time in milliseconds.
pub(super) fn time_ms(column: &str, text: &str) -> Result<Millis, Rejection> {
    time::number(text.as_bytes())
        .map(Millis)
        .ok_or_else(|| unreadable(column, text, "milliseconds since 1970"))
}

/// A time in seconds, with or without a fraction.
pub(super) fn time_s(column: &str, text: &str) -> Result<Millis, Rejection> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let exact = time::number(seconds.as_bytes()).and_then(|seconds| {
        time::number(fraction.as_bytes())?;
        let ms = fraction.bytes().chain("000".bytes()).take(3);
        let ms = ms.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'));
        seconds.checked_mul(1_000).map(|whole| Millis(whole + ms))
    });
    exact.ok_or_else(|| unreadable(column, text, "seconds since 1970"))
}

/// A time as text.
pub(super) fn time_text(column: &str, text: &str) -> Result<Millis, Rejection> {
    time::parse(text).ok_or_else(|| unreadable(column, text, "a date and a time of day"))
}

/// An amount; `None` if the field is empty.
pub(super) fn amount(column: &str, text: &str) -> Result<Option<f64>, Rejection> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(amount) => Ok(Some(amount)),
        Err(_) => Err(unreadable(column, text, "an amount")),
    }
}

/// A whole number, negative or not.
pub(super) fn whole(column: &str, text: &str) -> Result<i64, Rejection> {
    text.parse()
        .map_err(|_| unreadable(column, text, "a whole number"))
}

/// A refusal of a value that cannot be read.
#[cold]
pub(super) fn unreadable(column: &str, text: &str, expected: &str) -> Rejection {
    let detail = format!("`{column}` is {}; expected {expected}", quoted(text));
    bad_line(RejectionReason::InvalidValue, column, detail)
}

/// A refusal of a row whose kind of event is none of the layout's.
#[cold]
pub(super) fn unknown_kind(column: &str, text: &str, known: &str) -> Rejection {
    let detail = format!("`{column}` is {}; expected {known}", quoted(text));
    bad_line(RejectionReason::UnknownKind, column, detail)
}

/// Makes event ids out of lines.
#[derive(Debug)]
pub(super) struct EventIds {
    format: &'static str,
    /// How often each of the last distinct lines came.
    counts: HashMap<u64, u64>,
    /// The same lines, oldest first.
    order: VecDeque<u64>,
}

impl EventIds {
    const LINES_MAX: usize = 65_536;

    pub(super) fn new(format: &'static str) -> Self {
        Self {
            format,
            counts: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The id of a line, or of the lines of one event.
    pub(super) fn id<'a>(&mut self, lines: impl IntoIterator<Item = &'a [u8]>) -> Id {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.format.as_bytes());
        for line in lines {
            hasher.update(b"\n");
            hasher.update(line);
        }
        let seen_before = self.count(&hasher.finalize());
        if seen_before > 0 {
            hasher.update(b"\n\n");
            hasher.update(&seen_before.to_le_bytes());
        }
        let mut id = Id::default();
        for byte in hasher.finalize().as_bytes().iter().take(12) {
            for digit in [byte >> 4, byte & 15] {
                id.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        id
    }

    /// How often these lines came before; from now on once more.
    fn count(&mut self, hash: &blake3::Hash) -> u64 {
        let key = hash
            .as_bytes()
            .first_chunk()
            .copied()
            .map_or(0, u64::from_le_bytes);
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return *count;
        }
        if self.order.len() == Self::LINES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.order.push_back(key);
        self.counts.insert(key, 0);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{Columns, EventIds, split, time_ms, time_s};
    use crate::domain::Millis;

    #[test]
    fn rows_are_cut_at_separators_outside_quotes() {
        for (line, expected) in [
            ("", &[""][..]),
            ("a,b,,c", &["a", "b", "", "c"]),
            ("a,", &["a", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#""say ""hi"" now","",x"#, &["say \"hi\" now", "", "x"]),
            (r#""""""#, &["\""]),
            (r#"in"side,b"#, &["in\"side", "b"]),
        ] {
            assert_eq!(split(line, ',').unwrap(), expected, "{line}");
        }
        assert!(split(r#""open,b"#, ',').is_err());
        assert!(split(r#""a"b,c"#, ',').is_err());
        assert_eq!(split("a\tb", '\t').unwrap(), ["a", "b"]);
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let columns = Columns::find("Time,x,\"ItemId\"", ',', ["itemid", "time", "price"], 2);
        let columns = columns.unwrap();
        let row = split("7,?,42", ',').unwrap();
        assert_eq!(columns.pick(&row).unwrap(), ["42", "7", ""]);
        let short = split("7,?", ',').unwrap();
        assert_eq!(columns.pick(&short).unwrap_err().field, "itemid");
        let error = Columns::find("a,b", ',', ["itemid"], 1).unwrap_err();
        assert_eq!(error.field, "itemid");
    }

    #[test]
    fn seconds_and_milliseconds_are_exact() {
        assert_eq!(time_s("t", "1396437466.94"), Ok(Millis(1_396_437_466_940)));
        assert_eq!(time_s("t", "1396437466"), Ok(Millis(1_396_437_466_000)));
        assert_eq!(
            time_s("t", "1396438212.3187"),
            Ok(Millis(1_396_438_212_318))
        );
        for bad in ["", ".", "1.", "-1", "1e9", "1.2.3"] {
            assert!(time_s("t", bad).is_err(), "{bad}");
        }
        assert_eq!(time_ms("t", "1441852593000"), Ok(Millis(1_441_852_593_000)));
        assert!(time_ms("t", "14418525x").is_err());
    }

    #[test]
    fn equal_lines_get_ids_of_their_own_and_the_same_ones_every_time() {
        let ids = |lines: &[&str]| {
            let mut ids = EventIds::new("test");
            let id = |line: &&str| ids.id([line.as_bytes()]);
            lines.iter().map(id).collect::<Vec<_>>()
        };
        let first = ids(&["a", "b", "a", "a"]);
        assert_eq!(first, ids(&["a", "b", "a", "a"]));
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(first[1], ids(&["b"])[0]);
        assert!(first.iter().all(|id| id.len() == 24));
        assert_ne!(EventIds::new("other").id([&b"a"[..]]), first[0]);
    }
}
