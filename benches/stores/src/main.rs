//! The embedded log beside two kept stores, asked for the same: what appending costs, and what is left after a kill, a
//! flipped bit and a full disk. Prints a report.
//!
//! ```text
//! cargo run --release --manifest-path benches/stores/Cargo.toml                 # all but the full disk
//! cargo run --release --manifest-path benches/stores/Cargo.toml -- full DIR     # DIR on a small file system: it is filled
//! ```

mod damage;
mod speed;

use std::path::Path;

use impulse::stream::embedded::{Config, DataDir, Repair, Store};
use mimalloc::MiMalloc;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A table of events by position.
const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("log");
const EVENT_BYTES: usize = 120;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let base = tempfile::tempdir_in(".").unwrap();
            speed::report(base.path());
            damage::killed(base.path());
            damage::flipped(base.path());
        }
        ["die", dir] => damage::die(Path::new(dir)),
        ["full", dir] => damage::full(Path::new(dir)),
        _ => panic!("arguments: none, or `full DIR`"),
    }
}

fn ours(dir: &Path) -> Store {
    let data = DataDir::open(dir).unwrap();
    Store::open(&data, &Config::default(), None, Repair::Refuse)
        .unwrap()
        .0
}

fn fjall(dir: &Path) -> fjall::Result<(fjall::Database, fjall::Keyspace)> {
    let database = fjall::Database::builder(dir).open()?;
    let log = database.keyspace("log", fjall::KeyspaceCreateOptions::default)?;
    Ok((database, log))
}

fn redb(dir: &Path) -> redb::Database {
    std::fs::create_dir_all(dir).unwrap();
    redb::Database::create(dir.join("log.redb")).unwrap()
}

/// Bytes that nothing can make smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..bytes).map(|_| next()).collect()
}
