// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head, in httpd's words.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use gangway_httpd::filters::forbid_ranges;

use super::{Request, sys, text};

impl Request<'_> {
    /// Sets the status. An empty reason is httpd's own.
    pub(crate) fn set_status(self, status: u16, reason: &[u8]) {
        // SAFETY: a live request; the line is a C string in its pool or one of httpd's own.
        unsafe {
            (*self.as_ptr()).status = c_int::from(status);
            let own = sys::ap_get_status_line(c_int::from(status));
            let (code, phrase) = text(own).split_at_checked(4).unwrap_or_default();
            let number = status.to_string();
            // httpd answers 500 for a status that it does not know.
            let known = code.trim_ascii() == number.as_bytes();
            (*self.as_ptr()).status_line = if known && (reason.is_empty() || phrase == reason) {
                own
            } else {
                let reason = if reason.is_empty() { b"Status" } else { reason };
                self.keep(&[number.as_bytes(), b" ", reason].concat())
            };
        }
    }

    /// The status of the error whose page this request is to give, if it is one of ErrorDocument.
    pub(crate) fn error_status(self) -> Option<u16> {
        // SAFETY: a live request.
        let (previous, status) = unsafe { ((*self.as_ptr()).prev, (*self.as_ptr()).status) };
        u16::try_from(status).ok().filter(|status| *status >= 400 && !previous.is_null())
    }

    /// Sets the content type, or takes away what httpd guessed from a file name, with all that belongs to it.
    pub(crate) fn set_content_type(self, value: Option<&[u8]>) {
        let value = value.map_or(ptr::null(), |value| self.keep(value));
        // SAFETY: a live request; the value is NULL or in its pool.
        unsafe {
            sys::ap_set_content_type(self.as_ptr(), value);
            (*self.as_ptr()).content_encoding = ptr::null();
            (*self.as_ptr()).content_languages = ptr::null_mut();
        }
    }

    pub(crate) fn set_content_length(self, length: u64) {
        // SAFETY: a live request. The core holds a length to what an offset can hold.
        unsafe { sys::ap_set_content_length(self.as_ptr(), length as sys::apr_off_t) }
    }

    /// Lets the response leave whole, unless the client reads and the application has said how long it is.
    pub(crate) fn choose_ranges(self, content_length: Option<u64>) {
        // SAFETY: a live request, of whose response nothing has passed the filters. M_GET is HEAD's number too.
        unsafe {
            if content_length.is_none() || (*self.as_ptr()).method_number != sys::M_GET as c_int {
                forbid_ranges(self.as_ptr());
            }
        }
    }

    /// Whether the client has what the head that was set stands for, by ETag and Last-Modified: then the answer has
    /// become a 304. Only for reading: what an application has changed is done, whatever the client asked for.
    pub(crate) fn is_not_modified(self, last_modified: Option<&[u8]>) -> bool {
        // SAFETY: a live request; the date is a C string in its pool.
        unsafe {
            if (*self.as_ptr()).method_number != sys::M_GET as c_int || self.is_subrequest() {
                return false;
            }
            if let Some(date) = last_modified {
                sys::ap_update_mtime(self.as_ptr(), sys::apr_date_parse_http(self.keep(date)));
            }
            let not_modified = sys::ap_meets_conditions(self.as_ptr()) == sys::HTTP_NOT_MODIFIED as c_int;
            if not_modified {
                self.set_status(sys::HTTP_NOT_MODIFIED as u16, b"");
            }
            not_modified
        }
    }

    /// Adds a header beside those of its name.
    pub(crate) fn add_header(self, name: &[u8], value: &[u8]) {
        let (name, value) = (self.keep(name), self.keep(value));
        // SAFETY: a live request; name and value are in its pool.
        unsafe { sys::apr_table_addn((*self.as_ptr()).headers_out, name, value) }
    }

    /// Sets a header of the answer that httpd makes of a status.
    pub(crate) fn set_error_header(self, name: &'static CStr, value: &'static CStr) {
        // SAFETY: a live request; both live for the process.
        unsafe { sys::apr_table_setn((*self.as_ptr()).err_headers_out, name.as_ptr(), value.as_ptr()) }
    }

    /// Whether the client can see where the response ends without the end of the connection.
    pub(super) fn is_framed(self) -> bool {
        // SAFETY: a live request and its table.
        unsafe {
            let length = sys::apr_table_get((*self.as_ptr()).headers_out, c"Content-Length".as_ptr());
            (*self.as_ptr()).chunked != 0 || !length.is_null()
        }
    }

    /// A C string in the request's pool.
    fn keep(self, bytes: &[u8]) -> *const c_char {
        // SAFETY: a live pool and readable bytes; APR aborts without memory.
        unsafe { sys::apr_pstrmemdup((*self.as_ptr()).pool, bytes.as_ptr().cast(), bytes.len()) }
    }
}
