// SPDX-License-Identifier: MIT OR Apache-2.0
//! A WebSocket between a handler, which has messages, and a server, which has bytes.

mod lending;

use std::{
    mem,
    os::fd::RawFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Notify, ROOM, Readiness, Stop, Wait, Waker, gather};
use crate::{
    protocol::websocket::{
        Compression, Content, EncodedMessage, SocketEvent, SocketRules, WebSocket, close_code,
    },
    sys::{self, lock},
};

use lending::Lease;
pub(super) use lending::LeaseNews;

/// So much a handler's thread writes itself: the server's waits for no more than that when it ends a connection.
const DIRECT_MOST: usize = 256 * 1024;

/// So much it writes in so long without having waited for a message. One that sends without end goes on by the server, so that it finds no
/// room now and then: with a client that is quick no other handler of its event loop would have its turn.
const RUN_MOST: usize = ROOM;
const RUN: Duration = Duration::from_millis(10);

/// One accepted WebSocket.
///
/// The server's thread gives it what the client has sent and writes what it is given; the handler's takes and sends messages. A
/// handler that is busy does not keep the client waiting for the answer to a ping or to a close frame.
///
/// Where nothing stands between the frames and the client's socket, the handler's thread writes a message itself as long as nothing else
/// waits to be written. Whoever writes has taken away what he writes ([`WebSocket::lend_output`]), so what is behind it waits. The socket
/// stays the server's, which closes it after [`SocketLink::keep`]. Reading is lent to that thread as well, as long as the client is busy
/// (`lend()`): then the server does not read.
pub struct SocketLink {
    ticket: u64,
    notify: Arc<dyn Notify>,
    /// Whoever sends compresses without the state.
    compression: Option<Compression>,
    state: Mutex<LinkState>,
    changed: Condvar,
}

struct LinkState {
    socket: WebSocket,
    /// Of a handler that does not wait.
    waker: Option<Arc<dyn Waker>>,
    /// The server has been told to look.
    posted: bool,
    sleepers: usize,
    /// The handler has been told that there is no message.
    lacks_message: bool,
    /// The handler has been told that there is no room.
    lacks_room: bool,
    /// The handler has taken the last event.
    is_told: bool,
    /// The client's socket, which the handler's thread may write to.
    shared: Option<RawFd>,
    /// The handler's thread writes to it now.
    is_writing: bool,
    /// Bytes that it has written and the server does not know of.
    written: usize,
    /// Bytes that it has written since then.
    run: (Instant, usize),
    /// It reads from it. In a box, for most are silent.
    lease: Option<Box<Lease>>,
}

impl SocketLink {
    /// A WebSocket that begins now, whose server is told by `notify` under this ticket.
    pub(super) fn new(
        ticket: u64,
        notify: Arc<dyn Notify>,
        waker: Option<Arc<dyn Waker>>,
        rules: SocketRules,
    ) -> Self {
        let now = Instant::now();
        let state = LinkState {
            socket: WebSocket::new(rules, now),
            waker,
            posted: false,
            sleepers: 0,
            lacks_message: false,
            lacks_room: false,
            is_told: false,
            shared: None,
            is_writing: false,
            written: 0,
            run: (now, 0),
            lease: None,
        };
        Self {
            ticket,
            notify,
            compression: rules.compression,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The next thing that has happened. HANDLER.
    ///
    /// # Errors
    /// [`Stop::Again`]; [`Stop::Cancelled`] after [`SocketEvent::Closed`].
    pub(super) fn receive(&self, wait: Wait) -> Result<SocketEvent, Stop> {
        let mut state = lock(&self.state);
        loop {
            let was_full = !state.socket.wants_input();
            if let Some(event) = state.socket.poll() {
                state.is_told |= matches!(event, SocketEvent::Closed { .. });
                // Who reads himself sees what is still there.
                if was_full && state.socket.wants_input() && !state.is_lent(None) {
                    self.post(state);
                }
                return Ok(event);
            }
            if state.is_told {
                return Err(Stop::Cancelled);
            }
            if wait == Wait::No {
                state.lacks_message = true;
                state.run.1 = 0;
                return Err(Stop::Again);
            }
            state = self.sleep(state);
        }
    }

    /// Sends a message. HANDLER, one thread at a time.
    ///
    /// # Errors
    /// [`Stop::Again`], [`Stop::Cancelled`]; [`Stop::Invalid`] for text that is none.
    pub(super) fn send(&self, content: Content, payload: &[u8], wait: Wait) -> Result<(), Stop> {
        if content == Content::Text && simdutf8::basic::from_utf8(payload).is_err() {
            return Err(Stop::Invalid);
        }
        let mut state = lock(&self.state);
        loop {
            if state.socket.is_closed() {
                return Err(Stop::Cancelled);
            }
            if state.socket.unwritten() < ROOM {
                break;
            }
            if wait == Wait::No {
                state.lacks_room = true;
                return Err(Stop::Again);
            }
            state = self.sleep(state);
        }
        // Compressing takes long, and the server's thread must not wait for it.
        drop(state);
        let message = EncodedMessage::new(content, payload, self.compression);
        let now = Instant::now();
        let mut state = lock(&self.state);
        let shared = state.shared.filter(|_| state.is_direct(now));
        if !state.socket.send_encoded(message, now) {
            return Err(Stop::Cancelled);
        }
        match shared {
            Some(socket) => self.write_directly(state, socket),
            None => self.post(state),
        }
        Ok(())
    }

    /// Writes what the kernel takes at once, without the server, which is told of the rest. It is told of a connection that has failed when
    /// it tries itself.
    fn write_directly(&self, mut state: MutexGuard<'_, LinkState>, socket: RawFd) {
        state.is_writing = true;
        let output = state.socket.lend_output();
        drop(state);
        let rest = output.rest();
        let count = sys::send_now(socket, rest.get(..DIRECT_MOST).unwrap_or(rest)).unwrap_or(0);
        let mut state = lock(&self.state);
        state.socket.return_output(output, count);
        state.is_writing = false;
        state.written = state.written.saturating_add(count);
        state.run.1 = state.run.1.saturating_add(count);
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
        // The server has found nothing to write meanwhile, and a close frame may have come.
        if state.socket.has_output() || state.socket.is_closed() {
            self.post(state);
        }
    }

    /// Closes it; nothing happens if it is closed. THREAD: any.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for a number that must not be sent.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Stop> {
        self.change(|socket| socket.close(code, reason, Instant::now())).map_err(|_| Stop::Invalid)?;
        self.post(lock(&self.state));
        Ok(())
    }

    /// Takes bytes of the client; answers how many. The rest is given again when [`SocketLink::wants_input`]. SERVER.
    #[must_use]
    pub fn handle_bytes(&self, input: &[u8]) -> usize {
        self.change(|socket| socket.handle_bytes(input, Instant::now()))
    }

    /// The transport has ended, or is about to. THREAD: any.
    pub fn handle_end(&self) {
        self.change(WebSocket::handle_end);
    }

    /// Looks at the time. Answers when to look again. SERVER.
    #[must_use]
    pub fn handle_time(&self) -> Option<Instant> {
        self.change(|socket| {
            socket.handle_time(Instant::now());
            socket.deadline()
        })
    }

    /// When to look at the time. What [`SocketLink::handle_time`] does then may have to be written. SERVER.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        lock(&self.state).socket.deadline()
    }

