// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's upstream of one request: its buffer, its chains and what it has read of a response head.

use std::{ffi::c_void, ptr};

use nginx_sys::{
    ngx_alloc_chain_link, ngx_buf_t, ngx_chain_t, ngx_connection_t, ngx_create_temp_buf, ngx_event_pipe_t,
    ngx_hash_find, ngx_http_upstream_create, ngx_http_upstream_header_t, ngx_http_upstream_main_conf_t,
    ngx_http_upstream_module, ngx_http_upstream_t, ngx_int_t, ngx_list_push, ngx_palloc, ngx_pcalloc,
    ngx_pnalloc, ngx_pool_t, ngx_str_t, ngx_table_elt_t,
};

use super::{Request, str_bytes};

/// The upstream of a live request.
#[derive(Clone, Copy)]
pub(crate) struct Upstream(*mut ngx_http_upstream_t);

/// nginx has no memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMemory;

impl Request {
    /// A fresh upstream for the request.
    pub(crate) fn create_upstream(self) -> Result<Upstream, NoMemory> {
        // SAFETY: live request.
        let status = unsafe { ngx_http_upstream_create(self.raw()) };
        if status == 0 { self.upstream().ok_or(NoMemory) } else { Err(NoMemory) }
    }

    /// The upstream that the request has.
    pub(crate) fn upstream(self) -> Option<Upstream> {
        let upstream = self.get_mut().upstream;
        (!upstream.is_null()).then_some(Upstream(upstream))
    }

    /// A copy of `bytes` as a buffer.
    pub(crate) fn buffer(self, bytes: &[u8], room: usize) -> Result<*mut ngx_chain_t, NoMemory> {
        // SAFETY: live pool; the buffer has room for the bytes.
        unsafe {
            let buffer = ngx_create_temp_buf(self.pool(), bytes.len() + room);
            if buffer.is_null() {
                return Err(NoMemory);
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), (*buffer).last, bytes.len());
            (*buffer).last = (*buffer).last.add(bytes.len());
            self.link(buffer)
        }
    }

    /// A link of a chain to a buffer.
    pub(crate) fn link(self, buffer: *mut ngx_buf_t) -> Result<*mut ngx_chain_t, NoMemory> {
        // SAFETY: live pool.
        unsafe {
            let link = ngx_alloc_chain_link(self.pool());
            if link.is_null() {
                return Err(NoMemory);
            }
            (*link).buf = buffer;
            (*link).next = ptr::null_mut();
            Ok(link)
        }
    }

    /// A buffer that is a part of another: the same memory or file, and no more of its own.
    pub(crate) fn part(self, whole: *const ngx_buf_t) -> Result<*mut ngx_buf_t, NoMemory> {
        // SAFETY: live pool; `whole` is a live buffer of a chain that nginx gave.
        unsafe {
            let part = ngx_palloc(self.pool(), size_of::<ngx_buf_t>()).cast::<ngx_buf_t>();
            if part.is_null() {
                return Err(NoMemory);
            }
            ptr::copy_nonoverlapping(whole, part, 1);
            Ok(part)
        }
    }

    /// The connection of the request, as nginx's event code wants it.
    pub(crate) fn connection_ptr(self) -> *mut ngx_connection_t {
        self.get_mut().connection
    }
}

impl Upstream {
    #[expect(clippy::mut_from_ref, reason = "nginx's upstream is shared by pointer on one thread")]
    pub(crate) fn get(&self) -> &mut ngx_http_upstream_t {
        // SAFETY: an upstream lives in the pool of its live request; one thread; no reference is kept across calls
        // into nginx.
        unsafe { &mut *self.0 }
    }

    /// The value that this module gave to the upstream's filters.
    pub(crate) fn data<T>(self) -> *mut T {
        self.get().input_filter_ctx.cast()
    }

