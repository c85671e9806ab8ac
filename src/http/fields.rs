// SPDX-License-Identifier: MIT OR Apache-2.0
//! An ordered list of name-value pairs in one buffer.

use std::ops::Range;

use super::memory::{ListMemory, Pair};
use crate::wire::PairLength;

/// How the pairs of a list stand in memory, each right behind the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// The name, a NUL, the value, a NUL: both servers and `gangway.h` want C strings, and so does SCGI.
    #[default]
    Terminated,
    /// FastCGI §3.4: the lengths of both in a byte, or in four if they are larger than 127; the name, the value.
    /// Lengths of more than 31 bits are left out.
    FastCgi,
    /// uwsgi: the length of the name in two bytes, little endian, the name, and the value likewise. Lengths of more than 16
    /// bits are not to be trusted.
    Uwsgi,
}

/// Names and values in order, in one allocation of bytes and one of positions.
///
/// They stand there as those want them who get them in the end, which can then take all of them as they are.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    memory: ListMemory,
    layout: Layout,
    /// Bytes between the pairs belong to none of them any more, or the order is another.
    is_scattered: bool,
}

/// Where that stands which is written at the end.
#[inline]
fn written(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = bytes.len();
    write(bytes);
    start..bytes.len()
}

/// Copies bytes into room that holds NULs, and leaves one of those behind them. Answers how many bytes those are.
#[inline]
fn put_terminated(room: &mut &mut [u8], bytes: &[u8]) -> usize {
    if let Some((place, [_nul, rest @ ..])) = std::mem::take(room).split_at_mut_checked(bytes.len()) {
        place.copy_from_slice(bytes);
        *room = rest;
    }
    bytes.len()
}

