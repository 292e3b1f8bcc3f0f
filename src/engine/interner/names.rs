//! Texts packed end to end: a shop has millions of short ids, and a string object for each would be larger than the text.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Id;
use crate::engine::slots::Slots;

/// Bytes in a word.
const WORD: usize = size_of::<u64>();
/// Fills up a text's last word; no byte of UTF-8 text is this one.
const FILLER: u8 = 0xFF;

/// Texts by dense number, written once by one thread, read by many.
#[derive(Debug, Default)]
pub(super) struct Names {
    words: Slots<AtomicU64>,
    /// By number, where its words begin, and in the upper half how many there are.
    places: Slots<AtomicU64>,
}

impl Names {
    pub(super) fn len(&self) -> u32 {
        self.places.len()
    }

    /// Adds a text; its number. Only the writer calls this.
    pub(super) fn push(&self, text: &str) -> u32 {
        let start = self.words.len();
        let words = u32::try_from(text.len().div_ceil(WORD)).unwrap_or(u32::MAX);
        let end = start.saturating_add(words);
        self.words.ensure(end, AtomicU64::default, |_| ());
        for (place, word) in (start..end).zip(packed(text)) {
            if let Some(slot) = self.words.get(place) {
                slot.store(word, Ordering::Relaxed);
            }
        }
        let number = self.len();
        let place = u64::from(start) | u64::from(end - start) << 32;
        let store = |slot: &AtomicU64| slot.store(place, Ordering::Relaxed);
        self.places
            .ensure(number.saturating_add(1), AtomicU64::default, store);
        number
    }

    /// The text of a number; empty for one never given out.
    pub(super) fn get(&self, number: u32) -> Id {
        let mut bytes: Vec<u8> = self.words(number).flat_map(u64::to_le_bytes).collect();
        while bytes.last() == Some(&FILLER) {
            bytes.pop();
        }
        Id::from_utf8(bytes).unwrap_or_default()
    }

    /// The words of a number's text; none for one never given out.
    pub(super) fn words(&self, number: u32) -> impl Iterator<Item = u64> {
        let (start, len) = self.place(number).unwrap_or_default();
        let word = |place| {
            self.words
                .get(place)
                .map_or(0, |word| word.load(Ordering::Relaxed))
        };
        (start..start.saturating_add(len)).map(word)
    }

    /// Whether `number` has this text.
    pub(super) fn is(&self, number: u32, text: &str) -> bool {
        let Some((start, len)) = self.place(number) else {
            return false;
        };
        let len = len as usize;
        if len != text.len().div_ceil(WORD) {
            return false;
        }
        let run = self.words.run(start, len);
        if run.len() < len {
            return self.words(number).eq(packed(text));
        }
        let mut words = run.iter().zip(packed(text));
        words.all(|(known, word)| known.load(Ordering::Relaxed) == word)
    }

    /// Bytes in use, slack included.
    pub(super) fn bytes(&self) -> usize {
        (self.words.capacity() + self.places.capacity()) * size_of::<AtomicU64>()
    }

    /// Where the words of a number begin, and how many there are.
    #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
    fn place(&self, number: u32) -> Option<(u32, u32)> {
        let place = self.places.get(number)?.load(Ordering::Relaxed);
        Some((place as u32, (place >> 32) as u32))
    }
}

/// A text as words: different texts are different words.
pub(super) fn packed(text: &str) -> impl Iterator<Item = u64> {
    let (words, rest) = text.as_bytes().as_chunks::<WORD>();
    let rest = (!rest.is_empty()).then(|| {
        let shifted = rest
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        shifted | u64::MAX << (8 * rest.len())
    });
    words
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .chain(rest)
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn texts_of_every_length_come_back() {
        let names = Names::default();
        let texts: Vec<String> = (0..2_000)
            .map(|len| "añ\0z€".chars().cycle().take(len % 41).collect())
            .collect();
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(names.push(text), number);
        }
        for (number, text) in (0..).zip(&texts) {
            assert_eq!(names.get(number), text.as_str());
            assert!(names.is(number, text));
            assert!(!names.is(number, &format!("{text}x")));
            assert_eq!(
                names.is(number + 1, text),
                texts.get(number as usize + 1) == Some(text)
            );
        }
        assert_eq!(names.get(2_000), "");
        assert!(!names.is(2_000, ""));
    }
}
