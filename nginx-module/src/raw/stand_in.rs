// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection of nginx that leads nowhere, for a request whose backend is no socket, or is not known yet.

use std::{
    cell::RefCell,
    os::{
        fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use nginx_sys::{
    ngx_close_connection, ngx_connection_t, ngx_create_pool, ngx_cycle, ngx_del_timer,
    ngx_delete_posted_event, ngx_destroy_pool, ngx_get_connection, ngx_int_t, ngx_recv_chain_pt, ngx_recv_pt,
    ngx_send_chain_pt, ngx_send_pt,
};
use once_cell::unsync::OnceCell;

use super::{ERROR, Request, Upstream, field::field};

/// How nginx reads and writes.
#[derive(Default)]
pub(crate) struct Functions {
    pub(crate) recv: ngx_recv_pt,
    pub(crate) send: ngx_send_pt,
    pub(crate) recv_chain: ngx_recv_chain_pt,
    pub(crate) send_chain: ngx_send_chain_pt,
}

/// How many connections are kept for the next request: each that is there saves two system calls.
const SPARE_MOST: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<*mut ngx_connection_t>> = const { RefCell::new(Vec::new()) };
}

/// A connection of nginx without a backend.
pub(crate) fn unconnected(request: Request, functions: &Functions) -> std::io::Result<*mut ngx_connection_t> {
    // SAFETY: a live log; nginx gives a connection with zeroed events, which owns the descriptor from now on. A spare one is nobody's.
    unsafe {
        let log = (*request.connection().raw()).log;
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let connection = match spare {
            Some(spare) => spare,
            None => {
                let idle = idle_socket()?;
                let fresh = ngx_get_connection(idle.as_raw_fd(), log);
                if fresh.is_null() {
                    return Err(std::io::Error::other("no free connection; raise worker_connections"));
                }
                let _ = idle.into_raw_fd();
                fresh
            }
        };
        let c = &mut *connection;
        c.recv = functions.recv;
        c.send = functions.send;
        c.recv_chain = functions.recv_chain;
        c.send_chain = functions.send_chain;
        c.log = log;
        c.type_ = libc::SOCK_STREAM;
        c.number = 0;
        c.start_time = nginx_sys::ngx_current_msec;
        c.set_log_error(nginx_sys::ngx_connection_log_error_e_NGX_ERROR_ERR);
        c.set_tcp_nodelay(nginx_sys::ngx_connection_tcp_nodelay_e_NGX_TCP_NODELAY_DISABLED);
        c.set_tcp_nopush(nginx_sys::ngx_connection_tcp_nopush_e_NGX_TCP_NOPUSH_DISABLED);
        for event in [c.read, c.write] {
            (*event).log = log;
            // Nothing ever happens on the idle socket: nginx need not watch it.
            (*event).set_active(1);
        }
        Ok(connection)
    }
}

/// Takes back a connection from [`unconnected`] that nothing is known of any more, for another request.
///
/// # Safety
/// It is open, and its owner uses it no more.
pub(crate) unsafe fn take_back(connection: *mut ngx_connection_t) {
    // SAFETY: the caller's connection is open, with its events and what nginx has given it.
    unsafe {
        let c = &mut *connection;
        let log = (*ngx_cycle).log;
        for event in [c.read, c.write] {
            let event = &mut *event;
            if event.timer_set() != 0 {
                ngx_del_timer(event);
            }
            if event.posted() != 0 {
                ngx_delete_posted_event(event);
            }
            event.handler = None;
            event.log = log;
            event.available = 0;
            event.set_ready(0);
            event.set_eof(0);
            event.set_error(0);
            event.set_timedout(0);
            event.set_pending_eof(0);
            event.set_delayed(0);
        }
        (c.data, c.log, c.sent) = (std::ptr::null_mut(), log, 0);
        c.set_buffered(0);
        c.set_timedout(0);
        c.set_error(0);
        if let Some(pool) = c.pool.as_mut() {
            pool.log = log;
        }
        let is_kept = SPARE.with_borrow_mut(|spare| {
            let has_room = spare.len() < SPARE_MOST;
            if has_room {
                spare.push(connection);
            }
            has_room
        });
        if !is_kept {
            close(connection);
        }
    }
}

/// # Safety
/// As [`take_back`].
unsafe fn close(connection: *mut ngx_connection_t) {
    // SAFETY: the caller's connection is open; what nginx has given it is its pool.
    unsafe {
        let pool = std::mem::replace(&mut (*connection).pool, std::ptr::null_mut());
        if !pool.is_null() {
            ngx_destroy_pool(pool);
        }
        ngx_close_connection(connection);
    }
}

/// Keeps no more than `most` of them: after a burst, and at the end of a process, their descriptors are for others.
pub(crate) fn close_spare(most: usize) {
    let surplus = SPARE.with_borrow_mut(|spare| spare.split_off(most.min(spare.len())));
    for connection in surplus {
        // SAFETY: what is kept there is open and nobody's.
        unsafe { close(connection) };
    }
}

/// A connection without a backend, for a request that waits: nothing is read from it or written to it.
///
/// nginx tells an event of a socket that was closed meanwhile by one bit of its place in the array, which is as it was when the
/// place was given away twice since: an attempt that fails, and this. So it does not count as watched, and as ready, so that
/// nginx does not begin to watch it.
pub(crate) fn waiting(request: Request) -> std::io::Result<*mut ngx_connection_t> {
    let connection = unconnected(request, &Functions::default())?;
    // SAFETY: a fresh connection, with its events.
    unsafe {
        for event in [(*connection).read, (*connection).write] {
            (*event).set_active(0);
            (*event).set_ready(1);
        }
    }
    Ok(connection)
}

/// A socket that is never connected: nginx asks it for errors.
fn idle_socket() -> std::io::Result<OwnedFd> {
    thread_local! {
        static IDLE: OnceCell<UnixDatagram> = const { OnceCell::new() };
    }
    IDLE.with(|idle| idle.get_or_try_init(UnixDatagram::unbound)?.as_fd().try_clone_to_owned())
}

impl Upstream {
    /// Asks the balancer again, for a request that has waited with a connection from [`unconnected`], and puts what it
    /// connects to in the place of that. Answers what `ngx_event_connect_peer()` says; if that is no connection, the other one
    /// is still there.
    pub(crate) fn connect_now(self, request: Request) -> ngx_int_t {
        let stand_in = field!(self, peer.connection);
        // SAFETY: the upstream of a live request, which waits with a live connection: nginx has given it handlers and, as to
        // every connection of an upstream, a pool. What happens here is what ngx_http_upstream_connect() does.
        unsafe {
            let u = self.raw();
            (*u).peer.connection = std::ptr::null_mut();
            let status = nginx_sys::ngx_event_connect_peer(&raw mut (*u).peer);
            let (Some(old), Some(c)) = (stand_in.as_mut(), (*u).peer.connection.as_mut()) else {
                (*u).peer.connection = stand_in;
                return status;
            };
            c.requests += 1;
            c.data = request.raw().cast();
            (*c.read).handler = (*old.read).handler;
            (*c.write).handler = (*old.write).handler;
            let client = &*request.connection().raw();
            c.set_sendfile(c.sendfile() & client.sendfile());
            (*u).output.set_sendfile(c.sendfile());
            c.log = client.log;
            (*c.read).log = client.log;
            (*c.write).log = client.log;
            take_back(old);
            if c.pool.is_null() {
                c.pool = ngx_create_pool(128, client.log);
            }
            if c.pool.is_null() {
                return ERROR;
            }
            (*c.pool).log = client.log;
            (*u).writer.out = std::ptr::null_mut();
            (*u).writer.last = &raw mut (*u).writer.out;
            (*u).writer.connection = c;
            if let Some(state) = (*u).state.as_mut() {
                state.peer = (*u).peer.name;
            }
            status
        }
    }
}
