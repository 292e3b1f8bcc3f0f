//! Changes to seeds, told by bytes.

/// What decoders look at; put in anywhere.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"-0.0",
    b"18446744073709551616",
    b"9223372036854775807",
    b"\"\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"{}",
    b"[]",
    b"\"kind\":",
    b"\"price\":",
    b"\"items\":",
    b"\"metadata\":{",
    b"\"events\":[",
    b"product_view",
    b"2024-02-29T23:59:60Z",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\0",
    b"\n",
    b",",
    b"\"",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\xff\xff\xff\xff\x0f",
    b"\x52\x00",
    b"\x0a\x00",
];

/// Most bytes of a changed seed.
const BYTES_MAX: usize = 256 << 10;

/// One of the seeds, changed as `program` says.
pub(crate) fn changed(seeds: &[Vec<u8>], program: &[u8]) -> Vec<u8> {
    let mut program = Program(program.iter());
    let mut bytes = program.pick(seeds).clone();
    while let Some(change) = program.next() {
        let at = program.place(bytes.len() + 1);
        let end = (at + program.place(64)).min(bytes.len());
        let at = at.min(end);
        match change % 8 {
            0 => {
                let byte = program.next().unwrap_or_default();
                bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
            }
            1 => drop(bytes.drain(at..end)),
            2 => {
                let word = *program.pick(WORDS);
                bytes.splice(at..end, word.iter().copied());
            }
            3 => {
                let word = *program.pick(WORDS);
                bytes.splice(at..at, word.iter().copied());
            }
            4 => {
                let part = bytes.get(at..end).unwrap_or_default().to_vec();
                let to = program.place(bytes.len() + 1);
                bytes.splice(to..to, part);
            }
            5 => {
                let part = bytes.get(at..end).unwrap_or_default();
                let times = program.place(1_024);
                if part.len() * times < BYTES_MAX {
                    let part = part.repeat(times);
                    bytes.splice(at..at, part);
                }
            }
            6 => {
                let other = program.pick(seeds);
                let from = program.place(other.len() + 1);
                let part = other.get(from..).unwrap_or_default().to_vec();
                bytes.splice(at.., part);
            }
            _ => bytes.truncate(at),
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

/// Choices, as long as there are bytes; afterwards the first of everything.
struct Program<'a>(std::slice::Iter<'a, u8>);

impl Program<'_> {
    fn next(&mut self) -> Option<u8> {
        self.0.next().copied()
    }

    /// A number below `end`.
    fn place(&mut self, end: usize) -> usize {
        let low = usize::from(self.next().unwrap_or_default());
        let high = usize::from(self.next().unwrap_or_default());
        (high << 8 | low) % end.max(1)
    }

    fn pick<'s, T>(&mut self, of: &'s [T]) -> &'s T {
        let place = usize::from(self.next().unwrap_or_default()) % of.len();
        of.get(place)
            .unwrap_or_else(|| panic!("nothing to pick from"))
    }
}
