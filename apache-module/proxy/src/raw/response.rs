// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head, in httpd's words: what `ap_scan_script_header_err_core` makes of one, so that modules and
//! filters behind mod_proxy_fcgi see no difference.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use gangway::{cgi::ResponseHead, http::is_connection_field};

use super::{Request, backend::proxy_conf, sys, text};

/// Gives httpd a head. Answers the status that the response has now, and whether a condition of the client's has
/// changed it, where the backend has named none: then the body is not wanted.
pub(crate) fn set_head(request: Request<'_>, head: &ResponseHead<'_>) -> (u16, bool) {
    // Without a status of its own the response keeps the one of the error whose page it is.
    let has_status = head.names_status() || head.status() != 200;
    if has_status {
        set_status(request, head.status(), head.reason());
    }
    request.note_last_modified(None);
    for (name, value) in head.fields().filter(|(name, _)| !is_connection_field(name)) {
        set_field(request, name, value);
    }
    request.choose_ranges(head.content_length());
    if !has_status
        && request.is_get()
        && let Some(changed) = request.unmet_condition()
    {
        set_status(request, changed, b"");
        // SAFETY: a `Request` is live on this thread, and httpd makes its table with it.
        unsafe {
            sys::apr_table_unset((*request.as_ptr()).headers_out, c"Content-Length".as_ptr());
        }
        return (changed, true);
    }
    (request.status().unwrap_or_else(|| head.status()), false)
}

/// Sets the status. An empty reason is httpd's own.
fn set_status(request: Request<'_>, status: u16, reason: &[u8]) {
    let number = status.to_string();
    // SAFETY: a `Request` is live on this thread; httpd answers with a C string that stands in the program, and the line is NULL for that or
    // in the request's pool.
    unsafe {
        (*request.as_ptr()).status = c_int::from(status);
        // httpd answers 500 for a status that it does not know.
        let is_known = text(sys::ap_get_status_line(c_int::from(status))).starts_with(number.as_bytes());
        (*request.as_ptr()).status_line = match reason {
            b"" if is_known => ptr::null(),
            b"" => request.pool().keep(number.as_bytes()),
            reason => request.pool().join(&[number.as_bytes(), b" ", reason]),
        };
    }
}

fn set_field(request: Request<'_>, name: &[u8], value: &[u8]) {
    /// What a script says about the response itself, where filters look for it.
    const OWN: [&CStr; 4] = [c"Location", c"Content-Length", c"Content-Range", c"ETag"];
    let pool = request.pool();
    // SAFETY: what a pool keeps is a C string in it.
    let text = unsafe { map_back(request, name, pool.keep(value)) };
    let raw = request.as_ptr();
    // SAFETY: a `Request` is live on this thread, and httpd makes its tables with it; names and values are in its pool or live for the process.
    unsafe {
        if name.eq_ignore_ascii_case(b"content-type") {
            sys::ap_content_type_tolower(text);
            sys::ap_set_content_type(raw, text);
        } else if let Some(own) = OWN.iter().find(|own| name.eq_ignore_ascii_case(own.to_bytes())) {
            sys::apr_table_setn((*raw).headers_out, own.as_ptr(), text);
        } else if name.eq_ignore_ascii_case(b"last-modified") {
            // A date that is none is left out; one in the future becomes the present.
            if request.note_last_modified(Some(value)) {
                sys::ap_set_last_modified(raw);
            }
        } else if name.eq_ignore_ascii_case(b"set-cookie") {
            sys::apr_table_addn((*raw).err_headers_out, pool.keep(name), text);
        } else {
            sys::apr_table_merge((*raw).err_headers_out, pool.keep(name), text);
        }
    }
}

/// ProxyPassReverse and its kin: what the backend says about places, seen from the client.
///
/// # Safety
/// `value` is a C string in the request's pool.
unsafe fn map_back(request: Request<'_>, name: &[u8], value: *mut c_char) -> *mut c_char {
    const PLACES: [&[u8]; 4] = [b"location", b"content-location", b"uri", b"destination"];
    let conf = proxy_conf(request);
    if conf.is_null() {
        return value;
    }
    // SAFETY: a `Request` is live on this thread, and mod_proxy's configuration lives as long; the caller gives a C string in its pool, and what
    // comes back is one.
    unsafe {
        if PLACES.iter().any(|place| name.eq_ignore_ascii_case(place)) {
            sys::ap_proxy_location_reverse_map(request.as_ptr(), conf, value).cast_mut()
        } else if name.eq_ignore_ascii_case(b"set-cookie") {
            sys::ap_proxy_cookie_reverse_map(request.as_ptr(), conf, value).cast_mut()
        } else {
            value
        }
    }
}

/// Sends an interim response, which must be the first thing that leaves.
pub(crate) fn send_interim(request: Request<'_>, head: &ResponseHead<'_>) {
    if !request.has_interim_responses() || request.is_subrequest() {
        return;
    }
    set_status(request, head.status(), head.reason());
    let clear = || {
        // SAFETY: a `Request` is live on this thread, and httpd makes its table with it.
        unsafe { sys::apr_table_clear((*request.as_ptr()).headers_out) }
    };
    clear();
    let fields = head.fields().filter(|(name, _)| !is_connection_field(name));
    fields.for_each(|(name, value)| request.add_header(name, value));
    request.send_interim();
    clear();
}

/// Takes back a head of which nothing has left: httpd answers in its place.
pub(crate) fn forget_head(request: Request<'_>) {
    let raw = request.as_ptr();
    // SAFETY: a `Request` is live on this thread, and httpd makes its tables with it.
    unsafe {
        sys::apr_table_clear((*raw).headers_out);
        sys::apr_table_clear((*raw).err_headers_out);
        sys::ap_set_content_type(raw, ptr::null());
    }
    request.reset_status();
}
