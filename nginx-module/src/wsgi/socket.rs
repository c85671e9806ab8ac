// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request whose connection is a WebSocket: nginx's events and times for what the core does with its bytes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::exchange::{SocketEnd, SocketLink, SocketOffer, SocketPump};
use nginx_sys::{ngx_event_t, ngx_int_t};

use super::mounted::Mounted;
use crate::{
    raw::{HttpHandlers, Request, TurnWork},
    serve::head,
};

/// One WebSocket of this worker.
pub(super) struct ClientSocket {
    pump: SocketPump,
    handlers: HttpHandlers,
}

/// What a request asks for, if it is a WebSocket that its application may have.
///
/// # Errors
/// The status of the answer to a request that asks wrongly.
pub(super) fn offer(request: Request, mounted: &Mounted) -> Result<Option<SocketOffer>, ngx_int_t> {
    let Some(terms) = mounted.config.sockets().filter(|_| request.can_upgrade()) else { return Ok(None) };
    SocketOffer::read(|| request.headers(), terms.rules(), terms.deflate()).map_err(|error| {
        for (name, value) in error.fields() {
            // Without memory for a header the status says enough.
            let _ = head::add(request, name.to_bytes(), value.to_bytes());
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
        Some(Self { pump: SocketPump::new(link, unread), handlers })
    }

    /// The answer to the handshake has not left, for the client takes nothing. Answers whether it has time left, which it does not get by what
    /// it sends.
    pub(super) fn waits(request: Request) -> bool {
        let connection = request.connection();
        if connection.write().has_timed_out() {
            request.set_timed_out();
            return false;
        }
        connection.watch(Some(request.core_location().send_timeout), false, false)
    }

    /// Reads and writes what can be read and written now. Answers when it is to be looked at, if nothing happens before.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn go_on(&mut self, request: Request) -> Result<Option<Instant>, SocketEnd> {
        let mut connection = request.connection();
        if connection.write().has_timed_out() {
            request.set_timed_out();
            self.pump.give_up();
            return Err(SocketEnd::Broken);
        }
        let work = TurnWork::begin();
        let wait = self.pump.step(&mut connection)?;
        drop(work);
        if wait.reads_on {
            connection.read_on_later();
        }
        let stalled = wait.is_stalled.then(|| request.core_location().send_timeout);
        if !connection.watch(stalled, wait.has_progress, wait.is_lent) {
            self.pump.give_up();
            return Err(SocketEnd::Broken);
        }
        Ok(wait.look_at)
    }

    /// The worker shuts down: when it is closed, spread over `most` by `number`.
    pub(super) fn drain(&mut self, most: Duration, number: u64) {
        self.pump.drain(most, number);
    }

    /// Says that the service ends, as far as that can be said at once.
    pub(super) fn end_now(&self, request: Request) {
        self.pump.end_now(&mut request.connection());
    }

    /// Gives the connection back to nginx.
    pub(super) fn give_back(&self, request: Request) {
        request.give_connection_back(self.handlers);
    }
}
