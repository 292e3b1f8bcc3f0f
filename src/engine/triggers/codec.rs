//! How a shopper's cart is written into snapshots.

use bytes::{Buf, BufMut, TryGetError};

use crate::domain::{Id, Millis, Money, Traceparent};

use super::cart::{Cart, CartEvent, CartOp, Contents, Line};
use super::episode::{Episode, Fired, Phase};
use super::state::Shopping;

const IMPOSSIBLE: TryGetError = TryGetError {
    requested: 0,
    available: 0,
};

pub(super) fn put_shopping(out: &mut Vec<u8>, shopping: &Shopping) {
    put_cart(out, &shopping.cart);
    put_len(out, shopping.pending.len());
    for event in &shopping.pending {
        put_event(out, event);
    }
    put_len(out, shopping.fired.len());
    for fired in &shopping.fired {
        put_id(out, &fired.id);
        put_millis(out, fired.opened);
        put_millis(out, fired.deadline);
        put_millis(out, fired.allowed);
        put_millis(out, fired.watermark);
        put_contents(out, &fired.contents);
        put_trace(out, fired.trace.as_deref());
    }
    put_len(out, shopping.fired_before.len());
    for &hash in &shopping.fired_before {
        out.put_u64_le(hash);
    }
}

pub(super) fn get_shopping(input: &mut &[u8]) -> Result<Shopping, TryGetError> {
    Ok(Shopping {
        cart: get_cart(input)?,
        pending: get_list(input, get_event)?,
        fired: get_list(input, |input| {
            Ok(Fired {
                id: get_id(input)?,
                opened: get_millis(input)?,
                deadline: get_millis(input)?,
                allowed: get_millis(input)?,
                watermark: get_millis(input)?,
                contents: get_contents(input)?,
                trace: get_trace(input)?,
            })
        })?,
        fired_before: get_list(input, |input| input.try_get_u64_le())?,
        ..Shopping::default()
    })
}

fn put_cart(out: &mut Vec<u8>, cart: &Cart) {
    put_contents(out, &cart.contents);
    put_millis(out, cart.replaced);
    match &cart.episode {
        None => out.put_u8(0),
        Some(episode) => {
            out.put_u8(match episode.phase {
                Phase::Waiting => 1,
                Phase::BelowMinimum => 2,
                Phase::Over => 3,
            });
            put_id(out, &episode.id);
            put_millis(out, episode.opened);
            put_millis(out, episode.deadline);
            put_trace(out, episode.trace.as_deref());
        }
    }
}

fn get_cart(input: &mut &[u8]) -> Result<Cart, TryGetError> {
    Ok(Cart {
        contents: get_contents(input)?,
        replaced: get_millis(input)?,
        episode: match input.try_get_u8()? {
            0 => None,
            1 => Some(get_episode(input, Phase::Waiting)?),
            2 => Some(get_episode(input, Phase::BelowMinimum)?),
            3 => Some(get_episode(input, Phase::Over)?),
            _ => return Err(IMPOSSIBLE),
        },
    })
}

fn put_contents(out: &mut Vec<u8>, contents: &Contents) {
    put_lines(out, &contents.lines);
    put_id(out, &contents.currency);
    put_millis(out, contents.updated);
}

fn get_contents(input: &mut &[u8]) -> Result<Contents, TryGetError> {
    Ok(Contents {
        lines: get_list(input, get_line)?,
        currency: get_id(input)?,
        updated: get_millis(input)?,
    })
}

fn get_episode(input: &mut &[u8], phase: Phase) -> Result<Episode, TryGetError> {
    Ok(Episode {
        id: get_id(input)?,
        opened: get_millis(input)?,
        deadline: get_millis(input)?,
        phase,
        trace: get_trace(input)?,
    })
}

