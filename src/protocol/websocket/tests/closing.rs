// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 6455 §7.

use super::*;

fn closed(code: u16, reason: &str) -> SocketEvent {
    SocketEvent::Closed { code, reason: reason.to_owned() }
}

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

#[test]
fn the_client_closes() {
    let wire =
        [frame(0x81, b"last"), frame(0x88, &close_payload(4000, "d\u{e9}j\u{e0} vu".as_bytes()))].concat();
    let heard = hear_cut(rules(100), &wire);
    assert_eq!(heard.events, [text("last"), closed(4000, "d\u{e9}j\u{e0} vu")]);
    assert_eq!(heard.written, b"\x88\x02\x0f\xa0");
    assert!(heard.over, "the server ends the transport");
    let heard = hear_cut(rules(100), &frame(0x88, b""));
    assert_eq!((heard.events, heard.written), (vec![closed(close_code::NONE, "")], b"\x88\x00".to_vec()));
}

#[test]
fn nothing_after_the_clients_close_frame_counts() {
    let wire = [frame(0x88, b"\x03\xe8"), frame(0x81, b"late"), b"\xff\xff".to_vec()].concat();
    let heard = hear_cut(rules(100), &wire);
    assert_eq!((heard.events, heard.over), (vec![closed(1000, "")], true));
}

#[test]
fn close_codes_that_must_not_be_on_the_wire() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let wire = frame(0x88, &close_payload(code, b""));
        fails(rules(10), &wire, close_code::PROTOCOL);
        assert!(hear_cut(rules(10), &wire).over, "the client has said its last word");
        let mut socket = WebSocket::new(rules(10), Instant::now());
        assert_eq!(socket.close(code, "", Instant::now()), Err(CloseError::Code(code)));
        assert!(!socket.is_closed() && socket.output().is_empty());
    }
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        assert_eq!(hear_cut(rules(10), &frame(0x88, &close_payload(code, b"x"))).events, [closed(code, "x")]);
    }
}

#[test]
fn the_reason_is_utf8() {
    fails(rules(10), &frame(0x88, &close_payload(1000, b"a\xff")), close_code::NOT_TEXT);
    fails(rules(10), &frame(0x88, &close_payload(1000, b"a\xe2\x82")), close_code::NOT_TEXT);
}

#[test]
fn the_application_closes() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    socket.send(Content::Text, b"bye", now);
    socket.close(close_code::GOING_AWAY, "over", now).unwrap();
    socket.close(close_code::NORMAL, "the first one counts", now).unwrap();
    assert!(!socket.send(Content::Text, b"late", now));
    let mut wire = Vec::new();
    write_all(&mut socket, &mut wire);
    assert_eq!(wire, b"\x81\x03bye\x88\x06\x03\xe9over");
    assert_eq!(socket.poll(), Some(closed(1001, "over")));
    // What crosses our close frame is read over, also if it is broken, up to the client's.
    let crossing = [frame(0x81, b"a\xff"), frame(0x89, b"?"), frame(0x82, &[0; 1000])].concat();
    assert_eq!(socket.handle_bytes(&crossing, now), crossing.len());
    assert!(!socket.is_over() && socket.output().is_empty());
    socket.handle_bytes(&frame(0x88, b"\x03\xe9"), now);
    assert!(socket.is_over());
    assert_eq!(socket.poll(), None, "it is told once");
}

#[test]
fn a_reason_ends_with_a_whole_character() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    socket.close(close_code::NORMAL, &"\u{20ac}".repeat(100), now).unwrap();
    let wire = socket.output().to_vec();
    let (_, payload, _) = read_frame(&wire);
    assert_eq!(std::str::from_utf8(&payload[2..]).unwrap(), "\u{20ac}".repeat(41));
    let mut socket = WebSocket::new(rules(100), now);
    socket.close(close_code::NORMAL, &"x".repeat(123), now).unwrap();
    assert_eq!(socket.output().len(), 127);
}

#[test]
fn a_message_that_was_too_big_is_read_over_up_to_the_close_frame() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(10), now);
    let wire = [frame(0x82, &[1; 5000]), frame(0x81, b"next"), frame(0x88, b"\x03\xf1")].concat();
    for part in wire.chunks(700) {
        assert!(!socket.is_over());
        assert_eq!(socket.handle_bytes(part, now), part.len());
    }
    assert_eq!(socket.poll(), Some(closed(1009, "message too big")));
    assert_eq!(socket.poll(), None);
    assert!(!socket.is_over(), "ours has not been written");
    let mut written = Vec::new();
    write_all(&mut socket, &mut written);
    assert_eq!(read_frame(&written).0, 0x88);
    assert!(socket.is_over());
}

#[test]
fn messages_that_wait_do_not_hold_up_the_end() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(1 << 20), now);
    let big = frame(0x82, &vec![0; 100_000]);
    assert_eq!(socket.handle_bytes(&big, now), big.len());
    assert!(!socket.wants_input());
    socket.close(close_code::NORMAL, "", now).unwrap();
    assert!(socket.wants_input());
    assert_eq!(socket.handle_bytes(&frame(0x88, b"\x03\xe8"), now), 8);
    assert!(matches!(socket.poll(), Some(SocketEvent::Message(_))), "what had come before is still there");
    assert_eq!(socket.poll(), Some(closed(1000, "")));
}

#[test]
fn the_transport_ends() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    socket.handle_bytes(&frame(0x81, b"one")[..7], now);
    socket.handle_end();
    assert_eq!(socket.poll(), Some(closed(close_code::ABNORMAL, "")));
    assert!(socket.is_over() && !socket.send(Content::Text, b"x", now) && socket.deadline().is_none());
    socket.handle_end();
    assert_eq!(socket.poll(), None);
}
