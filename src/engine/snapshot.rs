//! The state as bytes and back, while the writer goes on.
//!
//! At the beginning of a snapshot every part raises its epoch. From then on the writer encodes the old form of each
//! entry it is about to change for the first time, and the job encodes the entries it reaches first: together they
//! are the state as it was. Only what is small is copied at once.

use std::sync::{Arc, Weak};

use bytes::{Buf, BufMut};

use crate::domain::{Id, Millis, Position};
use crate::engine::catalog::{Lists, Prices};
use crate::engine::codec::{self, Corrupt, IMPOSSIBLE};
use crate::engine::interner::Interner;
use crate::engine::profile::Population;
use crate::engine::quality::{FrozenGates, Gates};
use crate::engine::sessions::SessionTimers;
use crate::engine::state::State;
use crate::engine::triggers::Triggers;
use crate::engine::{Config, Engine};

/// Raised with every change of the format; an older one is refused, and the log is read from its beginning.
const VERSION: u16 = 3;
/// A chunk is handed on when it is at least this long.
const CHUNK_BYTES: usize = 256 * 1024;

/// Tags of the chunks.
const HEADER: u8 = 0;
const USERS: u8 = 1;
const ITEMS: u8 = 2;
const CATEGORIES: u8 = 3;
const BRANDS: u8 = 4;
const PROFILES: u8 = 5;
const ROWS: u8 = 6;
const CATALOG: u8 = 7;
const END: u8 = 8;

/// A state that is being written out.
#[derive(Debug)]
pub struct SnapshotJob {
    state: Arc<State>,
    gates: FrozenGates,
    header: Vec<u8>,
    position: Position,
    users: u32,
    items: u32,
    categories: u32,
    brands: u32,
    _token: Arc<()>,
}

impl SnapshotJob {
    pub(crate) fn begin(engine: &Engine, token: Arc<()>) -> Self {
        let state = &engine.state;
        state.profiles.begin_snapshot();
        state.catalog.begin_snapshot();
        state.counts.begin_snapshot();
        let mut header = Vec::new();
        header.put_u16_le(VERSION);
        header.put_u64_le(engine.position);
        codec::put_millis(&mut header, engine.now);
        engine.triggers.encode(&mut header);
        state.population().encode(&mut header);
        state.prices().encode(&mut header);
        state.lists.encode(&mut header);
        state.counts.encode_global(&mut header);
        Self {
            gates: engine.gates.freeze(),
            header,
            position: engine.position,
            users: state.users.len(),
            items: state.items.len(),
            categories: state.categories.len(),
            brands: state.brands.len(),
            state: Arc::clone(state),
            _token: token,
        }
    }

    /// Records that are in this state.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Hands the state on, chunk by chunk. [`Restore::feed`] takes the chunks in the same order.
    ///
    /// # Errors
    ///
    /// The first error of `sink`; nothing is handed on after it.
    pub fn write<E>(mut self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut header = std::mem::take(&mut self.header);
        let state = &self.state;
        self.gates.encode(&mut header);
        send(HEADER, &header, &mut sink)?;
        for (tag, names, len) in [
            (USERS, &state.users, self.users),
            (ITEMS, &state.items, self.items),
            (CATEGORIES, &state.categories, self.categories),
            (BRANDS, &state.brands, self.brands),
        ] {
            let name = |number, out: &mut Vec<u8>| codec::put_id(out, &names.name(number));
            sweep(tag, len, name, |_| {}, &mut sink)?;
        }
        let sweep_profile = |user, out: &mut Vec<u8>| state.profiles.sweep(user, out);
        let pre_images = |out: &mut Vec<u8>| state.profiles.drain_pre_images(out);
        sweep(PROFILES, self.users, sweep_profile, pre_images, &mut sink)?;
        let sweep_row = |item, out: &mut Vec<u8>| state.counts.sweep(item, out);
        let pre_images = |out: &mut Vec<u8>| state.counts.drain_pre_images(out);
        sweep(ROWS, self.items, sweep_row, pre_images, &mut sink)?;
        let sweep_entry = |item, out: &mut Vec<u8>| state.catalog.sweep(item, out);
        let pre_images = |out: &mut Vec<u8>| state.catalog.drain_pre_images(out);
        sweep(CATALOG, self.items, sweep_entry, pre_images, &mut sink)?;
        send(END, &[], &mut sink)
    }
}

impl Drop for SnapshotJob {
    /// Finished or given up: the writer need not keep old forms any longer.
    fn drop(&mut self) {
        self.state.profiles.end_snapshot();
        self.state.catalog.end_snapshot();
        self.state.counts.end_snapshot();
    }
}

/// Encodes entries 0 to `len` into chunks, then what the writer handed over meanwhile.
fn sweep<E>(
    tag: u8,
    len: u32,
    encode: impl Fn(u32, &mut Vec<u8>),
    drain: impl Fn(&mut Vec<u8>),
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
    for number in 0..len {
        encode(number, &mut chunk);
        if chunk.len() >= CHUNK_BYTES {
            drain(&mut chunk);
            send(tag, &chunk, sink)?;
            chunk.clear();
        }
    }
    drain(&mut chunk);
    if chunk.is_empty() {
        Ok(())
    } else {
        send(tag, &chunk, sink)
    }
}

