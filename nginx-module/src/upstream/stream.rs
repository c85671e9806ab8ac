// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response body in unbuffered mode: what has been read goes to the client before more is read.

use std::ffi::c_void;

use gangway::engine::fence;
use nginx_sys::{ngx_chain_get_free_buf, ngx_chain_t, ngx_int_t};

use super::{
    ERROR,
    context::{Context, Rest},
    output::{Sink, take},
};
use crate::raw::{Upstream, bytes};

pub(super) unsafe extern "C" fn input_filter(data: *mut c_void, count: isize) -> ngx_int_t {
    fence("stream::input_filter", ERROR, || {
        // SAFETY: nginx gives the value that `start` gave to the upstream.
        let Some(context) = (unsafe { data.cast::<Context>().as_mut() }) else { return ERROR };
        let Some(upstream) = context.upstream() else { return ERROR };
        let Ok(count) = usize::try_from(count) else { return ERROR };
        let buffer = &mut upstream.get().buffer;
        // SAFETY: nginx has read `count` bytes behind `last`, and leaves it to the filter to say so.
        let input = unsafe {
            buffer.pos = buffer.last;
            buffer.last = buffer.last.add(count);
            bytes(buffer.pos, buffer.last)
        };
        match filter(context, upstream, input) {
            Ok(()) => 0,
            Err(status) => status,
        }
    })
}

fn filter(context: &mut Context, upstream: Upstream, input: &[u8]) -> Result<(), ngx_int_t> {
    let u = upstream.get();
    if context.closed || u.length == 0 {
        u.set_keepalive(0);
        return Ok(());
    }
    if context.decoder.ended() {
        // A response without a body, whose end was there with its head.
        u.length = 0;
        return Ok(());
    }
    if take(context, upstream, input, &mut Now(upstream))?
        && context.decoder.wanted().is_none()
        && let Rest::Exactly(left) = context.rest
    {
        u.length = i64::try_from(left).unwrap_or(i64::MAX);
    }
    Ok(())
}

/// What goes to the client before more is read.
struct Now(Upstream);

impl Sink for Now {
    fn add(&mut self, context: &Context, body: &[u8]) -> Result<(), ngx_int_t> {
        add(self.0, context, body)
    }

    fn done(&mut self) {
        self.0.get().length = 0;
    }

    fn fail(&mut self) {
        self.0.get().set_error(1);
    }
}

/// Appends bytes of nginx's buffer to what goes to the client.
fn add(upstream: Upstream, context: &Context, body: &[u8]) -> Result<(), ngx_int_t> {
    let u = upstream.get();
    // SAFETY: live pool; the chain is nginx's own list of what is to be sent; the bytes stay until it has been.
    unsafe {
        let mut end: *mut *mut ngx_chain_t = &raw mut u.out_bufs;
        while !(*end).is_null() {
            end = &raw mut (**end).next;
        }
        let link = ngx_chain_get_free_buf(context.request.pool(), &raw mut u.free_bufs);
        if link.is_null() {
            return Err(ERROR);
        }
        *end = link;
        let buffer = &mut *(*link).buf;
        buffer.set_flush(1);
        buffer.set_memory(1);
        buffer.pos = body.as_ptr().cast_mut();
        buffer.last = buffer.pos.add(body.len());
        buffer.tag = u.output.tag;
        Ok(())
    }
}
