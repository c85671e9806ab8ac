// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages that the handler's thread reads from the client's socket itself.

use std::{
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Weak,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        BusySockets, PumpWait, Waker,
        busy::BusySocket,
        pump::{SocketEnd, SocketPump},
    },
    channel::posts,
    plain::{Plain, RULES},
    *,
};
use crate::{
    protocol::websocket::{SocketEvent, SocketRules, tests::frame},
    sys::{poll, receive_now},
};

/// A handler's thread with a set of busy WebSockets.
struct Loop {
    sockets: Arc<BusySockets>,
    woken: Mutex<Sender<Readiness>>,
}

impl Waker for Loop {
    fn wake(&self, readiness: Readiness) {
        // Once more than needed, when the WebSocket has just ended.
        let _ = lock(&self.woken).send(readiness);
    }

    fn busy_sockets(&self) -> Option<Arc<BusySockets>> {
        Some(Arc::clone(&self.sockets))
    }
}

/// A WebSocket, its client, and who is told of it.
struct Scene {
    sockets: Arc<BusySockets>,
    link: Arc<SocketLink>,
    pump: SocketPump,
    plain: Plain,
    client: UnixStream,
    told: Receiver<u64>,
    woken: Receiver<Readiness>,
}

impl Scene {
    fn new() -> Self {
        Self::beside(Arc::new(BusySockets::new().unwrap()))
    }

    fn beside(sockets: Arc<BusySockets>) -> Self {
        Self::with(sockets, RULES)
    }

    fn with(sockets: Arc<BusySockets>, rules: SocketRules) -> Self {
        let (notify, told) = posts();
        let (sender, woken) = mpsc::channel();
        let waker = Loop { sockets: Arc::clone(&sockets), woken: Mutex::new(sender) };
        let (socket, client) = UnixStream::pair().unwrap();
        let link = Arc::new(SocketLink::new(1, notify, Some(Arc::new(waker)), rules));
        let pump = SocketPump::new(Arc::clone(&link), Vec::new());
        let plain = Plain::new(socket);
        let mut scene = Self { sockets, link, pump, plain, client, told, woken };
        assert!(!scene.step().is_lent);
        scene
    }

    /// One whose client has been busy.
    fn lent() -> Self {
        let mut scene = Self::new();
        scene.be_busy();
        scene
    }

    fn be_busy(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.talk().is_lent {
            assert!(Instant::now() < end, "it is never lent");
        }
        while self.told.try_recv().is_ok() {}
        while self.woken.try_recv().is_ok() {}
        assert!(self.taken().is_empty());
    }

    /// A message that the server reads and the handler takes.
    fn talk(&mut self) -> PumpWait {
        self.say(1, b"hello");
        let wait = self.step();
        self.taken();
        wait
    }

    fn say(&mut self, opcode: u8, payload: &[u8]) {
        self.client.write_all(&frame(0x80 | opcode, payload)).unwrap();
    }

    fn step(&mut self) -> PumpWait {
        self.pump.step(&mut self.plain).unwrap()
    }

    /// What the handler gets until there is nothing.
    fn taken(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match self.link.receive(Wait::No) {
                Ok(SocketEvent::Message(message)) => all.push(message.payload),
                Ok(SocketEvent::Closed { code, .. }) => all.push(code.to_string().into_bytes()),
                Err(_) => return all,
            }
        }
    }

    fn shows(&self) -> bool {
        let descriptor = self.sockets.descriptor();
        let mut entries = [libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 }];
        poll(&mut entries, Some(Duration::ZERO));
        entries[0].revents != 0
    }

    fn heard(&self) -> Vec<u8> {
        let mut room = [0; 4096];
        let count = receive_now(self.client.as_raw_fd(), &mut room).unwrap().unwrap_or(0);
        room[..count].to_vec()
    }
}

#[test]
fn the_handler_reads_what_a_busy_client_says() {
    let mut scene = Scene::lent();
    let before = scene.plain.read;
    scene.say(1, b"mine");
    assert!(scene.shows());
    scene.sockets.read();
    assert_eq!(scene.woken.try_iter().collect::<Vec<_>>(), [Readiness::Read]);
    assert_eq!((scene.taken(), scene.told.try_iter().count()), (vec![b"mine".to_vec()], 0));
    assert!(!scene.shows());
    assert!(scene.step().is_lent);
    assert_eq!(
        (scene.plain.read, scene.plain.told_read),
        (before, frame(0x81, b"mine").len()),
        "it is counted"
    );
}

