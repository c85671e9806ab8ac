// SPDX-License-Identifier: MIT OR Apache-2.0
//! Responses of SCGI backends that ask the server for something else: `ProxySCGISendfile` and
//! `ProxySCGIInternalRedirect`, as mod_proxy_scgi has them.

use std::ffi::{CStr, c_int};

use gangway::{
    error::SERVER_FAILED,
    log::{self},
    report,
};

use super::{
    DECLINED, INTERNAL_SERVER_ERROR, OK, Request,
    notes::{Instead, set_instead, take_instead},
    sys,
};

/// Looks for such a header in the head that has been set. Then the response itself is not wanted.
pub(crate) fn asks_for_another(request: Request<'_>, names_status: bool, status: u16) -> bool {
    let Some(conf) = request.conf() else { return false };
    if let Some(header) = conf.sendfile_header()
        && let Some(file) = pseudo_header(request, header, true)
    {
        set_instead(request, Instead::File(file));
        return true;
    }
    // Where the backend has named no status, Location alone has made it 302: RFC 3875 §6.2.3.
    if (status == 200 || !names_status)
        && let Some(header) = conf.redirect_header()
    {
        let is_location = header.to_bytes().eq_ignore_ascii_case(b"Location");
        let found = pseudo_header(request, header, !is_location);
        if let Some(path) = found.filter(|path| path.to_bytes().starts_with(b"/")) {
            set_instead(request, Instead::Path(path));
            return true;
        }
    }
    false
}

/// The value of a header in either table; with `remove` the client does not get it.
fn pseudo_header<'r>(request: Request<'r>, name: &CStr, remove: bool) -> Option<&'r CStr> {
    // SAFETY: a `Request` is live on this thread, and httpd makes its tables with it; a value that was taken out stays in the pool.
    unsafe {
        for table in [(*request.as_ptr()).err_headers_out, (*request.as_ptr()).headers_out] {
            let value = sys::apr_table_get(table, name.as_ptr());
            if !value.is_null() {
                if remove {
                    sys::apr_table_unset(table, name.as_ptr());
                }
                return Some(CStr::from_ptr(value));
            }
        }
    }
    None
}

/// Does what a response has asked for, once mod_proxy has done its part.
pub(crate) fn follow(request: Request<'_>, status: &mut c_int) -> c_int {
    if *status != OK {
        return DECLINED;
    }
    match take_instead(request) {
        None => DECLINED,
        Some(Instead::File(file)) => send_file(request, file, status),
        Some(Instead::Path(path)) => match request.redirect_internally(path) {
            Ok(()) => OK,
            Err(failed) => {
                *status = failed;
                failed
            }
        },
    }
}

fn send_file(request: Request<'_>, file: &CStr, status: &mut c_int) -> c_int {
    // SAFETY: a `Request` is live on this thread; the subrequest is destroyed with it.
    unsafe {
        let main = request.as_ptr();
        let part = sys::ap_sub_req_lookup_file(file.as_ptr(), main, (*main).output_filters);
        if (*part).status == sys::HTTP_OK as c_int && (*part).finfo.filetype != sys::APR_NOFILE {
            sys::ap_run_sub_req(part);
            return OK;
        }
    }
    let name = log::escape(file.to_bytes());
    report!(request, Error, SERVER_FAILED, "the file {name}, which the backend asks for, cannot be sent");
    *status = INTERNAL_SERVER_ERROR;
    *status
}
