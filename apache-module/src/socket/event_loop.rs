// SPDX-License-Identifier: MIT OR Apache-2.0
//! WebSockets of the event MPM: one thread serves all of a process, and none of httpd's waits.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    os::fd::RawFd,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::THREADS_FAILED,
    exchange::{Outbox, OutboxEvent, SocketEnd},
    log::{self, Level},
    sys::{
        self,
        epoll::{Epoll, Interest, Shown},
        explain, lock,
    },
};

use super::{accepted::AcceptedSocket, notices::Wake};
use crate::raw::{self, ConnectionKey, LingeringClose, Suspended, Upgraded};

/// How long the client may take to close its side when both have said what they had to: httpd's own short time.
const LINGER: Duration = Duration::from_secs(2);
/// The MPM writes two last words into a connection just after it has given it away, of which one can be seen: its memory stays for as long
/// at least, and while that word is missing, which in a httpd that does not write it would be for ever, up to [`LONGEST_AGE`].
const AGE: Duration = Duration::from_secs(1);
const LONGEST_AGE: Duration = Duration::from_secs(60);
/// How long the end of the process waits for the last words to the clients.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// One that has been silent for so long keeps no memory for what it says next.
const SILENCE: Duration = Duration::from_secs(1);
const STACK: usize = 512 * 1024;
/// The number of the eventfd and of the timer.
const WAKEUP: u64 = 0;

static LOOP: OnceLock<Option<Arc<LoopHandle>>> = OnceLock::new();

thread_local! {
    /// The WebSocket that this thread of httpd is about to let go of.
    static LEAVING: Cell<Option<(ConnectionKey, LoopSocket)>> = const { Cell::new(None) };
}

/// A WebSocket of the loop, with its connection.
struct LoopSocket {
    accepted: AcceptedSocket,
    connection: Suspended,
}

/// What the threads of httpd have of the loop.
struct LoopHandle {
    outbox: Arc<Outbox>,
    commands: Mutex<Vec<LoopCommand>>,
    last_ticket: AtomicU64,
    has_ended: Mutex<bool>,
    ended: Condvar,
}

enum LoopCommand {
    Take(Box<LoopSocket>),
    /// The process ends when all requests have.
    Drain,
    /// The process ends.
    End,
}

impl LoopHandle {
    fn send(&self, command: LoopCommand) {
        lock(&self.commands).push(command);
        self.outbox.eventfd().signal();
    }
}

/// Begins it in a child whose MPM can let go of connections.
pub(crate) fn start() {
    if raw::is_async() {
        LOOP.get_or_init(|| match begin() {
            Ok(handle) => Some(handle),
            Err(error) => {
                let why = explain(&error);
                let text =
                    format_args!("WebSockets hold a thread each, for there is none that serves all: {why}");
                log::coded(Level::Error, THREADS_FAILED, text);
                None
            }
        });
    }
}

fn begin() -> io::Result<Arc<LoopHandle>> {
    let outbox = Arc::new(Outbox::new()?);
    let epoll = Epoll::new()?;
    epoll.add_signal(outbox.eventfd(), WAKEUP)?;
    // What a handler has sent leaves also when it does not come back to tell of it.
    epoll.add_signal(outbox.timerfd(), WAKEUP)?;
    let handle = Arc::new(LoopHandle {
        outbox,
        commands: Mutex::default(),
        last_ticket: AtomicU64::new(WAKEUP),
        has_ended: Mutex::new(false),
        ended: Condvar::new(),
    });
    let of_thread = Arc::clone(&handle);
    sys::spawn("gw-sockets", STACK, move || {
        let mut sockets = SocketLoop {
            handle: Arc::clone(&of_thread),
            epoll,
            entries: HashMap::new(),
            times: BinaryHeap::new(),
            again: Vec::new(),
            is_draining: false,
        };
        // A fault of one must not end the others.
        while !fence("the loop of WebSockets", false, || sockets.turn()) {}
        *lock(&of_thread.has_ended) = true;
        of_thread.ended.notify_all();
    })?;
    Ok(handle)
}

fn running() -> Option<&'static Arc<LoopHandle>> {
    LOOP.get()?.as_ref()
}

/// Whether there is one in this process.
pub(super) fn is_there() -> bool {
    running().is_some()
}

/// Has httpd's thread let go of a WebSocket when its handler has answered what this answers.
pub(super) fn suspend(accepted: AcceptedSocket, upgraded: Upgraded<'_>) -> std::ffi::c_int {
    let (connection, key) = upgraded.suspend();
    LEAVING.set(Some((key, LoopSocket { accepted, connection })));
    raw::SUSPENDED
}

