// SPDX-License-Identifier: MIT OR Apache-2.0
//! X-Accel-Redirect: an application lets nginx answer from an internal location.
//!
//! The application chooses the target, perhaps from what a client sent. So it leads to locations that the
//! administrator has marked `internal` (or named, `@name`), and never to a second application.

use std::ffi::c_void;

use gangway::{
    engine::fence,
    error::{CGI_REDIRECT, REQUEST_REFUSED},
    log::Level,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::raw::{Conf, Phase, Request};

const DECLINED: ngx_int_t = nginx_sys::NGX_DECLINED as ngx_int_t;
const NOT_FOUND: ngx_int_t = nginx_sys::NGX_HTTP_NOT_FOUND as ngx_int_t;

/// Marks a request that an application has sent on: nginx forgets module contexts in a redirect, but not the list
/// of what to do at the request's end.
unsafe extern "C" fn sent_on(_: *mut c_void) {}

/// What a script's `Location: /path` leaves as the data of the mark. (A second function could get the address of the
/// first: they are alike.)
static LOCAL: u8 = 0;

/// Marks a request that nginx is about to send on because a script asks for another document (RFC 3875 §6.2.2): one that
/// any client may ask for. Answers `None` without memory.
pub(crate) fn mark_local(request: Request) -> Option<()> {
    let data = (&raw const LOCAL).cast_mut().cast::<c_void>();
    request.on_end(Some(sent_on), data).then_some(())
}

fn is_local(request: Request) -> bool {
    let mut marks = request.end_data(Some(sent_on));
    request.is_internal()
        && request.is_main()
        && marks.any(|data| std::ptr::eq(data.cast_const().cast::<u8>(), &raw const LOCAL))
}

/// Whether an application has sent this request to the location where it is now.
pub(crate) fn was_sent_here(request: Request) -> bool {
    request.is_internal() && request.is_main() && request.end_data(Some(sent_on)).next().is_some()
}

/// Marks a request that nginx is about to send on because its backend says so. Answers `None` without memory.
pub(crate) fn mark(request: Request) -> Option<()> {
    request.on_end(Some(sent_on), std::ptr::null_mut()).then_some(())
}

/// Sends the request on.
///
/// # Errors
/// The status that answers it.
pub(crate) fn redirect(request: Request, target: &[u8]) -> Result<(), ngx_int_t> {
    if !request.on_end(Some(sent_on), std::ptr::null_mut()) {
        return Err(nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    }
    request.redirect(target)
}

/// Installs the check of targets in the preaccess phase, after the location is known.
pub(crate) fn install(conf: &Conf) -> ngx_int_t {
    if conf.add_phase_handler(Phase::Preaccess, check_target) { 0 } else { nginx_sys::NGX_ERROR as ngx_int_t }
}

unsafe extern "C" fn check_target(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("check_target", NOT_FOUND, || {
        // SAFETY: nginx calls a phase handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if !was_sent_here(request) {
            return DECLINED;
        }
        let location = request.core_location();
        if is_local(request) {
            if location.internal != 1 && location.named() == 0 {
                return DECLINED;
            }
            let line = format!(
                "{CGI_REDIRECT} Location: {} leads to an internal location, which only X-Accel-Redirect may",
                gangway::log::escape(request.uri())
            );
            request.log(Level::Error, &line);
            return NOT_FOUND;
        }
        if location.internal == 1 || location.named() != 0 {
            return DECLINED;
        }
        let line = format!(
            "{REQUEST_REFUSED} X-Accel-Redirect to \"{}\" leads to a location that is not internal; add \"internal;\" to it",
            gangway::log::escape(request.uri())
        );
        request.log(Level::Error, &line);
        NOT_FOUND
    })
}
