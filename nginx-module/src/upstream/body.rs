// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request body that goes to the backend while it still comes in (`gangway_request_buffering off`).
//!
//! nginx gives what it has read; each call frames it. The buffers that point at the client's bytes are linked to them, so
//! that nginx reads more when they have been sent.

use gangway::engine::fence;
use nginx_sys::{
    ngx_buf_t, ngx_buf_tag_t, ngx_chain_get_free_buf, ngx_chain_t, ngx_chain_update_chains, ngx_int_t,
    ngx_palloc,
};

use super::{
    ERROR,
    part::{narrow, size},
    state::{Context, Outgoing},
};
use crate::raw::{NoMemory, Upstream, is_special};

/// The buffers of this filter, which it alone uses again.
static TAG: u8 = 0;

fn tag() -> ngx_buf_tag_t {
    (&raw const TAG).cast_mut().cast()
}

pub(super) unsafe extern "C" fn output_filter(
    data: *mut std::ffi::c_void,
    input: *mut ngx_chain_t,
) -> ngx_int_t {
    fence("body::output_filter", ERROR, || {
        // SAFETY: create_request has set this filter with its live request, and nginx calls it with a chain of live buffers.
        let status = unsafe {
            Context::with(data.cast(), |context, upstream| {
                let outgoing = &mut *context.outgoing.borrow_mut();
                let out = frame(context, outgoing, input).map_err(|NoMemory| ERROR)?;
                Ok(send(context, outgoing, upstream, out))
            })
        };
        status.unwrap_or(Err(ERROR)).unwrap_or_else(|status| status)
    })
}

/// The chain with its framing.
///
/// # Safety
/// `input` is a chain of live buffers that nginx sends for the context's request.
unsafe fn frame(
    context: &Context,
    outgoing: &mut Outgoing,
    mut input: *mut ngx_chain_t,
) -> Result<Out, NoMemory> {
    let mut out = Out { first: std::ptr::null_mut(), last: std::ptr::null_mut() };
    // SAFETY: the caller's chain is live and ends with NULL; links are fresh and of the request's pool.
    unsafe {
        if !outgoing.head_sent
            && let Some(link) = input.as_ref()
        {
            outgoing.head_sent = true;
            out.add(context.request.link(link.buf)?);
            input = link.next;
        }
        let mut ended = false;
        while let Some(link) = input.as_ref() {
            let whole = &*link.buf;
            ended |= whole.last_buf() != 0;
            if !is_special(whole) {
                parts(context, outgoing, link.buf, &mut out)?;
            }
            input = link.next;
        }
        if ended {
            let end = framing(context, outgoing, context.protocol().body_end())?;
            (*(*end).buf).set_last_buf(1);
            out.add(end);
        }
    }
    Ok(out)
}

/// # Safety
/// `whole` is a live buffer that nginx sends for the context's request.
unsafe fn parts(
    context: &Context,
    outgoing: &mut Outgoing,
    whole: *mut ngx_buf_t,
    out: &mut Out,
) -> Result<(), NoMemory> {
    // SAFETY: the caller's buffer is live.
    let total = size(unsafe { &*whole });
    let mut done = 0u64;
    while done < total {
        let frame = context.protocol().body_part(total - done);
        if !frame.header().is_empty() {
            // SAFETY: a fresh link, of this filter.
            unsafe { out.add(framing(context, outgoing, frame.header())?) }
        }
        let link = free_buffer(context, outgoing)?;
        let content = frame.content.max(1).min(total - done);
        // SAFETY: a fresh link with a buffer of this filter, which keeps the memory for framing that it may own; live `whole`.
        unsafe {
            let part = &mut *(*link).buf;
            let start = part.start;
            *part = *whole;
            narrow(part, &*whole, done, content);
            part.start = start;
            part.tag = tag();
            part.shadow = whole;
            part.set_last_shadow(u32::from(done + content == total));
            part.set_last_buf(0);
            part.set_last_in_chain(0);
            out.add(link);
        }
        done += content;
    }
    Ok(())
}

/// A buffer with framing.
fn framing(context: &Context, outgoing: &mut Outgoing, bytes: &[u8]) -> Result<*mut ngx_chain_t, NoMemory> {
    const ROOM: usize = 8;
    let link = free_buffer(context, outgoing)?;
    // SAFETY: a buffer of this filter; its memory, once it has some, is of ROOM bytes.
    unsafe {
        let buffer = &mut *(*link).buf;
        let start = if buffer.start.is_null() {
            ngx_palloc(context.request.pool(), ROOM).cast::<u8>()
        } else {
            buffer.start
        };
        if start.is_null() || bytes.len() > ROOM {
            return Err(NoMemory);
        }
        *buffer = std::mem::zeroed();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        buffer.start = start;
        buffer.end = start.add(ROOM);
        buffer.pos = start;
        buffer.last = start.add(bytes.len());
        buffer.tag = tag();
        if bytes.is_empty() {
            buffer.set_sync(1);
        } else {
            buffer.set_temporary(1);
        }
    }
    Ok(link)
}

fn free_buffer(context: &Context, outgoing: &mut Outgoing) -> Result<*mut ngx_chain_t, NoMemory> {
    // SAFETY: live pool and the filter's own list.
    let link = unsafe { ngx_chain_get_free_buf(context.request.pool(), &raw mut outgoing.free) };
    if link.is_null() { Err(NoMemory) } else { Ok(link) }
}

/// Sends, and takes back what has been sent.
fn send(context: &Context, outgoing: &mut Outgoing, upstream: Upstream, out: Out) -> ngx_int_t {
    let mut chain = out.first;
    // SAFETY: the context's request is live; the chains are the filter's own.
    unsafe {
        let status = upstream.write_chain(chain);
        ngx_chain_update_chains(
            context.request.pool(),
            &raw mut outgoing.free,
            &raw mut outgoing.busy,
            &raw mut chain,
            tag(),
        );
        let mut link = outgoing.free;
        while let Some(free) = link.as_ref() {
            let buffer = &mut *free.buf;
            if let Some(whole) = buffer.shadow.as_mut() {
                if buffer.last_shadow() != 0 {
                    whole.pos = whole.last;
                    whole.file_pos = whole.file_last;
                }
                buffer.shadow = std::ptr::null_mut();
            }
            link = free.next;
        }
        status
    }
}

/// A chain of this filter's buffers, which grows at its end.
struct Out {
    first: *mut ngx_chain_t,
    last: *mut ngx_chain_t,
}

impl Out {
    /// # Safety
    /// `link` is a fresh one of the request's pool, with a buffer.
    unsafe fn add(&mut self, link: *mut ngx_chain_t) {
        // SAFETY: the caller's link and those before it live in the request's pool.
        unsafe {
            (*link).next = std::ptr::null_mut();
            match self.last.as_mut() {
                Some(last) => last.next = link,
                None => self.first = link,
            }
        }
        self.last = link;
    }
}
