// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request may do when it arrives twice.

use nginx_sys::{NGX_HTTP_LOCK, NGX_HTTP_PATCH, NGX_HTTP_POST, NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT};

use super::{NoMemory, Request, Upstream};

impl Request {
    /// Whether the method may not be tried twice, as ngx_http_upstream_next() sees it, or the body cannot.
    pub(crate) fn is_for_once(self) -> bool {
        self.has_method_of(NGX_HTTP_POST | NGX_HTTP_LOCK | NGX_HTTP_PATCH) || self.streams_body()
    }

    /// Whether the client sends a body.
    pub(crate) fn has_body(self) -> bool {
        self.announced_length() != Some(0) && (self.is_chunked() || self.announced_length().is_some())
    }
}

impl Upstream {
    /// Whether nginx may ask somebody else where a request that changes something was sent and has failed.
    ///
    /// # Errors
    /// No memory: it stays as it was.
    pub(crate) fn let_repeat(self, request: Request, may: bool) -> Result<(), NoMemory> {
        const BIT: usize = NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT as usize;
        self.change_conf(request, |conf| {
            conf.next_upstream = if may { conf.next_upstream | BIT } else { conf.next_upstream & !BIT };
        })
    }
}
