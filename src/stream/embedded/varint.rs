//! Whole numbers in as few bytes as they need.

/// Appends a number, low groups of seven bits first.
pub(super) fn put(buffer: &mut Vec<u8>, mut value: u64) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low seven bits are what is meant"
    )]
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than 0x80 by the loop"
    )]
    buffer.push(value as u8);
}

/// Appends a number that may be negative; near 0 it is short.
pub(super) fn put_signed(buffer: &mut Vec<u8>, value: i64) {
    put(buffer, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Takes a number off the front; `None` if there is none or it has more than 64 bits.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let group = u64::from(byte & 0x7f);
        if index == 9 && group > 1 {
            return None;
        }
        value |= group << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = bytes.get(index + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Takes a number that may be negative off the front.
pub(super) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    let value = take(bytes)?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken(value: u64, signed: i64) {
            let mut buffer = Vec::new();
            put(&mut buffer, value);
            put_signed(&mut buffer, signed);
            let mut rest = buffer.as_slice();
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert_eq!(take_signed(&mut rest), Some(signed));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn more_than_64_bits_are_no_number() {
        for bytes in [
            &[0xff; 11][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0x80],
            &[],
        ] {
            assert_eq!(take(&mut &bytes[..]), None, "{bytes:?}");
        }
    }

    #[test]
    fn small_numbers_are_short() {
        for (value, size) in [(0, 1), (-64, 1), (64, 2), (i64::MIN, 10)] {
            let mut buffer = Vec::new();
            put_signed(&mut buffer, value);
            assert_eq!(buffer.len(), size, "{value}");
        }
    }
}
