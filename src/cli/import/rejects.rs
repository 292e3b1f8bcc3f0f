//! Counts what could not be taken, by reason, and keeps it for whoever wants to look.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use crate::wire::datasets::RejectedLine;
use crate::wire::proto;

/// What could not be taken.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    out: Option<BufWriter<File>>,
    /// How many, by reason, with the first of them.
    pub(super) by_reason: BTreeMap<String, (u64, String)>,
}

impl Rejects {
    /// Keeps rejects in the file at `path`, if one is given.
    pub(super) fn create(path: Option<&Path>) -> io::Result<Self> {
        let out = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Self {
            out,
            by_reason: BTreeMap::new(),
        })
    }

    /// A line that the reader refused: a comment with place and reason, then the line as it is.
    pub(super) fn line(&mut self, file: &Path, line: &RejectedLine) -> io::Result<()> {
        let rejection = &line.rejection;
        let reason = rejection.reason.name();
        let place = format!("{}:{}", file.display(), line.number);
        self.count(reason, &format!("{place}: {}", rejection.detail));
        if let Some(out) = &mut self.out {
            let field = &rejection.field;
            writeln!(out, "#\t{place}\t{reason}\t{field}\t{}", rejection.detail)?;
            out.write_all(&line.raw)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// An event that the server refused: a comment with the reason, then the event in canonical JSON.
    pub(super) fn event(
        &mut self,
        event: &proto::Event,
        result: &proto::EventResult,
    ) -> io::Result<()> {
        let proto::EventResult {
            reason,
            field,
            detail,
            ..
        } = result;
        self.count(reason, &format!("event {}: {detail}", event.event_id));
        if let Some(out) = &mut self.out {
            writeln!(out, "#\tserver\t{reason}\t{field}\t{detail}")?;
            serde_json::to_writer(&mut *out, event)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// How many were counted.
    pub(super) fn total(&self) -> u64 {
        self.by_reason.values().map(|(count, _)| count).sum()
    }

    /// Writes out what is still in memory.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    fn count(&mut self, reason: &str, first: &str) {
        if let Some((count, _)) = self.by_reason.get_mut(reason) {
            *count += 1;
        } else {
            self.by_reason
                .insert(reason.to_owned(), (1, first.to_owned()));
        }
    }
}
