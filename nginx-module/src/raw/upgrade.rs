// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection that speaks another protocol than HTTP from now on, as nginx's own upstreams have it: the request stays, and its
//! connection is read from and written to without nginx's filters.

use std::os::fd::RawFd;

use gangway::exchange::{ConnectionLost, Transport, TransportRead};
use nginx_sys::{
    NGX_HTTP_VERSION_11, ngx_add_timer, ngx_connection_t, ngx_del_timer, ngx_event_actions, ngx_event_flags,
    ngx_event_handler_pt, ngx_event_t, ngx_exiting, ngx_handle_read_event, ngx_handle_write_event,
    ngx_http_request_t, ngx_int_t, ngx_io, ngx_post_event, ngx_posted_next_events, ngx_uint_t,
};

use super::{Connection, Request, field::field, status::AGAIN, turn};

/// EPOLLIN and EPOLLRDHUP, as nginx asks for reading (NGX_READ_EVENT); NGX_CLEAR_EVENT.
const READ: ngx_int_t = (libc::EPOLLIN | libc::EPOLLRDHUP) as ngx_int_t;
const EDGES: ngx_uint_t = libc::EPOLLET as u32 as ngx_uint_t;

/// The handlers of a connection of HTTP.
#[derive(Clone, Copy)]
pub(crate) struct HttpHandlers {
    read: ngx_event_handler_pt,
    write: ngx_event_handler_pt,
}

impl Request {
    /// Whether its connection can change its protocol (RFC 9110 §7.8): a GET request without a body over HTTP/1.1.
    pub(crate) fn can_upgrade(self) -> bool {
        self.is_main()
            && self.has_method_of(nginx_sys::NGX_HTTP_GET)
            && field!(self, http_version) == NGX_HTTP_VERSION_11 as usize
            && !self.declares_body()
    }

    /// Takes the connection from HTTP: `handler` is called when something can be read or written. What has come behind the
    /// request's head is the answer, with the handlers to give back. `None`: the connection has failed.
    pub(crate) fn take_connection(
        self,
        handler: unsafe extern "C" fn(*mut ngx_event_t),
    ) -> Option<(Vec<u8>, HttpHandlers)> {
        let connection = self.connection();
        field!(self, set_keepalive(0));
        let is_without_delay = self.core_location().tcp_nodelay == 0
            // SAFETY: a live connection of HTTP/1.1, which has a socket of its own.
            || unsafe { nginx_sys::ngx_tcp_nodelay(connection.raw()) } == 0;
        if !is_without_delay {
            return None;
        }
        let buffer = field!(self, header_in);
        // SAFETY: a live request has the buffer that its head was read into, whose bytes from `pos` to `last` nobody has taken.
        let early = unsafe {
            let length = (*buffer).last.offset_from((*buffer).pos);
            let early =
                std::slice::from_raw_parts((*buffer).pos, usize::try_from(length).unwrap_or(0)).to_vec();
            (*buffer).pos = (*buffer).last;
            early
        };
        let (read, write) = (connection.read(), connection.write());
        let handlers = HttpHandlers { read: field!(read, handler), write: field!(write, handler) };
        field!(read, handler = Some(handler));
        field!(write, handler = Some(handler));
        // A worker that shuts down calls the handler then.
        field!(connection, set_idle(1));
        Some((early, handlers))
    }

    /// Gives the connection back, so that nginx can end the request.
    pub(crate) fn give_connection_back(self, handlers: HttpHandlers) {
        let connection = self.connection();
        field!(connection, set_idle(0));
        field!(connection.read(), handler = handlers.read);
        field!(connection.write(), handler = handlers.write);
    }
}

impl Connection {
    /// The connection and the request of an event that a handler of [`Request::take_connection`] was called with.
    ///
    /// # Safety
    /// It is that event.
    pub(crate) unsafe fn of_upgraded(event: *mut ngx_event_t) -> (Self, Request) {
        // SAFETY: the data of a connection's event is the connection, and that of a connection of HTTP/1.1 is its main request,
        // which lives until its handlers are given back.
        unsafe {
            let raw = (*event).data.cast::<ngx_connection_t>();
            let request = Request::from_raw((*raw).data.cast::<ngx_http_request_t>());
            (Self::from_raw_unchecked(raw), request)
        }
    }

