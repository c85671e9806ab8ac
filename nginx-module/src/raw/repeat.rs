// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request may do when it arrives twice.

use nginx_sys::{NGX_HTTP_LOCK, NGX_HTTP_PATCH, NGX_HTTP_POST};

use super::Request;

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
