// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 7692 §7.2.

use flate2::{Compress, Compression as Level, FlushCompress};

use super::*;

/// A compressed frame of the client's.
fn compress(payload: &[u8]) -> Vec<u8> {
    let mut compressor = Compress::new(Level::best(), false);
    let mut out = Vec::with_capacity(payload.len() + 1000);
    compressor.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]) && out.len() < out.capacity());
    out.truncate(out.len() - 4);
    out
}

#[test]
fn the_examples_of_section_7_2_3() {
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", // a block without compression
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",             // a block that says that it is the last one
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", // two blocks
    ] {
        assert_eq!(hear_cut(deflating(5), &frame(0xc1, payload)).events, [text("Hello")]);
        for cut in 0..payload.len() {
            let wire =
                [frame(0x41, &payload[..cut]), frame(0x89, b"?"), frame(0x80, &payload[cut..])].concat();
            assert_eq!(hear(deflating(5), wire.chunks(3)).events, [text("Hello")]);
        }
    }
    assert_eq!(hear_cut(deflating(5), &frame(0xc1, b"\x00")).events, [text("")]);
    assert_eq!(hear_cut(deflating(5), &frame(0xc1, b"")).events, [text("")]);
    assert_eq!(
        hear_cut(deflating(5), &frame(0x81, b"Hello")).events,
        [text("Hello")],
        "none need be compressed"
    );
}

#[test]
fn messages_are_each_for_themselves() {
    let wire = [frame(0xc2, &compress(b"one")), frame(0xc1, &compress(b"two"))].concat();
    assert_eq!(hear_cut(deflating(9), &wire).events, [binary(b"one"), text("two")]);
}

#[test]
fn rules_for_the_bit() {
    fails(deflating(9), &[frame(0x41, &compress(b"x")), frame(0xc0, b"")].concat(), close_code::PROTOCOL);
    fails(deflating(9), &frame(0xc9, b"x"), close_code::PROTOCOL);
}

#[test]
fn what_cannot_be_inflated() {
    fails(deflating(100), &frame(0xc2, b"\xff\xff\xff\xff"), close_code::PROTOCOL);
    fails(deflating(100), &frame(0xc2, b"\x00\x05\x00\xfa\x00Hello"), close_code::PROTOCOL);
    fails(deflating(100), &frame(0xc1, &compress(b"a\xff")), close_code::NOT_TEXT);
    fails(deflating(100), &frame(0xc1, &compress(b"a\xf0\x9f")), close_code::NOT_TEXT);
    // The next message of the thread is not touched by it.
    assert_eq!(hear(deflating(100), [&frame(0xc2, &compress(b"well"))[..]]).events, [binary(b"well")]);
}

#[test]
fn a_bomb_costs_no_more_than_its_limit() {
    let bomb = compress(&vec![0; 8 << 20]);
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    fails_once(deflating(1 << 20), &frame(0xc2, &bomb), close_code::TOO_BIG);
    fails_once(deflating(1 << 20), &frame(0xc2, &compress(&vec![0; (1 << 20) + 1])), close_code::TOO_BIG);
    let most = vec![0; 1 << 20];
    assert_eq!(hear(deflating(1 << 20), [&frame(0xc2, &compress(&most))[..]]).events, [binary(&most)]);
    // What would not even fit compressed is refused by its head.
    fails(deflating(100), b"\xc2\xfe\x7f\xff\0\0\0\0", close_code::TOO_BIG);
    // A message at the limit that cannot be compressed is longer on the wire, and still good.
    let noise: Vec<u8> = (0u32..4096).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let stored = noise.chunks(1000).fold(Vec::new(), |mut out, chunk| {
        let length = chunk.len() as u16;
        out.extend([&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), chunk].concat());
        out
    });
    assert_eq!(hear(deflating(4096), [&frame(0xc2, &stored)[..]]).events, [binary(&noise)]);
}

/// As `fails`, whole only.
fn fails_once(rules: SocketRules, wire: &[u8], code: u16) {
    let heard = hear(rules, [wire]);
    assert!(
        matches!(&heard.events[..], [SocketEvent::Closed { code: told, .. }] if *told == code),
        "{heard:?}"
    );
}

#[test]
fn ours_are_compressed_where_it_is_of_use() {
    let now = Instant::now();
    let sent = |payload: &[u8]| {
        let mut socket = WebSocket::new(deflating(100), now);
        socket.send(Content::Text, payload, now);
        let mut wire = Vec::new();
        write_all(&mut socket, &mut wire);
        wire
    };
    assert_eq!(sent(b"short").first(), Some(&0x81));
    let noise: String =
        (0u32..2000).map(|at| char::from(33 + (at.wrapping_mul(0x9e37_79b9) >> 16) as u8 % 90)).collect();
    assert!(sent(noise.as_bytes()).len() <= noise.len() + 4);
    let long = "many words, many words, ".repeat(1000);
    let wire = sent(long.as_bytes());
    let (first, payload, _) = read_frame(&wire);
    assert_eq!(first, 0xc1);
    assert!(payload.len() < long.len() / 20);
    assert_eq!(deflate::inflate(payload, long.len()).unwrap(), long.as_bytes());
}

#[test]
fn every_window_and_length() {
    for bits in deflate::BITS_LEAST..=deflate::BITS_MOST {
        for length in [0, 1, 100, 1 << bits, 200_000] {
            let payload: Vec<u8> = (0..length).map(|at: u32| (at.wrapping_mul(at) >> 7) as u8).collect();
            let made = deflate::deflate(&payload, bits).unwrap();
            assert_eq!(
                deflate::inflate(&made, payload.len()).unwrap(),
                payload,
                "{length} bytes, {bits} bits"
            );
        }
    }
    assert_eq!(deflate::deflate(b"", 15).unwrap(), [0], "section 7.2.3.6");
    assert_eq!(deflate::deflate(b"words words", 8), None, "zlib has no such window");
}
