// SPDX-License-Identifier: MIT OR Apache-2.0
//! What both httpd modules know of httpd: its types, its requests, its bodies, its log and its directives.
//!
//! ```text
//! sys        types, functions and constants of httpd's headers, as bindgen reads them
//! module     how a module presents itself, and what httpd keeps for it
//! directive  the table of directives, and one that is being read
//! tree       directives of others; notes: what log formats ask for
//! figures    the memory for figures of applications, which both modules share
//! retained   numbers that outlive a module
//! param      GangwayParam, which both modules have
//! request    what httpd knows of a request, each thing with its type; server: the same of a server; lists: lists of both
//! brigade    lists of buckets, on their way through filters
//! pool       memory that lives as long as a configuration or a request
//! parts      requests that are parts of another one
//! transfer   one attempt of a request on a connection to a backend
//! log        lines in httpd's error log
//! ```
//! Everything here is used by the code of a module that httpd has called, on httpd's terms. What is `unsafe` here turns what httpd
//! gives into a type, and the type holds what httpd has promised: a [`request::Request`] or a [`directive::Command`] lives no longer than
//! the call that brought it. The symbols are httpd's: nothing here can be called in another program.

pub mod brigade;
pub mod directive;
pub mod figures;
mod lists;
pub mod log;
pub mod module;
pub mod notes;
pub mod param;
pub mod parts;
pub mod pool;
pub mod request;
pub mod retained;
pub mod server;
pub mod transfer;
pub mod tree;

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    unused_qualifications,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::use_self,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from httpd's headers"
)]
pub mod sys {
    include!(concat!(env!("OUT_DIR"), "/httpd.rs"));
}

use std::ffi::{CStr, c_char, c_int};

/// The hook or handler did its part.
pub const OK: c_int = sys::OK as c_int;
/// Somebody else's request.
pub const DECLINED: c_int = sys::DECLINED;
/// The response has ended, and not well.
pub const DONE: c_int = sys::DONE;
/// A filter has given an answer instead of the handler.
pub const FILTER_ERROR: c_int = sys::AP_FILTER_ERROR;

/// Statuses that the modules themselves answer, by the names of RFC 9110.
pub mod status {
    use std::ffi::c_int;

    use super::sys;

    /// 400
    pub const BAD_REQUEST: c_int = sys::HTTP_BAD_REQUEST as c_int;
    /// `HTTP_NOT_IMPLEMENTED`
    pub const NOT_IMPLEMENTED: c_int = sys::HTTP_NOT_IMPLEMENTED as c_int;
    /// 401
    pub const UNAUTHORIZED: c_int = sys::HTTP_UNAUTHORIZED as c_int;
    /// 403
    pub const FORBIDDEN: c_int = sys::HTTP_FORBIDDEN as c_int;
    /// 404
    pub const NOT_FOUND: c_int = sys::HTTP_NOT_FOUND as c_int;
    /// 405
    pub const METHOD_NOT_ALLOWED: c_int = sys::HTTP_METHOD_NOT_ALLOWED as c_int;
    /// 408
    pub const REQUEST_TIME_OUT: c_int = sys::HTTP_REQUEST_TIME_OUT as c_int;
    /// 413
    pub const TOO_LARGE: c_int = sys::HTTP_REQUEST_ENTITY_TOO_LARGE as c_int;
    /// 500
    pub const INTERNAL_SERVER_ERROR: c_int = sys::HTTP_INTERNAL_SERVER_ERROR as c_int;
    /// 502
    pub const BAD_GATEWAY: c_int = sys::HTTP_BAD_GATEWAY as c_int;
    /// 503
    pub const SERVICE_UNAVAILABLE: c_int = sys::HTTP_SERVICE_UNAVAILABLE as c_int;
    /// 504
    pub const GATEWAY_TIME_OUT: c_int = sys::HTTP_GATEWAY_TIME_OUT as c_int;
}

/// The bytes of a C string; NULL is empty.
///
/// # Safety
/// `text` is NULL or a C string that stays unchanged for `'a`.
#[must_use]
pub unsafe fn text<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: it is not NULL, so the caller promises a C string.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}
