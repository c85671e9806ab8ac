// SPDX-License-Identifier: MIT OR Apache-2.0
//! An ordered list of name-value pairs in one buffer.

use std::ops::Range;

/// Names and values in order, in one allocation of bytes and one of positions.
///
/// Each value is followed by a NUL that is not part of it, because both servers and `gangway.h` want C strings.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    /// An empty list with room for `fields` pairs of `bytes` bytes together.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes + fields), spans: Vec::with_capacity(fields) }
    }

    /// Adds a pair at the end.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.finish_pair(start, value);
    }

    /// Adds a pair whose value is these parts one after the other.
    pub fn push_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let split = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.finish_value(start, split);
    }

    /// Forgets all pairs and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// How many bytes of memory the names and values could have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds a pair whose name is built by `write_name`.
    pub fn push_with(&mut self, write_name: impl FnOnce(&mut Vec<u8>), value: &[u8]) {
        let start = self.bytes.len();
        write_name(&mut self.bytes);
        self.finish_pair(start, value);
    }

    fn finish_pair(&mut self, start: usize, value: &[u8]) {
        let split = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.finish_value(start, split);
    }

    fn finish_value(&mut self, start: usize, split: usize) {
        let end = self.bytes.len();
        self.bytes.push(0);
        self.spans.push(Span { name: start..split, value: split..end });
    }

    /// Replaces the value of the pair at `index` by itself, `separator` and `more`.
    pub fn append_to(&mut self, index: usize, separator: &[u8], more: &[u8]) {
        if let Some(span) = self.spans.get_mut(index) {
            let start = self.bytes.len();
            self.bytes.extend_from_within(span.value.clone());
            self.bytes.extend_from_slice(separator);
            self.bytes.extend_from_slice(more);
            span.value = start..self.bytes.len();
            self.bytes.push(0);
        }
    }

    /// Replaces the value of the pair at `index`.
    pub fn replace(&mut self, index: usize, value: &[u8]) {
        if let Some(span) = self.spans.get_mut(index) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(value);
            span.value = start..self.bytes.len();
            self.bytes.push(0);
        }
    }

    /// Removes the pair at `index`, keeping the order of the others.
    pub fn remove(&mut self, index: usize) {
        if index < self.spans.len() {
            self.spans.remove(index);
        }
    }

    /// The position of the first pair with this name, byte for byte.
    #[must_use]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.spans.iter().position(|span| self.bytes.get(span.name.clone()) == Some(name))
    }

    /// The value of the first pair with this name, byte for byte.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.position(name).and_then(|index| self.pair(index)).map(|(_, value)| value)
    }

    /// The pair at `index`.
    #[must_use]
    pub fn pair(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let span = self.spans.get(index)?;
        Some((self.bytes.get(span.name.clone())?, self.bytes.get(span.value.clone())?))
    }

    /// The bytes of the name and the value of the pair at `index`, if they stand next to each other.
    pub(crate) fn joined(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans.get(index).filter(|span| span.name.end == span.value.start)?;
        self.bytes.get(span.name.start..span.value.end)
    }

    /// The number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.len()).filter_map(|index| self.pair(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_order_and_may_repeat() {
        let mut fields = Fields::default();
        fields.push(b"Set-Cookie", b"a=1");
        fields.push(b"Set-Cookie", b"b=2");
        let all: Vec<_> = fields.iter().collect();
        assert_eq!(all, [(&b"Set-Cookie"[..], &b"a=1"[..]), (b"Set-Cookie", b"b=2")]);
    }

    #[test]
    fn a_pair_is_joined_until_its_value_moves() {
        let mut fields = Fields::default();
        fields.push(b"A", b"1");
        fields.push_parts(b"B", &[b"2", b"3"]);
        fields.replace(0, b"4");
        assert_eq!((fields.joined(0), fields.joined(1), fields.joined(2)), (None, Some(&b"B23"[..]), None));
    }

    #[test]
    fn a_value_can_grow_shrink_and_go() {
        let mut fields = Fields::with_capacity(2, 16);
        fields.push(b"A", b"1");
        fields.push_with(|name| name.extend_from_slice(b"B"), b"2");
        fields.append_to(0, b", ", b"3");
        assert_eq!(fields.get(b"A"), Some(&b"1, 3"[..]));
        fields.replace(0, b"");
        assert_eq!(fields.get(b"A"), Some(&b""[..]));
        fields.remove(0);
        assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"B"[..], &b"2"[..])]);
        fields.push_parts(b"C", &[b"/srv", b"", b"/x"]);
        assert_eq!(fields.get(b"C"), Some(&b"/srv/x"[..]));
        fields.clear();
        assert!(fields.is_empty() && fields.get(b"B").is_none() && fields.capacity() >= 18);
    }

    #[test]
    fn each_value_is_followed_by_nul() {
        let mut fields = Fields::default();
        fields.push(b"A", b"1");
        fields.append_to(0, b", ", b"3");
        for span in &fields.spans {
            assert_eq!(fields.bytes[span.value.end], 0);
        }
    }
}