fn send<E>(tag: u8, body: &[u8], sink: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut head = Vec::with_capacity(5);
    head.put_u8(tag);
    codec::put_len(&mut head, body.len());
    head.extend_from_slice(body);
    sink(&head)
}

/// A state that is being read back.
#[derive(Debug)]
pub struct Restore {
    state: State,
    header: Option<Header>,
    complete: bool,
}

#[derive(Debug)]
struct Header {
    position: Position,
    now: Millis,
    gates: Gates,
    triggers: Triggers,
}

impl Restore {
    /// Begins with nothing, under the settings of now.
    pub fn new(config: Config) -> Self {
        Self {
            state: State::new(config),
            header: None,
            complete: false,
        }
    }

    /// Takes one or more whole chunks, in the order in which [`SnapshotJob::write`] gave them.
    ///
    /// # Errors
    ///
    /// If the bytes are not of this version's format.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), Corrupt> {
        while !input.is_empty() {
            let tag = input.try_get_u8()?;
            let len = codec::get_len(&mut input)?;
            let (mut body, rest) = input.split_at_checked(len).ok_or(IMPOSSIBLE)?;
            input = rest;
            self.chunk(tag, &mut body)?;
        }
        Ok(())
    }

    /// The engine, when every chunk was there.
    ///
    /// # Errors
    ///
    /// If chunks are missing.
    pub fn finish(self) -> Result<Engine, Corrupt> {
        let header = self.header.filter(|_| self.complete).ok_or(IMPOSSIBLE)?;
        let state = Arc::new(self.state);
        let mut triggers = header.triggers;
        let mut sessions = SessionTimers::new(state.config.session_gap_ms);
        for user in 0..state.users.len() {
            let last_event = state.profiles.resume(user, |profile| {
                triggers.restore(user, &mut profile.cart);
                if profile.alias != 0 {
                    state.note_alias();
                }
                profile.session.as_ref().map(|session| session.last_event)
            });
            if let Some(last_event) = last_event.flatten() {
                sessions.watch(user, last_event);
            }
        }
        state.publish(header.position, header.gates.watermark(), header.now);
        Ok(Engine {
            state,
            gates: header.gates,
            triggers,
            sessions,
            position: header.position,
            now: header.now,
            job: Weak::new(),
        })
    }

    fn chunk(&mut self, tag: u8, body: &mut &[u8]) -> Result<(), Corrupt> {
        if tag == HEADER {
            return self.read_header(body);
        }
        if self.header.is_none() || self.complete {
            return Err(IMPOSSIBLE);
        }
        match tag {
            USERS => {
                names(body, &self.state.users)?;
                self.state.profiles.ensure(self.state.users.len());
                Ok(())
            }
            CATEGORIES => names(body, &self.state.categories),
            BRANDS => names(body, &self.state.brands),
            ITEMS => {
                names(body, &self.state.items)?;
                self.state.counts.ensure(self.state.items.len());
                self.state.catalog.ensure(self.state.items.len(), Millis(0));
                Ok(())
            }
            PROFILES => entries(body, self.state.users.len(), |user, body| {
                self.state.profiles.restore(user, body)
            }),
            ROWS => entries(body, self.state.items.len(), |item, body| {
                self.state
                    .counts
                    .decode_row(item, body)
                    .map_err(|_| IMPOSSIBLE)
            }),
            CATALOG => entries(body, self.state.items.len(), |item, body| {
                self.state.catalog.restore(item, body)
            }),
            END => {
                self.complete = true;
                Ok(())
            }
            _ => Err(IMPOSSIBLE),
        }
    }

    fn read_header(&mut self, body: &mut &[u8]) -> Result<(), Corrupt> {
        if body.try_get_u16_le()? != VERSION {
            return Err(IMPOSSIBLE);
        }
        let position = body.try_get_u64_le()?;
        let now = codec::get_millis(body)?;
        let config = &self.state.config;
        let triggers = Triggers::decode(
            config.triggers.clone(),
            config.rules.clone(),
            config.quality.grace_ms,
            body,
        )?;
        let population = Population::decode(body)?;
        let prices = Prices::decode(body)?;
        let lists = Lists::decode(body)?;
        let gates = config.quality.clone();
        self.state
            .counts
            .decode_global(body)
            .map_err(|_| IMPOSSIBLE)?;
        self.state.change_population(|own| *own = population);
        self.state.change_prices(|own| *own = prices);
        self.state.lists = lists;
        self.header = Some(Header {
            position,
            now,
            gates: Gates::decode(gates, body)?,
            triggers,
        });
        Ok(())
    }
}

fn names(body: &mut &[u8], into: &Interner) -> Result<(), Corrupt> {
    while !body.is_empty() {
        let name: Id = codec::get_id(body)?;
        into.intern(&name);
    }
    Ok(())
}

fn entries(
    body: &mut &[u8],
    len: u32,
    mut restore: impl FnMut(u32, &mut &[u8]) -> Result<(), Corrupt>,
) -> Result<(), Corrupt> {
    while !body.is_empty() {
        let number = body.try_get_u32_le()?;
        if number >= len {
            return Err(IMPOSSIBLE);
        }
        restore(number, body)?;
    }
    Ok(())
}
