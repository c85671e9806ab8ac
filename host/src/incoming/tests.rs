// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests come whole, at every split and byte by byte, and always say the same.

use proptest::prelude::*;

use super::*;

fn record(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let id = id.to_be_bytes();
    let mut bytes = vec![1, kind, id[0], id[1], length[0], length[1], padding, 0];
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + usize::from(padding), 0xee);
    bytes
}

fn begin(id: u16, role: u8, keep: bool) -> Vec<u8> {
    record(1, id, &[0, role, u8::from(keep), 0, 0, 0, 0, 0], 0)
}

/// What a connection says, with the bodies read in pieces of `size`, when its bytes come in these parts.
fn transcript(parts: &[&[u8]], size: usize) -> Vec<String> {
    let mut incoming = Incoming::new();
    let mut said = Vec::new();
    let mut reading = None::<Vec<u8>>;
    for part in parts {
        incoming.keep(part);
        loop {
            if let Some(body) = &mut reading {
                let mut out = vec![0; size];
                match incoming.body(&mut out) {
                    Ok(count) => body.extend_from_slice(&out[..count]),
                    Err(error) => said.push(format!("{error:?}")),
                }
                if !incoming.is_whole() && incoming.kept() > 0 {
                    continue;
                }
                if !incoming.is_whole() {
                    break;
                }
                said.push(format!("body {:?}", String::from_utf8_lossy(body)));
                reading = None;
                incoming.end();
            }
            let rest = incoming.take_rest();
            let mut input = rest.as_slice();
            match incoming.take(&mut input) {
                Ok(Some(message)) => {
                    if let Message::Request(_) = message {
                        said.push(format!("{:?} {message:?}", String::from_utf8_lossy(incoming.variables())));
                        reading = Some(Vec::new());
                    } else {
                        said.push(format!("{message:?}"));
                        if let Message::Aborted(_) | Message::TooLarge(_) = message {
                            incoming.end();
                        }
                    }
                    incoming.keep(input);
                }
                Ok(None) => break,
                Err(error) => {
                    said.push(error.to_string());
                    return said;
                }
            }
        }
    }
    said.push(format!("idle: {}", incoming.is_idle()));
    said
}

/// Two requests, the second without a body, with padding, and a question between them.
fn wire() -> Vec<u8> {
    [
        begin(1, 1, true),
        record(4, 1, b"\x01\x01A", 3),
        record(4, 1, b"1\x01\x00B", 0),
        record(4, 1, b"", 2),
        record(5, 1, b"one ", 4),
        record(5, 1, b"two", 0),
        record(5, 1, b"", 0),
        record(9, 0, b"\x0f\0FCGI_MPXS_CONNS", 0),
        begin(1, 1, false),
        record(4, 1, b"\x01\x01C2", 0),
        record(4, 1, b"", 0),
        record(5, 1, b"", 1),
        record(77, 0, b"", 0),
        begin(2, 3, true),
    ]
    .concat()
}

#[test]
fn a_conversation_is_understood() {
    let said = transcript(&[&wire()], 100);
    assert_eq!(said.len(), 8, "{said:#?}");
    assert_eq!(said[0], "\"\\u{1}\\u{1}A1\\u{1}\\0B\" Request(Begun { id: 1, keep_connection: true })");
    assert_eq!(said[1], "body \"one two\"");
    assert!(
        said[2].contains("keep_connection: true") && said[2].contains("[1, 10, 0, 0, 0, 18, 0, 0, 15, 1,"),
        "{}",
        said[2]
    );
    assert!(said[3].ends_with("Request(Begun { id: 1, keep_connection: false })") && said[4] == "body \"\"");
    assert!(said[5].contains("[1, 11, 0, 0, 0, 8, 0, 0, 77,"), "{}", said[5]);
    assert!(
        said[6].contains("[1, 3, 0, 2, 0, 8, 0, 0, 0, 0, 0, 0, 3,"),
        "a filter is not known: {}",
        said[6]
    );
    assert_eq!(said[7], "idle: true");
}

