// SPDX-License-Identifier: MIT OR Apache-2.0
//! How nginx reads a response that it buffers: with as few calls as what waits in the kernel allows.

use gangway::engine::fence;
use nginx_sys::{ngx_alloc_chain_link, ngx_chain_t, ngx_connection_t, ngx_create_temp_buf, ngx_event_pipe_t};

use super::{flush, state::Context};
use crate::raw::{Connection, ERROR, bytes};

/// nginx's `recv_chain` of the connection to the backend, as long as a response is read.
pub(super) unsafe extern "C" fn receive_chain(
    c: *mut ngx_connection_t,
    chain: *mut ngx_chain_t,
    limit: i64,
) -> isize {
    fence("receive_chain", ERROR, || {
        // SAFETY: nginx reads from the live connection of a request whose upstream is ours: its data is the request.
        unsafe {
            Context::with((*c).data.cast(), |context, upstream| {
                let connection = Connection::from_raw(c)?;
                let receive = context.flush.receiver().filter(|_| !context.hold.is_broken())?;
                widen(upstream.pipe(), chain, connection.read().available(), limit);
                let count = match single(c, chain, limit) {
                    Some((receive, room)) => receive(c, (*(*chain).buf).last, room),
                    None => receive(c, chain, limit),
                };
                if count > 0 && !connection.read().is_ready() {
                    flush::start_timer(context);
                } else if count > 0 && limit == 0 {
                    context.flush.stop_timer();
                }
                Some(count)
            })
        }
        .flatten()
        .unwrap_or(ERROR)
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
    // SAFETY: the caller's connection and chain are live, and a chain that is read into has a link.
    unsafe {
        // TLS reads until there is no more.
        if !(*chain).next.is_null() || !(*c).ssl.is_null() || limit != 0 {
            return None;
        }
        let room = bytes((*(*chain).buf).last, (*(*chain).buf).end).len();
        (*c).recv.filter(|_| room > 0).map(|receive| (receive, room))
    }
}

/// Adds buffers to those of a read, as many as `available` bytes need and the configuration allows. nginx itself makes one
/// for each read as long as it makes new ones, and reads as often.
///
/// # Safety
/// NULL or the live pipe of a request, and the chain that nginx is about to read into.
unsafe fn widen(pipe: *mut ngx_event_pipe_t, mut chain: *mut ngx_chain_t, available: i32, limit: i64) {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let wanted = usize::try_from(available).unwrap_or(0).min(limit);
    let mut room = 0;
    // SAFETY: the caller's pipe and chain are live, links have live buffers of nginx's, and fresh ones of the request's pool
    // come behind them.
    unsafe {
        if pipe.is_null() || (*pipe).allocated >= (*pipe).bufs.num || (*pipe).single_buf() != 0 {
            return;
        }
        while let Some(link) = chain.as_mut() {
            room += bytes((*link.buf).last, (*link.buf).end).len();
            if link.next.is_null() {
                if room >= wanted || (*pipe).allocated >= (*pipe).bufs.num {
                    return;
                }
                let buffer = ngx_create_temp_buf((*pipe).pool, (*pipe).bufs.size);
                let next = ngx_alloc_chain_link((*pipe).pool);
                if buffer.is_null() || next.is_null() {
                    return;
                }
                (*next).buf = buffer;
                (*next).next = std::ptr::null_mut();
                link.next = next;
                (*pipe).allocated += 1;
            }
            chain = link.next;
        }
    }
}
