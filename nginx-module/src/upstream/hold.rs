// SPDX-License-Identifier: MIT OR Apache-2.0
//! A head whose body has not begun waits a moment for it.
//!
//! Many applications write the head and the body apart. nginx takes the head of a response for a decision: from then on a
//! backend that dies is a cut response, and no other backend is asked. So a head that comes alone is shown to nginx when the
//! first byte of the body is there, or when the backend pauses ([`UpstreamConf::flush_wait`], after which the
//! head goes to the client anyway). If the backend dies before, the request is as open as it was.
//!
//! nginx asks `process_header` only after it has read something. The last byte of the head is kept back for that, and is
//! what nginx reads when the wait is over.
//!
//! [`UpstreamConf::flush_wait`]: crate::conf::UpstreamConf::flush_wait

use std::{ffi::c_void, ptr, time::Duration};

use gangway::{engine::fence, protocol::Role};
use nginx_sys::{ngx_connection_t, ngx_event_t, ngx_http_request_t, ngx_recv_pt};

use super::context::Context;
use crate::raw::{Connection, Timer, Upstream, timer_data};

/// The wait of one response.
#[derive(Default)]
pub(super) struct Hold {
    /// What the connection reads with, while ours is in its place.
    receive: ngx_recv_pt,
    byte: u8,
    /// The byte is of the head, and not of what follows it in the protocol's framing.
    in_head: bool,
    timer: Option<Timer>,
    /// The byte has been kept back: no second time.
    was: bool,
    /// The backend pauses.
    over: bool,
    /// The connection has failed behind the head, which the next read is to say once more.
    failed: bool,
    /// There is no other backend to ask, and no connection whose end says anything.
    off: bool,
}

impl Hold {
    /// Takes the head's last byte once more, if it was kept back. Answers whether the head has waited: it is whole.
    pub(super) fn end(&self, upstream: Upstream) -> bool {
        if self.was && self.in_head {
            upstream.take(1);
        }
        self.was
    }

    /// For a response that does not wait.
    pub(super) fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// For the response of the next backend.
    pub(super) fn restart(&mut self, connection: Option<Connection>) {
        self.stop(connection);
        *self = Self { off: self.off, ..Self::default() };
    }

    /// Whether there is nothing to read any more, but an error to tell.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    /// Ends the wait. The connection reads as before, if there still is one.
    pub(super) fn stop(&mut self, connection: Option<Connection>) {
        self.timer = None;
        if let Some(receive) = self.receive.take()
            && let Some(connection) = connection
        {
            connection.set_receiver(Some(receive));
        }
    }
}

/// Lets a head that is whole wait for its body, if it has to.
pub(super) fn begin(context: &mut Context, upstream: Upstream) -> bool {
    let wait = context.conf().flush_wait();
    if context.hold.was || context.hold.off || wait == 0 || !upstream.is_buffering() || !has_body(context) {
        return false;
    }
    let unread = upstream.unread();
    if context.begins_body(unread) {
        return false;
    }
    let in_head = unread.is_empty();
    // A cached response has none.
    let Some(connection) = upstream.connection() else { return false };
    let Some(byte) = upstream.keep_back() else { return false };
    upstream.uncount_received(1);
    let this = ptr::from_mut(context).cast::<c_void>();
    let hold = &mut context.hold;
    hold.was = true;
    hold.over = false;
    hold.failed = false;
    hold.byte = byte;
    hold.in_head = in_head;
    hold.receive = connection.receiver();
    connection.set_receiver(Some(receive));
    let timer = hold.timer.insert(Timer::new(on_timer, this, false));
    timer.set(Duration::from_millis(wait as u64));
    true
}

/// Whether the body that the head speaks of has at least a byte.
fn has_body(context: &Context) -> bool {
    let head = context.parser.head();
    context.place.role == Role::Responder
        && !context.request.is_head()
        && !context.request.is_cached()
        && !context.decoder.ended()
        && !matches!(head.status(), 204 | 304)
        && head.get(b"content-length").is_none_or(|length| length != b"0")
}

/// Whether the end of the connection is a proper end of a response that has no byte in its body.
fn may_end(context: &Context) -> bool {
    context.decoder.wanted().is_none() && context.parser.head().get(b"content-length").is_none()
}

unsafe extern "C" fn receive(c: *mut ngx_connection_t, buffer: *mut u8, size: usize) -> isize {
    const ERROR: isize = nginx_sys::NGX_ERROR as isize;
    const AGAIN: isize = nginx_sys::NGX_AGAIN as isize;
    fence("hold::receive", ERROR, || {
        // SAFETY: nginx reads from the live connection of a request whose upstream is ours: its data is the request. The
        // room is at least that of the byte which `begin` gave back, and nothing is written behind `size`.
        unsafe {
            let Some(context) = Context::of((*c).data.cast::<ngx_http_request_t>()) else { return ERROR };
            let Some(read) = context.hold.receive.filter(|_| size > 0) else { return ERROR };
            // One byte of room may be all that there is: then the body waits in the kernel.
            let count = if size > 1 { read(c, buffer.add(1), size - 1) } else { AGAIN };
            if count == AGAIN && !context.hold.over && size > 1 {
                return AGAIN;
            }
            let Some(connection) = Connection::from_raw(c) else { return ERROR };
            if count == AGAIN {
                // What comes with the byte is more than was read.
                connection.read().set_ready(size == 1);
            } else if count <= 0 {
                if !may_end(context) {
                    // The head has not been seen by anybody: another backend may be asked.
                    context.hold.stop(Some(connection));
                    return count;
                }
                context.hold.failed = count < 0;
                // nginx reads again, and finds the same.
                connection.read().set_ready(true);
            }
            buffer.write(context.hold.byte);
            context.hold.stop(Some(connection));
            count.max(0) + 1
        }
    })
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("hold::on_timer", (), || {
        // SAFETY: the timer is stopped before its context is dropped, and runs only while nginx waits for the head.
        unsafe {
            let Some(context) = timer_data(event).cast::<Context>().as_mut() else { return };
            context.hold.over = true;
            let request = context.request;
            let Some(upstream) = context.upstream() else { return };
            let run_posted = request.posted_runner();
            // No reference to the context is held here: it may be gone after it.
            upstream.run_read_handler(request);
            run_posted();
        }
    });
}
