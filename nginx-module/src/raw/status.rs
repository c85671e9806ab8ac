// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handlers and callbacks answer nginx: its own numbers, and statuses of HTTP in the same type.

use nginx_sys::ngx_int_t;

pub(crate) const OK: ngx_int_t = 0;
pub(crate) const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
pub(crate) const AGAIN: ngx_int_t = nginx_sys::NGX_AGAIN as ngx_int_t;
pub(crate) const DONE: ngx_int_t = nginx_sys::NGX_DONE as ngx_int_t;
pub(crate) const DECLINED: ngx_int_t = nginx_sys::NGX_DECLINED as ngx_int_t;
/// The head of a backend is refused: the next one is tried, or it is 502.
pub(crate) const INVALID_HEADER: ngx_int_t = nginx_sys::NGX_HTTP_UPSTREAM_INVALID_HEADER as ngx_int_t;

/// The first status of an answer that nginx makes itself.
pub(crate) const SPECIAL_RESPONSE: ngx_int_t = nginx_sys::NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t;
pub(crate) const MOVED: ngx_int_t = nginx_sys::NGX_HTTP_MOVED_PERMANENTLY as ngx_int_t;
pub(crate) const BAD_REQUEST: ngx_int_t = nginx_sys::NGX_HTTP_BAD_REQUEST as ngx_int_t;
pub(crate) const FORBIDDEN: ngx_int_t = nginx_sys::NGX_HTTP_FORBIDDEN as ngx_int_t;
pub(crate) const NOT_FOUND: ngx_int_t = nginx_sys::NGX_HTTP_NOT_FOUND as ngx_int_t;
pub(crate) const NOT_ALLOWED: ngx_int_t = nginx_sys::NGX_HTTP_NOT_ALLOWED as ngx_int_t;
pub(crate) const INTERNAL_SERVER_ERROR: ngx_int_t = nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
pub(crate) const BAD_GATEWAY: ngx_int_t = nginx_sys::NGX_HTTP_BAD_GATEWAY as ngx_int_t;
pub(crate) const SERVICE_UNAVAILABLE: ngx_int_t = nginx_sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;
