// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts in shared memory, and why an application cannot run.

use std::{
    borrow::Cow,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// Words of an application before those of its workers.
pub(super) const HEAD: usize = 128;
/// The number of the last configuration that has it.
pub(super) const SEEN_IN: usize = 2;

/// What stands before them is a block's own.
pub(super) const FIRST: usize = 95;

/// Since when its supervisor says that it cannot run; 0: it does not say so.
const UNWELL_SINCE: usize = FIRST;
/// Why, as whoever has seen it last says.
const REASON: usize = 96;
const REASON_WORDS: usize = HEAD - REASON;

/// What a worker says: the number of the configuration that it belongs to, and since when.
const SINCE_BITS: u32 = 40;

/// It cannot run, since so many seconds after the start of the machine.
pub(super) fn say_unwell(head: &[AtomicU64], unwell: Option<(u64, &str)>) {
    if let Some((_, reason)) = unwell {
        write_text(head, REASON, REASON_WORDS, reason);
    }
    store(head, UNWELL_SINCE, unwell.map_or(0, |(since, _)| since.max(1)));
}

/// Since when it cannot run, as its supervisor says.
pub(super) fn unwell_since(head: &[AtomicU64]) -> Option<u64> {
    Some(load(head, UNWELL_SINCE)).filter(|since| *since > 0)
}

/// The same of one worker, of several that may each find another reason.
pub(super) fn note_unwell(head: &[AtomicU64], word: &AtomicU64, unwell: Option<(u64, &str)>) {
    let noted = unwell.map_or(0, |(since, reason)| {
        write_text(head, REASON, REASON_WORDS, reason);
        load(head, SEEN_IN) << SINCE_BITS | since.max(1) & ((1 << SINCE_BITS) - 1)
    });
    word.store(noted, Release);
}

/// Since when it cannot run in a worker of the present configuration, as that says.
pub(super) fn noted_since(head: &[AtomicU64], word: &AtomicU64) -> Option<u64> {
    let noted = word.load(Acquire);
    let since = noted & ((1 << SINCE_BITS) - 1);
    (since > 0 && (noted ^ load(head, SEEN_IN) << SINCE_BITS) >> SINCE_BITS == 0).then_some(since)
}

/// Why it cannot run.
pub(super) fn unwell_reason(head: &[AtomicU64]) -> String {
    text(head, REASON, REASON_WORDS)
}

fn load(words: &[AtomicU64], index: usize) -> u64 {
    words.get(index).map_or(0, |word| word.load(Relaxed))
}

fn store(words: &[AtomicU64], index: usize, value: u64) {
    if let Some(word) = words.get(index) {
        word.store(value, Release);
    }
}

/// A length, then the bytes.
pub(super) fn write_text(all: &[AtomicU64], at: usize, words: usize, text: &str) {
    let text = cut(text, words);
    store(all, at, text.len() as u64);
    for (index, part) in text.as_bytes().chunks(8).enumerate() {
        store(all, at + 1 + index, word(part));
    }
}

pub(super) fn text(all: &[AtomicU64], at: usize, words: usize) -> String {
    let length = usize::try_from(load(all, at)).unwrap_or(0).min((words - 1) * 8);
    let bytes = (at + 1..at + words).flat_map(|index| load(all, index).to_le_bytes());
    String::from_utf8_lossy(&bytes.take(length).collect::<Vec<_>>()).into_owned()
}

/// Eight bytes of a text, or the rest of it.
pub(super) fn word(part: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

/// As much of a text as there is room for, in whole characters. One that is cut ends with a mark.
pub(super) fn cut(text: &str, words: usize) -> Cow<'_, str> {
    const MARK: &str = "...";
    let room = (words - 1) * 8;
    if text.len() <= room {
        return text.into();
    }
    let mut end = room - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    [text.get(..end).unwrap_or_default(), MARK].concat().into()
}

/// Words of an application that nobody looks at.
#[cfg(test)]
pub(super) fn head() -> &'static [AtomicU64; HEAD] {
    Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_of_another_configuration_says_does_not_count() {
        let head: Vec<_> = (0..HEAD).map(|_| AtomicU64::new(0)).collect();
        let (first, second) = (AtomicU64::new(0), AtomicU64::new(0));
        head[SEEN_IN].store(1, Relaxed);
        note_unwell(&head, &first, Some((7, "no module named \"blog\"")));
        assert_eq!((noted_since(&head, &first), noted_since(&head, &second)), (Some(7), None));
        assert_eq!(unwell_reason(&head), "no module named \"blog\"");
        head[SEEN_IN].store(2, Relaxed);
        note_unwell(&head, &second, Some((0, "again")));
        assert_eq!((noted_since(&head, &first), noted_since(&head, &second)), (None, Some(1)));
        note_unwell(&head, &second, None);
        assert_eq!((noted_since(&head, &second), unwell_since(&head)), (None, None));
        say_unwell(&head, Some((9, "why")));
        assert_eq!((unwell_since(&head), unwell_reason(&head)), (Some(9), "why".to_owned()));
        say_unwell(&head, None);
        assert_eq!(unwell_since(&head), None);
    }
}
