// SPDX-License-Identifier: MIT OR Apache-2.0
//! Response bodies as nginx buffers that point at the application's own bytes.

use std::{collections::VecDeque, os::fd::IntoRawFd, ptr};

use gangway::exchange::{FileSlice, Piece};
use nginx_sys::{
    ngx_buf_t, ngx_buf_tag_t, ngx_chain_get_free_buf, ngx_chain_t, ngx_chain_update_chains, ngx_file_t,
    ngx_http_output_filter, ngx_int_t, ngx_pool_cleanup_add, ngx_pool_cleanup_file, ngx_pool_cleanup_file_t,
};

use super::Request;

/// What stands behind the last buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Nothing,
    /// What is there is to leave.
    Flush,
    /// The end of the body.
    End,
}

/// Buffers on their way through nginx's filters, and the memory that they point at.
///
/// Buffers are used again, so a response of any length takes a bounded part of the request's pool.
pub(crate) struct Buffers {
    free: *mut ngx_chain_t,
    busy: *mut ngx_chain_t,
    held: VecDeque<Held>,
    tag: ngx_buf_tag_t,
}

struct Held {
    buffer: *mut ngx_buf_t,
    weight: usize,
    /// Keeps the bytes; a file belongs to the request's pool.
    _piece: Option<Piece>,
}

impl Request {
    /// Sends a whole body, whose memory lives as long as the request. Answers nginx's status.
    pub(crate) fn send_all(self, pieces: Vec<Piece>) -> ngx_int_t {
        let tag = ptr::from_ref(crate::module()).cast_mut().cast();
        // SAFETY: the pool of a live request; NULL, or the value that lives as long as that.
        let buffers = unsafe { super::own(self.pool(), Buffers::new(tag)).as_mut() };
        buffers.map_or(-1, |buffers| buffers.send(self, pieces, true).0)
    }
}

impl Buffers {
    /// `tag`: an address of this module.
    pub(crate) fn new(tag: ngx_buf_tag_t) -> Self {
        Self { free: ptr::null_mut(), busy: ptr::null_mut(), held: VecDeque::new(), tag }
    }

    /// Passes pieces to nginx; `last` ends the body, else the pieces are flushed.
    ///
    /// Answers nginx's status, and the weight of what has left memory.
    pub(crate) fn send(&mut self, request: Request, pieces: Vec<Piece>, last: bool) -> (ngx_int_t, usize) {
        let mark = if last { Mark::End } else { Mark::Flush };
        // SAFETY: live request; the chain's buffers point at held memory.
        self.pass(request, pieces, mark, |chain| unsafe { ngx_http_output_filter(request.raw(), chain) })
    }

    /// Whether nginx has some of them.
    pub(crate) fn are_busy(&self) -> bool {
        !self.busy.is_null()
    }

    /// Whether something may wait, be it the head: a filter may keep head and body for a while.
    pub(crate) fn have_output(&self, request: Request) -> bool {
        request.header_sent() || self.are_busy()
    }

    /// As [`Buffers::send`], to a filter.
    pub(crate) fn pass(
        &mut self,
        request: Request,
        pieces: Vec<Piece>,
        mark: Mark,
        to: impl FnOnce(*mut ngx_chain_t) -> ngx_int_t,
    ) -> (ngx_int_t, usize) {
        let mut chain: *mut ngx_chain_t = ptr::null_mut();
        let mut end: *mut *mut ngx_chain_t = &raw mut chain;
        let count = pieces.len();
        if self.held.capacity() == 0 {
            self.held = VecDeque::with_capacity(count);
        }
        for piece in pieces {
            let Some(link) = self.link(request, Some(piece)) else { return (-1, 0) };
            // SAFETY: `end` is the address of `chain` or of the last link's `next`; links live in the pool.
            unsafe {
                *end = link;
                end = &raw mut (*link).next;
            }
        }
        if mark == Mark::End && count == 0 {
            let Some(link) = self.link(request, None) else { return (-1, 0) };
            chain = link;
        }
        if mark != Mark::Nothing {
            // SAFETY: the chain was made here.
            unsafe { self.mark_end(request, chain, mark == Mark::End) }
        }
        let status = to(chain);
        // SAFETY: live request, and chains of its pool, as nginx's own modules do.
        unsafe {
            self.count_sent_then(|this| {
                ngx_chain_update_chains(
                    request.pool(),
                    &raw mut this.free,
                    &raw mut this.busy,
                    &raw mut chain,
                    this.tag,
                );
                status
            })
        }
    }