#[test]
fn it_says_the_same_at_every_split_and_byte_by_byte() {
    let wire = wire();
    let whole = transcript(&[&wire], 100);
    for cut in 1..wire.len() {
        let (a, b) = wire.split_at(cut);
        assert_eq!(transcript(&[a, b], 100), whole, "cut after byte {cut}");
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    for size in [1, 2, 3, 100] {
        assert_eq!(transcript(&bytes, size), whole, "pieces of {size}");
        assert_eq!(transcript(&[&wire], size), whole, "pieces of {size}");
    }
}

#[test]
fn a_second_request_at_a_time_is_refused() {
    let wire = [begin(1, 1, true), begin(2, 1, true)].concat();
    let said = transcript(&[&wire], 9);
    assert!(said[0].contains("[1, 3, 0, 2, 0, 8, 0, 0, 0, 0, 0, 0, 1,"), "FCGI_CANT_MPX_CONN: {said:?}");
    assert_eq!(said[1], "idle: false");
}

#[test]
fn variables_are_bounded() {
    let mut wire = begin(1, 1, true);
    let part = vec![0; 65_000];
    for _ in 0..=VARIABLES_MOST / part.len() {
        wire.extend(record(4, 1, &part, 0));
    }
    wire.extend(record(4, 1, b"", 0));
    assert_eq!(transcript(&[&wire], 9), ["TooLarge(Begun { id: 1, keep_connection: true })", "idle: true"]);
}

#[test]
fn an_abort_is_seen_before_and_within_a_body() {
    let before = [begin(1, 1, true), record(2, 1, b"", 0)].concat();
    assert_eq!(transcript(&[&before], 9)[0], "Aborted(Begun { id: 1, keep_connection: true })");
    let mut incoming = Incoming::new();
    let head = [begin(1, 1, true), record(4, 1, b"", 0)].concat();
    assert!(matches!(incoming.take(&mut head.as_slice()), Ok(Some(Message::Request(_)))));
    incoming.keep(&[record(5, 1, b"ab", 0), record(2, 1, b"", 0)].concat());
    let mut out = [0; 2];
    assert_eq!(incoming.body(&mut out), Ok(2));
    assert!(incoming.is_aborted());
    assert_eq!(incoming.body(&mut out), Err(BodyError::Aborted));
}

#[test]
fn a_request_without_a_body_is_whole_at_once() {
    let mut incoming = Incoming::new();
    let wire = [begin(1, 1, true), record(4, 1, b"", 0), record(5, 1, b"", 0)].concat();
    let mut input = wire.as_slice();
    assert!(matches!(incoming.take(&mut input), Ok(Some(Message::Request(_)))));
    assert!(incoming.look_ahead(&mut input) && input.is_empty() && incoming.is_whole());
    incoming.end();
    assert!(incoming.is_idle());
    let wire = [begin(1, 2, true), record(4, 1, b"", 0)].concat();
    let mut input = wire.as_slice();
    assert!(matches!(incoming.take(&mut input), Ok(Some(Message::Request(_)))));
    assert!(incoming.look_ahead(&mut input), "an authorizer gets no body");
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6), size in 1usize..20) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let _ = transcript(&parts, size);
    }

    #[test]
    fn bodies_come_as_they_were_sent(body in proptest::collection::vec(any::<u8>(), 0..400), record_size in 1usize..90, part in 1usize..50, size in 1usize..70) {
        let mut wire = [begin(7, 1, true), record(4, 7, b"", 0)].concat();
        for content in body.chunks(record_size) {
            wire.extend(record(5, 7, content, (content.len() % 8) as u8));
        }
        wire.extend(record(5, 7, b"", 0));
        let parts: Vec<&[u8]> = wire.chunks(part).collect();
        let said = transcript(&parts, size);
        prop_assert_eq!(&said[1], &format!("body {:?}", String::from_utf8_lossy(&body)));
    }
}
