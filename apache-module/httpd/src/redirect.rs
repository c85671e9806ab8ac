// SPDX-License-Identifier: MIT OR Apache-2.0
//! Redirects inside of the server that an application asks for: RFC 3875 §6.2.2.

use std::ffi::{CStr, c_char, c_int};

use crate::{
    OK,
    sys::{self, request_rec},
};

/// What says something about a body.
const DESCRIBE_BODY: [&CStr; 7] = [
    c"Content-Length",
    c"Transfer-Encoding",
    c"Content-Type",
    c"Content-Encoding",
    c"Content-Language",
    c"Content-Location",
    c"Trailer",
];

/// Makes the request one without a body, and a GET unless it is a HEAD. Answers a status that is not OK when the body could not be
/// got out of the way.
///
/// httpd learns from the headers where a body ends when it is read first: those of one that nobody has read must not go before
/// it has gone itself, or it would be read as the next request.
///
/// # Safety
/// `request` is live, and nothing of its response has left.
#[must_use]
pub unsafe fn forget_body(request: *mut request_rec) -> c_int {
    // SAFETY: a live request and its table; the names live for the process.
    unsafe {
        if (*request).main.is_null() && sys::ap_request_has_body(request) != 0 {
            if (*request).expecting_100 == 0 {
                let status = sys::ap_discard_request_body(request);
                if status != OK {
                    return status;
                }
            } else {
                // The client may never send it. Whatever comes is not read.
                (*request).expecting_100 = 0;
                (*(*request).connection).keepalive = sys::AP_CONN_CLOSE;
            }
        }
        for name in DESCRIBE_BODY {
            sys::apr_table_unset((*request).headers_in, name.as_ptr());
        }
        if (*request).header_only == 0 {
            (*request).method = c"GET".as_ptr();
            (*request).method_number = sys::M_GET as c_int;
        }
    }
    OK
}

/// Lets httpd answer with what a request for `target` gets: it reads that as a request line, and asks its access rules again.
///
/// # Safety
/// As for [`forget_body`]; `target` is a C string that lives as long as the request.
pub unsafe fn follow(request: *mut request_rec, target: *const c_char) {
    // SAFETY: the caller vouches for both.
    unsafe {
        (*request).status = sys::HTTP_OK as c_int;
        (*request).status_line = std::ptr::null();
        sys::ap_internal_redirect_handler(target, request);
    }
}