    /// A zeroed event pipe for buffered mode.
    pub(crate) fn create_pipe(
        self,
        pool: *mut ngx_pool_t,
    ) -> Result<&'static mut ngx_event_pipe_t, NoMemory> {
        // SAFETY: live pool; all-zero is what nginx's modules start a pipe from.
        unsafe {
            let pipe = ngx_pcalloc(pool, size_of::<ngx_event_pipe_t>()).cast::<ngx_event_pipe_t>();
            self.get().pipe = pipe;
            pipe.as_mut().ok_or(NoMemory)
        }
    }

    /// The bytes that nginx has read and nobody has taken.
    pub(crate) fn unread(&self) -> &[u8] {
        let buffer = &self.get().buffer;
        // SAFETY: nginx keeps pos <= last inside the buffer's memory once it has one.
        unsafe { bytes(buffer.pos, buffer.last) }
    }

    /// Takes bytes from the front of [`Upstream::unread`].
    pub(crate) fn take(self, count: usize) {
        let count = count.min(self.unread().len());
        let buffer = &mut self.get().buffer;
        // SAFETY: `count` is within the unread bytes.
        buffer.pos = unsafe { buffer.pos.add(count) };
    }

    /// Takes the last byte that nginx has read out of the buffer, as if it had not come.
    pub(crate) fn keep_back(self) -> Option<u8> {
        let buffer = &mut self.get().buffer;
        // SAFETY: start <= pos <= last are places in the buffer's memory, and what lies before `last` has been read.
        unsafe {
            if buffer.last.addr() <= buffer.start.addr() {
                return None;
            }
            buffer.last = buffer.last.sub(1);
            if buffer.pos.addr() > buffer.last.addr() {
                buffer.pos = buffer.last;
            }
            Some(*buffer.last)
        }
    }

    /// Bytes before the head in a buffer that is to be written to a cache file.
    fn cache_gap(self, request: Request) -> usize {
        // SAFETY: NULL or the live cache entry of the request.
        unsafe { request.get_mut().cache.as_ref() }.map_or(0, |cache| cache.header_start)
    }

    /// Forgets what has been taken, so that all of the buffer can be read into again.
    pub(crate) fn rewind(self, request: Request) {
        let gap = self.cache_gap(request);
        let buffer = &mut self.get().buffer;
        // SAFETY: nginx starts reading at this place itself.
        unsafe { buffer.pos = buffer.start.add(gap) }
        buffer.last = buffer.pos;
    }

    /// How many bytes can still be read into the buffer.
    pub(crate) fn room(self) -> usize {
        let buffer = &self.get().buffer;
        // SAFETY: both are places in the buffer's memory.
        unsafe { bytes(buffer.last, buffer.end) }.len()
    }

    /// Puts `head` before what is unread, as if nginx had just read and taken it. A cache file begins with what
    /// stands there.
    pub(crate) fn replace_head(self, request: Request, head: &[&[u8]]) -> Result<(), NoMemory> {
        let gap = self.cache_gap(request);
        let length: usize = head.iter().map(|part| part.len()).sum();
        let rest = self.unread().len();
        let size = (gap + length + rest).max(self.size());
        // SAFETY: live pool; the sizes add up to what is allocated, and the old memory is another.
        unsafe {
            let start = ngx_palloc(request.pool(), size).cast::<u8>();
            if start.is_null() {
                return Err(NoMemory);
            }
            ptr::write_bytes(start, 0, gap);
            let mut at = start.add(gap);
            for part in head {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            let buffer = &mut self.get().buffer;
            ptr::copy_nonoverlapping(buffer.pos, at, rest);
            buffer.start = start;
            buffer.pos = at;
            buffer.last = at.add(rest);
            buffer.end = start.add(size);
        }
        Ok(())
    }

    /// The length of the buffer.
    pub(crate) fn size(self) -> usize {
        let buffer = &self.get().buffer;
        // SAFETY: both are the ends of the buffer's memory.
        unsafe { bytes(buffer.start, buffer.end) }.len()
    }

    /// How much of the buffer lies before what is unread.
    pub(crate) fn taken(self) -> usize {
        let buffer = &self.get().buffer;
        // SAFETY: both are places in the buffer's memory.
        unsafe { bytes(buffer.start, buffer.pos) }.len()
    }

    /// The headers of the response.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        super::request::list(&self.get().headers_in.headers)
            .filter(|header| header.hash != 0)
            // SAFETY: strings in the request's pool.
            .map(|header| unsafe { (str_bytes(&header.key), str_bytes(&header.value)) })
    }

    /// Adds a header of the response, as nginx's own modules do: known ones have handlers.
    ///
    /// # Errors
    /// What `process_header` answers.
    pub(crate) fn add_header(self, request: Request, name: &[u8], value: &[u8]) -> Result<(), ngx_int_t> {
        const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
        // SAFETY: live pool and list; the one allocation holds name, NUL, value, NUL and the name in lower case.
        unsafe {
            let header = ngx_list_push(&raw mut self.get().headers_in.headers).cast::<ngx_table_elt_t>();
            if header.is_null() {
                return Err(ERROR);
            }
            header.write(std::mem::zeroed());
            let memory = ngx_pnalloc(request.pool(), 2 * name.len() + value.len() + 2).cast::<u8>();
            if memory.is_null() {
                return Err(ERROR);
            }
            let value_at = memory.add(name.len() + 1);
            let lower_at = value_at.add(value.len() + 1);
            ptr::copy_nonoverlapping(name.as_ptr(), memory, name.len());
            memory.add(name.len()).write(0);
            ptr::copy_nonoverlapping(value.as_ptr(), value_at, value.len());
            value_at.add(value.len()).write(0);
            let mut hash = 0usize;
            for (at, byte) in name.iter().enumerate() {
                let byte = byte.to_ascii_lowercase();
                lower_at.add(at).write(byte);
                // ngx_hash()
                hash = hash.wrapping_mul(31).wrapping_add(usize::from(byte));
            }
            let header = &mut *header;
            header.hash = hash;
            header.key = ngx_str_t { len: name.len(), data: memory };
            header.value = ngx_str_t { len: value.len(), data: value_at };
            header.lowcase_key = lower_at;
            let main: *mut ngx_http_upstream_main_conf_t =
                request.main_conf(&*ptr::addr_of!(ngx_http_upstream_module));
            let known = ngx_hash_find(&raw mut (*main).headers_in_hash, hash, lower_at, name.len())
                .cast::<ngx_http_upstream_header_t>();
            let Some(known) = known.as_ref() else { return Ok(()) };
            let Some(handler) = known.handler else { return Ok(()) };
            match handler(request.raw(), header, known.offset) {
                0 => Ok(()),
                status => Err(status),
            }
        }
    }
}

