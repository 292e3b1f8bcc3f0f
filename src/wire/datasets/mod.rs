//! Readers of well-known public data sets in their published layouts.
//!
//! A reader turns the lines of a file into inputs: events, and upserts of the items that the file describes, each just
//! before the event that first shows it. A line that cannot be used is handed back as it is, with its number and the
//! reason, and the reading goes on.
//!
//! **Ids.** The published files have no event ids, so an id is made from the line: the first 96 bits of the BLAKE3 hash
//! of the format's name and the line's bytes, in hexadecimal. It does not depend on the file's name or on the place
//! in it: a line that is sent again gets the same id, and whoever keeps ids that long recognises it. True repetitions
//! are kept: REES46 and `YooChoose` hold lines that are equal to the last byte (a shopper who reloads within one
//! second; 5 of the 17,434 lines of the REES46 sample), so the second and later ones of such lines count how often the
//! line came before, within the last 65,536 distinct lines. `RetailRocket` has none.
//!
//! **Order.** A reader keeps the order of its file. Some published files are not in the order of time (`YooChoose` and
//! OTTO go session by session, the published file of `RetailRocket` is not sorted); history is to be applied in the
//! order of time, so whoever imports them sorts them first.

mod items;
mod jsonl;
mod lines;
mod online_retail;
mod otto;
mod rees46;
mod retail_rocket;
mod row;
mod session_rec;
mod yoochoose;

use std::collections::VecDeque;
use std::io::{self, BufRead};

use crate::domain::{Input, Rejection, RejectionReason, Stage};
use crate::wire::datasets::lines::{Lines, TooLong};

pub use self::lines::LINE_BYTES_MAX;

/// A published layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `RetailRocket`'s `events.csv`, as published or extended with sessions and categories.
    RetailRocket,
    /// REES46's multi-category shop.
    Rees46,
    /// `YooChoose`'s (`RecSys` Challenge 2015) clicks or buys, or `session-rec`'s version of the clicks.
    YooChoose,
    /// OTTO's sessions in JSON lines.
    Otto,
    /// UCI's Online Retail.
    OnlineRetail,
    /// Clicks as the `session-rec` benchmark writes them.
    SessionRec,
    /// Our own events in canonical JSON, one a line.
    Jsonl,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] = [
        Self::RetailRocket,
        Self::Rees46,
        Self::YooChoose,
        Self::Otto,
        Self::OnlineRetail,
        Self::SessionRec,
        Self::Jsonl,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetailRocket => "retailrocket",
            Self::Rees46 => "rees46",
            Self::YooChoose => "yoochoose",
            Self::Otto => "otto",
            Self::OnlineRetail => "online-retail",
            Self::SessionRec => "session-rec",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Media type of one line.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::RetailRocket | Self::Rees46 | Self::YooChoose | Self::OnlineRetail => "text/csv",
            Self::SessionRec => "text/tab-separated-values",
            Self::Otto | Self::Jsonl => "application/json",
        }
    }

    /// Reads a file of this format.
    pub fn read<R: BufRead>(self, input: R) -> Reader<R> {
        Reader {
            lines: Lines::new(input),
            layout: self.layout(),
            ready: VecDeque::new(),
            at: At::Begin,
        }
    }

    fn layout(self) -> Box<dyn Layout + Send> {
        match self {
            Self::RetailRocket => Box::<retail_rocket::RetailRocket>::default(),
            Self::Rees46 => Box::<rees46::Rees46>::default(),
            Self::YooChoose => Box::<yoochoose::YooChoose>::default(),
            Self::Otto => Box::<otto::Otto>::default(),
            Self::OnlineRetail => Box::<online_retail::OnlineRetail>::default(),
            Self::SessionRec => Box::<session_rec::SessionRec>::default(),
            Self::Jsonl => Box::<jsonl::Jsonl>::default(),
        }
    }
}

