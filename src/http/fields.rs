// SPDX-License-Identifier: MIT OR Apache-2.0
//! An ordered list of name-value pairs in one buffer.

use std::ops::Range;

/// Names and values in order, in one allocation of bytes and one of positions.
///
/// Each name and each value is followed by a NUL that is not part of it: both servers and `gangway.h` want C strings, and
/// so does SCGI, which can take pairs that stand one after the other as they are.
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
        Self { bytes: Vec::with_capacity(bytes + 2 * fields), spans: Vec::with_capacity(fields) }
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
        self.bytes.push(0);
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
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
        self.finish_value(start, split);
    }

    fn finish_value(&mut self, start: usize, split: usize) {
        let end = self.bytes.len();
        self.bytes.push(0);
        self.spans.push(Span { name: start..split, value: split + 1..end });
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

    /// Gives `put` the pairs whose names are not `hidden`, in order: each name and each value with the NUL behind it, in
    /// as few pieces as the memory allows. Answers how many pairs that were; `None` when one has an empty name.
    #[inline]
    pub(crate) fn write_terminated(
        &self,
        hidden: impl Fn(&[u8]) -> bool,
        mut put: impl FnMut(&[u8]),
    ) -> Option<usize> {
        let mut count = 0;
        let mut run = 0..0;
        for span in &self.spans {
            let name = self.bytes.get(span.name.clone())?;
            if name.is_empty() {
                return None;
            }
            if hidden(name) {
                continue;
            }
            count += 1;
            if span.name.start == run.end && span.value.start == span.name.end + 1 {
                run.end = span.value.end + 1;
                continue;
            }
            for part in [&span.name, &span.value] {
                if part.start != run.end {
                    put(self.bytes.get(run)?);
                    run = part.clone();
                }
                run.end = part.end + 1;
            }
        }
        put(self.bytes.get(run)?);
        Some(count)
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
    fn neighbours_are_written_as_one_piece() {
        let written = |fields: &Fields, hidden: &[u8]| {
            let mut pieces = Vec::new();
            let put = |piece: &[u8]| pieces.push(String::from_utf8_lossy(piece).replace('\0', "."));
            let count = fields.write_terminated(|name| name == hidden, put).unwrap();
            pieces.retain(|piece| !piece.is_empty());
            (count, pieces)
        };
        let mut fields = Fields::default();
        assert_eq!(written(&fields, b""), (0, vec![]));
        fields.push(b"A", b"1");
        fields.push_parts(b"B", &[b"2", b"3"]);
        fields.push_with(|name| name.push(b'C'), b"");
        assert_eq!(written(&fields, b""), (3, vec!["A.1.B.23.C..".to_owned()]));
        assert_eq!(written(&fields, b"B"), (2, vec!["A.1.".to_owned(), "C..".to_owned()]));
        fields.replace(1, b"4");
        fields.push(b"D", b"5");
        assert_eq!(written(&fields, b"C").1.concat(), "A.1.B.4.D.5.");
        fields.append_to(0, b",", b"6");
        fields.remove(1);
        assert_eq!(written(&fields, b"").1.concat(), "A.1,6.C..D.5.");
        fields.push(b"", b"7");
        assert_eq!(fields.write_terminated(|_| false, |_| ()), None);
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
    fn names_and_values_are_followed_by_nul() {
        let mut fields = Fields::default();
        fields.push(b"A", b"1");
        fields.append_to(0, b", ", b"3");
        for span in &fields.spans {
            assert_eq!((fields.bytes[span.name.end], fields.bytes[span.value.end]), (0, 0));
        }
    }
}
