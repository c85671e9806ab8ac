// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place among nginx's filters for bodies: behind those that read files into memory, before all that change what passes.

use std::{cell::Cell, ptr};

use nginx_sys::{
    ngx_buf_t, ngx_chain_add_copy, ngx_chain_t, ngx_http_filter_finalize_request,
    ngx_http_output_body_filter_pt, ngx_http_output_header_filter_pt, ngx_http_request_t,
    ngx_http_top_body_filter, ngx_http_top_header_filter, ngx_int_t, ngx_table_elt_t,
};

use super::{NoMemory, Request, chain::buffers, field::field, status::ERROR};
use crate::filter_module;

/// A bit of `r->buffered` that none of nginx's own filters uses.
const WAITS: u32 = 0x08;
/// That of the filter before this one.
const COPY: u32 = 0x04;

type HeadFilterFn = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;
type BodyFilterFn = unsafe extern "C" fn(*mut ngx_http_request_t, *mut ngx_chain_t) -> ngx_int_t;

thread_local! {
    /// What comes behind. nginx has one thread for configurations and requests, which it keeps in the processes that it forks; each
    /// configuration makes the chains anew.
    static NEXT_HEAD: Cell<ngx_http_output_header_filter_pt> = const { Cell::new(None) };
    static NEXT_BODY: Cell<ngx_http_output_body_filter_pt> = const { Cell::new(None) };
}

/// Puts filters before those that are there. For the postconfiguration of the module that has this place in nginx's order.
pub(crate) fn put_filters(head: HeadFilterFn, body: BodyFilterFn) {
    // SAFETY: variables of nginx's that it and its modules use on its one thread alone, while a configuration is read.
    unsafe {
        NEXT_HEAD.set(ngx_http_top_header_filter);
        NEXT_BODY.set(ngx_http_top_body_filter);
        ngx_http_top_header_filter = Some(head);
        ngx_http_top_body_filter = Some(body);
    }
}

impl Request {
    /// Calls the filter for heads behind this place.
    pub(crate) fn run_next_filtered_head(self) -> ngx_int_t {
        // SAFETY: a function of the chain that this process' nginx has made, for a live request whose head is on its way through it.
        NEXT_HEAD.get().map_or(ERROR, |next| unsafe { next(self.raw()) })
    }

    /// Calls the filter for bodies behind this place.
    ///
    /// # Safety
    /// A chain whose links and buffers live as long as the request, or NULL.
    pub(crate) unsafe fn run_next_body_filter(self, chain: *mut ngx_chain_t) -> ngx_int_t {
        // SAFETY: a function of the chain that this process' nginx has made, for a live request; the caller's chain lives as long.
        NEXT_BODY.get().map_or(ERROR, |next| unsafe { next(self.raw(), chain) })
    }

    /// Whether a filter behind this place has something that waits: it may be called without more.
    pub(crate) fn later_filters_wait(self) -> bool {
        field!(self, buffered()) & !(WAITS | COPY) != 0 || field!(self.connection(), buffered()) != 0
    }

    /// Says whether something waits at this place: nginx does not end the request before that.
    pub(crate) fn set_filter_waits(self, waits: bool) {
        let others = field!(self, buffered()) & !WAITS;
        field!(self, set_buffered(if waits { others | WAITS } else { others }));
    }

    /// The body becomes another one: its length, its validators and its ranges are not those of the response that is made.
    pub(crate) fn changes_body(self) {
        field!(self, headers_out.content_length_n = -1);
        field!(self, headers_out.last_modified_time = -1);
        field!(self, set_allow_ranges(0));
        let known = [
            field!(self, headers_out.content_length),
            field!(self, headers_out.last_modified),
            field!(self, headers_out.accept_ranges),
            field!(self, headers_out.etag),
        ];
        for header in known {
            // SAFETY: NULL, or a header in the list of this live request, which lives as long as the request.
            if let Some(header) = unsafe { header.as_mut() } {
                header.hash = 0;
            }
        }
        field!(self, headers_out.content_length = ptr::null_mut::<ngx_table_elt_t>());
        field!(self, headers_out.last_modified = ptr::null_mut::<ngx_table_elt_t>());
        field!(self, headers_out.accept_ranges = ptr::null_mut::<ngx_table_elt_t>());
        field!(self, headers_out.etag = ptr::null_mut::<ngx_table_elt_t>());
    }

    /// Has files read into memory before they come to this place.
    pub(crate) fn needs_body_in_memory(self) {
        field!(self, set_filter_need_in_memory(1));
    }

    /// Whether the response is for another part of this request, and not for the client.
    pub(crate) fn is_kept_in_memory(self) -> bool {
        field!(self, subrequest_in_memory()) != 0
    }

