//! Recorded sessions from files: who looked at which item, when, and in which session.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use csv::StringRecord;

use crate::domain::{Id, MINUTE_MS, Millis};

/// Silence that ends a session where the file names no sessions.
const SESSION_GAP_MS: i64 = 30 * MINUTE_MS;

/// A layout of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Tab-separated, with the columns `SessionId`, `ItemId` and `Time` in seconds. A session is its own visitor.
    SessionRec,
    /// `RetailRocket`'s `events.csv`: `timestamp` in milliseconds, `visitorid`, `event`, `itemid`, and `sessionid` if
    /// sessions are given; otherwise 30 minutes of silence end one. Every event counts, whatever its kind.
    RetailRocket,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(&'static str, Self); 2] = [
        ("session-rec", Self::SessionRec),
        ("retailrocket", Self::RetailRocket),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionRec => "session-rec",
            Self::RetailRocket => "retailrocket",
        }
    }
}

/// There is no such format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be evaluated; the formats are: session-rec, retailrocket")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found
            .map(|(_, format)| format)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not of its layout.
    #[error("{}: {source}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: csv::Error,
    },
    /// A column is missing.
    #[error("{}: no column `{column}`; the header has: {header}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns that are there.
        header: String,
    },
    /// A value cannot be used.
    #[error("{}, line {line}: {column} is `{value}`, {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What should.
        expected: &'static str,
    },
}

/// A visitor looked at, carted or bought an item. Numbers are dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemEvent {
    /// Who.
    pub visitor: u32,
    /// In which session.
    pub session: u32,
    /// Which item.
    pub item: u32,
    /// When.
    pub at: Millis,
}

/// Events of one or more files. Items keep their numbers from file to file; sessions and visitors do not.
#[derive(Debug, Default)]
pub struct Log {
    items: HashMap<Id, u32>,
    sessions: u32,
    visitors: u32,
}

impl Log {
    /// Nothing read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Distinct items in all files.
    pub fn items(&self) -> u32 {
        len(&self.items)
    }

    /// The number of an item.
    pub fn item(&self, name: &str) -> Option<u32> {
        self.items.get(name).copied()
    }

    /// Sessions in all files.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Reads a file; its events in the order of their times, and of the file where times are equal.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is not of its layout.
    pub fn read(&mut self, path: &Path, format: Format) -> Result<Vec<ItemEvent>, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut rows = Rows::new(path, format, io::BufReader::new(file))?;
        let mut events = Vec::new();
        let mut sessions = HashMap::new();
        let mut visitors = HashMap::new();
        while let Some(row) = rows.next_row()? {
            let visitor = self.visitors + number(&mut visitors, row.visitor);
            let session = row
                .session
                .map_or(0, |session| self.sessions + number(&mut sessions, session));
            let item = number(&mut self.items, row.item);
            events.push(ItemEvent {
                visitor,
                session,
                item,
                at: row.at,
            });
        }
        events.sort_by_key(|event| event.at);
        self.visitors += len(&visitors);
        self.sessions += len(&sessions);
        if !rows.has_sessions() {
            self.sessions = cut_sessions(&mut events, self.sessions);
        }
        Ok(events)
    }
}

/// Numbers sessions by visitor and silence; answers the first number not used.
fn cut_sessions(events: &mut [ItemEvent], first: u32) -> u32 {
    let mut open: HashMap<u32, (u32, Millis)> = HashMap::new();
    let mut next = first;
    for event in events {
        let known = open
            .get(&event.visitor)
            .filter(|(_, last)| event.at.since(*last) <= SESSION_GAP_MS);
        event.session = known.map_or_else(
            || {
                next += 1;
                next - 1
            },
            |(session, _)| *session,
        );
        open.insert(event.visitor, (event.session, event.at));
    }
    next
}

/// The number of a name, a new one if need be.
fn number(numbers: &mut HashMap<Id, u32>, name: &str) -> u32 {
    let next = len(numbers);
    *numbers.entry(Id::from(name)).or_insert(next)
}

fn len(numbers: &HashMap<Id, u32>) -> u32 {
    u32::try_from(numbers.len()).unwrap_or(u32::MAX)
}

/// Rows of a file, one at a time.
struct Rows<R> {
    path: PathBuf,
    reader: csv::Reader<R>,
    record: StringRecord,
    columns: Columns,
}