#[test]
fn pings_alone_are_nothing_for_the_handler() {
    let mut scene = Scene::new();
    // Its beginning counts as a message.
    thread::sleep(Duration::from_millis(60));
    for _ in 0..40 {
        scene.say(9, b"?");
        assert!(!scene.step().is_lent);
    }
}

#[test]
fn a_handler_that_takes_nothing_reads_nothing() {
    let mut scene = Scene::new();
    for _ in 0..40 {
        scene.say(1, b"hello");
        assert!(!scene.step().is_lent);
    }
    assert_eq!(scene.taken().len(), 40);
}

#[test]
fn a_client_that_becomes_silent_is_the_servers_again() {
    let mut scene = Scene::lent();
    let end = Instant::now() + Duration::from_secs(10);
    let mut wait = scene.step();
    while wait.is_lent {
        assert!(Instant::now() < end);
        thread::sleep(wait.look_at.unwrap().saturating_duration_since(Instant::now()));
        wait = scene.step();
    }
    scene.say(1, b"later");
    assert!(!scene.shows());
    scene.step();
    assert_eq!(scene.taken(), [b"later"]);
}

#[test]
fn a_loop_that_does_not_come_is_not_waited_for() {
    let mut scene = Scene::lent();
    scene.say(9, b"ping");
    let end = Instant::now() + Duration::from_millis(1500);
    let mut heard = Vec::new();
    while heard.is_empty() {
        assert!(Instant::now() < end, "nobody reads");
        let wait = scene.step();
        heard = scene.heard();
        thread::sleep(wait.look_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())));
    }
    assert_eq!(heard, b"\x8a\x04ping");
    assert!(!scene.shows(), "the loop finds nothing when it comes");
}

#[test]
fn pings_and_closes_are_the_servers() {
    let mut scene = Scene::lent();
    scene.say(9, b"ping");
    scene.sockets.read();
    assert_eq!(scene.told.try_iter().count(), 1);
    assert!(scene.step().is_lent);
    assert_eq!(scene.heard(), b"\x8a\x04ping");
    scene.say(8, b"\x03\xe8");
    scene.sockets.read();
    assert_eq!((scene.told.try_iter().count(), scene.taken()), (1, vec![b"1000".to_vec()]));
    assert_eq!(scene.pump.step(&mut scene.plain), Err(SocketEnd::Agreed));
    assert_eq!(scene.heard(), b"\x88\x02\x03\xe8");
}

#[test]
fn the_end_of_a_connection_is_the_servers() {
    let mut scene = Scene::lent();
    let half = frame(0x81, b"cut off");
    scene.client.write_all(&half[..4]).unwrap();
    scene.sockets.read();
    scene.client.shutdown(std::net::Shutdown::Both).unwrap();
    scene.sockets.read();
    assert!(!scene.shows(), "it is shown once");
    assert_eq!(scene.told.try_iter().count(), 1);
    assert_eq!(scene.pump.step(&mut scene.plain), Err(SocketEnd::Broken));
    assert_eq!(scene.taken(), [b"1006"]);
}

#[test]
fn what_nobody_takes_is_left_to_the_server_and_nothing_is_lost() {
    let mut scene = Scene::lent();
    let said: Vec<u8> = (0..2000).flat_map(|_| frame(0x82, b"0123456789")).collect();
    scene.client.write_all(&said).unwrap();
    scene.sockets.read();
    assert!(!scene.shows(), "a loop whose handler takes nothing sleeps");
    assert_eq!(scene.told.try_iter().count(), 1);
    let end = Instant::now() + Duration::from_secs(10);
    let mut count = scene.taken().len();
    while count < 2000 {
        assert!(Instant::now() < end);
        scene.step();
        count += scene.taken().len();
    }
    for _ in 0..20 {
        assert!(!scene.talk().is_lent, "not before a second is over");
    }
}

