//! How state is written into snapshots: little-endian numbers and length-prefixed lists.

use bytes::{Buf, BufMut, TryGetError};

use crate::domain::{Id, Millis, Money};

/// Why bytes are not a state.
pub type Corrupt = TryGetError;

/// The error for a value that no state holds.
pub(crate) const IMPOSSIBLE: Corrupt = TryGetError {
    requested: 0,
    available: 0,
};

pub(crate) fn put_id(out: &mut Vec<u8>, id: &str) {
    put_len(out, id.len());
    out.put_slice(id.as_bytes());
}

pub(crate) fn get_id(input: &mut &[u8]) -> Result<Id, Corrupt> {
    Id::from_utf8(get_slice(input)?).map_err(|_| IMPOSSIBLE)
}

pub(crate) fn get_text(input: &mut &[u8]) -> Result<String, Corrupt> {
    String::from_utf8(get_slice(input)?.to_vec()).map_err(|_| IMPOSSIBLE)
}

fn get_slice<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let len = get_len(input)?;
    let (head, tail) = input.split_at_checked(len).ok_or(TryGetError {
        requested: len,
        available: input.len(),
    })?;
    *input = tail;
    Ok(head)
}

/// A list's length; no list of the engine is longer than 2^32 - 1.
pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    out.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
}

/// A length, refused when more is announced than there are bytes left: no allocation can be talked into being.
pub(crate) fn get_len(input: &mut &[u8]) -> Result<usize, Corrupt> {
    let len = input.try_get_u32_le()? as usize;
    if len > input.len() {
        return Err(TryGetError {
            requested: len,
            available: input.len(),
        });
    }
    Ok(len)
}

pub(crate) fn put_millis(out: &mut Vec<u8>, at: Millis) {
    out.put_i64_le(at.0);
}

pub(crate) fn get_millis(input: &mut &[u8]) -> Result<Millis, Corrupt> {
    Ok(Millis(input.try_get_i64_le()?))
}

/// Money that may be unknown; no amount is negative here, so -1 says so.
pub(crate) fn put_price(out: &mut Vec<u8>, price: Option<Money>) {
    out.put_i64_le(price.map_or(-1, |money| money.0));
}

pub(crate) fn get_price(input: &mut &[u8]) -> Result<Option<Money>, Corrupt> {
    let amount = input.try_get_i64_le()?;
    Ok((amount >= 0).then_some(Money(amount)))
}

pub(crate) fn put_ids(out: &mut Vec<u8>, ids: &[u32]) {
    put_len(out, ids.len());
    for &id in ids {
        out.put_u32_le(id);
    }
}

pub(crate) fn get_ids<T: FromIterator<u32>>(input: &mut &[u8]) -> Result<T, Corrupt> {
    let len = get_len(input)?;
    (0..len).map(|_| input.try_get_u32_le()).collect()
}
