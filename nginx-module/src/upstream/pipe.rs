// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response body in buffered mode: nginx's event pipe reads into its buffers, and this filter says which parts of
//! them are body.

use gangway::engine::fence;
use nginx_sys::{
    ngx_buf_t, ngx_chain_get_free_buf, ngx_event_pipe_add_free_buf, ngx_event_pipe_t, ngx_int_t,
};

use super::{
    ERROR, flush,
    output::{Sink, take},
    receive,
    state::{Context, Response, Rest, Stage, StageChange},
};
use crate::raw::{Upstream, bytes};

/// A length that no buffer reaches: nginx then waits until a buffer is full, or the flush timer asks for it.
const MUCH: i64 = i64::MAX;

/// What the head says of the body.
pub(super) unsafe extern "C" fn filter_init(data: *mut std::ffi::c_void) -> ngx_int_t {
    fence("filter_init", ERROR, || {
        // SAFETY: nginx gives the context that `prepare` gave to the upstream of this live request.
        match unsafe { Context::with_data(data, begin) } {
            Some(()) => 0,
            None => ERROR,
        }
    })
}

fn begin(context: &Context, upstream: Upstream) {
    let response = &mut *context.response.borrow_mut();
    let (status, length) = (upstream.status(), upstream.content_length());
    response.rest = if status == nginx_sys::NGX_HTTP_NO_CONTENT as usize
        || status == nginx_sys::NGX_HTTP_NOT_MODIFIED as usize
    {
        Rest::Exactly(0)
    } else if context.request.is_head() {
        Rest::Head(length)
    } else {
        length.map_or(Rest::Unknown, Rest::Exactly)
    };
    let framed =
        response.decoder.wanted().is_some() || response.rest != Rest::Unknown || !response.keeps_all();
    context.change_stage(StageChange::BodyBegins { framed });
    let least = least(context, response);
    upstream.set_length(if response.decoder.wanted().is_some() { 1 } else { least });
    upstream.set_pipe_length(least);
    if upstream.is_buffering() && !response.whole {
        let receive = receive::receive_chain;
        context.flush.begin(upstream.connection(), Some(receive), context.conf().flush_wait());
        let connection = upstream.connection();
        if !connection.is_some_and(|connection| connection.read().is_about_to_end()) {
            // The head, and body bytes that came with it: there may be no other read for a long time.
            flush::start_timer(context);
        }
    }
}

/// The number of bytes for which nginx's pipe waits before it calls the filter with a part of a buffer: -1 for none, in
/// which case the end of the connection is also the end of the response.
#[inline]
fn least(context: &Context, response: &Response) -> i64 {
    match (response.decoder.wanted(), response.rest) {
        (Some(_), _) if context.conf().flush_wait() == 0 => 1,
        (Some(wanted), _) => i64::from(wanted),
        (None, Rest::Exactly(left)) => i64::try_from(left).unwrap_or(MUCH),
        (None, Rest::Unknown | Rest::Head(_)) => -1,
    }
}

/// nginx's filter for a buffer that it has read. Nothing here can panic: what is more than a copy of the buffer is
/// [`filter`]'s.
pub(super) unsafe extern "C" fn input_filter(
    pipe: *mut ngx_event_pipe_t,
    buffer: *mut ngx_buf_t,
) -> ngx_int_t {
    // SAFETY: nginx calls this with its live pipe, the context that `prepare` gave to it, and one of its buffers.
    unsafe {
        if (*pipe).upstream_done() == 0
            && (*buffer).pos < (*buffer).last
            && let Some(context) = (*pipe).input_ctx.cast::<Context>().as_ref()
            && context.stage() == Stage::Unframed
        {
            return append_whole(&mut *pipe, &mut *buffer, context.flush.is_now());
        }
        filter(pipe, buffer)
    }
}

/// [`input_filter`] for a body that has framing or a length.
///
/// # Safety
/// nginx's live pipe with the context that `prepare` gave to it, and one of its buffers.
unsafe fn filter(pipe: *mut ngx_event_pipe_t, buffer: *mut ngx_buf_t) -> ngx_int_t {
    fence("pipe::input_filter", ERROR, || {
        // SAFETY: nginx's live pipe, with the context that `prepare` gave to it, and one of its buffers.
        let status = unsafe {
            Context::with_data((*pipe).input_ctx, |context, upstream| {
                filter_buffer(context, upstream, &mut *pipe, &mut *buffer)
            })
        };
        status.unwrap_or(ERROR)
    })
}

#[inline]
fn filter_buffer(
    context: &Context,
    upstream: Upstream,
    pipe: &mut ngx_event_pipe_t,
    buffer: &mut ngx_buf_t,
) -> ngx_int_t {
    // SAFETY: the bytes that nginx has read into the buffer; the parts only point at them.
    let content = unsafe { bytes(buffer.pos, buffer.last) };
    if content.is_empty() {
        return 0;
    }
    let response = &mut *context.response.borrow_mut();
    let is_late = pipe.upstream_done() != 0 || context.stage() == Stage::Closed;
    if !is_late && response.pass(content.len()) {
        pipe.length = least(context, response);
        return append_whole(pipe, buffer, context.flush.is_now());
    }
    if is_late {
        // Bytes after the end: the connection is not clean.
        upstream.set_keeps_connection(false);
        return 0;
    }
    filter_parts(context, response, upstream, pipe, (buffer, content))
}

