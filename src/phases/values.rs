// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes of a snapshot: what a server tells stands in one buffer, what handlers make of it in memory of its own.

/// A text, or a part of an entry of a table.
#[derive(Clone, Debug, Default)]
pub(super) enum SnapshotValue {
    /// There is none.
    #[default]
    Absent,
    /// From the first of these places of the buffer to before the second.
    Told(u32, u32),
    /// It can be as long as a handler likes, and set as often.
    Own(Vec<u8>),
}

/// The buffer of a server's values. It grows until the request ends, with what is new each time that the server tells something.
#[derive(Clone, Debug, Default)]
pub(super) struct SnapshotValues(Vec<u8>);

/// What most requests need.
const USUAL: usize = 1024;

impl SnapshotValues {
    /// The bytes of a value.
    pub(super) fn get<'v>(&'v self, value: &'v SnapshotValue) -> Option<&'v [u8]> {
        match value {
            SnapshotValue::Absent => None,
            SnapshotValue::Told(from, to) => self.0.get(*from as usize..*to as usize),
            SnapshotValue::Own(bytes) => Some(bytes),
        }
    }

    /// A value that the server tells.
    pub(super) fn tell(&mut self, bytes: &[u8]) -> SnapshotValue {
        if self.0.capacity() == 0 {
            self.0.reserve(USUAL);
        }
        let (from, to) = (u32::try_from(self.0.len()), u32::try_from(self.0.len() + bytes.len()));
        let (Ok(from), Ok(to)) = (from, to) else { return SnapshotValue::Own(bytes.to_vec()) };
        self.0.extend_from_slice(bytes);
        SnapshotValue::Told(from, to)
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
        assert_eq!(found, [Some(&b"one"[..]), Some(b""), Some(b"three")]);
        assert_eq!(values.get(&SnapshotValue::Absent), None);
        assert_eq!(values.get(&SnapshotValue::Own(b"own".to_vec())), Some(&b"own"[..]));
    }
}
