//! Puts history into the order of time with bounded memory: sorted runs on disk, merged while reading.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write as _};
use std::path::PathBuf;

use crate::domain::{Input, Millis};
use crate::wire::record;

/// Memory for the inputs of one run and their index, in bytes; what is more goes to disk.
const RUN_BYTES_MAX: usize = 256 << 20;
const INDEX_ENTRY_BYTES: usize = size_of::<(Millis, Span)>();

/// Takes inputs in any order. Inputs of one time keep the order in which they came.
#[derive(Debug)]
pub(super) struct Sorter {
    run_bytes_max: usize,
    /// The inputs of the current run, one after the other.
    bytes: Vec<u8>,
    /// Time of each, with where it ends in `bytes`.
    index: Vec<(Millis, Span)>,
    runs: Vec<File>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// Gives the inputs in the order of time.
#[derive(Debug)]
pub(super) struct Sorted {
    /// The next input of each run that has one left: the earliest first, then the earlier run.
    heads: BinaryHeap<Reverse<Head>>,
    runs: Vec<BufReader<File>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    time: Millis,
    run: usize,
    bytes: Vec<u8>,
}

impl Sorter {
    pub(super) fn new() -> Self {
        Self::with_run_bytes_max(RUN_BYTES_MAX)
    }

    fn with_run_bytes_max(run_bytes_max: usize) -> Self {
        Self {
            run_bytes_max,
            bytes: Vec::new(),
            index: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes an input that counts as of `time`.
    pub(super) fn push(&mut self, time: Millis, input: &Input) -> io::Result<()> {
        let start = self.bytes.len();
        record::encode_input(input, &mut self.bytes);
        let end = self.bytes.len();
        self.index.push((time, Span { start, end }));
        // A list that grows may take twice the memory of what is in it.
        if 2 * (end + INDEX_ENTRY_BYTES * self.index.len()) >= self.run_bytes_max {
            self.write_run()?;
        }
        Ok(())
    }

    /// Everything that was taken, in order.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.write_run()?;
        drop((self.bytes, self.index));
        let mut sorted = Sorted {
            heads: BinaryHeap::new(),
            runs: self.runs.into_iter().map(BufReader::new).collect(),
        };
        for (run, reader) in sorted.runs.iter_mut().enumerate() {
            let mut head = Head {
                time: Millis::MIN,
                run,
                bytes: Vec::new(),
            };
            if head.read(reader)? {
                sorted.heads.push(Reverse(head));
            }
        }
        Ok(sorted)
    }

    fn write_run(&mut self) -> io::Result<()> {
        if self.index.is_empty() {
            return Ok(());
        }
        // In place: a stable sort would take half of the index once more.
        self.index
            .sort_unstable_by_key(|(time, span)| (*time, span.start));
        let mut run = BufWriter::new(nameless_file(self.runs.len())?);
        for (time, Span { start, end }) in std::mem::take(&mut self.index) {
            let input = self.bytes.get(start..end).unwrap_or_default();
            let length = u32::try_from(input.len()).map_err(io::Error::other)?;
            run.write_all(&time.0.to_le_bytes())?;
            run.write_all(&length.to_le_bytes())?;
            run.write_all(input)?;
        }
        // Given back, for the next run may need the memory for the other list.
        self.bytes = Vec::new();
        let mut file = run.into_inner()?;
        file.rewind()?;
        self.runs.push(file);
        Ok(())
    }
}

impl Head {
    /// Reads the run's next input; `false` at its end.
    fn read(&mut self, run: &mut impl Read) -> io::Result<bool> {
        let mut time = [0; 8];
        match run.read_exact(&mut time) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        let mut length = [0; 4];
        run.read_exact(&mut length)?;
        self.time = Millis(i64::from_le_bytes(time));
        self.bytes.resize(u32::from_le_bytes(length) as usize, 0);
        run.read_exact(&mut self.bytes)?;
        Ok(true)
    }
}

impl Iterator for Sorted {
    type Item = io::Result<Input>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first = self.heads.peek_mut()?;
        let input = record::decode_input(&first.0.bytes)
            .map_err(|rejection| io::Error::other(rejection.detail));
        let Some(run) = self.runs.get_mut(first.0.run) else {
            PeekMut::pop(first);
            return Some(input);
        };
        match first.0.read(run) {
            Ok(true) => drop(first),
            Ok(false) => drop(PeekMut::pop(first)),
            Err(error) => {
                PeekMut::pop(first);
                return Some(Err(error));
            }
        }
        Some(input)
    }
}

/// A file for this process alone: it has no name any more, so that nothing is left behind however the process ends.
fn nameless_file(number: usize) -> io::Result<File> {
    let name = format!("impulse-import-{}-{number}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{Sorter, Span};
    use crate::domain::{Input, Millis};

    #[test]
    fn neither_the_inputs_nor_their_index_outgrow_the_bound() {
        const BOUND: usize = 1 << 20;
        let mut sorter = Sorter::with_run_bytes_max(BOUND);
        let mut most = 0;
        for number in 0..200_000_usize {
            let name = "n".repeat(if number % 100_000 < 60_000 { 1 } else { 200 });
            let input = Input::ItemDelete(name.into());
            sorter.push(Millis(0), &input).unwrap();
            let index = sorter.index.capacity() * size_of::<(Millis, Span)>();
            most = most.max(sorter.bytes.capacity() + index);
        }
        assert!(most <= BOUND + 1_024 && most > BOUND / 2, "{most}");
    }

    #[test]
    fn inputs_of_one_time_keep_their_order_over_many_runs() {
        let mut sorter = Sorter::with_run_bytes_max(1_000);
        let mut expected = Vec::new();
        for number in 0..500_u64 {
            let time = Millis((number * 7_919 % 20).cast_signed());
            let input = Input::ItemDelete(format!("{:02}-{number:03}", time.0).into());
            sorter.push(time, &input).unwrap();
            expected.push(input);
        }
        assert!(sorter.runs.len() > 10);
        let name = |input: &Input| match input {
            Input::ItemDelete(id) => id.to_string(),
            Input::Event(_) | Input::ItemUpsert(_) | Input::Tick { .. } => String::new(),
        };
        expected.sort_by_key(name);
        let found: Vec<Input> = sorter.finish().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected);
        assert_eq!(Sorter::new().finish().unwrap().count(), 0);
    }
}
