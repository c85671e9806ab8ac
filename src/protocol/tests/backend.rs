// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records as a backend writes them, right or wrong.

use crate::fuzzing::reference::Record;

impl Record {
    pub(crate) fn new(kind: u8, content: &[u8]) -> Self {
        Self { kind, id: 1, content: content.to_vec(), padding: 0 }
    }

    pub(crate) fn padded(kind: u8, content: &[u8], padding: u8) -> Self {
        Self { padding, ..Self::new(kind, content) }
    }

    /// The padding is no zeros: nothing of it may come out anywhere.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = vec![1, self.kind];
        wire.extend(self.id.to_be_bytes());
        wire.extend(length(&self.content));
        wire.extend([self.padding, 0xee]);
        wire.extend(&self.content);
        wire.extend(std::iter::repeat_n(0xdd, usize::from(self.padding)));
        wire
    }
}

/// §3.3: a record holds 65,535 bytes.
fn length(content: &[u8]) -> [u8; 2] {
    assert!(content.len() <= 65_535);
    [(content.len() / 256) as u8, (content.len() % 256) as u8]
}

pub(crate) fn wire(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::wire).collect()
}