impl Fields {
    /// An empty list with room for `fields` pairs of `bytes` bytes together.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self { memory: ListMemory::with_capacity(fields, bytes + 2 * fields), ..Self::default() }
    }

    /// The same, in memory that serves one request of this thread after the other: for a thread with many requests at a time.
    #[must_use]
    pub fn of_request(fields: usize, bytes: usize) -> Self {
        Self { memory: ListMemory::kept(fields, bytes + 2 * fields), ..Self::default() }
    }

    /// Like [`Self::of_request`] if `other` is, otherwise like [`Self::with_capacity`].
    #[must_use]
    pub(crate) fn like(other: &Self, fields: usize, bytes: usize) -> Self {
        if other.memory.is_kept() {
            Self::of_request(fields, bytes)
        } else {
            Self::with_capacity(fields, bytes)
        }
    }

    /// Gives back what is not used: of a list that stays for long.
    pub fn shrink(&mut self) {
        self.memory.bytes.shrink_to_fit();
        self.memory.pairs.shrink_to_fit();
    }

    /// Forgets all pairs and keeps the memory, for pairs of another layout.
    pub fn begin(&mut self, layout: Layout) {
        self.memory.bytes.clear();
        self.memory.pairs.clear();
        (self.layout, self.is_scattered) = (layout, false);
    }

    /// Adds a pair at the end.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let pair = self.add(
            [name.len(), value.len()],
            |bytes| bytes.extend_from_slice(name),
            |bytes| bytes.extend_from_slice(value),
        );
        self.memory.pairs.push(pair);
    }

    /// Adds these pairs, for which room is made once where it is known how much that is.
    #[inline]
    pub fn push_all(&mut self, pairs: &[(&[u8], &[u8])]) {
        if self.layout != Layout::Terminated {
            return self.push_each(pairs);
        }
        let mut at = self.memory.bytes.len();
        let length = pairs.iter().fold(0, |sum, (name, value)| sum + name.len() + value.len() + 2);
        self.memory.bytes.resize(at + length, 0);
        let mut room = self.memory.bytes.get_mut(at..).unwrap_or_default();
        self.memory.pairs.extend(pairs.iter().map(|(name, value)| {
            let name = at..at + put_terminated(&mut room, name);
            let value = name.end + 1..name.end + 1 + put_terminated(&mut room, value);
            at = value.end + 1;
            Pair { name, value }
        }));
    }

    #[inline(never)]
    fn push_each(&mut self, pairs: &[(&[u8], &[u8])]) {
        for (name, value) in pairs {
            let pair = self.add(
                [name.len(), value.len()],
                |bytes| bytes.extend_from_slice(name),
                |bytes| bytes.extend_from_slice(value),
            );
            self.memory.pairs.push(pair);
        }
    }

    /// Adds a pair whose value is these parts one after the other.
    pub fn push_parts(&mut self, name: &[u8], [first, second]: [&[u8]; 2]) {
        let pair = self.add(
            [name.len(), first.len() + second.len()],
            |bytes| bytes.extend_from_slice(name),
            |bytes| {
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(second);
            },
        );
        self.memory.pairs.push(pair);
    }

    /// Adds a pair whose name is `prefix` and then each byte of `name` as `map` wants it.
    pub fn push_mapped(&mut self, prefix: &[u8], name: &[u8], map: impl Fn(u8) -> u8, value: &[u8]) {
        let pair = self.add(
            [prefix.len() + name.len(), value.len()],
            |bytes| {
                bytes.extend_from_slice(prefix);
                bytes.extend(name.iter().map(|byte| map(*byte)));
            },
            |bytes| bytes.extend_from_slice(value),
        );
        self.memory.pairs.push(pair);
    }

    /// Writes a pair behind all others. The closures write as many bytes as `lengths` says.
    #[inline]
    fn add(
        &mut self,
        lengths: [usize; 2],
        write_name: impl FnOnce(&mut Vec<u8>),
        write_value: impl FnOnce(&mut Vec<u8>),
    ) -> Pair {
        let bytes = &mut self.memory.bytes;
        match self.layout {
            Layout::Terminated => {
                let name = written(bytes, write_name);
                bytes.push(0);
                let value = written(bytes, write_value);
                bytes.push(0);
                Pair { name, value }
            }
            Layout::FastCgi => {
                match lengths.map(u8::try_from) {
                    [Ok(name @ ..=127), Ok(value @ ..=127)] => bytes.extend_from_slice(&[name, value]),
                    _ => lengths
                        .into_iter()
                        .filter_map(PairLength::of)
                        .for_each(|length| bytes.extend_from_slice(length.bytes())),
                }
                Pair { name: written(bytes, write_name), value: written(bytes, write_value) }
            }
            Layout::Uwsgi => {
                bytes.extend_from_slice(&(lengths[0] as u16).to_le_bytes());
                let name = written(bytes, write_name);
                bytes.extend_from_slice(&(lengths[1] as u16).to_le_bytes());
                Pair { name, value: written(bytes, write_value) }
            }
        }
    }

    /// How many bytes of memory the names and values could have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.memory.bytes.capacity()
    }

    /// Replaces the value of the pair at `index` by itself, `separator` and `more`.
    pub fn append_to(&mut self, index: usize, separator: &[u8], more: &[u8]) {
        self.rewrite(index, true, &[separator, more]);
    }

    /// Replaces the value of the pair at `index`.
    pub fn replace(&mut self, index: usize, value: &[u8]) {
        self.rewrite(index, false, &[value]);
    }

    /// Writes the pair at `index` anew: the value that it has, if that stays, and then `parts`.
    fn rewrite(&mut self, index: usize, stays: bool, parts: &[&[u8]]) {
        let Some(Pair { name, value }) = self.memory.pairs.get(index).cloned() else { return };
        let old = if stays { value } else { 0..0 };
        let length = old.len() + parts.iter().map(|part| part.len()).sum::<usize>();
        let pair = self.add(
            [name.len(), length],
            |bytes| bytes.extend_from_within(name),
            |bytes| {
                bytes.extend_from_within(old);
                parts.iter().for_each(|part| bytes.extend_from_slice(part));
            },
        );
        if let Some(place) = self.memory.pairs.get_mut(index) {
            *place = pair;
        }
        self.is_scattered = true;
    }

    /// Removes the pair at `index`, keeping the order of the others.
    pub fn remove(&mut self, index: usize) {
        if index < self.memory.pairs.len() {
            self.memory.pairs.remove(index);
            self.is_scattered = true;
        }
    }

    /// The position of the first pair with this name, byte for byte.
    #[must_use]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.names().position(|known| known == name)
    }

    /// The value of the first pair with this name, byte for byte.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.position(name).and_then(|index| self.pair(index)).map(|(_, value)| value)
    }

    /// The pair at `index`.
    #[must_use]
    pub fn pair(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.memory.pairs.get(index)?.of(&self.memory.bytes)
    }

    /// All pairs in order, if they have this layout and nothing else stands among them.
    #[must_use]
    pub(crate) fn in_one_piece(&self, layout: Layout) -> Option<&[u8]> {
        (self.layout == layout && !self.is_scattered).then_some(&self.memory.bytes)
    }

    /// All pairs in order but the one at `index`, in pieces, if they are [terminated][Layout::Terminated] and nothing else
    /// stands among them.
    #[must_use]
    pub(crate) fn terminated_but(&self, index: Option<usize>) -> Option<[&[u8]; 2]> {
        let all = self.in_one_piece(Layout::Terminated)?;
        let Some(index) = index else { return Some([all, b""]) };
        let pair = self.memory.pairs.get(index)?;
        Some([all.get(..pair.name.start)?, all.get(pair.value.end + 1..)?])
    }

    /// The position of the first pair from `first` on that has the name of the last one, if that is another one.
    #[must_use]
    pub(crate) fn same_as_last(&self, first: usize) -> Option<usize> {
        let (last, others) = self.memory.pairs.split_last()?;
        let (others, name) = (others.get(first..)?, self.memory.bytes.get(last.name.clone())?);
        let is_same = |pair: &Pair| {
            pair.name.end - pair.name.start == name.len()
                && self.memory.bytes.get(pair.name.clone()) == Some(name)
        };
        others.iter().position(is_same).map(|at| first + at)
    }

    /// The names in order.
    #[inline]
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.memory.pairs.iter().map(|pair| self.memory.bytes.get(pair.name.clone()).unwrap_or_default())
    }

    /// The number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.pairs.is_empty()
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // Who collects them knows how many there are.
        let bytes = self.memory.bytes.as_slice();
        self.memory.pairs.iter().map(move |pair| pair.of(bytes).unwrap_or_default())
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
    fn all_are_one_piece_in_their_own_layout() {
        let layouts = [Layout::Terminated, Layout::FastCgi, Layout::Uwsgi];
        let long = [b'v'; 300];
        for (layout, expected) in layouts.into_iter().zip([
            [&b"A\x001\0B\0"[..], &long, b"\0"].concat(),
            [&b"\x01\x01A1\x01\x80\0\x01\x2cB"[..], &long].concat(),
            [&b"\x01\0A\x01\x001\x01\0B\x2c\x01"[..], &long].concat(),
        ]) {
            let mut fields = Fields::default();
            fields.begin(layout);
            fields.push(b"A", b"1");
            fields.push(b"B", &long);
            assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"A"[..], &b"1"[..]), (b"B", &long)]);
            for other in layouts {
                assert_eq!(fields.in_one_piece(other), (other == layout).then_some(expected.as_slice()));
            }
            let mut changed = fields.clone();
            changed.remove(0);
            assert_eq!(changed.in_one_piece(layout), None);
            fields.replace(0, b"2");
            assert_eq!(fields.in_one_piece(layout), None);
        }
    }

    #[test]
    fn pairs_that_come_together_stand_as_those_that_come_one_by_one() {
        let long = [b'v'; 300];
        let pairs: [(&[u8], &[u8]); 4] = [(b"A", b"1"), (b"", b""), (b"NAME", &long), (b"B", b"")];
        for layout in [Layout::Terminated, Layout::FastCgi, Layout::Uwsgi] {
            let (mut fields, mut each) = (Fields::default(), Fields::default());
            for list in [&mut fields, &mut each] {
                list.begin(layout);
                list.push(b"FIRST", b"0");
            }
            fields.push_all(&pairs);
            fields.push_all(&[]);
            fields.push(b"LAST", b"2");
            pairs
                .into_iter()
                .chain([(&b"LAST"[..], &b"2"[..])])
                .for_each(|(name, value)| each.push(name, value));
            assert_eq!(fields.iter().collect::<Vec<_>>(), each.iter().collect::<Vec<_>>());
            assert_eq!(fields.in_one_piece(layout), each.in_one_piece(layout));
        }
    }

    #[test]
    fn one_pair_is_found_that_has_the_name_of_the_last() {
        let mut fields = Fields::default();
        let found = |fields: &Fields| [0, 1, 2, 9].map(|first| fields.same_as_last(first));
        assert_eq!(found(&fields), [None; 4]);
        [b"A", b"B", b"a", b"A"].iter().for_each(|name| fields.push(*name, b"1"));
        assert_eq!(found(&fields), [Some(0), None, None, None]);
        fields.push(b"B", b"2");
        assert_eq!(found(&fields), [Some(1), Some(1), None, None]);
    }

    #[test]
    fn one_pair_can_be_left_out() {
        let mut fields = Fields::default();
        [b"A", b"B", b"C"].iter().for_each(|name| fields.push(*name, b"1"));
        for (index, expected) in [
            (None, Some(["A.1.B.1.C.1.", ""])),
            (Some(0), Some(["", "B.1.C.1."])),
            (Some(1), Some(["A.1.", "C.1."])),
            (Some(2), Some(["A.1.B.1.", ""])),
            (Some(3), None),
        ] {
            let found = fields.terminated_but(index);
            let found =
                found.map(|pieces| pieces.map(|piece| String::from_utf8_lossy(piece).replace('\0', ".")));
            assert_eq!(found, expected.map(|pieces| pieces.map(String::from)), "{index:?}");
        }
        fields.replace(1, b"2");
        assert_eq!(fields.terminated_but(None), None);
    }

    #[test]
    fn a_value_can_grow_shrink_and_go() {
        for layout in [Layout::Terminated, Layout::FastCgi, Layout::Uwsgi] {
            let mut fields = Fields::with_capacity(2, 16);
            fields.begin(layout);
            fields.push(b"A", b"1");
            fields.push_mapped(b"", b"b", |byte| byte.to_ascii_uppercase(), b"2");
            fields.append_to(0, b", ", b"3");
            assert_eq!(fields.get(b"A"), Some(&b"1, 3"[..]));
            fields.replace(0, b"");
            assert_eq!(fields.get(b"A"), Some(&b""[..]));
            fields.remove(0);
            assert_eq!(fields.iter().collect::<Vec<_>>(), [(&b"B"[..], &b"2"[..])]);
            fields.push_parts(b"C", [b"/srv", b"/x"]);
            assert_eq!(fields.get(b"C"), Some(&b"/srv/x"[..]));
            fields.begin(Layout::Terminated);
            assert!(fields.is_empty() && fields.get(b"B").is_none() && fields.capacity() >= 18);
        }
    }

    #[test]
    fn names_and_values_are_followed_by_nul() {
        let mut fields = Fields::default();
        fields.push(b"A", b"1");
        fields.push_parts(b"B", [b"2", b"3"]);
        fields.push_mapped(b"X-", b"c", |byte| byte.to_ascii_uppercase(), b"");
        fields.append_to(0, b",", b"6");
        fields.replace(1, b"4");
        for pair in &fields.memory.pairs {
            assert_eq!((fields.memory.bytes[pair.name.end], fields.memory.bytes[pair.value.end]), (0, 0));
        }
    }
}
