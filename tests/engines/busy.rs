// SPDX-License-Identifier: MIT OR Apache-2.0
//! Busy WebSockets of an engine whose loop reads from them itself, with a server that has turns only when it is told to.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use gangway::{
    exchange::{
        Cause, ConnectionLost, PumpWait, SocketEnd, SocketLink, SocketPump, Transport, TransportRead,
    },
    runtime::Application,
};

use crate::{
    sockets::{frame, offer},
    world::{Client, PATIENCE, World, await_line, get},
};

/// How long the server waits for the client before it has its next turn.
const TURN: Duration = Duration::from_millis(5);

/// The server's end of a connection, in front of which nothing stands.
struct Plain(UnixStream);

impl Transport for Plain {
    const PART: usize = 1024;

    fn receive(&mut self, into: &mut [u8]) -> TransportRead {
        match self.0.read(into) {
            Ok(0) => TransportRead::End,
            Ok(count) => TransportRead::Bytes(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => TransportRead::Later,
            Err(_) => TransportRead::End,
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            written => written.map_err(|_| ConnectionLost),
        }
    }

    fn shared(&self) -> Option<RawFd> {
        Some(self.0.as_raw_fd())
    }

    fn can_lend(&self) -> bool {
        true
    }
}

/// A WebSocket of an engine, and the client at the other end of its connection.
struct Scene {
    app: Arc<Application>,
    request: Client,
    link: Weak<SocketLink>,
    pump: SocketPump,
    plain: Plain,
    peer: UnixStream,
}

impl Scene {
    fn open(world: &World, source: &str) -> Self {
        // A place for the WebSocket, and one for who asks how it does.
        let app = world.load_native(source, &["in_flight=2"]);
        let request = get("/echo").upgrade(offer()).send(&app).until(|client| client.head.is_some());
        let (socket, peer) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let link = request.channel.socket().unwrap();
        let known = Arc::downgrade(&link);
        let pump = SocketPump::new(link, Vec::new());
        Self { app, request, link: known, pump, plain: Plain(socket), peer }
    }

    /// One from which the engine's loop reads.
    fn busy(world: &World) -> Self {
        let mut scene = Self::open(world, "good/loop");
        let end = Instant::now() + PATIENCE;
        while !scene.talk() {
            assert!(Instant::now() < end, "it is never lent");
        }
        scene
    }

    /// A turn of the server.
    fn step(&mut self) -> Result<PumpWait, SocketEnd> {
        self.pump.step(&mut self.plain)
    }

    /// The client sends a frame that begins with this byte.
    fn say(&mut self, first: u8, payload: &[u8]) {
        self.peer.write_all(&frame(first, payload)).unwrap();
    }

    /// The client gets this, while the server has its turns.
    fn hear(&mut self, expected: &[u8]) {
        self.peer.set_read_timeout(Some(TURN)).unwrap();
        let (mut heard, end) = (Vec::new(), Instant::now() + PATIENCE);
        while heard.len() < expected.len() {
            assert!(Instant::now() < end, "{heard:?}");
            let _ended = self.step();
            let mut room = [0; 256];
            match self.peer.read(&mut room) {
                Ok(count) => heard.extend_from_slice(&room[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(heard, expected);
    }

    /// The client gets this, while the server does nothing.
    fn hear_without_server(&mut self, expected: &[u8]) {
        self.peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut heard = vec![0; expected.len()];
        self.peer.read_exact(&mut heard).expect("an answer, though no server reads");
        assert_eq!(heard, expected);
    }

    /// A message and its echo. Answers whether the engine's loop reads from now on.
    fn talk(&mut self) -> bool {
        self.say(0x81, b"hello");
        self.hear(b"\x81\x05hello");
        self.step().unwrap().is_lent
    }

    /// How often the engine has had the host read.
    fn reads(&self) -> u64 {
        let text = get("/reads").answer(&self.app).text();
        text.strip_suffix(" reads").and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }

    /// Waits, without the server, until the engine has had the host read again since it had so many times.
    fn await_read(&self, before: u64) {
        let end = Instant::now() + PATIENCE;
        while self.reads() == before {
            assert!(Instant::now() < end, "the loop does not read");
        }
    }

    /// The server has let go of the connection: nobody else keeps anything of it.
    fn await_gone(self) {
        let Self { app, request, link, pump, .. } = self;
        drop(pump);
        request.ended().await_gone();
        // The loop's thread answers when it has come back from finish(), in which the last of the request goes.
        assert_eq!(get("/flights").answer(&app).text(), "1 in flight", "the engine keeps it");
        assert_eq!(link.strong_count(), 0, "somebody keeps the WebSocket");
    }
}

#[test]
fn the_loop_of_an_engine_reads_from_busy_clients() {
    let world = World::new();
    let mut scene = Scene::busy(&world);
    let before = scene.reads();
    for number in 10..60 {
        let text = format!("message {number}");
        scene.say(0x81, text.as_bytes());
        scene.hear_without_server(&[b"\x81\x0a", text.as_bytes()].concat());
    }
    assert!(scene.reads() - before >= 50, "each of them by its loop");
    assert!(scene.step().unwrap().is_lent, "and it goes on");
    scene.request.exchange.cancel(Cause::ClientGone);
    scene.await_gone();
    world.end();
}

#[test]
fn pings_and_closes_that_the_loop_has_read_are_the_servers() {
    let world = World::new();
    let mut scene = Scene::busy(&world);
    let before = scene.reads();
    scene.say(0x89, b"there?");
    scene.await_read(before);
    scene.hear(b"\x8a\x06there?");
    scene.talk();
    let before = scene.reads();
    scene.say(0x88, b"\x03\xe9from one that was busy");
    scene.await_read(before);
    assert_eq!(scene.step(), Err(SocketEnd::Agreed));
    scene.hear(b"\x88\x02\x03\xe9");
    await_line("closed with 1001: from one that was busy");
    scene.await_gone();
    world.end();
}

#[test]
fn a_busy_client_that_leaves_in_the_middle_of_a_frame_leaves_nothing() {
    let world = World::new();
    let mut scene = Scene::busy(&world);
    let before = scene.reads();
    scene.peer.write_all(&frame(0x81, b"cut off")[..4]).unwrap();
    scene.await_read(before);
    scene.peer.shutdown(Shutdown::Both).unwrap();
    let end = Instant::now() + PATIENCE;
    while scene.step() != Err(SocketEnd::Broken) {
        assert!(Instant::now() < end, "its end is not seen");
    }
    scene.await_gone();
    world.end();
}

#[test]
fn a_host_of_abi_1_10_reads_everything_itself() {
    let world = World::new();
    let mut scene = Scene::open(&world, "good/older");
    for _ in 0..40 {
        assert!(!scene.talk());
    }
    assert_eq!(scene.reads(), 0);
    scene.say(0x88, b"\x03\xe9from an older host");
    scene.hear(b"\x88\x02\x03\xe9");
    await_line("closed with 1001: from an older host");
    scene.await_gone();
    world.end();
}
