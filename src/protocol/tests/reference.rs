// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side, written a second time and without the code that it judges.

/// A name and a value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A FastCGI record as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) id: u16,
    pub(super) content: Vec<u8>,
    pub(super) padding: u8,
}

impl Record {
    pub(super) fn new(kind: u8, content: &[u8]) -> Self {
        Self { kind, id: 1, content: content.to_vec(), padding: 0 }
    }

    pub(super) fn padded(kind: u8, content: &[u8], padding: u8) -> Self {
        Self { padding, ..Self::new(kind, content) }
    }

    /// The padding is no zeros: nothing of it may come out anywhere.
    pub(super) fn wire(&self) -> Vec<u8> {
        let mut wire = vec![1, self.kind];
        wire.extend(self.id.to_be_bytes());
        wire.extend(u16::try_from(self.content.len()).expect("a record holds 65,535 bytes").to_be_bytes());
        wire.extend([self.padding, 0xee]);
        wire.extend(&self.content);
        wire.extend(std::iter::repeat_n(0xdd, usize::from(self.padding)));
        wire
    }
}

pub(super) fn wire(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(Record::wire).collect()
}

/// The records of a request, all of them whole.
pub(super) fn records(mut wire: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !wire.is_empty() {
        assert_eq!(wire[0], 1, "version");
        let content = usize::from(wire[4]) * 256 + usize::from(wire[5]);
        let padding = wire[6];
        let end = 8 + content + usize::from(padding);
        records.push(Record {
            kind: wire[1],
            id: u16::from(wire[2]) * 256 + u16::from(wire[3]),
            content: wire[8..8 + content].to_vec(),
            padding,
        });
        wire = &wire[end..];
    }
    records
}

/// The pairs of a whole FCGI_PARAMS stream.
pub(super) fn pairs(mut stream: &[u8]) -> Vec<Pair> {
    fn length(stream: &mut &[u8]) -> usize {
        let long = stream[0] & 0x80 != 0;
        let (digits, rest) = stream.split_at(if long { 4 } else { 1 });
        *stream = rest;
        digits.iter().fold(0, |length, digit| length * 256 + usize::from(*digit)) & 0x7fff_ffff
    }
    let mut pairs = Vec::new();
    while !stream.is_empty() {
        let (name, value) = (length(&mut stream), length(&mut stream));
        let (first, rest) = stream.split_at(name);
        let (second, rest) = rest.split_at(value);
        pairs.push((first.to_vec(), second.to_vec()));
        stream = rest;
    }
    pairs
}

/// A FastCGI request without its body: role, flags, variables.
pub(super) fn fastcgi_head(wire: &[u8]) -> (u8, u8, Vec<Pair>) {
    let records = records(wire);
    assert!(records.iter().all(|record| record.id == 1));
    let (begin, params) = records.split_first().expect("a record");
    assert_eq!((begin.kind, begin.content.len(), begin.content[0]), (1, 8, 0));
    assert_eq!(begin.content[3..], [0; 5]);
    let (last, params) = params.split_last().expect("the end of the parameters");
    assert_eq!(last.content, b"", "the stream ends with an empty record");
    assert!(params.iter().all(|record| !record.content.is_empty()), "no other record is empty");
    assert!(records.iter().skip(1).all(|record| record.kind == 4));
    let stream: Vec<u8> = params.iter().flat_map(|record| record.content.clone()).collect();
    (begin.content[1], begin.content[2], pairs(&stream))
}

/// An SCGI request without its body.
pub(super) fn scgi_head(wire: &[u8]) -> Vec<Pair> {
    let colon = wire.iter().position(|byte| *byte == b':').expect("a netstring");
    let digits = std::str::from_utf8(&wire[..colon]).unwrap();
    let length: usize = digits.parse().unwrap();
    assert_eq!(length.to_string(), digits, "no leading zeros");
    assert_eq!((wire.len(), wire.last()), (colon + 1 + length + 1, Some(&b',')));
    let block = wire[colon + 1..wire.len() - 1].strip_suffix(b"\0").expect("a NUL at the end");
    let words: Vec<&[u8]> = block.split(|byte| *byte == 0).collect();
    assert_eq!(words.len() % 2, 0);
    words.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect()
}

/// A uwsgi packet of variables alone: modifiers and variables.
pub(super) fn uwsgi_head(wire: &[u8]) -> (u8, u8, Vec<Pair>) {
    fn text(block: &mut &[u8]) -> Vec<u8> {
        let length = usize::from(block[0]) + usize::from(block[1]) * 256;
        let (text, rest) = block[2..].split_at(length);
        *block = rest;
        text.to_vec()
    }
    assert_eq!(usize::from(wire[1]) + usize::from(wire[2]) * 256, wire.len() - 4);
    let mut block = &wire[4..];
    let mut pairs = Vec::new();
    while !block.is_empty() {
        pairs.push((text(&mut block), text(&mut block)));
    }
    (wire[0], wire[3], pairs)
}
