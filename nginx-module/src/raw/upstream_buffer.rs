// SPDX-License-Identifier: MIT OR Apache-2.0
//! The buffer that nginx reads a backend's response into, and what is made of it: the head, and the body of a response that
//! is not buffered.

use std::ptr;

use nginx_sys::{
    ngx_chain_get_free_buf, ngx_chain_t, ngx_hash_find, ngx_http_upstream_header_t,
    ngx_http_upstream_main_conf_t, ngx_http_upstream_module, ngx_int_t, ngx_list_push, ngx_palloc,
    ngx_pnalloc, ngx_str_t, ngx_table_elt_t,
};

use super::{ERROR, NoMemory, Request, Upstream, bytes, field::field};

impl Upstream {
    /// The bytes that nginx has read and nobody has taken.
    pub(crate) fn unread(&self) -> &[u8] {
        // SAFETY: nginx keeps pos <= last inside the buffer's memory once it has one, and reads behind `last` alone.
        unsafe { bytes(field!(self, buffer.pos), field!(self, buffer.last)) }
    }

    /// Takes bytes from the front of [`Upstream::unread`].
    pub(crate) fn take(self, count: usize) {
        let count = count.min(self.unread().len());
        // SAFETY: `count` is within the unread bytes.
        let pos = unsafe { field!(self, buffer.pos).add(count) };
        field!(self, buffer.pos = pos);
    }

    /// The bytes that nginx has read behind `last`, leaving it to the filter to say so.
    ///
    /// # Safety
    /// nginx has read so many bytes there.
    pub(crate) unsafe fn come(&self, count: usize) -> &[u8] {
        let start = field!(self, buffer.last);
        // SAFETY: the caller's bytes are in the buffer's memory, in which nginx reads behind `last` alone.
        unsafe {
            let last = start.add(count);
            field!(self, buffer.pos = start);
            field!(self, buffer.last = last);
            bytes(start, last)
        }
    }

    /// Takes the last byte that nginx has read out of the buffer, as if it had not come.
    pub(crate) fn keep_back(self) -> Option<u8> {
        let last = field!(self, buffer.last);
        if last.addr() <= field!(self, buffer.start).addr() {
            return None;
        }
        // SAFETY: start < last are places in the buffer's memory, and what lies before `last` has been read.
        let (last, byte) = unsafe { (last.sub(1), *last.sub(1)) };
        field!(self, buffer.last = last);
        if field!(self, buffer.pos).addr() > last.addr() {
            field!(self, buffer.pos = last);
        }
        Some(byte)
    }

    /// Bytes before the head in a buffer that is to be written to a cache file.
    fn cache_gap(request: Request) -> usize {
        // SAFETY: NULL or the live cache entry of the request.
        unsafe { field!(request, cache).as_ref() }.map_or(0, |cache| cache.header_start)
    }

    /// Forgets what has been taken, so that all of the buffer can be read into again.
    pub(crate) fn rewind(self, request: Request) {
        // SAFETY: nginx starts reading at this place itself.
        let start = unsafe { field!(self, buffer.start).add(Self::cache_gap(request)) };
        field!(self, buffer.pos = start);
        field!(self, buffer.last = start);
    }

    /// How many bytes can still be read into the buffer.
    pub(crate) fn room(self) -> usize {
        field!(self, buffer.end).addr().saturating_sub(field!(self, buffer.last).addr())
    }

    /// The length of the buffer.
    pub(crate) fn size(self) -> usize {
        field!(self, buffer.end).addr().saturating_sub(field!(self, buffer.start).addr())
    }

    /// How much of the buffer lies before what is unread.
    pub(crate) fn taken(self) -> usize {
        field!(self, buffer.pos).addr().saturating_sub(field!(self, buffer.start).addr())
    }

    /// Puts `head` before what is unread, as if nginx had just read and taken it. A cache file begins with what
    /// stands there.
    pub(crate) fn replace_head(self, request: Request, head: &[&[u8]]) -> Result<(), NoMemory> {
        let gap = Self::cache_gap(request);
        let length: usize = head.iter().map(|part| part.len()).sum();
        let rest = self.unread();
        let size = (gap + length + rest.len()).max(self.size());
        // SAFETY: the pool of a live request; the sizes add up to what is allocated, and the old memory is another.
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
            ptr::copy_nonoverlapping(rest.as_ptr(), at, rest.len());
            let last = at.add(rest.len());
            field!(self, buffer.start = start);
            field!(self, buffer.pos = at);
            field!(self, buffer.last = last);
            field!(self, buffer.end = start.add(size));
        }
        Ok(())
    }

    /// Adds a header of the response, as nginx's own modules do: known ones have handlers.
    ///
    /// # Errors
    /// What `process_header` answers.
    pub(crate) fn add_header(self, request: Request, name: &[u8], value: &[u8]) -> Result<(), ngx_int_t> {
        // SAFETY: the pool and the list of a live request; the one allocation holds name, NUL, value, NUL and the name in
        // lower case.
        unsafe {
            let header = ngx_list_push(&raw mut (*self.raw()).headers_in.headers).cast::<ngx_table_elt_t>();
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
            (*header).hash = hash;
            (*header).key = ngx_str_t { len: name.len(), data: memory };
            (*header).value = ngx_str_t { len: value.len(), data: value_at };
            (*header).lowcase_key = lower_at;
            let main = request.main_slot((*ptr::addr_of!(ngx_http_upstream_module)).ctx_index);
            let known = &raw mut (*main.cast::<ngx_http_upstream_main_conf_t>()).headers_in_hash;
            let known = ngx_hash_find(known, hash, lower_at, name.len()).cast::<ngx_http_upstream_header_t>();
            let Some(known) = known.as_ref() else { return Ok(()) };
            let Some(handler) = known.handler else { return Ok(()) };
            match handler(request.raw(), header, known.offset) {
                0 => Ok(()),
                status => Err(status),
            }
        }
    }

    /// Appends bytes of the buffer to what goes to the client before more is read.
    pub(crate) fn append_output(self, request: Request, body: &[u8]) -> Result<(), NoMemory> {
        // SAFETY: the pool of a live request; the chains are nginx's own lists of what is to be sent and of what has been;
        // the bytes stand in the buffer until they have been sent.
        unsafe {
            let mut end: *mut *mut ngx_chain_t = &raw mut (*self.raw()).out_bufs;
            while !(*end).is_null() {
                end = &raw mut (**end).next;
            }
            let link = ngx_chain_get_free_buf(request.pool(), &raw mut (*self.raw()).free_bufs);
            if link.is_null() {
                return Err(NoMemory);
            }
            *end = link;
            let buffer = (*link).buf;
            (*buffer).set_flush(1);
            (*buffer).set_memory(1);
            (*buffer).pos = body.as_ptr().cast_mut();
            (*buffer).last = (*buffer).pos.add(body.len());
            (*buffer).tag = field!(self, output.tag);
        }
        Ok(())
    }
}
