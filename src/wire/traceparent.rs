//! The `traceparent` of W3C Trace Context, as a header or a field has it.

use crate::domain::Traceparent;

/// Its name as a header and as a field.
pub const NAME: &str = "traceparent";

const LENGTHS: [usize; 4] = [2, 32, 16, 2];

/// The trace in a text of version 00. Anything else is no trace, and as good as nothing: it is never a reason to refuse
/// an event.
pub fn parse(text: &[u8]) -> Option<Traceparent> {
    if text.len() != LENGTHS.iter().sum::<usize>() + 3 {
        return None;
    }
    let mut parts = text.split(|byte| *byte == b'-');
    let version: [u8; 1] = bytes(parts.next()?)?;
    let trace_id: [u8; 16] = bytes(parts.next()?)?;
    let span_id: [u8; 8] = bytes(parts.next()?)?;
    let [flags] = bytes(parts.next()?)?;
    let is_trace =
        version == [0] && trace_id != [0; 16] && span_id != [0; 8] && parts.next().is_none();
    is_trace.then_some(Traceparent {
        trace_id,
        span_id,
        flags,
    })
}

/// The trace in the values of a header; of a header that comes more than once nobody can tell which is meant.
pub fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Traceparent> {
    let first = values.next()?;
    parse(first).filter(|_| values.next().is_none())
}

/// Lower case only, as the recommendation has it.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read() {
        let trace = parse(TRACE.as_bytes()).unwrap();
        assert_eq!(trace.to_string(), TRACE);
        assert_eq!((trace.trace_id[0], trace.span_id[7]), (0x0a, 0x31));
        assert_eq!(trace.flags, 1);
        let unknown_flags = TRACE.replace("-01", "-f8");
        let trace = parse(unknown_flags.as_bytes()).unwrap();
        assert_eq!(trace.to_string(), unknown_flags);
    }

    #[test]
    fn anything_else_is_no_trace() {
        let wrong = [
            String::new(),
            "00".to_owned(),
            TRACE.to_uppercase(),
            TRACE.replace('-', "_"),
            TRACE.replace("-01", "-0g"),
            format!("01{}", &TRACE[2..]),
            format!("ff{}", &TRACE[2..]),
            format!("{TRACE}-more"),
            format!("{TRACE} "),
            format!(" {}", &TRACE[1..]),
            TRACE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            TRACE.replace("b7ad6b7169203331", &"0".repeat(16)),
            // Every part has its length, but not in its place.
            "00-b7ad6b7169203331-0af7651916cd43dd8448eb211c80319c-01".to_owned(),
            "-".repeat(TRACE.len()),
            "ü".repeat(TRACE.len()),
        ];
        for wrong in &wrong {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn of_two_headers_neither_counts() {
        let trace = TRACE.as_bytes();
        assert_eq!(only([trace].into_iter()), parse(trace));
        assert_eq!(only([trace, trace].into_iter()), None);
        assert_eq!(only([].into_iter()), None);
    }
}