/// A line that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Its bytes without the line's end; of a line longer than [`LINE_BYTES_MAX`] only so many.
    pub raw: Vec<u8>,
    /// Why.
    pub rejection: Rejection,
}

/// Why there is no input here.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read on; nothing follows.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not of this layout; nothing follows.
    #[error("the file is not of this layout: {}", .0.detail)]
    Layout(Rejection),
    /// One line cannot be used; the reading goes on after it.
    #[error("line {}: {}", .0.number, .0.rejection.detail)]
    Line(RejectedLine),
}

/// What one format makes of its lines.
trait Layout {
    /// Looks at the first line; whether it was a header, which is no line of content.
    fn header(&mut self, line: &str) -> Result<bool, Rejection>;

    /// Reads one line. What it gives, now or at a later line, goes to `out`.
    fn read(&mut self, line: Line<'_>, out: &mut Out) -> Result<(), Rejection>;

    /// Gives what is left after the last line.
    fn finish(&mut self, _out: &mut Out) {}

    /// Whether a line that is not UTF-8 is to be read as ISO 8859-1.
    fn may_be_latin1(&self) -> bool {
        false
    }
}

/// One line of a file.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: u64,
    raw: &'a [u8],
    text: &'a str,
}

type Out = VecDeque<Result<Input, RejectedLine>>;

/// The inputs of a file; see the [module's documentation](self).
pub struct Reader<R> {
    lines: Lines<R>,
    layout: Box<dyn Layout + Send>,
    ready: Out,
    at: At,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Body,
    End,
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Input, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready.map_err(ReadError::Line));
            }
            if self.at == At::End {
                return None;
            }
            if let Err(error) = self.step() {
                if !matches!(error, ReadError::Line(_)) {
                    self.at = At::End;
                }
                return Some(Err(error));
            }
        }
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads one line.
    fn step(&mut self) -> Result<(), ReadError> {
        let Some((number, raw)) = self.lines.next()? else {
            self.at = At::End;
            self.layout.finish(&mut self.ready);
            return Ok(());
        };
        let rejected = |rejection| {
            let raw = raw.bytes.to_vec();
            ReadError::Line(RejectedLine {
                number,
                raw,
                rejection,
            })
        };
        if raw.too_long == TooLong::Yes {
            let detail = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            return Err(rejected(bad_line(RejectionReason::TooLong, "", detail)));
        }
        let latin1;
        let text = match std::str::from_utf8(raw.bytes) {
            Ok(text) => text,
            Err(_) if self.layout.may_be_latin1() => {
                latin1 = raw
                    .bytes
                    .iter()
                    .map(|byte| char::from(*byte))
                    .collect::<String>();
                &latin1
            }
            Err(error) => {
                let detail = format!("the line is not UTF-8 from byte {} on", error.valid_up_to());
                return Err(rejected(bad_line(
                    RejectionReason::MalformedLine,
                    "",
                    detail,
                )));
            }
        };
        if self.at == At::Begin {
            self.at = At::Body;
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            if self.layout.header(text).map_err(ReadError::Layout)? {
                return Ok(());
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        let line = Line {
            number,
            raw: raw.bytes,
            text,
        };
        self.layout.read(line, &mut self.ready).map_err(rejected)
    }
}

/// A refusal of a line. `field` is the column's name in the file.
#[cold]
fn bad_line(reason: RejectionReason, field: &str, detail: String) -> Rejection {
    let stage = match reason {
        RejectionReason::MissingField => Stage::Required,
        RejectionReason::InvalidValue | RejectionReason::ControlCharacter => Stage::Value,
        RejectionReason::TooLong => Stage::Limit,
        RejectionReason::TooOld => Stage::Clock,
        RejectionReason::MalformedJson
        | RejectionReason::MalformedProtobuf
        | RejectionReason::MalformedLine => Stage::Parse,
        RejectionReason::WrongType | RejectionReason::UnknownKind => Stage::Schema,
    };
    Rejection {
        stage,
        reason,
        field: field.to_owned(),
        detail,
    }
}
