// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request whose connection is a WebSocket: bytes from the client to the core and back. What they say is the core's.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    exchange::{SocketLink, SocketOffer},
    protocol::websocket::HandshakeError,
};
use nginx_sys::{ngx_event_t, ngx_int_t};

use super::mounted::Mounted;
use crate::{
    raw::{Connection, HttpHandlers, ReadOutcome, Request},
    serve::head,
};

/// Bytes that are read at a time, and how often in one turn of the event loop: a client that sends without end does not keep
/// the others waiting.
const PART: usize = 64 * 1024;
const PARTS_MOST: usize = 4;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What follows when it has done what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketStep {
    /// It goes on. When it is to be looked at, if nothing happens before.
    Wait(Option<Instant>),
    /// Both sides have said what they had to.
    Over,
    /// The connection has ended, or takes nothing any more.
    Broken,
}

/// One WebSocket of this worker.
pub(super) struct ClientSocket {
    link: Arc<SocketLink>,
    handlers: HttpHandlers,
    /// What the client has sent and the application is not ready for.
    unread: Vec<u8>,
    /// When it is closed because the worker shuts down.
    drain: Option<Instant>,
}

/// What a request asks for, if it is a WebSocket that its application may have.
///
/// # Errors
/// The status of the answer to a request that asks wrongly.
pub(super) fn offer(request: Request, mounted: &Mounted) -> Result<Option<SocketOffer>, ngx_int_t> {
    let Some(terms) = mounted.config.sockets().filter(|_| request.can_upgrade()) else { return Ok(None) };
    SocketOffer::read(|| request.headers(), terms.rules(), terms.deflate()).map_err(|error| {
        // Without memory for a header the status says enough.
        if let Some((name, value)) = error.field() {
            let _ = head::add(request, name.as_bytes(), value.as_bytes());
        }
        if error == HandshakeError::Version {
            // RFC 9110 §15.5.22 and §7.8.
            let _ = head::add(request, b"Upgrade", b"websocket");
            let _ = head::add(request, b"Connection", b"upgrade");
        }
        error.status() as ngx_int_t
    })
}

impl ClientSocket {
    /// The head that accepts it has been given to nginx: `handler` is called for what happens on the connection. `None`: it has
    /// failed.
    pub(super) fn begin(
        request: Request,
        link: Arc<SocketLink>,
        handler: unsafe extern "C" fn(*mut ngx_event_t),
    ) -> Option<Self> {
        let (unread, handlers) = request.take_connection(handler)?;
        Some(Self { link, handlers, unread, drain: None })
    }

    /// Reads and writes what can be read and written now.
    pub(super) fn go_on(&mut self, request: Request) -> SocketStep {
        self.link.look();
        let connection = request.connection();
        if connection.write().has_timed_out() {
            request.set_timed_out();
            self.link.handle_end();
            return SocketStep::Broken;
        }
        let is_read = self.read(connection).is_ok();
        self.look_at_time();
        let mut progress = false;
        let written =
            self.link.write(|bytes| connection.transmit(bytes).inspect(|count| progress |= *count > 0));
        // A client may send its close frame and close its side at once: it has got the answer now.
        let (true, Ok(is_all)) = (is_read, written) else {
            self.link.handle_end();
            return SocketStep::Broken;
        };
        if self.link.is_over() {
            return SocketStep::Over;
        }
        let stalled = (!is_all).then(|| request.core_location().send_timeout);
        if !connection.watch(stalled, progress) {
            return SocketStep::Broken;
        }
        SocketStep::Wait(self.next_look())
    }

    fn look_at_time(&self) {
        if self.drain.is_some_and(|at| Instant::now() >= at) {
            self.link.restart();
        }
        // Asked for again when everything has been done.
        let _ = self.link.handle_time();
    }

    /// Nothing is done here: it would not be written.
    fn next_look(&self) -> Option<Instant> {
        let drain = self.drain.filter(|_| !self.link.is_closed());
        self.link.deadline().into_iter().chain(drain).min()
    }

    /// Gives the core what the client has sent.
    fn read(&mut self, connection: Connection) -> Result<(), ()> {
        if !self.unread.is_empty() {
            let taken = self.link.handle_bytes(&self.unread);
            self.unread.drain(..taken.min(self.unread.len()));
            if !self.unread.is_empty() {
                return Ok(());
            }
            self.unread = Vec::new();
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(PART, 0);
            for _ in 0..PARTS_MOST {
                if !self.link.wants_input() {
                    return Ok(());
                }
                match connection.receive(buffer) {
                    ReadOutcome::Later => return Ok(()),
                    ReadOutcome::End => return Err(()),
                    ReadOutcome::Bytes(count) => {
                        let bytes = buffer.get(..count).unwrap_or_default();
                        let taken = self.link.handle_bytes(bytes);
                        if taken < count {
                            // It comes before all that is still to be read.
                            self.unread.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                            return Ok(());
                        }
                    }
                }
            }
            connection.read_on_later();
            Ok(())
        })
    }

    /// The worker shuts down: when it is closed, spread over `most` by `number`.
    pub(super) fn drain(&mut self, most: Duration, number: u64) {
        // Fibonacci hashing: numbers that follow each other are far apart.
        let share = (number as u32).wrapping_mul(0x9e37_79b9);
        let after = most.mul_f64(f64::from(share) / f64::from(u32::MAX));
        self.drain.get_or_insert_with(|| Instant::now() + after);
    }

    /// Says that the service ends, as far as that can be said at once.
    pub(super) fn end_now(&self, request: Request) {
        self.link.restart();
        let connection = request.connection();
        // It ends in any case.
        let _ = self.link.write(|bytes| connection.transmit(bytes));
    }

    /// Gives the connection back to nginx.
    pub(super) fn give_back(&self, request: Request) {
        request.give_connection_back(self.handlers);
    }
}
