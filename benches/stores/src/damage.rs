//! What is left after a kill, after a flipped bit, and when the disk was full.

use std::fmt::Debug;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use impulse::domain::Millis;
use impulse::stream::embedded::{Config, DataDir, FrameBuilder, Repair, Store};
use redb::{ReadableDatabase, ReadableTableMetadata};

use crate::{EVENT_BYTES, TABLE, fjall, noise, ours, redb};

/// Entries written one by one, none of them synced.
const ENTRIES: u64 = 1_000;

pub(crate) fn killed(base: &Path) {
    println!("\n{ENTRIES} entries in the way of `os`, then kill -9:");
    let program = std::env::current_exe().unwrap();
    let ended = Command::new(program).arg("die").arg(base).status().unwrap();
    assert!(!ended.success());
    say("impulse", ours(&base.join("ours")).log.end().position);
    say(
        "fjall",
        fjall(&base.join("fjall")).and_then(|(_, log)| log.len()),
    );
    let read = redb(&base.join("redb")).begin_read().unwrap();
    let table = read.open_table(TABLE).map_err(|error| error.to_string());
    say("redb", table.map(|table| table.len().unwrap()));
}

/// Writes and is killed.
pub(crate) fn die(base: &Path) {
    let _open = fill_ours(&base.join("ours"));
    let _open = fill_fjall(&base.join("fjall"));
    let database = redb(&base.join("redb"));
    for key in 0..ENTRIES {
        let mut transaction = database.begin_write().unwrap();
        transaction.set_durability(redb::Durability::None).unwrap();
        transaction
            .open_table(TABLE)
            .unwrap()
            .insert(key, b"x".as_slice())
            .unwrap();
        transaction.commit().unwrap();
    }
    let pid = std::process::id().to_string();
    Command::new("kill").args(["-9", &pid]).status().unwrap();
    std::thread::park();
}

/// One bit, at some places in the middle of what was written.
pub(crate) fn flipped(base: &Path) {
    println!("\n{ENTRIES} entries, synced, then one bit flipped in the middle of them:");
    let dir = base.join("flip-ours");
    fill_ours(&dir).log.sync_handle().sync().unwrap();
    let segment = find(&dir.join("log"), "log");
    flip(&segment, |offset| {
        let data = DataDir::open(&dir).unwrap();
        let opened = Store::open(&data, &Config::default(), None, Repair::Refuse);
        let end = opened.map(|(store, _)| store.log.end().position);
        say(
            &format!("impulse, at {offset}"),
            end.map_err(|error| error.to_string()),
        );
    });
    let dir = base.join("flip-fjall");
    fill_fjall(&dir)
        .0
        .persist(fjall::PersistMode::SyncAll)
        .unwrap();
    let journal = find(&dir, "jnl");
    flip(&journal, |offset| {
        let expected = noise(EVENT_BYTES);
        let right = fjall(&dir).map(|(_, log)| {
            let right = |key: &u64| {
                log.get(key.to_be_bytes())
                    .unwrap()
                    .is_some_and(|value| *value == expected[..])
            };
            (0..ENTRIES).filter(right).count()
        });
        say(&format!("fjall, at {offset}"), right);
    });
}

/// Fills the file system, tries to write, makes room, and tries again.
pub(crate) fn full(base: &Path) {
    let ballast = base.join("ballast");
    let fill = || {
        let chunk = noise(64 << 10);
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&chunk).is_ok() {}
    };
    let make_room = || std::fs::remove_file(&ballast).unwrap();
    let event = noise(200_000);

    let mut store = ours(&base.join("ours"));
    let mut frame = FrameBuilder::new();
    frame.begin(store.log.end(), Millis(1));
    frame.input(Millis(1), false, &event);
    let mut append = |when| {
        say(
            &format!("impulse, {when}"),
            store
                .log
                .append(&mut frame)
                .map_err(|error| error.to_string()),
        )
    };
    fill();
    append("full");
    make_room();
    append("with room again");

    let (database, log) = fjall(&base.join("fjall")).unwrap();
    let write = |when| {
        let done = log
            .insert("a", event.as_slice())
            .and_then(|()| database.persist(fjall::PersistMode::SyncData));
        say(&format!("fjall, {when}"), done);
    };
    fill();
    write("full");
    make_room();
    write("with room again");

    let database = redb(&base.join("redb"));
    let commit = |bytes: &[u8]| -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?.insert(1, bytes)?;
        Ok(transaction.commit()?)
    };
    commit(b"x").unwrap();
    let large = noise(2_000_000);
    fill();
    say("redb, full", commit(&large));
    make_room();
    say("redb, with room again", commit(&large));
}

fn fill_ours(dir: &Path) -> Store {
    let mut store = ours(dir);
    let event = noise(EVENT_BYTES);
    let mut frame = FrameBuilder::new();
    for at in (0..).map(Millis).take(ENTRIES as usize) {
        frame.begin(store.log.end(), at);
        frame.input(at, false, &event);
        store.log.append(&mut frame).unwrap();
    }
    store
}

fn fill_fjall(dir: &Path) -> (fjall::Database, fjall::Keyspace) {
    let (database, log) = fjall(dir).unwrap();
    for key in 0..ENTRIES {
        log.insert(key.to_be_bytes(), noise(EVENT_BYTES)).unwrap();
    }
    (database, log)
}

/// Flips a bit at one place after the other, and puts the file back.
fn flip(path: &Path, look: impl Fn(usize)) {
    let whole = std::fs::read(path).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for offset in [0, 13, 60, 100] {
        let mut bytes = whole.clone();
        bytes[used / 2 + offset] ^= 4;
        std::fs::write(path, &bytes).unwrap();
        look(offset);
    }
    std::fs::write(path, &whole).unwrap();
}

fn find(dir: &Path, extension: &str) -> PathBuf {
    let paths = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = paths.filter(|path| path.extension().is_some_and(|known| known == extension));
    found.next().unwrap()
}

fn say(what: &str, outcome: impl Debug) {
    println!("{what:<28}{outcome:?}");
}