fn put_event(out: &mut Vec<u8>, event: &CartEvent) {
    put_millis(out, event.at);
    out.put_u64_le(event.key);
    put_id(out, &event.id);
    put_id(out, &event.currency);
    put_trace(out, event.trace.as_deref());
    match &event.op {
        CartOp::Add(line) => {
            out.put_u8(0);
            put_line(out, *line);
        }
        CartOp::Remove { item, quantity } => {
            out.put_u8(1);
            out.put_u32_le(*item);
            out.put_u32_le(*quantity);
        }
        CartOp::Update(lines) => {
            out.put_u8(2);
            put_lines(out, lines);
        }
        CartOp::Purchase => out.put_u8(3),
        CartOp::View => out.put_u8(4),
        CartOp::CheckoutStart => out.put_u8(5),
    }
}

fn get_event(input: &mut &[u8]) -> Result<CartEvent, TryGetError> {
    Ok(CartEvent {
        at: get_millis(input)?,
        key: input.try_get_u64_le()?,
        id: get_id(input)?,
        currency: get_id(input)?,
        trace: get_trace(input)?,
        op: match input.try_get_u8()? {
            0 => CartOp::Add(get_line(input)?),
            1 => CartOp::Remove {
                item: input.try_get_u32_le()?,
                quantity: input.try_get_u32_le()?,
            },
            2 => CartOp::Update(get_list(input, get_line)?),
            3 => CartOp::Purchase,
            4 => CartOp::View,
            5 => CartOp::CheckoutStart,
            _ => return Err(IMPOSSIBLE),
        },
    })
}

fn put_lines(out: &mut Vec<u8>, lines: &[Line]) {
    put_len(out, lines.len());
    for &line in lines {
        put_line(out, line);
    }
}

fn put_line(out: &mut Vec<u8>, line: Line) {
    out.put_u32_le(line.item);
    out.put_u32_le(line.quantity);
    out.put_u8(u8::from(line.price.is_some()));
    out.put_i64_le(line.price.unwrap_or_default().0);
}

fn get_line(input: &mut &[u8]) -> Result<Line, TryGetError> {
    let item = input.try_get_u32_le()?;
    let quantity = input.try_get_u32_le()?;
    let is_priced = input.try_get_u8()? != 0;
    let price = Money(input.try_get_i64_le()?);
    Ok(Line {
        item,
        quantity,
        price: is_priced.then_some(price),
    })
}

fn put_trace(out: &mut Vec<u8>, trace: Option<&Traceparent>) {
    out.put_u8(u8::from(trace.is_some()));
    if let Some(trace) = trace {
        out.put_slice(&trace.trace_id);
        out.put_slice(&trace.span_id);
        out.put_u8(trace.flags);
    }
}

fn get_trace(input: &mut &[u8]) -> Result<Option<Box<Traceparent>>, TryGetError> {
    if input.try_get_u8()? == 0 {
        return Ok(None);
    }
    let mut trace = Traceparent {
        trace_id: [0; 16],
        span_id: [0; 8],
        flags: 0,
    };
    input.try_copy_to_slice(&mut trace.trace_id)?;
    input.try_copy_to_slice(&mut trace.span_id)?;
    trace.flags = input.try_get_u8()?;
    Ok(Some(Box::new(trace)))
}

fn put_millis(out: &mut Vec<u8>, at: Millis) {
    out.put_i64_le(at.0);
}

fn get_millis(input: &mut &[u8]) -> Result<Millis, TryGetError> {
    Ok(Millis(input.try_get_i64_le()?))
}

fn put_id(out: &mut Vec<u8>, id: &str) {
    put_len(out, id.len());
    out.put_slice(id.as_bytes());
}

fn get_id(input: &mut &[u8]) -> Result<Id, TryGetError> {
    let len = input.try_get_u32_le()? as usize;
    let (text, rest) = input.split_at_checked(len).ok_or(TryGetError {
        requested: len,
        available: input.len(),
    })?;
    *input = rest;
    Id::from_utf8(text).map_err(|_| IMPOSSIBLE)
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.put_u32_le(u32::try_from(len).unwrap_or(u32::MAX));
}

/// Reads a list; a length that cannot be true ends at the end of the input before it has taken any memory to speak of.
fn get_list<T, L: FromIterator<T>>(
    input: &mut &[u8],
    mut get: impl FnMut(&mut &[u8]) -> Result<T, TryGetError>,
) -> Result<L, TryGetError> {
    let len = input.try_get_u32_le()?;
    (0..len).map(|_| get(input)).collect()
}