/// httpd has let go of a connection, on the thread that had it; `None`: it goes on with it.
pub(crate) fn suspended(key: Option<ConnectionKey>) {
    let Some((of, socket)) = LEAVING.take() else { return };
    match running() {
        Some(handle) if key == Some(of) => handle.send(LoopCommand::Take(Box::new(socket))),
        // Against all that was seen before: the request is httpd's then.
        _ => socket.accepted.give_up(),
    }
}

/// This process ends. `graceful`: when its requests have.
pub(crate) fn stop(graceful: bool) {
    let Some(handle) = running() else { return };
    if graceful {
        handle.send(LoopCommand::Drain);
        return;
    }
    handle.send(LoopCommand::End);
    let ended = lock(&handle.has_ended);
    // Late or not: the process ends.
    let _ = handle
        .ended
        .wait_timeout_while(ended, LAST_WORDS, |ended| !*ended)
        .unwrap_or_else(PoisonError::into_inner);
}

struct SocketLoop {
    handle: Arc<LoopHandle>,
    epoll: Epoll,
    entries: HashMap<u64, LoopEntry>,
    /// When they are to be looked at. Those of ended ones, and times that have been put off, are found out when they come.
    times: BinaryHeap<Reverse<(Instant, u64)>>,
    /// To be looked at in the next turn.
    again: Vec<u64>,
    is_draining: bool,
}

struct LoopEntry {
    phase: SocketPhase,
    /// The earliest time of it in `times`.
    timed: Option<Instant>,
    taken: Instant,
    /// When something has happened for the last time, as long as memory may be kept for more of it.
    busy: Option<Instant>,
}

impl LoopEntry {
    fn is_open(&self) -> bool {
        matches!(self.phase, SocketPhase::Open { .. })
    }
}

enum SocketPhase {
    Open { socket: Box<LoopSocket>, descriptor: RawFd, interest: Interest },
    Closing { lingering: LingeringClose, until: Instant },
}

impl SocketLoop {
    /// Waits for something and does it. Answers whether the loop has ended.
    fn turn(&mut self) -> bool {
        let mut shown: Vec<Shown> = std::mem::take(&mut self.again)
            .into_iter()
            .map(|number| Shown { number, has_failed: false })
            .collect();
        let timeout = if shown.is_empty() { self.time_left() } else { Some(Duration::ZERO) };
        self.epoll.wait(timeout, |one| shown.push(one));
        let mut events = Vec::new();
        self.handle.outbox.drain(&mut events);
        shown.extend(events.iter().filter_map(|event| match event {
            OutboxEvent::Ready(number) => Some(Shown { number: *number, has_failed: false }),
            OutboxEvent::Line(..) => None,
        }));
        let commands = std::mem::take(&mut *lock(&self.handle.commands));
        if commands.into_iter().any(|command| self.carry_out(command)) {
            return true;
        }
        for one in shown.into_iter().filter(|one| one.number != WAKEUP) {
            self.look_at(one);
            self.note_busy(one.number);
        }
        self.look_at_times();
        false
    }

    fn time_left(&self) -> Option<Duration> {
        let now = Instant::now();
        self.times.peek().map(|Reverse((at, _))| at.saturating_duration_since(now))
    }

    /// Answers whether the loop ends.
    fn carry_out(&mut self, command: LoopCommand) -> bool {
        match command {
            LoopCommand::Take(socket) => self.take(socket),
            LoopCommand::Drain => {
                self.is_draining = true;
                self.again.extend(self.entries.keys());
                for entry in self.entries.values_mut() {
                    if let SocketPhase::Open { socket, .. } = &mut entry.phase {
                        socket.accepted.drain();
                    }
                }
            }
            LoopCommand::End => {
                for entry in self.entries.values_mut() {
                    if let SocketPhase::Open { socket, .. } = &mut entry.phase {
                        let LoopSocket { accepted, connection } = &mut **socket;
                        connection.with(|upgraded| accepted.end_now(upgraded));
                    }
                }
                return true;
            }
        }
        false
    }

    fn take(&mut self, mut socket: Box<LoopSocket>) {
        let number = self.handle.last_ticket.fetch_add(1, Relaxed) + 1;
        socket.accepted.notices.wake_too(Wake::Loop(Arc::clone(&self.handle.outbox), number));
        if self.is_draining {
            socket.accepted.drain();
        }
        let descriptor = socket.connection.with(|upgraded| upgraded.descriptor()).unwrap_or(-1);
        let interest = Interest { reads: true, writes: false };
        let is_watched = self.epoll.add(descriptor, number, interest).is_ok();
        let phase = SocketPhase::Open { socket, descriptor, interest };
        self.entries.insert(number, LoopEntry { phase, timed: None, taken: Instant::now(), busy: None });
        self.look_at(Shown { number, has_failed: !is_watched });
        self.note_busy(number);
    }