/// Where the values stand.
struct Columns {
    visitor: (&'static str, usize),
    session: Option<(&'static str, usize)>,
    item: (&'static str, usize),
    time: (&'static str, usize),
    /// Milliseconds in the unit of time.
    unit_ms: f64,
}

/// The values of a row.
struct Row<'a> {
    visitor: &'a str,
    session: Option<&'a str>,
    item: &'a str,
    at: Millis,
}

impl<R: io::Read> Rows<R> {
    fn new(path: &Path, format: Format, input: R) -> Result<Self, ReadError> {
        let delimiter = if format == Format::SessionRec {
            b'\t'
        } else {
            b','
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .from_reader(input);
        let layout = |source| ReadError::Layout {
            path: path.to_owned(),
            source,
        };
        let header = reader.headers().map_err(layout)?.clone();
        let find = |column: &'static str| {
            let place = header.iter().position(|found| found.trim() == column);
            place.map(|place| (column, place))
        };
        let need = |column: &'static str| {
            find(column).ok_or_else(|| ReadError::MissingColumn {
                path: path.to_owned(),
                column,
                header: header.iter().collect::<Vec<_>>().join(", "),
            })
        };
        let columns = match format {
            Format::SessionRec => Columns {
                visitor: need("SessionId")?,
                session: find("SessionId"),
                item: need("ItemId")?,
                time: need("Time")?,
                unit_ms: 1_000.0,
            },
            Format::RetailRocket => Columns {
                visitor: need("visitorid")?,
                session: find("sessionid"),
                item: need("itemid")?,
                time: need("timestamp")?,
                unit_ms: 1.0,
            },
        };
        Ok(Self {
            path: path.to_owned(),
            reader,
            record: StringRecord::new(),
            columns,
        })
    }

    fn has_sessions(&self) -> bool {
        self.columns.session.is_some()
    }

    fn next_row(&mut self) -> Result<Option<Row<'_>>, ReadError> {
        let more = self.reader.read_record(&mut self.record);
        let more = more.map_err(|source| ReadError::Layout {
            path: self.path.clone(),
            source,
        })?;
        if !more {
            return Ok(None);
        }
        let columns = &self.columns;
        Ok(Some(Row {
            visitor: self.text(columns.visitor)?,
            session: columns
                .session
                .map(|column| self.text(column))
                .transpose()?,
            item: self.text(columns.item)?,
            at: self.time()?,
        }))
    }

    /// A value that is not empty.
    fn text(&self, (column, place): (&'static str, usize)) -> Result<&str, ReadError> {
        let value = self.record.get(place).unwrap_or_default().trim();
        if value.is_empty() {
            return Err(self.refuse(column, value, "which must not be empty"));
        }
        Ok(value)
    }

    #[expect(clippy::cast_possible_truncation, reason = "checked to be below 10^15")]
    fn time(&self) -> Result<Millis, ReadError> {
        let value = self.text(self.columns.time)?;
        let ms = value
            .parse()
            .map_or(f64::NAN, |time: f64| time * self.columns.unit_ms);
        if ms.abs() < 1e15 {
            Ok(Millis(ms.round() as i64))
        } else {
            Err(self.refuse(self.columns.time.0, value, "which is no time"))
        }
    }

    fn refuse(&self, column: &'static str, value: &str, expected: &'static str) -> ReadError {
        ReadError::Value {
            path: self.path.clone(),
            line: self.record.position().map_or(0, csv::Position::line),
            column,
            value: value.to_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Format, Log};

    /// The events of a file as (visitor, session, item, milliseconds), or the error.
    fn check(format: Format, text: &str, expected: Result<&[(u32, u32, u32, i64)], &str>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let found = Log::new().read(file.path(), format).map(|events| {
            let values =
                |event: &super::ItemEvent| (event.visitor, event.session, event.item, event.at.0);
            events.iter().map(values).collect::<Vec<_>>()
        });
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => {
                assert!(found.to_string().ends_with(expected), "{found}");
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn session_rec_columns_stand_in_any_order_and_times_have_fractions() {
        check(
            Format::SessionRec,
            "Time\tItemId\tX\tSessionId\n2.5\ta\t?\t7\n1.25\tb\t?\t7\n3\ta\t?\t8\n",
            Ok(&[(0, 0, 1, 1_250), (0, 0, 0, 2_500), (1, 1, 0, 3_000)]),
        );
    }

    #[test]
    fn retailrocket_sessions_are_read_or_cut() {
        check(
            Format::RetailRocket,
            "timestamp,visitorid,event,itemid,sessionid\n1000,v,view,a,s\n2000,v,addtocart,a,t\n",
            Ok(&[(0, 0, 0, 1_000), (0, 1, 0, 2_000)]),
        );
        check(
            Format::RetailRocket,
            "timestamp,visitorid,event,itemid,transactionid\n0,v,view,a,\n1800000,v,view,b,\n3600001,v,view,a,\n9,w,view,a,\n",
            Ok(&[
                (0, 0, 0, 0),
                (1, 1, 0, 9),
                (0, 0, 1, 1_800_000),
                (0, 2, 0, 3_600_001),
            ]),
        );
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place() {
        check(
            Format::SessionRec,
            "SessionId\tItem\tTime\n",
            Err("no column `ItemId`; the header has: SessionId, Item, Time"),
        );
        check(
            Format::SessionRec,
            "SessionId\tItemId\tTime\n1\t2\t3\n1\t2\tnoon\n",
            Err("line 3: Time is `noon`, which is no time"),
        );
        check(
            Format::SessionRec,
            "SessionId\tItemId\tTime\n1\t\t3\n",
            Err("line 2: ItemId is ``, which must not be empty"),
        );
    }

    #[test]
    fn formats_have_names() {
        for (name, format) in Format::ALL {
            assert_eq!((name.parse(), format.name()), (Ok(format), name));
        }
        assert!(
            "otto"
                .parse::<Format>()
                .unwrap_err()
                .to_string()
                .contains("retailrocket")
        );
    }
}
