// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages at random, to and from another implementation.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use tungstenite::{Message as Theirs, protocol::Role};

use super::*;

/// A connection without anything between.
struct Loop {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Loop {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(out)
    }
}

impl Write for Loop {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn client(input: Vec<u8>) -> tungstenite::WebSocket<Loop> {
    let stream = Loop { input: Cursor::new(input), output: Vec::new() };
    tungstenite::WebSocket::from_raw_socket(stream, Role::Client, None)
}

#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let one = prop_oneof![
        ".{0,200}".prop_map(Sent::Text),
        "[a-c ]{0,3000}".prop_map(Sent::Text),
        prop::collection::vec(any::<u8>(), 0..70_000).prop_map(Sent::Binary),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
    ];
    prop::collection::vec(one, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_client_sends_arrives(messages in sent(), size in 1usize..5000) {
        let mut client = client(Vec::new());
        let mut expected = Vec::new();
        for message in messages {
            let theirs = match message {
                Sent::Text(payload) => {
                    expected.push(text(&payload));
                    Theirs::text(payload)
                }
                Sent::Binary(payload) => {
                    expected.push(binary(&payload));
                    Theirs::binary(payload)
                }
                Sent::Ping(payload) => Theirs::Ping(payload.into()),
            };
            client.send(theirs).unwrap();
        }
        let wire = std::mem::take(&mut client.get_mut().output);
        prop_assert_eq!(hear(rules(70_000), wire.chunks(size)).events, expected);
    }

    #[test]
    fn what_is_sent_arrives_at_a_client(messages in sent(), compressed in any::<bool>()) {
        let now = Instant::now();
        let settings = if compressed { deflating(1) } else { rules(1) };
        let mut socket = WebSocket::new(settings, now);
        for message in &messages {
            match message {
                Sent::Text(payload) => socket.send(Content::Text, payload.as_bytes(), now),
                Sent::Binary(payload) => socket.send(Content::Binary, payload, now),
                Sent::Ping(_) => true,
            };
        }
        let mut wire = Vec::new();
        write_all(&mut socket, &mut wire);
        // This client knows nothing of compression.
        let mut plain = Vec::new();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (first, payload, after) = read_frame(rest);
            rest = after;
            let payload = if first & 0x40 == 0 {
                payload.to_vec()
            } else {
                deflate::inflate(payload, 70_000).unwrap()
            };
            frame::put_head(&mut plain, match first & 0xf {
                1 => frame::Opcode::Text,
                _ => frame::Opcode::Binary,
            }, false, payload.len());
            plain.extend(payload);
        }
        let mut client = client(plain);
        for message in messages {
            match message {
                Sent::Text(payload) => prop_assert_eq!(client.read().unwrap(), Theirs::text(payload)),
                Sent::Binary(payload) => prop_assert_eq!(client.read().unwrap(), Theirs::binary(payload)),
                Sent::Ping(_) => {}
            }
        }
        prop_assert!(client.read().is_err());
    }
}
