// SPDX-License-Identifier: MIT OR Apache-2.0
//! httpd's, mod_proxy's and APR's memory, and system calls: the one place of this crate with `unsafe`.
//!
//! What httpd calls stands in `hooks` and `directives`, each a few lines around a safe function. A [`Request`] lives
//! no longer than the call that brought it.

#![expect(unsafe_code, reason = "httpd's memory and system calls")]

mod backend;
mod backlog;
mod canonical;
mod conf;
mod directives;
mod environment;
mod hooks;
mod input;
mod output;
mod redirect;
mod request;
mod request_state;
mod response;
mod server;
mod shared;
mod socket;

pub use hooks::proxy_gangway_module;

pub(crate) use backend::{Target, Wait};
pub(crate) use canonical::Address;
pub(crate) use conf::Text;
pub(crate) use input::{Body, Filled};
pub(crate) use output::{Output, Then};
pub(crate) use request::Request;
pub(crate) use server::log_process;
pub(crate) use shared::Board;
pub(crate) use socket::{Interest, PATIENCE, Readiness, Received, Sent, Wire};

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unnecessary_transmutes,
    unused_qualifications,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::use_self,
    clippy::undocumented_unsafe_blocks,
    reason = "generated from httpd's headers"
)]
mod sys {
    include!(concat!(env!("OUT_DIR"), "/httpd.rs"));
}

use std::ffi::{CStr, c_char, c_int};

/// The hook or handler did its part.
pub(crate) const OK: c_int = sys::OK as c_int;
/// Somebody else's request.
pub(crate) const DECLINED: c_int = sys::DECLINED;
/// The response has ended, and not well.
pub(crate) const DONE: c_int = sys::DONE;
/// A filter has given an answer instead of the handler.
pub(crate) const FILTER_ERROR: c_int = sys::AP_FILTER_ERROR;
/// Statuses that the module itself answers.
pub(crate) const BAD_REQUEST: c_int = sys::HTTP_BAD_REQUEST as c_int;
pub(crate) const FORBIDDEN: c_int = sys::HTTP_FORBIDDEN as c_int;
pub(crate) const NOT_FOUND: c_int = sys::HTTP_NOT_FOUND as c_int;
pub(crate) const REQUEST_TIME_OUT: c_int = sys::HTTP_REQUEST_TIME_OUT as c_int;
pub(crate) const INTERNAL_SERVER_ERROR: c_int = sys::HTTP_INTERNAL_SERVER_ERROR as c_int;
pub(crate) const BAD_GATEWAY: c_int = sys::HTTP_BAD_GATEWAY as c_int;
pub(crate) const SERVICE_UNAVAILABLE: c_int = sys::HTTP_SERVICE_UNAVAILABLE as c_int;
pub(crate) const GATEWAY_TIME_OUT: c_int = sys::HTTP_GATEWAY_TIME_OUT as c_int;

/// The bytes of a C string; NULL is empty.
///
/// # Safety
/// `text` is NULL or a C string that stays unchanged for `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}
