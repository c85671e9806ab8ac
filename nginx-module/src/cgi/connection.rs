// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx takes for the connection of a script.
//!
//! nginx wants a socket for some of what it does with a connection, but reads and writes by functions that the connection
//! names. So its descriptor is a socket that nothing ever happens on, and the event loop watches the pipes in its
//! place: their events lead to the same connection.

use std::os::fd::RawFd;

use nginx_sys::{
    NGX_USE_EPOLL_EVENT, ngx_add_timer, ngx_connection_t, ngx_event_actions, ngx_event_flags, ngx_int_t,
    ngx_post_event, ngx_posted_events, ngx_uint_t,
};

use crate::raw::{Functions, Request, Upstream, unconnected};

/// A connection of nginx without a backend.
pub(super) fn make(request: Request, functions: &Functions) -> std::io::Result<*mut ngx_connection_t> {
    // SAFETY: a plain flag of the event module.
    if unsafe { ngx_event_flags } & NGX_USE_EPOLL_EVENT as usize == 0 {
        return Err(std::io::Error::other("gangway_cgi needs \"use epoll\" in the events block"));
    }
    unconnected(request, functions)
}

/// EPOLLIN and EPOLLRDHUP, as nginx asks for reading; EPOLLOUT.
const READ: ngx_int_t = (libc::EPOLLIN | libc::EPOLLRDHUP) as ngx_int_t;
const WRITE: ngx_int_t = libc::EPOLLOUT as ngx_int_t;
/// NGX_CLEAR_EVENT
const EDGES: ngx_uint_t = libc::EPOLLET as u32 as ngx_uint_t;

/// Lets the loop watch a script's pipes in the place of the connection's own descriptor. Answers whether it does.
pub(super) fn watch_pipes(connection: *mut ngx_connection_t, stdout: RawFd, stdin: Option<RawFd>) -> bool {
    // SAFETY: a live connection from [`make`]; nginx's function for epoll uses the descriptor that stands there
    // now, and looks at the other event only to change a watch that there is none of here.
    unsafe {
        let Some(add) = ngx_event_actions.add else { return false };
        let (c, own) = (&mut *connection, (*connection).fd);
        (*c.write).set_active(0);
        c.fd = stdout;
        let mut watched = add(c.read, READ, EDGES) == 0;
        if let Some(stdin) = stdin {
            c.fd = stdin;
            (*c.read).set_active(0);
            watched &= add(c.write, WRITE, EDGES) == 0;
            (*c.read).set_active(1);
        }
        (*c.write).set_active(1);
        c.fd = own;
        watched
    }
}

/// Ends the watch of a pipe that stays open.
pub(super) fn forget_pipe(connection: *mut ngx_connection_t, stdout: RawFd) {
    // SAFETY: a live connection from [`make`], whose read event watches this pipe; nginx's function for epoll uses the
    // descriptor that stands there now.
    unsafe {
        let Some(del) = ngx_event_actions.del else { return };
        let (c, own) = (&mut *connection, (*connection).fd);
        (*c.write).set_active(0);
        c.fd = stdout;
        let _ = del(c.read, READ, 0);
        c.fd = own;
        (*c.read).set_active(1);
        (*c.write).set_active(1);
    }
}

/// Has nginx read from the connection.
pub(super) fn wake(connection: *mut ngx_connection_t) {
    // SAFETY: a live connection, whose events have nginx's handlers by now.
    unsafe {
        let read = (*connection).read;
        (*read).set_ready(1);
        if (*read).handler.is_some() {
            ngx_post_event(read, &raw mut ngx_posted_events);
        }
    }
}

/// A script begins that had to wait: its time begins as well.
pub(super) fn begin_time(request: Request, connection: *mut ngx_connection_t) {
    let timeout = request.upstream().map_or(0, Upstream::read_timeout);
    // SAFETY: a live connection.
    unsafe {
        if (*(*connection).read).timer_set() != 0 {
            ngx_add_timer((*connection).read, timeout);
        }
    }
}
