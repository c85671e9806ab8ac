// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a request leaves that nginx holds in memory.
//!
//! One buffer needs no list of buffers, and `send()` costs the kernel less than `writev()`. Before nginx sends, it asks
//! whether a connection could be made; of one that is there that need not be asked: the request is sent from here, by
//! nginx's own function for a connection that has become writable.

use std::{cell::Cell, ffi::c_void, ptr};

use gangway::engine::fence;
use nginx_sys::{NGX_ERROR, ngx_chain_t, ngx_http_request_t, ngx_http_upstream_init, ngx_int_t};

use super::{ERROR, state::Context};
use crate::raw::{Request, Upstream, bytes, is_special};

/// What [`begin`] and [`take_over`] know of each other.
#[derive(Clone, Copy)]
enum Beginning {
    Nothing,
    /// nginx begins with the upstream of this request.
    Of(*mut ngx_http_request_t),
    /// It has a connection, and nginx has been told that it must wait for it.
    Connected,
}

thread_local! {
    static BEGINNING: Cell<Beginning> = const { Cell::new(Beginning::Nothing) };
}

/// `ngx_http_upstream_init()`, and sends the request if that has found a connection. The request may be gone after it.
///
/// # Safety
/// A live request whose upstream is ours and has been prepared.
pub(super) unsafe fn begin(r: *mut ngx_http_request_t) {
    // A subrequest may begin while another request does.
    let outer = BEGINNING.replace(Beginning::Of(r));
    // SAFETY: the caller's request is live and its upstream complete, as nginx's own modules leave it here.
    unsafe { ngx_http_upstream_init(r) };
    if let Beginning::Connected = BEGINNING.replace(outer) {
        // SAFETY: nginx waits for a connection of this request, which is therefore live.
        let request = unsafe { Request::from_raw(r) };
        if let Some(upstream) = request.upstream() {
            upstream.set_request_sent(true);
            upstream.run_write_handler(request);
        }
    }
}

/// Connects a request that has waited for its backend, with `connect`, which answers what `ngx_event_connect_peer()` says. A connection
/// that is there need not be asked whether it is, as in [`begin`].
pub(crate) fn connect_now(
    request: Request,
    upstream: Upstream,
    connect: impl FnOnce() -> ngx_int_t,
) -> ngx_int_t {
    let outer = BEGINNING.replace(Beginning::Of(request.raw()));
    let status = connect();
    if let Beginning::Connected = BEGINNING.replace(outer) {
        upstream.set_request_sent(true);
    }
    status
}

/// Whether the request is sent by [`begin`]: its connection is there, and nginx is to be told that it must wait for it.
pub(super) fn take_over(context: &Context, upstream: Upstream) -> bool {
    let Beginning::Of(r) = BEGINNING.get() else { return false };
    // One that has been sent before is made anew after this.
    let is_first = !upstream.is_request_sent();
    if !is_first || !ptr::eq(r, context.request.raw()) || !context.has_request_in_memory(upstream) {
        return false;
    }
    BEGINNING.set(Beginning::Connected);
    context.is_unsent.set(true);
    true
}

/// `ngx_chain_writer()`, which it leaves the rest to if the kernel does not take all of a single buffer.
pub(super) unsafe extern "C" fn output_filter(data: *mut c_void, input: *mut ngx_chain_t) -> ngx_int_t {
    fence("send::output_filter", ERROR, || {
        // SAFETY: create_request has set this filter with its live request. nginx calls it when there is a connection, with
        // NULL or a chain of live buffers, whose links the writer copies.
        unsafe {
            Context::with(data.cast(), |context, upstream| {
                // To nginx the request has been sent: it only asks for what is left of it.
                let input = if context.is_unsent.take() { upstream.request_chain() } else { input };
                send(upstream, input).unwrap_or_else(|| upstream.write_chain(input))
            })
        }
        .unwrap_or(ERROR)
    })
}

/// Sends the only buffer there is. `None` when something is left to do.
///
/// # Safety
/// A chain of live buffers or NULL.
unsafe fn send(upstream: Upstream, input: *mut ngx_chain_t) -> Option<ngx_int_t> {
    // SAFETY: the caller's chain is live; the connection is one of this process's array, which nginx has made for this
    // upstream.
    unsafe {
        let (link, connection) = (input.as_ref()?, &mut *upstream.connection()?.raw());
        let buffer = &mut *link.buf;
        let is_alone = link.next.is_null() && upstream.has_written_all() && connection.buffered() == 0;
        // TLS has to be given the same bytes again.
        if !is_alone || is_special(buffer) || buffer.in_file() != 0 || !connection.ssl.is_null() {
            return None;
        }
        let left = bytes(buffer.pos, buffer.last).len();
        let sent = connection.send?(connection, buffer.pos, left);
        if sent == NGX_ERROR as isize {
            return Some(ERROR);
        }
        let sent = usize::try_from(sent).unwrap_or(0).min(left);
        buffer.pos = buffer.pos.add(sent);
        (sent == left).then_some(0)
    }
}
