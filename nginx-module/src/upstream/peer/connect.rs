// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fresh connections to unix sockets.
//!
//! They are there at once or not at all. `ngx_event_connect_peer()` makes them as it makes those that take their time:
//! it watches the socket before it is connected and waits for room to write, and the event that says so comes although
//! nobody needs it. Here the connection is watched for what the backend sends; nginx adds the other half if a request
//! does not fit.

use std::sync::atomic::{AtomicU64, Ordering};

use nginx_sys::{
    ngx_close_connection, ngx_connection_counter,
    ngx_connection_tcp_nodelay_e_NGX_TCP_NODELAY_DISABLED as NGX_TCP_NODELAY_DISABLED,
    ngx_connection_tcp_nopush_e_NGX_TCP_NOPUSH_DISABLED as NGX_TCP_NOPUSH_DISABLED, ngx_current_msec,
    ngx_get_connection, ngx_handle_read_event, ngx_int_t, ngx_io, ngx_peer_connection_t,
};

use super::{super::ERROR, DONE};
use crate::raw;

/// Connects to the address that a balancer has chosen. `None` leaves it to nginx: what is not a unix socket, what has
/// options, and what fails, of which nginx then says why.
///
/// # Safety
/// The peer of a live upstream that is about to connect.
pub(super) unsafe fn to_unix(pc: &mut ngx_peer_connection_t) -> Option<ngx_int_t> {
    // SAFETY: the balancer has chosen a backend for the caller's peer: its address has `socklen` bytes, its log is live. The fresh connection is
    // filled in as ngx_event_connect_peer() does it.
    unsafe {
        let is_plain = pc.type_ == 0 || pc.type_ == libc::SOCK_STREAM;
        if !is_plain
            || i32::from((*pc.sockaddr).sa_family) != libc::AF_UNIX
            || !pc.local.is_null()
            || pc.rcvbuf != 0
            || pc.so_keepalive() != 0
            || !raw::has_edges()
        {
            return None;
        }
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let socket = libc::socket(libc::AF_UNIX, kind, 0);
        if socket < 0 {
            return None;
        }
        if libc::connect(socket, pc.sockaddr.cast(), pc.socklen) != 0 {
            libc::close(socket);
            return None;
        }
        let connection = ngx_get_connection(socket, pc.log);
        let Some(c) = connection.as_mut() else {
            libc::close(socket);
            return Some(ERROR);
        };
        c.type_ = libc::SOCK_STREAM;
        c.recv = ngx_io.recv;
        c.send = ngx_io.send;
        c.recv_chain = ngx_io.recv_chain;
        c.send_chain = ngx_io.send_chain;
        c.set_sendfile(1);
        c.set_tcp_nopush(NGX_TCP_NOPUSH_DISABLED);
        c.set_tcp_nodelay(NGX_TCP_NODELAY_DISABLED);
        c.set_log_error(pc.log_error());
        (*c.read).log = pc.log;
        (*c.write).log = pc.log;
        c.number = next_number();
        c.start_time = ngx_current_msec;
        if ngx_handle_read_event(c.read, 0) != 0 {
            ngx_close_connection(connection);
            return Some(ERROR);
        }
        (*c.write).set_ready(1);
        pc.connection = connection;
        Some(DONE)
    }
}

/// `$connection` of the next connection, which all workers count together.
fn next_number() -> u64 {
    // SAFETY: nginx has put the number in memory that its processes share and change as an atomic one.
    unsafe { AtomicU64::from_ptr(ngx_connection_counter.cast()) }.fetch_add(1, Ordering::Relaxed)
}
