// SPDX-License-Identifier: MIT OR Apache-2.0
//! The application's side of the protocols, written a second time and without the code that it judges. What
//! it is not given it cannot read: it panics.

/// A name and a value.
pub(crate) type NameValue = (Vec<u8>, Vec<u8>);

/// A FastCGI record as it stands on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) id: u16,
    pub(crate) content: Vec<u8>,
    pub(crate) padding: u8,
}

/// The records of a request, all of them whole.
pub(crate) fn records(mut wire: &[u8]) -> Vec<Record> {
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
pub(crate) fn pairs(mut stream: &[u8]) -> Vec<NameValue> {
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
pub(crate) fn fastcgi_head(wire: &[u8]) -> (u8, u8, Vec<NameValue>) {
    let records = records(wire);
    assert!(records.iter().all(|record| record.id == 1));
    let [begin, params @ .., last] = records.as_slice() else { panic!("{} records", records.len()) };
    assert_eq!((begin.kind, begin.content.len(), begin.content[0]), (1, 8, 0));
    assert_eq!(begin.content[3..], [0; 5]);
    assert_eq!(last.content, b"", "the stream ends with an empty record");
    assert!(params.iter().all(|record| !record.content.is_empty()), "no other record is empty");
    assert!(records.iter().skip(1).all(|record| record.kind == 4));
    let stream: Vec<u8> = params.iter().flat_map(|record| record.content.clone()).collect();
    (begin.content[1], begin.content[2], pairs(&stream))
}

/// An SCGI request without its body.
pub(crate) fn scgi_head(wire: &[u8]) -> Vec<NameValue> {
    let mut parts = wire.splitn(2, |byte| *byte == b':');
    let (digits, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some(block) = rest.strip_suffix(b"\0,") else { panic!("not a netstring of headers") };
    assert_eq!(digits, (block.len() + 1).to_string().as_bytes());
    let words: Vec<&[u8]> = block.split(|byte| *byte == 0).collect();
    assert_eq!(words.len() % 2, 0);
    words.chunks(2).map(|pair| (pair[0].to_vec(), pair[1].to_vec())).collect()
}

/// A uwsgi packet of variables alone: modifiers and variables.
pub(crate) fn uwsgi_head(wire: &[u8]) -> (u8, u8, Vec<NameValue>) {
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
