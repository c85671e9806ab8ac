// SPDX-License-Identifier: MIT OR Apache-2.0
//! WebSockets of an engine with a loop of its own, and a server's side without a network.

use std::{sync::Arc, time::Duration};

use gangway::{
    exchange::{Cause, Exchange, SocketLink, SocketOffer, Stop, Wait},
    protocol::websocket::{Content, SocketRules, close_code},
};

use crate::world::{Client, World, await_line, get};

const RULES: SocketRules = SocketRules {
    message_most: 100_000,
    compression: None,
    ping_every: None,
    ping_wait: Duration::from_secs(1),
    close_wait: Duration::from_secs(5),
    idle: None,
};

const FIELDS: [(&[u8], &[u8]); 5] = [
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Protocol", b"chat, superchat"),
];

pub(crate) fn offer() -> SocketOffer {
    SocketOffer::read(|| FIELDS.into_iter(), RULES, false).unwrap().unwrap()
}

/// A frame of a client's, masked with zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => frame.push(0x80 | short as u8),
        Ok(long) => {
            frame.push(0x80 | 126);
            frame.extend(long.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// What a server has to write now.
fn written(link: &SocketLink) -> Vec<u8> {
    let mut all = Vec::new();
    let is_all = link.write(|bytes| {
        all.extend_from_slice(bytes);
        Ok::<_, ()>(bytes.len())
    });
    assert_eq!(is_all, Ok(true));
    all
}

/// Waits for so many bytes to write.
fn await_written(client: &mut Client, link: &SocketLink, least: usize) -> Vec<u8> {
    let mut all = written(link);
    while all.len() < least {
        client.await_posted();
        // The end may have come with it.
        client.take();
        link.look();
        all.extend(written(link));
    }
    all
}

fn open(world: &World, path: &str) -> (Client, Arc<SocketLink>, Arc<gangway::runtime::Application>) {
    let app = world.load_native("good/loop", &["in_flight=2", "ws_max_message=100000"]);
    let client = get(path).upgrade(offer()).send(&app).until(|client| client.head.is_some());
    let link = client.channel.socket().unwrap();
    (client, link, app)
}

#[test]
fn messages_go_both_ways_and_a_close_is_the_end() {
    let world = World::new();
    let (mut client, link, _app) = open(&world, "/echo");
    let head = client.head.as_ref().unwrap();
    assert_eq!(head.status, 101);
    let field = |name: &[u8]| {
        head.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_vec()).unwrap()
    };
    assert_eq!(field(b"Sec-WebSocket-Accept"), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((field(b"Upgrade"), field(b"X-Engine")), (b"websocket".to_vec(), b"loop".to_vec()));

    let (hello, large) = (frame(0x81, b"hello"), frame(0x82, &[7; 70_000]));
    assert_eq!(link.handle_bytes(&hello), hello.len());
    assert_eq!(await_written(&mut client, &link, 7), b"\x81\x05hello");
    assert_eq!(link.handle_bytes(&large), large.len());
    let echo = await_written(&mut client, &link, 70_010);
    assert_eq!((echo.len(), echo[0], echo[1]), (70_010, 0x82, 127));

    // Nobody but the server answers a ping.
    assert_eq!(link.handle_bytes(&frame(0x89, b"there?")), 12);
    assert_eq!(written(&link), b"\x8a\x06there?");

    assert_eq!(link.handle_bytes(&frame(0x88, b"\x03\xe9bye from 1")), 18);
    assert_eq!(written(&link), b"\x88\x02\x03\xe9");
    assert!(link.is_over());
    client.ended().await_gone();
    await_line("closed with 1001: bye from 1");
    world.end();
}

#[test]
fn an_engine_closes_with_its_own_number_or_by_its_end() {
    for (word, number) in
        [("close", b"\x88\x0a\x0f\xa1as asked".to_vec()), ("fail", b"\x88\x02\x03\xf3".to_vec())]
    {
        let world = World::new();
        let (mut client, link, _app) = open(&world, "/echo");
        let word = frame(0x81, word.as_bytes());
        assert_eq!(link.handle_bytes(&word), word.len());
        assert_eq!(await_written(&mut client, &link, number.len()), number);
        assert!(link.is_closed() && !link.is_over(), "the client has not answered");
        let _all = link.handle_bytes(&frame(0x88, &number[2..4]));
        assert!(link.is_over());
        client.ended().await_gone();
        world.end();
    }
}

#[test]
fn nothing_is_kept_of_the_head_for_an_engine_that_forgets_it() {
    let world = World::new();
    let (mut client, link, _app) = open(&world, "/echo");
    let word = frame(0x81, b"facts");
    assert_eq!(link.handle_bytes(&word), word.len());
    assert_eq!(await_written(&mut client, &link, 26), b"\x81\x180 variables and 0 fields");
    assert_eq!(client.exchange.label(), "\"GET \"", "lines still say which request it is");
    client.exchange.cancel(Cause::ClientGone);
    client.ended().await_gone();
    world.end();
}

#[test]
fn an_engine_may_answer_as_it_answers_every_request() {
    let world = World::new();
    let app = world.load_native("good/loop", &[]);
    let client = get("/deny").upgrade(offer()).answer(&app);
    assert_eq!((client.status(), client.text()), (Some(200), "from the loop".into()));
    assert!(client.channel.socket().is_none());
    client.await_gone();
    world.end();
}

#[test]
fn a_client_that_leaves_is_told_of_as_a_close_without_a_word() {
    let world = World::new();
    let (client, _link, _app) = open(&world, "/echo");
    client.exchange.cancel(Cause::ClientGone);
    client.ended().await_gone();
    await_line("closed with 1006:");
    world.end();
}

#[test]
fn a_client_is_not_read_from_while_the_engine_takes_nothing() {
    let world = World::new();
    let (mut client, link, _app) = open(&world, "/echo");
    // Nothing is written, so the engine cannot send and does not receive either.
    let message = frame(0x82, &[1; 60_000]);
    let mut taken = 0;
    while link.wants_input() || client.posted_within(Duration::from_millis(300)) {
        link.look();
        if link.wants_input() {
            taken += link.handle_bytes(&message);
        }
        assert!(taken < 2_000_000, "it is bounded");
    }
    assert!(taken >= 256 * 1024, "{taken}");
    // As soon as it is written, everything goes on.
    let whole = taken / message.len() * 60_004;
    let all = await_written(&mut client, &link, whole);
    assert_eq!(all.len(), whole);
    assert!(link.wants_input());
    client.exchange.cancel(Cause::ClientGone);
    world.end();
}

#[test]
fn calls_in_the_wrong_order_are_answered() {
    let world = World::new();
    let client = get("/").prepare();
    assert_eq!(client.exchange.accept(b"", [].into_iter()), Err(Stop::Misuse), "nobody has asked");
    assert_eq!(client.exchange.receive(Wait::No), Err(Stop::Misuse));
    let client = get("/").upgrade(offer()).prepare();
    let accept = |exchange: &Exchange, protocol: &[u8], name: &'static [u8]| {
        exchange.accept(protocol, [(name, &b"chat"[..])].into_iter())
    };
    assert_eq!(accept(&client.exchange, b"other", b"X"), Err(Stop::Invalid));
    assert_eq!(accept(&client.exchange, b"", b"Sec-WebSocket-Accept"), Err(Stop::Invalid));
    assert_eq!(accept(&client.exchange, b"", b"X\n"), Err(Stop::Invalid));
    assert_eq!(accept(&client.exchange, b"", b"Sec-WebSocket-Protocol"), Ok(()));
    assert_eq!(accept(&client.exchange, b"", b"X"), Err(Stop::Misuse), "twice");
    assert_eq!(client.exchange.start(200, b"", [].into_iter()), Err(Stop::Misuse));
    assert_eq!(client.exchange.close(close_code::ABNORMAL, ""), Err(Stop::Invalid));
    assert_eq!(client.exchange.send(Content::Text, b"\xff", Wait::No), Err(Stop::Invalid));
    assert_eq!(client.exchange.receive(Wait::No), Err(Stop::Again));
    client.exchange.cancel(Cause::ClientGone);
    assert!(client.exchange.receive(Wait::No).is_ok(), "the end is told first");
    assert_eq!(client.exchange.receive(Wait::No), Err(Stop::Cancelled));
    world.end();
}