    /// Does what can be done for one of them.
    fn look_at(&mut self, Shown { number, has_failed }: Shown) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        match &mut entry.phase {
            SocketPhase::Closing { lingering, until } => {
                let is_over = has_failed
                    || Instant::now() >= *until
                    || (lingering.descriptor().is_some() && lingering.is_over());
                if is_over {
                    self.part(number);
                }
            }
            SocketPhase::Open { socket, descriptor, interest } => {
                let LoopSocket { accepted, connection } = &mut **socket;
                if has_failed {
                    accepted.take_back();
                }
                let wait = match connection.with(|upgraded| accepted.go_on(upgraded)) {
                    // Nobody reads what is written, and what may still be read is not wanted.
                    Ok(wait) if has_failed && !wait.reads => {
                        accepted.give_up();
                        return self.end(number, SocketEnd::Broken);
                    }
                    Ok(wait) => wait,
                    Err(end) => return self.end(number, end),
                };
                let wanted = Interest { reads: wait.reads && !wait.is_lent, writes: wait.is_stalled };
                if *interest != wanted {
                    *interest = wanted;
                    if self.epoll.change(*descriptor, number, wanted).is_err() {
                        accepted.give_up();
                        return self.end(number, SocketEnd::Broken);
                    }
                }
                if wait.reads_on {
                    self.again.push(number);
                }
                if let Some(at) = wait.look_at {
                    self.look_later(number, at);
                }
            }
        }
    }

    /// A time that comes too early is put off then, which costs less than to change it for each message.
    fn look_later(&mut self, number: u64, at: Instant) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if entry.timed.is_none_or(|known| known > at) {
            entry.timed = Some(at);
            self.times.push(Reverse((at, number)));
        }
    }

    fn look_at_times(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, number))) =
            self.times.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.times.pop();
            if let Some(entry) = self.entries.get_mut(&number).filter(|entry| entry.timed == Some(at)) {
                entry.timed = None;
                self.look_at(Shown { number, has_failed: false });
                self.spare(number);
            }
        }
    }

    /// Something has happened to one of them, and what it has needed for that it may soon need again.
    fn note_busy(&mut self, number: u64) {
        let now = Instant::now();
        let entry = self.entries.get_mut(&number).filter(|entry| entry.is_open());
        if entry.is_some_and(|entry| entry.busy.replace(now).is_none()) {
            self.look_later(number, now + SILENCE);
        }
    }

    /// One that has become silent gives memory back.
    fn spare(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let (Some(busy), SocketPhase::Open { socket, .. }) = (entry.busy, &mut entry.phase) else { return };
        if busy.elapsed() >= SILENCE {
            socket.connection.spare_memory();
            entry.busy = None;
        } else {
            self.look_later(number, busy + SILENCE);
        }
    }

    /// The WebSocket has ended, and with it the request.
    fn end(&mut self, number: u64, end: SocketEnd) {
        let Some(LoopEntry { phase: SocketPhase::Open { socket, descriptor, .. }, taken, .. }) =
            self.entries.remove(&number)
        else {
            return;
        };
        self.epoll.remove(descriptor);
        let LoopSocket { accepted, mut connection } = *socket;
        connection.with(|upgraded| accepted.end(upgraded.request(), end));
        let lingering = connection.leave(end == SocketEnd::Agreed);
        let until = Instant::now() + LINGER;
        let is_watched = lingering.descriptor().is_some_and(|descriptor| {
            self.epoll.add(descriptor, number, Interest { reads: true, writes: false }).is_ok()
        });
        self.entries.insert(
            number,
            LoopEntry { phase: SocketPhase::Closing { lingering, until }, timed: None, taken, busy: None },
        );
        if is_watched {
            self.look_at(Shown { number, has_failed: false });
            self.look_later(number, until);
        } else {
            self.part(number);
        }
    }

    /// The connection has ended.
    fn part(&mut self, number: u64) {
        let Some(LoopEntry { phase: SocketPhase::Closing { mut lingering, .. }, taken, .. }) =
            self.entries.remove(&number)
        else {
            return;
        };
        if let Some(descriptor) = lingering.descriptor() {
            self.epoll.remove(descriptor);
        }
        lingering.close();
        let age = taken.elapsed();
        if age >= LONGEST_AGE || age >= AGE && lingering.is_let_go() {
            lingering.free();
        } else {
            let until = Instant::now() + AGE.saturating_sub(age).max(AGE / 10);
            let phase = SocketPhase::Closing { lingering, until };
            self.entries.insert(number, LoopEntry { phase, timed: None, taken, busy: None });
            self.look_later(number, until);
        }
    }
}
