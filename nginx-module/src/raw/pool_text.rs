// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies of bytes in a request's pool.

use std::ptr;

use nginx_sys::{ngx_pnalloc, ngx_str_t};

use super::{Request, field::field, text::str_bytes};

impl Request {
    /// A copy in the request's pool.
    pub(crate) fn text(self, bytes: &[u8]) -> Option<ngx_str_t> {
        self.joined_text(&[bytes])
    }

    /// A copy of these parts one after the other in the request's pool.
    pub(crate) fn joined_text(self, parts: &[&[u8]]) -> Option<ngx_str_t> {
        self.pool_text(parts).map(|text| text.0)
    }

    /// The path of the request, for as long as the request lives.
    pub(crate) fn pool_uri(self) -> PoolText {
        PoolText(field!(self, uri))
    }

    /// These parts one after the other, copied into the request's pool.
    pub(crate) fn pool_text(self, parts: &[&[u8]]) -> Option<PoolText> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // SAFETY: the pool of a live request; fresh memory of that size, with a NUL after it.
        unsafe {
            let data = ngx_pnalloc(self.pool(), length + 1).cast::<u8>();
            if data.is_null() {
                return None;
            }
            let mut at = data;
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            at.write(0);
            Some(PoolText(ngx_str_t { len: length, data }))
        }
    }
}

/// Bytes that live as long as the request they are of. Values that outlive it must not hold one.
#[derive(Clone, Copy)]
pub(crate) struct PoolText(ngx_str_t);

impl PoolText {
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: made of a live request's own memory or its pool's, neither of which changes or goes before the request
        // does; whoever holds the text lives in that pool or on the stack of a call for that request.
        unsafe { str_bytes(&self.0) }
    }
}

impl Default for PoolText {
    fn default() -> Self {
        Self(ngx_str_t::empty())
    }
}

impl std::fmt::Debug for PoolText {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&gangway::log::escape(self.bytes()))
    }
}