/// The bytes between two places.
///
/// # Safety
/// Both are NULL or places in one allocation, `from` not after `to`, that stays unchanged for `'a`.
pub(crate) unsafe fn bytes<'a>(from: *const u8, to: *const u8) -> &'a [u8] {
    let length = to.addr().saturating_sub(from.addr());
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for the places.
    unsafe { std::slice::from_raw_parts(from, length) }
}

/// The buffers of a chain.
///
/// # Safety
/// A chain of a live request, which nobody changes while the iterator lives.
pub(crate) unsafe fn buffers(mut link: *mut ngx_chain_t) -> impl Iterator<Item = *mut ngx_buf_t> {
    std::iter::from_fn(move || {
        // SAFETY: the caller vouches for the chain.
        let (buffer, next) = unsafe { link.as_ref() }.map(|link| (link.buf, link.next))?;
        link = next;
        Some(buffer)
    })
}

/// Whether a buffer has no bytes of its own: `ngx_buf_special()`.
pub(crate) fn is_special(buffer: &ngx_buf_t) -> bool {
    (buffer.flush() != 0 || buffer.last_buf() != 0 || buffer.sync() != 0)
        && buffer.temporary() == 0
        && buffer.memory() == 0
        && buffer.mmap() == 0
        && buffer.in_file() == 0
}

/// What a tag of this module's buffers is.
pub(crate) fn tag() -> *mut c_void {
    ptr::from_ref(crate::module()).cast_mut().cast()
}
