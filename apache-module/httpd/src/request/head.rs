// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of a response, in httpd's words.

use std::{
    ffi::{CStr, c_int},
    ptr,
};

use gangway::http::Decimal;

use super::Request;
use crate::{module::Module, sys, text};

impl<M: Module> Request<'_, M> {
    /// Sets the status. An empty reason is httpd's own.
    pub fn set_status(self, status: u16, reason: &[u8]) {
        // SAFETY: httpd answers with a C string that stands in the program.
        let own = unsafe { sys::ap_get_status_line(c_int::from(status)) };
        // SAFETY: that C string.
        let (code, phrase) = unsafe { text(own) }.split_at_checked(4).unwrap_or_default();
        let mut number = Decimal::default();
        let number = number.write(status);
        // httpd answers 500 for a status that it does not know.
        let is_known = code.strip_suffix(b" ") == Some(number);
        let line = if is_known && (reason.is_empty() || phrase == reason) {
            own
        } else {
            let reason = if reason.is_empty() { b"Status" } else { reason };
            self.pool().join(&[number, b" ", reason])
        };
        // SAFETY: `from_raw` promises a live request of this thread; the line is in its pool or httpd's own.
        unsafe {
            (*self.as_ptr()).status = c_int::from(status);
            (*self.as_ptr()).status_line = line;
        }
    }

    /// Names GET, and with it HEAD, as what can be asked for, in an answer that refuses another method.
    pub fn allow_get(self) {
        // SAFETY: `from_raw` promises a live request of this thread; its list of methods is NULL or live.
        unsafe {
            (*self.as_ptr()).allowed |= 1 << sys::M_GET;
            if let Some(list) = (*self.as_ptr()).allowed_methods.as_mut() {
                list.method_mask |= 1 << sys::M_GET;
            }
        }
    }

    /// Makes the response one without a status of its own.
    pub fn reset_status(self) {
        // SAFETY: `from_raw` promises a live request of this thread.
        unsafe {
            (*self.as_ptr()).status = sys::HTTP_OK as c_int;
            (*self.as_ptr()).status_line = ptr::null();
        }
    }

    /// The status as it is now, if it is one.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        u16::try_from(field!(self, status)).ok()
    }

    /// The status of the error whose page this request is to give, if it is one of ErrorDocument.
    #[must_use]
    pub fn error_status(self) -> Option<u16> {
        self.status().filter(|status| *status >= 400 && !field!(self, prev).is_null())
    }

    /// Sets the content type, or takes away what httpd guessed from a file name, with all that belongs to it.
    pub fn set_content_type(self, value: Option<&[u8]>) {
        let value = value.map_or(ptr::null_mut(), |value| self.pool().keep(value));
        // SAFETY: `from_raw` promises a live request of this thread; the value is NULL or in its pool.
        unsafe {
            sys::ap_set_content_type(self.as_ptr(), value);
            (*self.as_ptr()).content_encoding = ptr::null();
            (*self.as_ptr()).content_languages = ptr::null_mut();
        }
    }

    /// Says how long the response is.
    pub fn set_content_length(self, length: u64) {
        // SAFETY: `from_raw` promises a live request of this thread. The core holds a length to what an offset can hold.
        unsafe { sys::ap_set_content_length(self.as_ptr(), length as sys::apr_off_t) }
    }

    /// Lets the response leave whole, unless the client reads (RFC 9110 §14.2: ranges are of GET) and the application has said how long
    /// it is.
    ///
    /// httpd's filter for `Range` makes parts of every 200 that it sees from the first byte to the last at once, whatever the method
    /// and whether or not the application knew of a length: a small page would have ranges, a large one not.
    pub fn choose_ranges(self, content_length: Option<u64>) {
        if content_length.is_some() && self.is_get() {
            return;
        }
        // SAFETY: the filters of a live request are a list that ends with those of its connection; the one that is taken out is not
        // used again.
        unsafe {
            let mut filter = (*self.as_ptr()).output_filters;
            while !filter.is_null() {
                let next = (*filter).next;
                // httpd keeps the names of filters in lower case.
                if text((*(*filter).frec).name) == b"byterange" {
                    sys::ap_remove_output_filter(filter);
                }
                filter = next;
            }
        }
    }

    /// Notes when the document was changed last, as its application says. Answers whether that is a date. httpd has
    /// noted the date of a folder or a file that it has come across on its way (content negotiation does), which says nothing.
    pub fn note_last_modified(self, date: Option<&[u8]>) -> bool {
        let date = date.map_or(0, |date| {
            let date = self.pool().keep(date);
            // SAFETY: a C string in the pool of a live request.
            unsafe { sys::apr_date_parse_http(date) }
        });
        // SAFETY: `from_raw` promises a live request of this thread.
        unsafe { (*self.as_ptr()).mtime = date }
        date > 0
    }

    /// What a condition of the client's makes of the response whose head has been set: a status of 300 or more in its place.
    #[must_use]
    pub fn unmet_condition(self) -> Option<u16> {
        // SAFETY: `from_raw` promises a live request of this thread.
        let status = unsafe { sys::ap_meets_conditions(self.as_ptr()) };
        u16::try_from(status).ok().filter(|status| *status >= 300)
    }

    /// Adds a header beside those of its name.
    pub fn add_header(self, name: &[u8], value: &[u8]) {
        let (table, name, value) =
            (field!(self, headers_out), self.pool().keep(name), self.pool().keep(value));
        // SAFETY: httpd makes the table with the request; name and value are in the request's pool.
        unsafe { sys::apr_table_addn(table, name, value) }
    }

    /// Sets a header of the answer that httpd makes of a status.
    pub fn set_error_header(self, name: &'static CStr, value: &'static CStr) {
        let table = field!(self, err_headers_out);
        // SAFETY: httpd makes the table with the request; name and value live for the process.
        unsafe { sys::apr_table_setn(table, name.as_ptr(), value.as_ptr()) }
    }

    /// Sends an interim response (RFC 9110 §15.2) with the status and the headers that have been set, and takes both back. Nothing of the
    /// response may have left.
    pub fn send_interim(self) {
        // SAFETY: `from_raw` promises a live request of this thread; httpd sends what stands in the table and empties it.
        unsafe { sys::ap_send_interim_response(self.as_ptr(), 1) }
        self.reset_status();
    }
}
