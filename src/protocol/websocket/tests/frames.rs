// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 6455 §5.

use super::*;

#[test]
fn the_examples_of_section_5_7() {
    let masked_hello = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(hear_cut(rules(5), masked_hello).events, [text("Hello")]);
    let masked_pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(hear_cut(rules(5), masked_pong), Heard::default());
    let now = Instant::now();
    for (content, payload, head) in [
        (Content::Text, b"Hello".to_vec(), &b"\x81\x05"[..]),
        (Content::Binary, vec![7; 125], b"\x82\x7d"),
        (Content::Binary, vec![7; 126], b"\x82\x7e\x00\x7e"),
        (Content::Binary, vec![7; 256], b"\x82\x7e\x01\x00"),
        (Content::Binary, vec![7; 65535], b"\x82\x7e\xff\xff"),
        (Content::Binary, vec![7; 65536], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ] {
        let mut socket = WebSocket::new(rules(1), now);
        assert!(socket.send(content, &payload, now));
        assert_eq!(socket.unwritten(), head.len() + payload.len());
        let mut wire = Vec::new();
        write_all(&mut socket, &mut wire);
        assert_eq!(wire, [head, &payload].concat());
        assert_eq!(socket.unwritten(), 0);
    }
}

#[test]
fn messages_of_every_length() {
    for length in [0, 1, 3, 15, 16, 17, 125, 126, 127, 1000, 65535, 65536, 70000] {
        let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let wire = frame(0x82, &payload);
        for size in [1, 2, 3, 7, 16, 1000, wire.len()] {
            assert_eq!(
                hear(rules(70000), wire.chunks(size)).events,
                [binary(&payload)],
                "{length} in {size}"
            );
        }
    }
}

#[test]
fn fragments_with_control_frames_between_them() {
    let wire = [
        frame(0x01, "gr\u{fc}".as_bytes()),
        frame(0x89, b"one"),
        frame(0x00, b""),
        frame(0x8a, b"nobody asked"),
        frame(0x89, b"two"),
        frame(0x80, b"n"),
        frame(0x82, &[0xff]),
    ]
    .concat();
    let heard = hear_cut(rules(100), &wire);
    assert_eq!(heard.events, [text("gr\u{fc}n"), binary(&[0xff])]);
    assert_eq!(heard.written, b"\x8a\x03one\x8a\x03two");
}

#[test]
fn text_is_utf8_over_fragments() {
    let word = "\u{3ba}\u{1f980}\u{e9}".as_bytes();
    for cut in 0..=word.len() {
        let wire = [frame(0x01, &word[..cut]), frame(0x80, &word[cut..])].concat();
        assert_eq!(hear_cut(rules(100), &wire).events, [text("\u{3ba}\u{1f980}\u{e9}")]);
    }
    for broken in
        [&b"\xce"[..], b"a\xf0\x9f\xa6", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"a\xffb"]
    {
        fails(rules(100), &frame(0x81, broken), close_code::NOT_TEXT);
        fails(rules(100), &[frame(0x01, broken), frame(0x80, b"")].concat(), close_code::NOT_TEXT);
    }
    // It is told as soon as it is known, not at the end of the message.
    let begun = &frame(0x81, b"a\xff and much that does not come")[..8];
    assert_eq!(hear(rules(100), [begun]).events.len(), 1);
    assert_eq!(hear_cut(rules(100), &frame(0x82, b"a\xff")).events, [binary(b"a\xff")]);
}

#[test]
fn frames_that_break_the_protocol() {
    for wire in [
        b"\x81\x05Hello".to_vec(),                       // not masked (§5.1)
        frame(0xc1, b"x"),                               // RSV1 without an extension (§5.2)
        frame(0xa1, b"x"),                               // RSV2
        frame(0x91, b"x"),                               // RSV3
        frame(0x83, b"x"),                               // a reserved opcode
        frame(0x8b, b"x"),                               // a reserved control opcode
        frame(0x80, b"x"),                               // goes on without a beginning (§5.4)
        [frame(0x01, b"x"), frame(0x81, b"y")].concat(), // begins in the middle
        [frame(0x02, b"x"), frame(0x02, b"y")].concat(),
        frame(0x09, b"x"),                    // a ping in fragments (§5.5)
        frame(0x89, &[0; 126]),               // a ping that is too long
        frame(0x88, b"\x03"),                 // half a code (§5.5.1)
        b"\x82\xfe\x00\x7d\0\0\0\0".to_vec(), // a length in more bytes than needed (§5.2)
        b"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0".to_vec(),
        b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0".to_vec(), // the highest bit
    ] {
        fails(rules(1000), &wire, close_code::PROTOCOL);
    }
}

#[test]
fn messages_that_are_too_big_are_refused_by_their_head() {
    assert_eq!(hear_cut(rules(10), &frame(0x82, &[1; 10])).events, [binary(&[1; 10])]);
    fails(rules(10), &frame(0x82, &[1; 11]), close_code::TOO_BIG);
    fails(
        rules(10),
        &[frame(0x02, &[1; 6]), frame(0x00, &[1; 4]), frame(0x80, &[1])].concat(),
        close_code::TOO_BIG,
    );
    // Of such a message nothing but the head need come.
    fails(rules(10), b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", close_code::TOO_BIG);
    fails(rules(0), &frame(0x82, b"x"), close_code::TOO_BIG);
    assert_eq!(hear_cut(rules(0), &frame(0x81, b"")).events, [text("")]);
}

#[test]
fn the_client_is_not_read_while_nobody_takes_its_messages() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(1 << 20), now);
    // Each costs more than its bytes.
    let wire = frame(0x82, b"").repeat(10_000);
    let taken = socket.handle_bytes(&wire, now);
    assert!(!socket.wants_input() && taken < wire.len());
    let kept = std::iter::from_fn(|| socket.poll()).count();
    assert_eq!(kept, taken / 6, "whole messages were taken");
    assert!(kept * 64 > 64 * 1024 && kept * 64 < 65 * 1024, "{kept}");
    assert!(socket.wants_input());
    assert!(socket.handle_bytes(&wire[taken..], now) > 0);
}

