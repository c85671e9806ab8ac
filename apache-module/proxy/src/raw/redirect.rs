// SPDX-License-Identifier: MIT OR Apache-2.0
//! Responses of SCGI backends that ask the server for something else: `ProxySCGISendfile` and
//! `ProxySCGIInternalRedirect`, as mod_proxy_scgi has them.

use std::{
    ffi::{CStr, c_int},
    ptr,
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
};

use gangway_httpd::redirect;

use super::{DECLINED, INTERNAL_SERVER_ERROR, OK, Request, request_state::State, sys, text};

impl Request<'_> {
    /// Looks for such a header in the head that has been set. Then the response itself is not wanted.
    pub(crate) fn asks_for_another(self, names_status: bool, status: u16) -> bool {
        let Some(conf) = self.conf() else { return false };
        if let Some(header) = conf.sendfile_header()
            && let Some(file) = self.pseudo_header(header, true)
        {
            let state = State::of(self);
            (state.redirect, state.is_file) = (file, true);
            return true;
        }
        // Where the backend has named no status, Location alone has made it 302: RFC 3875 §6.2.3.
        if (status == 200 || !names_status)
            && let Some(header) = conf.redirect_header()
        {
            let is_location = header.to_bytes().eq_ignore_ascii_case(b"Location");
            let found = self.pseudo_header(header, !is_location);
            // SAFETY: a C string in the request's pool.
            if let Some(place) = found.filter(|place| unsafe { text(*place) }.starts_with(b"/")) {
                let state = State::of(self);
                (state.redirect, state.is_file) = (place, false);
                return true;
            }
        }
        false
    }

    /// The value of a header in either table; with `remove` the client does not get it.
    fn pseudo_header(self, name: &CStr, remove: bool) -> Option<*const std::ffi::c_char> {
        // SAFETY: a live request and its tables.
        unsafe {
            for table in [(*self.as_ptr()).err_headers_out, (*self.as_ptr()).headers_out] {
                let value = sys::apr_table_get(table, name.as_ptr());
                if !value.is_null() {
                    if remove {
                        sys::apr_table_unset(table, name.as_ptr());
                    }
                    return Some(value);
                }
            }
        }
        None
    }

    /// Does what a response has asked for, once mod_proxy has done its part.
    pub(crate) fn follow(self, status: &mut c_int) -> c_int {
        let Some(state) = State::if_any(self).filter(|state| *status == OK && !state.redirect.is_null())
        else {
            return DECLINED;
        };
        let target = state.redirect;
        let is_file = state.is_file;
        State::of(self).redirect = ptr::null();
        if is_file {
            return self.send_file(target, status);
        }
        // SAFETY: a live request, of whose response nothing has left; the target is in its pool.
        unsafe {
            let failed = redirect::forget_body(self.as_ptr());
            if failed != OK {
                *status = failed;
                return failed;
            }
            redirect::follow(self.as_ptr(), target);
        }
        OK
    }

    fn send_file(self, file: *const std::ffi::c_char, status: &mut c_int) -> c_int {
        // SAFETY: a live request; the subrequest is destroyed with it.
        unsafe {
            let request = self.as_ptr();
            let part = sys::ap_sub_req_lookup_file(file, request, (*request).output_filters);
            if (*part).status == sys::HTTP_OK as c_int && (*part).finfo.filetype != sys::APR_NOFILE {
                sys::ap_run_sub_req(part);
                return OK;
            }
            let name = log::escape(text(file));
            let line = format!("{SERVER_FAILED} the file {name}, which the backend asks for, cannot be sent");
            self.log(Level::Error, &line);
        }
        *status = INTERNAL_SERVER_ERROR;
        *status
    }
}
