// SPDX-License-Identifier: MIT OR Apache-2.0
//! nginx's buffers and chains of them.

use std::{ffi::c_void, ptr};

use nginx_sys::{ngx_alloc_chain_link, ngx_buf_t, ngx_chain_t, ngx_create_temp_buf, ngx_palloc};

use super::Request;

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
