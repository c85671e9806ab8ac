// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's buffers and chains of them.

use std::{ffi::c_void, io::IoSliceMut, ptr};

use nginx_sys::{ngx_alloc_chain_link, ngx_buf_t, ngx_chain_t, ngx_create_temp_buf, ngx_palloc};

use super::{Request, bytes};

/// NGX_CHAIN_ERROR
pub(crate) const CHAIN_ERROR: *mut ngx_chain_t = ptr::without_provenance_mut(usize::MAX);

/// nginx has no memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoMemory;

impl Request {
    /// A copy of `bytes` as a buffer.
    pub(crate) fn buffer(self, bytes: &[u8], room: usize) -> Result<*mut ngx_chain_t, NoMemory> {
        // SAFETY: the pool of a live request; the buffer has room for the bytes.
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
        // SAFETY: the pool of a live request; a fresh link.
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
    pub(crate) fn part(self, whole: &ngx_buf_t) -> Result<*mut ngx_buf_t, NoMemory> {
        // SAFETY: the pool of a live request; fresh memory of a buffer's size, and nginx's buffers are plain memory.
        unsafe {
            let part = ngx_palloc(self.pool(), size_of::<ngx_buf_t>()).cast::<ngx_buf_t>();
            if part.is_null() {
                return Err(NoMemory);
            }
            ptr::copy_nonoverlapping(whole, part, 1);
            Ok(part)
        }
    }
}

/// The buffers of a chain.
///
/// # Safety
/// A chain of a live request, which nobody changes while the iterator lives.
pub(crate) unsafe fn buffers(mut link: *mut ngx_chain_t) -> impl Iterator<Item = *mut ngx_buf_t> {
    std::iter::from_fn(move || {
        // SAFETY: the links of the caller's chain are live, and it ends with NULL.
        let (buffer, next) = unsafe { link.as_ref() }.map(|link| (link.buf, link.next))?;
        link = next;
        Some(buffer)
    })
}

/// Where nginx's `recv_chain` reads into: the room behind `last` of each buffer, up to the first without any, and no more bytes than
/// `limit` if that is above 0.
///
/// # Safety
/// A chain of live buffers of nginx's that nobody else uses for `'a`.
pub(crate) unsafe fn rooms<'a>(chain: *mut ngx_chain_t, limit: i64) -> impl Iterator<Item = IoSliceMut<'a>> {
    let mut left = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    // SAFETY: the caller's chain is of live buffers, and ends with NULL.
    unsafe { buffers(chain) }.map_while(move |buffer| {
        // SAFETY: the buffer is live and nobody else's, says the caller; its memory goes on from `last` to `end`.
        unsafe {
            let room = bytes((*buffer).last, (*buffer).end).len().min(left);
            left -= room;
            (room > 0).then(|| IoSliceMut::new(std::slice::from_raw_parts_mut((*buffer).last, room)))
        }
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
