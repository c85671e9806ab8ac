// SPDX-License-Identifier: MIT OR Apache-2.0
//! When the client is asked whether it is there, and what becomes of one that is not.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn written(socket: &mut WebSocket) -> Vec<u8> {
    let mut wire = Vec::new();
    write_all(socket, &mut wire);
    wire
}

#[test]
fn a_silent_client_is_asked_and_given_up() {
    let start = Instant::now();
    let mut socket = WebSocket::new(rules(100), start);
    assert_eq!(socket.deadline(), Some(start + 20 * SECOND));
    socket.handle_time(start + 19 * SECOND);
    assert_eq!(written(&mut socket), b"");
    socket.handle_time(start + 20 * SECOND);
    assert_eq!(written(&mut socket), b"\x89\x00");
    assert_eq!(socket.deadline(), Some(start + 40 * SECOND));
    socket.handle_time(start + 39 * SECOND);
    assert!(!socket.is_closed());
    socket.handle_time(start + 40 * SECOND);
    assert!(matches!(socket.poll(), Some(SocketEvent::Closed { code: close_code::INTERNAL, .. })));
    assert_eq!(written(&mut socket)[..2], *b"\x88\x15");
    assert_eq!(socket.deadline(), Some(start + 45 * SECOND));
    socket.handle_time(start + 45 * SECOND);
    assert!(socket.is_over());
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let start = Instant::now();
    let mut socket = WebSocket::new(rules(100), start);
    socket.handle_bytes(b"\x81", start + 15 * SECOND);
    assert_eq!(socket.deadline(), Some(start + 35 * SECOND));
    socket.handle_time(start + 35 * SECOND);
    assert_eq!(written(&mut socket), b"\x89\x00");
    // Not even a pong: another part of a slow message.
    socket.handle_bytes(b"\xfe\x7f", start + 50 * SECOND);
    socket.handle_time(start + 55 * SECOND);
    assert!(!socket.is_closed());
    assert_eq!(socket.deadline(), Some(start + 70 * SECOND));
}

#[test]
fn a_client_that_is_not_read_is_not_given_up() {
    let start = Instant::now();
    let mut socket = WebSocket::new(rules(1 << 20), start);
    socket.handle_time(start + 20 * SECOND);
    assert_eq!(written(&mut socket), b"\x89\x00");
    socket.handle_bytes(&frame(0x82, &vec![0; 70_000]), start + 21 * SECOND);
    assert!(!socket.wants_input());
    for seconds in 22..100 {
        socket.handle_time(start + seconds * SECOND);
        assert!(!socket.is_closed() && socket.deadline() > Some(start + seconds * SECOND));
    }
}

#[test]
fn a_question_behind_what_was_not_read_is_not_asked() {
    let start = Instant::now();
    let mut socket = WebSocket::new(rules(100), start);
    socket.send(Content::Text, b"not read", start);
    for seconds in 0..100 {
        socket.handle_time(start + seconds * SECOND);
        assert!(!socket.is_closed() && socket.deadline() > Some(start + seconds * SECOND));
    }
    assert_eq!(written(&mut socket), b"\x81\x08not read");
}

#[test]
fn a_connection_without_messages_is_closed_where_that_is_wanted() {
    let start = Instant::now();
    let quiet = SocketRules { idle: Some(60 * SECOND), ping_every: None, ..rules(100) };
    let mut socket = WebSocket::new(quiet, start);
    socket.handle_bytes(&frame(0x8a, b""), start + 30 * SECOND);
    assert_eq!(socket.deadline(), Some(start + 60 * SECOND), "a pong is no message");
    socket.handle_bytes(&frame(0x81, b"x"), start + 31 * SECOND);
    socket.send(Content::Text, b"y", start + 32 * SECOND);
    assert_eq!(socket.deadline(), Some(start + 92 * SECOND));
    socket.handle_time(start + 92 * SECOND);
    assert!(socket.is_closed());
    assert_eq!(WebSocket::new(SocketRules { ping_every: None, ..rules(9) }, start).deadline(), None);
}

#[test]
fn a_client_that_does_not_close_is_cut() {
    let start = Instant::now();
    let mut socket = WebSocket::new(rules(100), start);
    socket.close(close_code::NORMAL, "", start).unwrap();
    assert_eq!(socket.deadline(), Some(start + 5 * SECOND));
    written(&mut socket);
    socket.handle_bytes(&frame(0x81, b"on and on"), start + 4 * SECOND);
    assert!(!socket.is_over());
    socket.handle_time(start + 5 * SECOND);
    assert!(socket.is_over() && !socket.wants_input());
    // One that has closed and does not read our answer.
    let mut socket = WebSocket::new(rules(100), start);
    socket.handle_bytes(&frame(0x88, b""), start);
    socket.handle_time(start + 5 * SECOND);
    assert!(socket.is_over());
}
