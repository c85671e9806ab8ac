// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head, in httpd's words: what `ap_scan_script_header_err_core` makes of one, so that modules and
//! filters behind mod_proxy_fcgi see no difference.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use gangway::{cgi::ResponseHead, http::is_connection_field};
use gangway_httpd::filters::forbid_ranges;

use super::{Request, sys, text};

impl Request<'_> {
    /// Gives httpd a head. Answers the status that the response has now, and whether a condition of the client's has
    /// changed it, where the backend has named none: then the body is not wanted.
    pub(crate) fn set_head(self, head: &ResponseHead<'_>) -> (u16, bool) {
        // Without a status of its own the response keeps the one of the error whose page it is.
        if head.names_status() || head.status() != 200 {
            self.set_status(head.status(), head.reason());
        }
        for (name, value) in head.fields().filter(|(name, _)| !is_connection_field(name)) {
            self.set_field(name, value);
        }
        // SAFETY: a live request and its table.
        unsafe {
            let request = self.as_ptr();
            // RFC 9110 §14.2: ranges are of GET. M_GET is HEAD's number too.
            if head.content_length().is_none() || (*request).method_number != sys::M_GET as c_int {
                forbid_ranges(request);
            }
            let judged = head.names_status() || head.status() != 200;
            if !judged && (*request).method_number == sys::M_GET as c_int {
                let changed = u16::try_from(sys::ap_meets_conditions(request)).unwrap_or(0);
                if changed >= 300 {
                    self.set_status(changed, b"");
                    sys::apr_table_unset((*request).headers_out, c"Content-Length".as_ptr());
                    return (changed, true);
                }
            }
            (u16::try_from((*request).status).unwrap_or_else(|_| head.status()), false)
        }
    }

    /// Sets the status. An empty reason is httpd's own.
    fn set_status(self, status: u16, reason: &[u8]) {
        let number = status.to_string();
        // SAFETY: a live request; the line is a C string in its pool or NULL for httpd's own.
        unsafe {
            (*self.as_ptr()).status = c_int::from(status);
            // httpd answers 500 for a status that it does not know.
            let is_known = text(sys::ap_get_status_line(c_int::from(status))).starts_with(number.as_bytes());
            (*self.as_ptr()).status_line = match reason {
                b"" if is_known => ptr::null(),
                b"" => self.keep(number.as_bytes()),
                reason => self.keep(&[number.as_bytes(), b" ", reason].concat()),
            };
        }
    }

    fn set_field(self, name: &[u8], value: &[u8]) {
        /// What a script says about the response itself, where filters look for it.
        const OWN: [&CStr; 4] = [c"Location", c"Content-Length", c"Content-Range", c"ETag"];
        let text = self.map_back(name, self.keep(value));
        // SAFETY: a live request; names and values are in its pool or live for the process.
        unsafe {
            let request = self.as_ptr();
            if name.eq_ignore_ascii_case(b"content-type") {
                sys::ap_content_type_tolower(text);
                sys::ap_set_content_type(request, text);
            } else if let Some(own) = OWN.iter().find(|own| name.eq_ignore_ascii_case(own.to_bytes())) {
                sys::apr_table_setn((*request).headers_out, own.as_ptr(), text);
            } else if name.eq_ignore_ascii_case(b"last-modified") {
                let date = sys::apr_date_parse_http(text);
                // A date that is none is left out; one in the future becomes the present.
                if date > 0 {
                    sys::ap_update_mtime(request, date);
                    sys::ap_set_last_modified(request);
                }
            } else if name.eq_ignore_ascii_case(b"set-cookie") {
                sys::apr_table_addn((*request).err_headers_out, self.keep(name), text);
            } else {
                sys::apr_table_merge((*request).err_headers_out, self.keep(name), text);
            }
        }
    }

    /// ProxyPassReverse and its kin: what the backend says about places, seen from the client.
    fn map_back(self, name: &[u8], value: *mut c_char) -> *mut c_char {
        const PLACES: [&[u8]; 4] = [b"location", b"content-location", b"uri", b"destination"];
        let conf = self.proxy_conf();
        if conf.is_null() {
            return value;
        }
        // SAFETY: a live request, mod_proxy's configuration for it, and a C string in its pool; so is what comes back.
        unsafe {
            if PLACES.iter().any(|place| name.eq_ignore_ascii_case(place)) {
                sys::ap_proxy_location_reverse_map(self.as_ptr(), conf, value).cast_mut()
            } else if name.eq_ignore_ascii_case(b"set-cookie") {
                sys::ap_proxy_cookie_reverse_map(self.as_ptr(), conf, value).cast_mut()
            } else {
                value
            }
        }
    }

    /// Whether the client's protocol has interim responses.
    fn has_interim(self) -> bool {
        // SAFETY: a live request. HTTP/1.1 is 1001.
        unsafe { (*self.as_ptr()).proto_num >= 1001 }
    }

    /// Asks a client that waits for "100 Continue" for its body.
    pub(crate) fn send_continue(self) {
        // SAFETY: a live request; httpd sends nothing unless the client waits.
        unsafe {
            let request = self.as_ptr();
            if (*request).expecting_100 != 0 {
                let (status, line) = ((*request).status, (*request).status_line);
                (*request).status = sys::HTTP_CONTINUE as c_int;
                (*request).status_line = ptr::null();
                sys::ap_send_interim_response(request, 0);
                (*request).status = status;
                (*request).status_line = line;
            }
        }
    }

    /// Sends an interim response, which must be the first thing that leaves.
    pub(crate) fn send_interim(self, head: &ResponseHead<'_>) {
        if !self.has_interim() || self.is_subrequest() {
            return;
        }
        self.set_status(head.status(), head.reason());
        // SAFETY: a live request; httpd sends what stands in the table and empties it.
        unsafe {
            let request = self.as_ptr();
            let headers = (*request).headers_out;
            sys::apr_table_clear(headers);
            for (name, value) in head.fields().filter(|(name, _)| !is_connection_field(name)) {
                sys::apr_table_addn(headers, self.keep(name), self.keep(value));
            }
            sys::ap_send_interim_response(request, 1);
            sys::apr_table_clear(headers);
            (*request).status = sys::HTTP_OK as c_int;
            (*request).status_line = ptr::null();
        }
    }

    /// Takes back a head of which nothing has left: httpd answers in its place.
    pub(crate) fn forget_head(self) {
        // SAFETY: a live request and its tables.
        unsafe {
            let request = self.as_ptr();
            sys::apr_table_clear((*request).headers_out);
            sys::apr_table_clear((*request).err_headers_out);
            (*request).status = sys::HTTP_OK as c_int;
            (*request).status_line = ptr::null();
            sys::ap_set_content_type(request, ptr::null());
        }
    }
}