    /// Lets whoever writes the response go on, as nginx does when a client can be written to. The request may be gone after it.
    pub(crate) fn run_writer(self) {
        if let Some(handler) = field!(self, write_event_handler) {
            // SAFETY: the handler that a live request has for this.
            unsafe { handler(self.raw()) }
        }
    }

    /// Gives an error page in the place of a response that has not begun to leave. Answers what the filter is to answer.
    pub(crate) fn replace_filtered(self, status: ngx_int_t) -> ngx_int_t {
        let module = ptr::from_ref(filter_module()).cast_mut();
        // SAFETY: a live request in its filter for bodies, whose head has not left; nginx reads the module's number.
        unsafe { ngx_http_filter_finalize_request(self.raw(), module, status) }
    }
}

/// What has come and has not been taken yet. The buffers are those of whoever writes the response, which is held up by that.
pub(crate) struct FilterInput(*mut ngx_chain_t);

/// What was taken.
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    /// It is the last.
    pub(crate) is_last: bool,
    /// What is made of it is to leave.
    pub(crate) flushes: bool,
}

impl Default for FilterInput {
    fn default() -> Self {
        Self(ptr::null_mut())
    }
}

impl FilterInput {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// Adds what a filter was called with.
    ///
    /// # Safety
    /// `chain` is one that nginx has called a filter of this live request with.
    pub(crate) unsafe fn add(&mut self, request: Request, chain: *mut ngx_chain_t) -> Result<(), NoMemory> {
        // SAFETY: the caller's promise; links of ours in the request's pool.
        match unsafe { ngx_chain_add_copy(request.pool(), &raw mut self.0, chain) } {
            0 => Ok(()),
            _ => Err(NoMemory),
        }
    }

    /// Takes bytes, `most` at most, which frees their buffers. `None` for a buffer that is not in memory.
    pub(crate) fn take(&mut self, request: Request, most: usize) -> Option<Taken> {
        let mut taken = Taken { bytes: Vec::new(), is_last: false, flushes: false };
        let is_main = request.is_main();
        // SAFETY: links of ours; the buffers are alive until whoever made them sees that they are used up.
        unsafe {
            while let Some(link) = self.0.as_mut() {
                let buffer = &mut *link.buf;
                if is_in_memory(buffer) {
                    let here = usize::try_from(buffer.last.offset_from(buffer.pos)).unwrap_or_default();
                    let count = here.min(most - taken.bytes.len());
                    taken.bytes.extend_from_slice(std::slice::from_raw_parts(buffer.pos, count));
                    buffer.pos = buffer.pos.add(count);
                    if count < here {
                        break;
                    }
                } else if buffer.in_file() != 0 && buffer.file_last > buffer.file_pos {
                    return None;
                }
                use_up(buffer);
                taken.flushes |= buffer.flush() != 0;
                taken.is_last |= buffer.last_buf() != 0 || !is_main && buffer.last_in_chain() != 0;
                self.drop_first(request);
            }
        }
        Some(taken)
    }

    /// Throws away what has come.
    pub(crate) fn discard(&mut self, request: Request) {
        // SAFETY: links of ours, and buffers that live until they are used up.
        unsafe {
            while let Some(link) = self.0.as_mut() {
                use_up(&mut *link.buf);
                self.drop_first(request);
            }
        }
    }

    /// Gives away all of it, as it came.
    pub(crate) fn take_chain(&mut self) -> *mut ngx_chain_t {
        std::mem::replace(&mut self.0, ptr::null_mut())
    }

    /// # Safety
    /// There is a first link.
    unsafe fn drop_first(&mut self, request: Request) {
        // SAFETY: the caller's promise: a link of ours, which goes back to its pool as ngx_free_chain() does it.
        unsafe {
            let first = self.0;
            self.0 = (*first).next;
            (*first).next = (*request.pool()).chain;
            (*request.pool()).chain = first;
        }
    }
}

/// Throws away the bytes of a chain that nobody waits for.
///
/// # Safety
/// `chain` is one that nginx has called a filter of a live request with.
pub(crate) unsafe fn discard_chain(chain: *mut ngx_chain_t) {
    // SAFETY: the caller promises a chain that nginx has called a filter of a live request with.
    unsafe { buffers(chain).for_each(|buffer| use_up(&mut *buffer)) }
}

fn is_in_memory(buffer: &ngx_buf_t) -> bool {
    buffer.temporary() != 0 || buffer.memory() != 0 || buffer.mmap() != 0
}

fn use_up(buffer: &mut ngx_buf_t) {
    buffer.pos = buffer.last;
    buffer.file_pos = buffer.file_last;
}
