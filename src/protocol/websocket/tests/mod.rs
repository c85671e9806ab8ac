// SPDX-License-Identifier: MIT OR Apache-2.0
//! The standards' own bytes, every rule with the bytes that break it, everything whole, at each split and byte by byte.

mod closing;
mod compressed;
mod frames;
mod handshakes;
mod oracle;
mod time;

use std::time::{Duration, Instant};

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame of the client's, written without the code that reads it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match payload.len() {
        length @ ..126 => wire.push(0x80 | length as u8),
        length @ 126..65536 => {
            wire.push(0x80 | 126);
            wire.extend((length as u16).to_be_bytes());
        }
        length => {
            wire.push(0x80 | 127);
            wire.extend((length as u64).to_be_bytes());
        }
    }
    wire.extend(MASK);
    wire.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    wire
}

/// A frame of the server's: its first byte and its payload; what follows it.
fn read_frame(wire: &[u8]) -> (u8, &[u8], &[u8]) {
    let (first, second) = (wire[0], wire[1]);
    assert_eq!(second & 0x80, 0, "a server must not mask");
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
        127 => (usize::try_from(u64::from_be_bytes(wire[2..10].try_into().unwrap())).unwrap(), 10),
        length => (usize::from(length), 2),
    };
    (first, &wire[head..head + length], &wire[head + length..])
}

fn rules(message_most: usize) -> SocketRules {
    SocketRules {
        message_most,
        compression: None,
        ping_every: Some(Duration::from_secs(20)),
        ping_wait: Duration::from_secs(20),
        close_wait: Duration::from_secs(5),
        idle: None,
    }
}

fn deflating(message_most: usize) -> SocketRules {
    let fields = [
        (&b"Sec-WebSocket-Key"[..], &b"dGhlIHNhbXBsZSBub25jZQ=="[..]),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    ];
    let compression = Handshake::read(fields.into_iter(), true).unwrap().accept(None).compression;
    assert!(compression.is_some());
    SocketRules { compression, ..rules(message_most) }
}

/// What a connection made of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    events: Vec<SocketEvent>,
    written: Vec<u8>,
    over: bool,
}

/// Gives the parts one after the other and takes everything at once.
fn hear<'p>(rules: SocketRules, parts: impl IntoIterator<Item = &'p [u8]>) -> Heard {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules, now);
    let mut heard = Heard::default();
    for part in parts {
        let mut part = part;
        while !part.is_empty() && !socket.is_over() {
            let taken = socket.handle_bytes(part, now);
            assert!(taken > 0, "bytes that are wanted are taken");
            part = &part[taken..];
            heard.events.extend(std::iter::from_fn(|| socket.poll()));
        }
        write_all(&mut socket, &mut heard.written);
    }
    heard.over = socket.is_over();
    heard
}

fn write_all(socket: &mut WebSocket, into: &mut Vec<u8>) {
    loop {
        let count = socket.output().len();
        if count == 0 {
            return;
        }
        into.extend_from_slice(socket.output());
        socket.handle_written(count);
    }
}

/// Whole, at each split, and byte by byte: it is the same.
fn hear_cut(rules: SocketRules, wire: &[u8]) -> Heard {
    let whole = hear(rules, [wire]);
    for cut in 1..wire.len() {
        let (a, b) = wire.split_at(cut);
        let cut_once = hear(rules, [a, b]);
        assert_eq!(cut_once.events, whole.events, "cut after byte {cut}");
        assert_eq!(cut_once.over, whole.over, "cut after byte {cut}");
    }
    let bytes = hear(rules, wire.chunks(1));
    assert_eq!((&bytes.events, bytes.over), (&whole.events, whole.over), "byte by byte");
    whole
}

fn text(payload: &str) -> SocketEvent {
    SocketEvent::Message(SocketMessage { content: Content::Text, payload: payload.into() })
}

fn binary(payload: &[u8]) -> SocketEvent {
    SocketEvent::Message(SocketMessage { content: Content::Binary, payload: payload.into() })
}

/// That these bytes fail the connection with this number, cut anywhere, and the client is told so.
fn fails(rules: SocketRules, wire: &[u8], code: u16) {
    let heard = hear_cut(rules, wire);
    let Some(SocketEvent::Closed { code: told, reason }) = heard.events.last() else {
        panic!("not closed: {heard:?}");
    };
    assert_eq!(*told, code, "{reason}");
    let (first, payload, rest) = read_frame(&heard.written);
    assert_eq!((first, &payload[..2], rest), (0x88, &code.to_be_bytes()[..], &b""[..]));
    assert_eq!(&payload[2..], reason.as_bytes());
}