#[test]
fn large_messages_are_the_servers() {
    let mut scene = Scene::lent();
    let message = vec![b'x'; 40_000];
    let (said, mut client) = (frame(0x82, &message), scene.client.try_clone().unwrap());
    let writer = thread::spawn(move || (0..20).for_each(|_| client.write_all(&said).unwrap()));
    let end = Instant::now() + Duration::from_secs(10);
    while scene.told.try_iter().count() == 0 {
        assert!(Instant::now() < end);
        scene.sockets.read();
    }
    let mut count = 0;
    while count < 20 {
        assert!(Instant::now() < end);
        assert!(!scene.step().is_lent);
        count += scene.taken().iter().filter(|taken| **taken == message).count();
    }
    writer.join().unwrap();
}

#[test]
fn messages_that_become_large_are_the_servers() {
    let mut scene = Scene::lent();
    let part = vec![b'x'; 10_000];
    for first in [2, 0] {
        scene.client.write_all(&frame(first, &part)).unwrap();
        scene.sockets.read();
        assert_eq!(scene.told.try_iter().count(), 0, "it is none yet");
    }
    scene.say(0, &part);
    scene.sockets.read();
    assert_eq!((scene.taken(), scene.told.try_iter().count()), (vec![part.repeat(3)], 1));
    assert!(!scene.step().is_lent);
    for _ in 0..20 {
        scene.client.write_all(&frame(2, &part)).unwrap();
        assert!(!scene.step().is_lent);
        scene.say(0, &part);
        assert!(!scene.step().is_lent);
        assert_eq!(scene.taken().len(), 1);
    }
    scene.be_busy();
}

#[test]
fn what_has_come_before_a_time_is_over_comes_first() {
    let rules = SocketRules { idle: Some(Duration::from_millis(120)), ..RULES };
    let mut scene = Scene::with(Arc::new(BusySockets::new().unwrap()), rules);
    scene.be_busy();
    let end = Instant::now() + Duration::from_secs(10);
    // Nobody reads, and the next look is late.
    scene.say(1, b"in time");
    while scene.link.deadline().is_some_and(|at| Instant::now() < at) {
        assert!(Instant::now() < end);
        thread::yield_now();
    }
    assert!(!scene.step().is_lent);
    assert_eq!(scene.taken(), [b"in time"], "it is not closed");
}

#[test]
fn nobody_reads_any_more_when_it_has_been_kept() {
    let mut scene = Scene::lent();
    scene.say(1, b"too late");
    scene.link.keep();
    assert!(!scene.shows());
    scene.sockets.read();
    assert!(scene.taken().is_empty());
    assert!(!scene.link.lend());
}

#[test]
fn what_was_shown_of_one_is_not_taken_for_its_successor() {
    let sockets = Arc::new(BusySockets::new().unwrap());
    let (first, second) = (Scene::beside(Arc::clone(&sockets)), Scene::beside(Arc::clone(&sockets)));
    let reader: Weak<dyn BusySocket> = Arc::<SocketLink>::downgrade(&second.link);
    let number = sockets.add(first.plain.socket.as_raw_fd(), reader).unwrap();
    let shown = crate::sys::epoll::Shown { number, has_failed: false };
    second.link.read(&shown, &mut [0; 100]);
    assert_eq!(second.told.try_iter().count(), 0);
    sockets.remove(first.plain.socket.as_raw_fd(), number);
}

/// Opens and closes many while a loop reads: nothing of a closed one is read, and each message comes to whom it was said.
#[test]
fn many_come_and_go_while_a_loop_reads() {
    let sockets = Arc::new(BusySockets::new().unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (sockets, done) = (Arc::clone(&sockets), Arc::clone(&done));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                sockets.read();
            }
        })
    };
    let workers: Vec<_> = (0..2_u32)
        .map(|worker| {
            let sockets = Arc::clone(&sockets);
            thread::spawn(move || {
                for turn in 0..60 {
                    let mut scene = Scene::beside(Arc::clone(&sockets));
                    while !scene.talk().is_lent {}
                    let said = format!("{worker} {turn}");
                    scene.say(1, said.as_bytes());
                    // Sometimes it is closed while it is read.
                    if turn % 3 != 0 {
                        let end = Instant::now() + Duration::from_secs(10);
                        while !scene.taken().contains(&said.clone().into_bytes()) {
                            assert!(Instant::now() < end);
                            scene.step();
                        }
                    }
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}