    /// Drops the memory of buffers that are used up, then lets nginx take the buffers back.
    fn count_sent_then(&mut self, update: impl FnOnce(&mut Self) -> ngx_int_t) -> (ngx_int_t, usize) {
        let mut sent = 0;
        while let Some(held) = self.held.front() {
            // SAFETY: held buffers live in the request's pool and are taken back only by `update`, below.
            if !unsafe { is_used_up(&*held.buffer) } {
                break;
            }
            sent += held.weight;
            self.held.pop_front();
        }
        (update(self), sent)
    }

    /// Marks what comes after the last buffer: the end of the response, or a flush.
    ///
    /// # Safety
    /// A chain of buffers in the pool of the live request, which nobody has seen yet.
    unsafe fn mark_end(&self, request: Request, chain: *mut ngx_chain_t, last: bool) {
        let mut link = chain;
        // SAFETY: the caller's chain is live, and ends with NULL.
        unsafe {
            while let Some(current) = link.as_ref() {
                if current.next.is_null() {
                    let buffer = &mut *current.buf;
                    if last {
                        // A subrequest's end is not the response's end.
                        let is_main = request.is_main();
                        buffer.set_last_buf(u32::from(is_main));
                        // nginx takes an empty buffer without a mark for a mistake, and ends the connection.
                        buffer.set_sync(u32::from(
                            !is_main && buffer.in_file() == 0 && buffer.pos == buffer.last,
                        ));
                        buffer.set_last_in_chain(1);
                    } else {
                        buffer.set_flush(1);
                    }
                }
                link = current.next;
            }
        }
    }

    fn link(&mut self, request: Request, piece: Option<Piece>) -> Option<*mut ngx_chain_t> {
        // SAFETY: live pool; `free` holds links of this pool.
        let link = unsafe { ngx_chain_get_free_buf(request.pool(), &raw mut self.free) };
        if link.is_null() {
            return None;
        }
        // SAFETY: a link has a buffer that nobody uses; all-zero is an empty one.
        let buffer = unsafe {
            (*link).next = ptr::null_mut();
            (*(*link).buf) = std::mem::zeroed();
            &mut *(*link).buf
        };
        buffer.tag = self.tag;
        let weight = piece.as_ref().map_or(0, Piece::weight);
        let piece = match piece {
            Some(Piece::File(slice)) => {
                point_at_file(request, buffer, slice)?;
                None
            }
            Some(piece) => {
                let bytes = match &piece {
                    Piece::Copied(bytes) => bytes.as_slice(),
                    Piece::Lent(lent) => lent.as_slice(),
                    Piece::File(_) => &[],
                };
                let range = bytes.as_ptr_range();
                buffer.pos = range.start.cast_mut();
                buffer.last = range.end.cast_mut();
                buffer.start = buffer.pos;
                buffer.end = buffer.last;
                // Read-only: filters that change bytes copy first.
                buffer.set_memory(1);
                // The bytes stay where they are when the piece moves: a Vec's heap or the engine's memory.
                Some(piece)
            }
            None => None,
        };
        if weight > 0 {
            self.held.push_back(Held { buffer, weight, _piece: piece });
        }
        Some(link)
    }
}

fn point_at_file(request: Request, buffer: &mut ngx_buf_t, slice: FileSlice) -> Option<()> {
    let (first, last) =
        (i64::try_from(slice.offset).ok()?, i64::try_from(slice.offset.checked_add(slice.len)?).ok()?);
    // SAFETY: live pool; the cleanup owns the descriptor from here on and closes it with the request.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(request.pool(), size_of::<ngx_pool_cleanup_file_t>());
        let file = nginx_sys::ngx_pcalloc(request.pool(), size_of::<ngx_file_t>()).cast::<ngx_file_t>();
        if cleanup.is_null() || file.is_null() {
            return None;
        }
        let log = (*(*request.raw()).connection).log;
        let name = c"the application's file";
        (*file).fd = slice.fd.into_raw_fd();
        (*file).name =
            nginx_sys::ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() };
        (*file).log = log;
        let data = (*cleanup).data.cast::<ngx_pool_cleanup_file_t>();
        (*data).fd = (*file).fd;
        (*data).name = (*file).name.data;
        (*data).log = log;
        (*cleanup).handler = Some(ngx_pool_cleanup_file);
        buffer.file = file;
    }
    buffer.file_pos = first;
    buffer.file_last = last;
    buffer.set_in_file(1);
    Some(())
}

fn is_used_up(buffer: &ngx_buf_t) -> bool {
    if buffer.in_file() != 0 { buffer.file_pos >= buffer.file_last } else { buffer.pos >= buffer.last }
}