#[test]
fn every_ping_of_a_few_is_answered_in_order() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    let wire: Vec<u8> = (0..10).flat_map(|number| frame(0x89, &[b'0' + number])).collect();
    assert_eq!(socket.handle_bytes(&wire, now), wire.len());
    let mut written = Vec::new();
    write_all(&mut socket, &mut written);
    let wanted: Vec<u8> = (0..10).flat_map(|number| [0x8a, 1, b'0' + number]).collect();
    assert_eq!(written, wanted);
}

#[test]
fn a_client_that_asks_and_does_not_read_makes_nothing_grow() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    for number in 0..1000u16 {
        socket.handle_bytes(&frame(0x89, &number.to_be_bytes()), now);
    }
    assert!(socket.output().len() <= 2048, "{}", socket.output().len());
    assert!(socket.output().ends_with(b"\x8a\x02\x03\xe7"), "the last one is answered");
    let length = socket.output().len();
    // What is being written stays as it is; the next answer follows it.
    socket.handle_written(length - 3);
    socket.handle_bytes(&frame(0x89, b"new"), now);
    assert_eq!(socket.output(), b"\x02\x03\xe7");
    socket.handle_written(3);
    assert_eq!(socket.output(), b"\x8a\x03new");
}

#[test]
fn answers_to_pings_pass_messages_but_never_cut_them() {
    let now = Instant::now();
    let mut socket = WebSocket::new(rules(100), now);
    socket.send(Content::Text, b"first", now);
    assert_eq!(socket.output(), b"\x81\x05first");
    socket.handle_written(3);
    socket.send(Content::Text, b"second", now);
    socket.handle_bytes(&frame(0x89, b"?"), now);
    socket.close(close_code::NORMAL, "", now).unwrap();
    let mut wire = Vec::new();
    write_all(&mut socket, &mut wire);
    assert_eq!(wire, b"irst\x8a\x01?\x81\x06second\x88\x02\x03\xe8");
}

#[test]
fn a_message_takes_no_more_memory_than_four_times_what_has_come() {
    const LENGTH: usize = 1 << 20;
    let payload: Vec<u8> = (0..LENGTH).map(|at| at as u8).collect();
    let wire = frame(0x82, &payload);
    // What is only announced takes nothing, and a message that comes in one piece, or nearly, is never moved.
    for (size, most) in [(100, 4), (1000, 4), (64 * 1024, 4), (LENGTH / 2, 2), (wire.len(), 1)] {
        let mut socket = WebSocket::new(rules(LENGTH), Instant::now());
        let mut have = 0;
        for piece in wire.chunks(size) {
            assert_eq!(socket.handle_bytes(piece, Instant::now()), piece.len());
            have += piece.len();
            let room = socket.assembling();
            assert!(room <= most * have && room <= LENGTH, "{room} bytes after {have} in pieces of {size}");
        }
        let Some(SocketEvent::Message(message)) = socket.poll() else { panic!("no message") };
        assert_eq!(message.payload, payload);
        assert_eq!(message.payload.capacity(), LENGTH, "pieces of {size}");
    }
}

#[test]
fn output_that_is_lent_counts_and_comes_back_before_what_follows_it() {
    let now = Instant::now();
    for count in 0..=7 {
        let mut socket = WebSocket::new(rules(100), now);
        assert!(socket.send(Content::Text, b"first", now));
        let loan = socket.lend_output();
        assert_eq!(loan.rest(), b"\x81\x05first");
        assert_eq!(socket.unwritten(), 7);
        // What comes meanwhile: a message, a ping of the client's, and a close.
        assert!(socket.send(Content::Binary, b"2", now));
        assert_eq!(socket.handle_bytes(&frame(0x89, b"ping"), now), 10);
        socket.close(1000, "", now).unwrap();
        assert_eq!(socket.unwritten(), 10);
        socket.return_output(loan, count);
        assert_eq!(socket.unwritten(), 10 - count);
        let mut wire = b"\x81\x05first"[..count].to_vec();
        write_all(&mut socket, &mut wire);
        assert_eq!(wire, b"\x81\x05first\x8a\x04ping\x82\x012\x88\x02\x03\xe8");
        assert!(socket.lend_output().rest().is_empty());
    }
}
