// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a WebSocket client may send, against another implementation.

use std::{
    io::{Cursor, Read, Write},
    time::{Duration, Instant},
};

use tungstenite::{
    Error, Message as Theirs,
    error::ProtocolError,
    protocol::{Role as Side, WebSocketConfig},
};

use crate::protocol::websocket::{
    Compression, Content, Handshake, SocketEvent, SocketMessage, SocketRules, WebSocket,
};

/// Small, so that inputs reach it.
const MESSAGE_MOST: usize = 300;

/// The client's bytes, after one that says in which pieces they come and whether messages may be compressed.
///
/// # Panics
/// When it makes a difference where the bytes are cut, when what is written are not frames of a server, when memory is not
/// bounded, or, without compression, when the other implementation reads other messages.
pub fn websocket(data: &[u8]) {
    let Some((how, wire)) = data.split_first() else { return };
    let compression = (how & 1 == 1).then(compression).flatten();
    let whole = run(wire, wire.len().max(1), compression);
    let cut = run(wire, usize::from(how >> 1) + 1, compression);
    assert_eq!(whole.events, cut.events, "where the bytes are cut makes a difference");
    if compression.is_none() {
        compare(&whole.events, wire);
    }
}

/// The fields of a request for a WebSocket: pairs.
///
/// # Panics
/// When an answer holds what must not stand in a header field.
pub fn websocket_handshake(data: &[u8]) {
    let fields = super::pairs(data);
    if let Ok(handshake) = Handshake::read(fields.iter().copied(), true) {
        let chosen = handshake.subprotocols.first().map(String::as_str);
        let accepted = handshake.accept(chosen);
        for (name, value) in &accepted.fields {
            assert!(
                crate::http::is_field_name(name.as_bytes()) && crate::http::is_field_value(value.as_bytes())
            );
        }
        let has = |wanted| accepted.fields.iter().any(|(name, _)| *name == wanted);
        assert!(has("Sec-WebSocket-Accept"));
        assert_eq!(has("Sec-WebSocket-Extensions"), accepted.compression.is_some());
        assert_eq!(has("Sec-WebSocket-Protocol"), chosen.is_some());
    }
}

fn compression() -> Option<Compression> {
    let fields = [
        (&b"Sec-WebSocket-Key"[..], &b"dGhlIHNhbXBsZSBub25jZQ=="[..]),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Extensions", b"permessage-deflate"),
    ];
    Handshake::read(fields.into_iter(), true).ok()?.accept(None).compression
}

/// What came of the bytes.
struct Served {
    events: Vec<SocketEvent>,
}

fn run(wire: &[u8], size: usize, compression: Option<Compression>) -> Served {
    let now = Instant::now();
    let rules = SocketRules {
        message_most: MESSAGE_MOST,
        compression,
        ping_every: Some(Duration::from_secs(20)),
        ping_wait: Duration::from_secs(20),
        close_wait: Duration::from_secs(5),
        idle: None,
    };
    let mut socket = WebSocket::new(rules, now);
    let (mut events, mut written) = (Vec::new(), Vec::new());
    for mut part in wire.chunks(size) {
        while !part.is_empty() && !socket.is_over() {
            let taken = socket.handle_bytes(part, now);
            assert!(taken > 0 && taken <= part.len());
            part = part.get(taken..).unwrap_or_default();
            events.extend(std::iter::from_fn(|| socket.poll()));
        }
        let before = written.len();
        while !socket.output().is_empty() {
            written.extend_from_slice(socket.output());
            let count = socket.output().len();
            socket.handle_written(count);
        }
        assert!(written.len() - before < 2300, "a client makes the server say much");
    }
    check_written(&written);
    for event in &events {
        if let SocketEvent::Message(SocketMessage { content, payload }) = event {
            assert!(payload.len() <= MESSAGE_MOST);
            assert!(*content == Content::Binary || std::str::from_utf8(payload).is_ok());
        }
    }
    Served { events }
}

/// Pongs, then one close frame at most.
fn check_written(mut wire: &[u8]) {
    while let [first, length, rest @ ..] = wire {
        assert!(matches!(*first, 0x8a | 0x88) && *length <= 125);
        let (payload, after) = rest.split_at(usize::from(*length));
        wire = after;
        if *first == 0x88 {
            assert!(payload.len() != 1 && wire.is_empty());
        }
    }
}

struct Bytes(Cursor<Vec<u8>>);

impl Read for Bytes {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn compare(events: &[SocketEvent], wire: &[u8]) {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MOST)).max_frame_size(Some(MESSAGE_MOST));
    let stream = Bytes(Cursor::new(wire.to_vec()));
    let mut theirs = tungstenite::WebSocket::from_raw_socket(stream, Side::Server, Some(config));
    let mut expected = Vec::new();
    let error = loop {
        match theirs.read() {
            Ok(Theirs::Text(text)) => expected.push((Content::Text, text.as_bytes().to_vec())),
            Ok(Theirs::Binary(bytes)) => expected.push((Content::Binary, bytes.to_vec())),
            Ok(Theirs::Close(_)) => break None,
            Ok(_) => {}
            Err(error) => break Some(error),
        }
    };
    let messages: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SocketEvent::Message(SocketMessage { content, payload }) => Some((*content, payload.clone())),
            SocketEvent::Closed { .. } => None,
        })
        .collect();
    let fault = events.iter().find_map(|event| match event {
        SocketEvent::Closed { code, reason } => Some((*code, reason.as_str())),
        SocketEvent::Message(_) => None,
    });
    // The other one takes lengths of more bytes than they need.
    if fault == Some((1002, "a length that is written wrongly")) {
        assert_eq!(Some(&messages[..]), expected.get(..messages.len()));
        return;
    }
    assert_eq!(messages, expected, "{fault:?} and {error:?}");
    let has_failed = !matches!(
        error,
        None | Some(
            Error::ConnectionClosed
                | Error::Io(_)
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        )
    );
    assert!(!has_failed || fault.is_some(), "{error:?} was not seen");
    assert!(error.is_some() || fault.is_some(), "a close frame was not seen");
}
