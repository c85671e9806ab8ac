// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a request without a body leaves: one buffer needs no list of buffers, and `send()` costs the kernel less than
//! `writev()`.

use std::ffi::c_void;

use gangway::engine::fence;
use nginx_sys::{NGX_ERROR, ngx_chain_t, ngx_chain_writer, ngx_chain_writer_ctx_t, ngx_int_t};

use super::ERROR;
use crate::raw::{bytes, is_special};

/// `ngx_chain_writer()`, which it leaves the rest to if the kernel does not take all of the buffer.
pub(super) unsafe extern "C" fn output_filter(data: *mut c_void, input: *mut ngx_chain_t) -> ngx_int_t {
    fence("send::output_filter", ERROR, || {
        // SAFETY: nginx calls this with the writer of a live upstream that `create_request` has set, and a chain of live
        // buffers or NULL.
        unsafe {
            match send(&mut *data.cast::<ngx_chain_writer_ctx_t>(), input) {
                Some(status) => status,
                None => ngx_chain_writer(data, input),
            }
        }
    })
}

/// Sends the only buffer there is. `None` when something is left to do.
///
/// # Safety
/// The writer of a live upstream; a chain of live buffers or NULL.
unsafe fn send(writer: &mut ngx_chain_writer_ctx_t, input: *mut ngx_chain_t) -> Option<ngx_int_t> {
    // SAFETY: the caller vouches for them.
    unsafe {
        let (link, connection) = (input.as_ref()?, writer.connection.as_mut()?);
        let buffer = &mut *link.buf;
        let is_alone = link.next.is_null() && writer.out.is_null() && connection.buffered() == 0;
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