    /// Whether the worker shuts down, and whether it waits for nobody any more.
    pub(crate) fn is_to_end(self) -> (bool, bool) {
        (field!(self, close()) != 0, field!(self, error()) != 0)
    }

    /// Reads on in the next turn of the event loop, after the other connections.
    pub(crate) fn read_on_later(self) {
        // SAFETY: an event of this thread's loop and the loop's own queue.
        unsafe { ngx_post_event(self.read().raw(), &raw mut ngx_posted_next_events) }
    }

    /// Has nginx tell of the next change in both directions. `stalled`: how long the client may take nothing of what is to be
    /// written, if something is. `progress`: it has taken something. `is_lent`: somebody else reads, and nginx is not told of that.
    pub(crate) fn watch(self, stalled: Option<usize>, progress: bool, is_lent: bool) -> bool {
        let (read, write) = (self.read(), self.write());
        // SAFETY: the events of a live connection.
        unsafe {
            match stalled {
                Some(timeout) if progress || !write.has_timer() => ngx_add_timer(write.raw(), timeout),
                None if write.has_timer() => ngx_del_timer(write.raw()),
                _ => {}
            }
            let watches = if !is_lent {
                ngx_handle_read_event(read.raw(), 0) == 0
            } else if field!(read, active()) != 0 {
                // What is watched for writing stays as it is.
                ngx_event_actions.del.is_some_and(|del| del(read.raw(), READ, EDGES) == 0)
            } else {
                true
            };
            watches && ngx_handle_write_event(write.raw(), 0) == 0
        }
    }
}

impl Transport for Connection {
    /// What a socket of the kernel holds of messages of some size.
    const PART: usize = 64 * 1024;

    fn receive(&mut self, into: &mut [u8]) -> TransportRead {
        let read = self.read();
        if !read.is_ready() {
            return TransportRead::Later;
        }
        if turn::is_over() {
            return TransportRead::NextTurn;
        }
        let Some(receive) = field!(self, recv) else { return TransportRead::End };
        // SAFETY: nginx's function for this live connection writes so many bytes at most.
        match unsafe { receive(self.raw(), into.as_mut_ptr(), into.len()) } {
            AGAIN => TransportRead::Later,
            count if count > 0 => TransportRead::Bytes(count.unsigned_abs().min(into.len())),
            _ => TransportRead::End,
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<usize, ConnectionLost> {
        // As much as one record of TLS holds, and the same bytes again when it was not taken.
        const RECORD: usize = 16 * 1024;
        let most = if self.is_tls() { RECORD } else { bytes.len() };
        let bytes = bytes.get(..bytes.len().min(most)).unwrap_or_default();
        if !self.write().is_ready() {
            return Ok(0);
        }
        let Some(send) = field!(self, send) else { return Err(ConnectionLost) };
        // SAFETY: nginx's function for this live connection, which only reads the bytes.
        match unsafe { send(self.raw(), bytes.as_ptr().cast_mut(), bytes.len()) } {
            AGAIN => Ok(0),
            count => usize::try_from(count).map_err(|_| ConnectionLost),
        }
    }

    fn shared(&self) -> Option<RawFd> {
        // SAFETY: nginx sets its functions when it starts.
        let plain = unsafe { ngx_io.send };
        // TLS, and whatever else stands before a socket, has a function of its own.
        let is_plain = !self.is_tls()
            && field!(*self, send).map(|send| send as usize) == plain.map(|send| send as usize);
        is_plain.then(|| self.descriptor())
    }

    fn can_lend(&self) -> bool {
        // What else tells of events may need to be told of them by each read.
        // SAFETY: nginx sets its flags when it starts.
        unsafe { ngx_event_flags & nginx_sys::NGX_USE_EPOLL_EVENT as usize != 0 }
    }

    fn count(&mut self, written: usize) {
        let sent = field!(*self, sent);
        field!(*self, sent = sent.saturating_add(written as i64));
    }
}

/// Whether this worker shuts down.
pub(crate) fn is_exiting() -> bool {
    // SAFETY: a plain flag of the worker's own thread.
    unsafe { ngx_exiting != 0 }
}