    /// Has what is to be written written: `sink` answers how many bytes it has taken, 0 if the client takes none at the moment.
    /// Answers whether nothing is left. SERVER.
    ///
    /// # Errors
    /// What `sink` says.
    pub fn write<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<usize, E>) -> Result<bool, E> {
        loop {
            let mut state = lock(&self.state);
            if state.is_writing {
                // The handler's thread tells of what it leaves.
                return Ok(true);
            }
            // A handler that takes or sends a message does not wait until the kernel has taken the one before.
            let output = state.socket.lend_output();
            drop(state);
            if output.rest().is_empty() {
                return Ok(true);
            }
            let taken = sink(output.rest());
            let count = taken.as_ref().map_or(0, |count| *count);
            self.change(|socket| socket.return_output(output, count));
            if taken? == 0 {
                return Ok(false);
            }
        }
    }

    /// The server looks: from now on it is told again. Answers how many bytes the handler's thread has written since it looked. SERVER.
    pub fn look(&self) -> usize {
        let mut state = lock(&self.state);
        state.posted = false;
        mem::take(&mut state.written)
    }

    /// The handler's thread may write to the client's socket, which nothing stands before, until [`SocketLink::keep`]. SERVER.
    pub fn share(&self, socket: RawFd) {
        lock(&self.state).shared = Some(socket);
    }

    /// Nobody reads from the client's socket any more, or writes to it, but the server, which may close it. It waits while the kernel takes what is being
    /// written, which does not wait for the client. SERVER.
    pub fn keep(&self) {
        let mut state = lock(&self.state);
        state.end_lease();
        state.shared = None;
        while state.is_writing {
            state = self.sleep(state);
        }
    }

    /// Whether the client is to be read from. SERVER.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        lock(&self.state).socket.wants_input()
    }

    /// Whether the transport is to be ended. SERVER.
    #[must_use]
    pub fn is_over(&self) -> bool {
        lock(&self.state).socket.is_over()
    }

    /// Whether no message can be sent any more. SERVER.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.state).socket.is_closed()
    }

    /// The service ends: nothing happens if it is closed. SERVER.
    pub fn restart(&self) {
        // The number may be sent.
        let _ = self.close(close_code::RESTART, "the server is restarted");
    }

    fn change<R>(&self, act: impl FnOnce(&mut WebSocket) -> R) -> R {
        let mut state = lock(&self.state);
        let result = act(&mut state.socket);
        self.tell(state);
        result
    }

    /// Tells the handler of what has changed.
    fn tell(&self, mut state: MutexGuard<'_, LinkState>) {
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
        let (ready, waker) = (state.ready(), state.waker.clone());
        drop(state);
        if let Some(waker) = waker {
            ready.into_iter().flatten().for_each(|readiness| waker.wake(readiness));
        }
    }

    fn post(&self, mut state: MutexGuard<'_, LinkState>) {
        let first = !mem::replace(&mut state.posted, true);
        drop(state);
        if first {
            gather::post(&self.notify, self.ticket);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, LinkState>) -> MutexGuard<'a, LinkState> {
        state.sleepers += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }
}

impl LinkState {
    /// Whether the handler's thread may write a message itself.
    fn is_direct(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.run.0) >= RUN {
            self.run = (now, 0);
        }
        self.run.1 < RUN_MOST && !self.socket.has_output()
    }

    /// What a handler that does not wait is to know now, once.
    fn ready(&mut self) -> [Option<Readiness>; 2] {
        let has_room = self.socket.is_closed() || self.socket.unwritten() < ROOM;
        let reads = self.lacks_message && self.socket.has_event();
        let writes = self.lacks_room && has_room;
        self.lacks_message &= !reads;
        self.lacks_room &= !writes;
        [reads.then_some(Readiness::Read), writes.then_some(Readiness::Room)]
    }
}
