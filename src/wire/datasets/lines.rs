//! Lines of a file, each read into the same memory.

use std::io::{self, BufRead, Read as _};

/// Longest line that is read, in bytes; OTTO's longest session takes about 30,000.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads one line after the other.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    bytes: Vec<u8>,
}

/// A line without its end.
pub(super) struct RawLine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) too_long: TooLong,
}

/// Whether the line went on after what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooLong {
    No,
    Yes,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            bytes: Vec::new(),
        }
    }

    /// The next line with its number from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, RawLine<'_>)>> {
        self.bytes.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let taken = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.bytes)?;
        if taken == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut too_long = TooLong::No;
        if self.bytes.last() == Some(&b'\n') {
            self.bytes.pop();
        } else if self.bytes.len() > LINE_BYTES_MAX {
            self.bytes.pop();
            self.input.skip_until(b'\n')?;
            too_long = TooLong::Yes;
        }
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes);
        Ok(Some((self.number, RawLine { bytes, too_long })))
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES_MAX, Lines, TooLong};

    #[test]
    fn lines_end_at_every_kind_of_end() {
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        let full = "y".repeat(LINE_BYTES_MAX);
        let text = format!("a\r\n\nb\n{long}\n{full}\nlast");
        let mut lines = Lines::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            found.push((number, line.bytes.len(), line.too_long));
        }
        assert_eq!(
            found,
            [
                (1, 1, TooLong::No),
                (2, 0, TooLong::No),
                (3, 1, TooLong::No),
                (4, LINE_BYTES_MAX, TooLong::Yes),
                (5, LINE_BYTES_MAX, TooLong::No),
                (6, 4, TooLong::No),
            ]
        );
    }
}
