// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output that waits for more of it does not wait for long.
//!
//! In buffered mode nginx hands a buffer on when it is full. A backend that pauses would leave the start of its output
//! there for as long as it pauses. So a read that leaves the connection empty starts a timer; when the backend has been
//! silent for that time, the buffer goes on as it is, and filters that hold bytes back (gzip) are told to let them go. A
//! backend that sends a little again and again does not pause, but what it sends waits no longer than [`PATIENCE`].

use std::{ffi::c_void, ptr, time::Duration};

use gangway::engine::fence;
use nginx_sys::{
    ngx_chain_t, ngx_connection_t, ngx_event_t, ngx_http_request_t, ngx_msec_t, ngx_recv_chain_pt,
};

use super::{context::Context, pipe};
use crate::raw::{Connection, Request, Timer, bytes, timer_data};

/// For how long bytes may wait for more of them that come again and again.
const PATIENCE: ngx_msec_t = 50;

/// The timer of one response.
#[derive(Default)]
pub(super) struct Flush {
    wait: ngx_msec_t,
    /// When the timer was started by a read, and when it was last moved, as ngx_current_msec.
    since: ngx_msec_t,
    last: ngx_msec_t,
    /// What the connection reads with, while ours is in its place.
    receive: ngx_recv_chain_pt,
    timer: Option<Timer>,
    /// The filter is called because of the timer.
    pub(super) now: bool,
}

impl Flush {
    /// Watches the reads from a backend whose response is buffered.
    pub(super) fn begin(&mut self, connection: Option<Connection>, wait: ngx_msec_t) {
        self.wait = wait;
        // A cached response has none.
        let Some(connection) = connection else { return };
        if self.receive.is_none() {
            self.receive = connection.chain_receiver();
            connection.set_chain_receiver(Some(receive_chain));
        }
    }

    /// Ends the watch: the connection may be closed or kept for another request.
    pub(super) fn stop(&mut self, connection: Option<Connection>) {
        self.timer = None;
        if let Some(receive) = self.receive.take()
            && let Some(connection) = connection
        {
            connection.set_chain_receiver(Some(receive));
        }
    }

    /// Hands on what is there, unless more comes soon.
    pub(super) fn start_timer(&mut self, context: *mut Context) {
        let now = now();
        let timer = self.timer.get_or_insert_with(|| Timer::new(on_timer, context.cast::<c_void>(), false));
        if !timer.is_set() {
            self.since = now;
        } else if now == self.last {
            return;
        }
        self.last = now;
        // A timer that is moved costs less than one that wakes the worker too early.
        timer.stop();
        let patience = PATIENCE.max(self.wait).saturating_sub(now.wrapping_sub(self.since));
        timer.set(Duration::from_millis(self.wait.min(patience) as u64));
    }

    /// The buffers are full: nothing waits to be handed on.
    fn stop_timer(&mut self) {
        if let Some(timer) = self.timer.as_mut() {
            timer.stop();
        }
    }
}

fn now() -> ngx_msec_t {
    // SAFETY: a plain number of the worker's own thread.
    unsafe { nginx_sys::ngx_current_msec }
}

unsafe extern "C" fn receive_chain(c: *mut ngx_connection_t, chain: *mut ngx_chain_t, limit: i64) -> isize {
    const ERROR: isize = nginx_sys::NGX_ERROR as isize;
    fence("receive_chain", ERROR, || {
        // SAFETY: nginx reads from the live connection of a request whose upstream is ours: its data is the request.
        unsafe {
            let r = (*c).data.cast::<ngx_http_request_t>();
            let Some(connection) = Connection::from_raw(c) else { return ERROR };
            let Some(context) = Context::of(r) else { return ERROR };
            let Some(receive) = context.flush.receive.filter(|_| !context.hold.failed()) else {
                return ERROR;
            };
            if let Some(pipe) = context.upstream().and_then(|upstream| upstream.pipe().as_mut()) {
                pipe::widen(pipe, chain, connection.read().available(), limit);
            }
            let count = match single(c, chain, limit) {
                Some((receive, room)) => receive(c, (*(*chain).buf).last, room),
                None => receive(c, chain, limit),
            };
            if count > 0 && !connection.read().is_ready() {
                let this = ptr::from_mut(context);
                context.flush.start_timer(this);
            } else if count > 0 && limit == 0 {
                context.flush.stop_timer();
            }
            count
        }
    })
}

/// How to receive into the only buffer of a chain, and how much: `recv()` costs the kernel less than `readv()`.
///
/// # Safety
/// A live connection and a chain of live buffers.
unsafe fn single(
    c: *mut ngx_connection_t,
    chain: *mut ngx_chain_t,
    limit: i64,
) -> Option<(unsafe extern "C" fn(*mut ngx_connection_t, *mut u8, usize) -> isize, usize)> {
    // SAFETY: the caller vouches for them.
    unsafe {
        // TLS reads until there is no more.
        if !(*chain).next.is_null() || !(*c).ssl.is_null() || limit != 0 {
            return None;
        }
        let room = bytes((*(*chain).buf).last, (*(*chain).buf).end).len();
        (*c).recv.filter(|_| room > 0).map(|receive| (receive, room))
    }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("flush::on_timer", (), || {
        // SAFETY: the timer is stopped before its context is dropped.
        let context = unsafe { timer_data(event).cast::<Context>() };
        // SAFETY: as above.
        let request = match unsafe { context.as_mut() } {
            Some(context) => context.request,
            None => return,
        };
        let run_posted = request.posted_runner();
        // SAFETY: as above; no reference to the context is held here.
        unsafe { hand_on(request, context) };
        run_posted();
    });
}

/// Gives the part of a buffer that is there to the filter, and lets nginx send. The request may be gone after it.
///
/// # Safety
/// `context` is that of `request`. It is a pointer because the filter, called from here, takes its own reference.
unsafe fn hand_on(request: Request, context: *mut Context) {
    // SAFETY: the pipe of a response that is being read, its list of buffers, and the request's own handler, which is
    // nginx's ngx_http_upstream_process_downstream() as long as the pipe is in use.
    unsafe {
        let Some(upstream) = (*context).upstream() else { return };
        let Some(pipe) = upstream.pipe().as_mut() else { return };
        if pipe.aio() != 0 || !pipe.writing.is_null() || pipe.upstream.is_null() {
            return;
        }
        let first = pipe.free_raw_bufs;
        if let Some(link) = first.as_mut()
            && (*link.buf).pos < (*link.buf).last
        {
            pipe.free_raw_bufs = link.next;
            (*link.buf).num = pipe.num;
            pipe.num += 1;
            (*context).flush.now = true;
            let status = pipe.input_filter.map_or(-1, |filter| filter(pipe, link.buf));
            (*context).flush.now = false;
            if status == 0 {
                // ngx_free_chain()
                (*first).next = (*pipe.pool).chain;
                (*pipe.pool).chain = first;
            } else {
                pipe.set_upstream_error(1);
            }
        } else if request.filters_hold_back() || request.has_output() {
            // The last filter keeps what is small, a head without its body above all.
            // An error here is one of the client's connection, which the handler finds.
            let _ = request.flush();
        }
        if pipe.cacheable() != 0 {
            // What goes to a cache file is read back from there: a second turn sends it.
            request.post_write_event();
        }
        request.run_write_handler();
    }
}
