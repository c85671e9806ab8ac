// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx takes for the connection of a script.
//!
//! nginx wants a socket for some of what it does with a connection, but reads and writes by functions that the connection
//! names. So its descriptor is a socket that nothing ever happens on, and the event loop watches the pipes in its
//! place: their events lead to the same connection.

use std::os::fd::RawFd;

use nginx_sys::{
    NGX_USE_EPOLL_EVENT, ngx_add_timer, ngx_event_actions, ngx_event_flags, ngx_int_t, ngx_uint_t,
};

use crate::raw::{Connection, Functions, Request, Upstream, unconnected};

/// A connection of nginx without a backend.
pub(super) fn make(request: Request, functions: &Functions) -> std::io::Result<Connection> {
    // SAFETY: a plain flag of the event module.
    if unsafe { ngx_event_flags } & NGX_USE_EPOLL_EVENT as usize == 0 {
        return Err(std::io::Error::other("gangway_cgi needs \"use epoll\" in the events block"));
    }
    let made = unconnected(request, functions)?;
    // SAFETY: nginx has made it for this process's event loop, which calls this.
    unsafe { Connection::from_raw(made) }.ok_or_else(|| std::io::ErrorKind::OutOfMemory.into())
}

/// EPOLLIN and EPOLLRDHUP, as nginx asks for reading; EPOLLOUT.
const READ: ngx_int_t = (libc::EPOLLIN | libc::EPOLLRDHUP) as ngx_int_t;
const WRITE: ngx_int_t = libc::EPOLLOUT as ngx_int_t;
/// NGX_CLEAR_EVENT
const EDGES: ngx_uint_t = libc::EPOLLET as u32 as ngx_uint_t;

/// Lets the loop watch a script's pipes in the place of the connection's own descriptor. Answers whether it does.
pub(super) fn watch_pipes(connection: Connection, stdout: RawFd, stdin: Option<RawFd>) -> bool {
    // SAFETY: a live connection from [`make`], to which nobody else refers here; nginx's function for epoll uses the descriptor that stands
    // there now, and looks at the other event only to change a watch that there is none of here.
    unsafe {
        let Some(add) = ngx_event_actions.add else { return false };
        let (c, own) = (&mut *connection.raw(), connection.descriptor());
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
pub(super) fn forget_pipe(connection: Connection, stdout: RawFd) {
    // SAFETY: a live connection from [`make`], to which nobody else refers here and whose read event watches this pipe; nginx's function for epoll uses the
    // descriptor that stands there now.
    unsafe {
        let Some(del) = ngx_event_actions.del else { return };
        let (c, own) = (&mut *connection.raw(), connection.descriptor());
        (*c.write).set_active(0);
        c.fd = stdout;
        let _ = del(c.read, READ, 0);
        c.fd = own;
        (*c.read).set_active(1);
        (*c.write).set_active(1);
    }
}

/// Has nginx read from the connection.
pub(super) fn wake(connection: Connection) {
    let read = connection.read();
    read.set_ready(true);
    if read.has_handler() {
        read.post();
    }
}

/// A script begins that had to wait: its time begins as well.
pub(super) fn begin_time(request: Request, connection: Connection) {
    let (timeout, read) = (request.upstream().map_or(0, Upstream::read_timeout), connection.read());
    if read.has_timer() {
        // SAFETY: an event of this thread's loop, whose timer nginx has set.
        unsafe { ngx_add_timer(read.raw(), timeout) };
    }
}
