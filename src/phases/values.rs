// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes of a snapshot: what a server tells stands in one buffer, and what handlers make of it there as well while there is room.

use std::num::NonZeroU32;

/// Whether a status line, `404 Not here`, is one of this status.
#[must_use]
pub fn is_line_of(line: &[u8], status: i64) -> bool {
    line.get(..3) == Some(status.to_string().as_bytes()) && line.get(3).is_none_or(|byte| *byte == b' ')
}

/// A part of an entry of a table.
#[derive(Clone, Debug)]
pub(super) enum SnapshotValue {
    /// In the buffer.
    Told(SnapshotRange),
    /// It can be as long as a handler likes, and set as often.
    Own(Vec<u8>),
}

/// Where in the buffer a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotRange {
    from: u32,
    /// What follows it is at the place before this.
    behind: NonZeroU32,
}

/// The buffer of a server's values. It grows until the request ends, with what is new each time that the server tells something.
#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotValues(Vec<u8>);

/// What most requests need.
const USUAL: usize = 1024;

impl SnapshotValues {
    /// The bytes of a value.
    pub(super) fn get<'v>(&'v self, value: &'v SnapshotValue) -> &'v [u8] {
        match value {
            SnapshotValue::Told(range) => self.slice(*range),
            SnapshotValue::Own(bytes) => bytes,
        }
    }

    /// Whether a value is this one, in any case.
    pub(super) fn is(&self, value: &SnapshotValue, text: &[u8]) -> bool {
        self.get(value).eq_ignore_ascii_case(text)
    }

    /// The bytes at a place.
    pub(super) fn slice(&self, range: SnapshotRange) -> &[u8] {
        self.0.get(range.from as usize..range.behind.get() as usize - 1).unwrap_or_default()
    }

    /// A value that the server tells. `None`: the buffer is as long as it can be.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<SnapshotRange> {
        if self.0.capacity() == 0 {
            self.0.reserve(USUAL);
        }
        let behind = u32::try_from(self.0.len() + bytes.len() + 1).ok().and_then(NonZeroU32::new)?;
        let from = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Some(SnapshotRange { from, behind })
    }

    /// A value that handlers set, if there is room: the buffer does not grow by what can be set again and again.
    pub(super) fn put_in_room(&mut self, bytes: &[u8]) -> Option<SnapshotRange> {
        if bytes.len() <= self.0.capacity() - self.0.len() { self.put(bytes) } else { None }
    }

    /// The same for a table.
    pub(super) fn tell(&mut self, bytes: &[u8]) -> SnapshotValue {
        self.put(bytes).map_or_else(|| SnapshotValue::Own(bytes.to_vec()), SnapshotValue::Told)
    }

    /// What handlers set, for a table.
    pub(super) fn set(&mut self, bytes: &[u8]) -> SnapshotValue {
        self.put_in_room(bytes).map_or_else(|| SnapshotValue::Own(bytes.to_vec()), SnapshotValue::Told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_they_were_told() {
        let mut values = SnapshotValues::default();
        let all = [&b"one"[..], b"", b"three"].map(|bytes| values.tell(bytes));
        let found = all.each_ref().map(|value| values.get(value));
        assert_eq!(found, [&b"one"[..], b"", b"three"]);
        assert_eq!(values.get(&SnapshotValue::Own(b"own".to_vec())), b"own");
    }

    #[test]
    fn what_handlers_set_does_not_make_the_buffer_longer() {
        let mut values = SnapshotValues::default();
        assert!(matches!(values.set(b"none is there"), SnapshotValue::Own(_)));
        values.tell(b"some");
        let room = values.0.capacity();
        let all: Vec<_> = (0..100).map(|_| values.set(&[b'v'; 50])).collect();
        assert!(all.iter().all(|value| values.get(value) == [b'v'; 50]));
        assert!(matches!(all.first(), Some(SnapshotValue::Told(_))) && values.0.capacity() == room);
    }
}