/// [`filter`] for a buffer that is not all body, with what has been read into it.
#[inline(never)]
fn filter_parts(
    context: &Context,
    response: &mut Response,
    upstream: Upstream,
    pipe: &mut ngx_event_pipe_t,
    (buffer, content): (&mut ngx_buf_t, &[u8]),
) -> ngx_int_t {
    if response.decoder.ended() {
        // A response without a body, whose end was there with its head.
        pipe.set_upstream_done(1);
        return 0;
    }
    let mut parts = Parts { pipe, buffer, last: std::ptr::null_mut(), flush: context.flush.is_now() };
    match take(context, response, upstream, content, &mut parts) {
        Ok(true) => parts.pipe.length = least(context, response),
        Ok(false) => {}
        Err(status) => return status,
    }
    parts.finish()
}

/// The parts of one buffer that are body, as nginx's pipe wants them: each a buffer of its own that shares the memory,
/// linked so that the memory is used again when the last of them has been sent.
struct Parts<'p> {
    pipe: &'p mut ngx_event_pipe_t,
    buffer: &'p mut ngx_buf_t,
    last: *mut ngx_buf_t,
    /// No filter may hold the bytes back.
    flush: bool,
}

impl Sink for Parts<'_> {
    fn add(&mut self, _: &Context, body: &[u8]) -> Result<(), ngx_int_t> {
        let part = append(self.pipe, template(self.pipe, self.buffer, body))?;
        // SAFETY: parts of this call.
        match unsafe { self.last.as_mut() } {
            Some(last) => last.shadow = part,
            None => self.buffer.shadow = part,
        }
        self.last = part;
        Ok(())
    }

    fn done(&mut self) {
        self.pipe.set_upstream_done(1);
    }

    fn fail(&mut self) {
        self.pipe.set_upstream_error(1);
        self.pipe.set_upstream_eof(0);
    }
}

impl Parts<'_> {
    fn finish(self) -> ngx_int_t {
        // SAFETY: parts of this call; a buffer without any goes back to nginx.
        unsafe {
            match self.last.as_mut() {
                Some(last) => {
                    last.shadow = self.buffer;
                    last.set_last_shadow(1);
                    last.set_flush(u32::from(self.flush));
                    0
                }
                None => ngx_event_pipe_add_free_buf(self.pipe, self.buffer),
            }
        }
    }
}

/// A part of a buffer, not yet linked to it.
fn template(pipe: &ngx_event_pipe_t, buffer: &ngx_buf_t, body: &[u8]) -> ngx_buf_t {
    // SAFETY: all-zero is what nginx starts a buffer from.
    let mut part: ngx_buf_t = unsafe { std::mem::zeroed() };
    part.pos = body.as_ptr().cast_mut();
    part.last = part.pos.wrapping_add(body.len());
    part.start = buffer.start;
    part.end = buffer.end;
    part.tag = pipe.tag;
    part.num = buffer.num;
    part.set_temporary(1);
    part.set_recycled(1);
    part
}

/// Puts a part at the end of what goes to the client.
fn append(pipe: &mut ngx_event_pipe_t, part: ngx_buf_t) -> Result<*mut ngx_buf_t, ngx_int_t> {
    let Some(place) = next_part(pipe) else { return Err(ERROR) };
    // SAFETY: a buffer of the request's pool that is used again, or a fresh one.
    unsafe { place.write(part) };
    Ok(place)
}

/// A buffer at the end of what goes to the client, whose contents the caller writes; `None` without memory.
#[inline]
fn next_part(pipe: &mut ngx_event_pipe_t) -> Option<*mut ngx_buf_t> {
    // SAFETY: live pipe and pool; `last_in` is set when the list is not empty.
    unsafe {
        let link = ngx_chain_get_free_buf(pipe.pool, &raw mut pipe.free).as_mut()?;
        if pipe.in_.is_null() {
            pipe.in_ = link;
        } else {
            *pipe.last_in = link;
        }
        pipe.last_in = &raw mut link.next;
        Some(link.buf)
    }
}

/// A buffer that is nothing but body: [`Parts`] with one part, which is a copy of it.
#[inline]
fn append_whole(pipe: &mut ngx_event_pipe_t, buffer: &mut ngx_buf_t, flush: bool) -> ngx_int_t {
    let Some(part) = next_part(pipe) else { return ERROR };
    // SAFETY: the part is a raw buffer of this pipe that nobody uses, and the buffer is one of its own; nginx's raw buffers are plain memory, and so is their copy.
    unsafe {
        part.copy_from_nonoverlapping(buffer, 1);
        (*part).tag = pipe.tag;
        (*part).shadow = buffer;
        (*part).set_last_shadow(1);
        (*part).set_recycled(1);
        (*part).set_flush(u32::from(flush));
    }
    buffer.shadow = part;
    0
}
