//! Files to inputs in the order of time: reads them on a thread of its own and hands over chunks.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::cli::exit::{self, Failure};
use crate::cli::import::order::Sorter;
use crate::cli::import::rejects::Rejects;
use crate::domain::{Input, Millis};
use crate::wire::BATCH_MAX;
use crate::wire::datasets::{Format, ReadError};

/// Inputs of one chunk.
pub(super) const CHUNK_INPUTS: usize = BATCH_MAX;
/// Chunks that wait for whoever takes them.
pub(super) const CHUNKS_WAITING: usize = 4;
/// Name that stands for standard input.
const STDIN: &str = "-";

/// Files of one format, read as one history.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) files: Vec<PathBuf>,
    pub(super) format: Format,
    /// Bytes read so far, compressed if the file is, over all passes.
    pub(super) bytes_read: Arc<AtomicU64>,
}

/// The order of the files' events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// In the order of time.
    Kept,
    /// Not in the order of time: they are sorted.
    Sorted,
}

impl Source {
    /// Bytes of all files; standard input counts nothing.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &PathBuf| path.metadata().map_or(0, |found| found.len());
        self.files.iter().map(size).sum()
    }

    /// Looks whether the events are in the order of time. Standard input cannot be read twice, so it is sorted.
    pub(super) fn order(&self) -> Result<Order, Failure> {
        if self.files.iter().any(|path| path.as_os_str() == STDIN) {
            return Ok(Order::Sorted);
        }
        let mut last = Millis::MIN;
        for path in &self.files {
            for input in self.format.read(self.open(path)?) {
                match input {
                    Ok(Input::Event(event)) => {
                        let time = event.created.unwrap_or(last);
                        if time < last {
                            return Ok(Order::Sorted);
                        }
                        last = time;
                    }
                    Ok(_) | Err(ReadError::Line(_)) => {}
                    Err(error) => return Err(unreadable(path, &error)),
                }
            }
        }
        Ok(Order::Kept)
    }

    /// Reads everything and hands it over in chunks, all but the first `skip` events and what belongs to them. Ends
    /// early, without an error, if nobody takes the chunks any more.
    pub(super) fn read(
        &self,
        order: Order,
        mut skip: u64,
        rejects: &Mutex<Rejects>,
        chunks: &mpsc::Sender<Vec<Input>>,
    ) -> Result<(), Failure> {
        let mut chunk = Vec::with_capacity(CHUNK_INPUTS);
        let mut hand_over = |input: Input| {
            if skip > 0 {
                skip -= u64::from(matches!(input, Input::Event(_)));
                return true;
            }
            chunk.push(input);
            chunk.len() < CHUNK_INPUTS || chunks.blocking_send(std::mem::take(&mut chunk)).is_ok()
        };
        match order {
            Order::Kept => self.for_each(rejects, |input| Ok(hand_over(input)))?,
            Order::Sorted => {
                for input in self.sorted(rejects)?.finish()? {
                    if !hand_over(input?) {
                        break;
                    }
                }
            }
        }
        // Whoever takes the chunks knows why it stopped.
        drop(chunks.blocking_send(chunk));
        Ok(())
    }

    fn sorted(&self, rejects: &Mutex<Rejects>) -> Result<Sorter, Failure> {
        let mut sorter = Sorter::new();
        let mut before: Vec<Input> = Vec::new();
        let mut last = Millis::MIN;
        self.for_each(rejects, |input| {
            // What is no event belongs to the event after it.
            let Input::Event(event) = &input else {
                before.push(input);
                return Ok(true);
            };
            last = event.created.unwrap_or(last);
            for input in before.drain(..) {
                sorter.push(last, &input)?;
            }
            sorter.push(last, &input)?;
            Ok(true)
        })?;
        for input in before {
            sorter.push(last, &input)?;
        }
        Ok(sorter)
    }

    /// Calls `take` with every input until it says `false`.
    fn for_each(
        &self,
        rejects: &Mutex<Rejects>,
        mut take: impl FnMut(Input) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        for path in &self.files {
            for input in self.format.read(self.open(path)?) {
                match input {
                    Ok(input) => {
                        if !take(input)? {
                            return Ok(());
                        }
                    }
                    Err(ReadError::Line(line)) => rejects.lock().line(path, &line)?,
                    Err(error) => return Err(unreadable(path, &error)),
                }
            }
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<Box<dyn BufRead>, Failure> {
        const BUFFER_BYTES: usize = 1 << 20;
        if path.as_os_str() == STDIN {
            return Ok(Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                io::stdin(),
            )));
        }
        let missing = |error| Failure::new(exit::NO_INPUT, format!("{}: {error}", path.display()));
        let file = Counted {
            file: File::open(path).map_err(missing)?,
            bytes_read: Arc::clone(&self.bytes_read),
        };
        if path.extension().is_some_and(|extension| extension == "zst") {
            let decoded = zstd::Decoder::new(file).map_err(missing)?;
            return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, decoded)));
        }
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
    }
}

fn unreadable(path: &Path, error: &ReadError) -> Failure {
    let code = match error {
        ReadError::Io(_) => exit::IO,
        ReadError::Layout(_) | ReadError::Line(_) => exit::DATA,
    };
    Failure::new(code, format!("{}: {error}", path.display()))
}

/// Counts what is read.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
