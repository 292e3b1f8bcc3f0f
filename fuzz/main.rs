//! Fuzzing of everything that reads bytes from outside: no panic, no more memory than a small multiple of the input,
//! and what was read once is written and read again as it was.
//!
//! Every target is a test. `cargo test` runs each for a second, `fuzz/run.sh 60` for a minute; both work with stable
//! Rust, and `cargo bolero test --test fuzz <target>` lets a coverage-guided engine drive the same code. An input is
//! used twice: as it is, and as a sequence of changes to one of the seeds in `fuzz/corpus/<target>`, because random
//! bytes alone hardly ever get past the first brace.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod decode;
mod mutate;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;

/// Counts what all threads allocate, so only one of them may measure at a time.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;
static MEASURING: Mutex<()> = Mutex::new(());

/// Bytes of memory that reading may take for each byte of input: 16 MiB for 1 MiB.
const BYTES_PER_BYTE: usize = 16;
/// Bytes of memory that reading may take whatever the input is: a full batch, full lists, messages of errors.
const BYTES_BASE: usize = 1 << 20;

/// Runs `read` on the seeds, on random inputs and on changed seeds.
fn fuzz(target: &str, read: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    let seeds = seeds(target);
    for seed in &seeds {
        read(seed);
    }
    bolero::check!(name = target).for_each(|input: &[u8]| {
        read(input);
        read(&mutate::changed(&seeds, input));
    });
}

/// The files of `fuzz/corpus/<target>`, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seeds in {}", dir.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What `read` makes of `input`; it may not take more memory than the bound says.
fn bounded<'a, T>(input: &'a [u8], read: impl FnOnce(&'a [u8]) -> T) -> T {
    let _alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let result = read(input);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let allowed = BYTES_BASE.max(BYTES_PER_BYTE * input.len());
    assert!(
        taken <= allowed,
        "{} bytes of input took {taken} bytes of memory; {allowed} are allowed",
        input.len()
    );
    result
}
