// SPDX-License-Identifier: MIT OR Apache-2.0
//! Internal redirects that an application asks for: X-Accel-Redirect, and the local redirect of a script.
//!
//! The application chooses the target, perhaps from what a client sent. So the target is read as a request line is. By
//! X-Accel-Redirect it leads to locations that the administrator has marked `internal` (or named, `@name`), and never to a
//! second application in this process. A script's `Location: /path` leads to what any client may ask for.

use gangway::{
    cgi::{LOCAL_REDIRECTS, RedirectTarget},
    engine::fence,
    error::{CGI_REDIRECT, REQUEST_REFUSED},
    log::escape,
    report,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::memo::{self, InternalRedirect};
use crate::raw::{
    BAD_GATEWAY, Conf, DECLINED, ERROR, INTERNAL_SERVER_ERROR, NOT_FOUND, NoMemory, OK, Phase, Request,
};

/// Whether X-Accel-Redirect has led to an application, which is not served; the log says so.
pub(crate) fn leads_to_application(request: Request) -> bool {
    let leads_here = memo::redirected_here_by(request) == Some(InternalRedirect::Accel);
    if leads_here {
        let line = "X-Accel-Redirect leads to an application; let it lead to files";
        report!(request, Error, REQUEST_REFUSED, "{line}");
    }
    leads_here
}

/// Reads the value of X-Accel-Redirect; `@name` is no path. Its `#` is not a fragment's: no client has been there yet.
///
/// # Errors
/// It leads nowhere, which has been logged: the status that answers the request.
pub(crate) fn target(request: Request, text: &[u8]) -> Result<RedirectTarget<'_>, ngx_int_t> {
    RedirectTarget::parse_header(text, request.merges_slashes()).map_err(|error| {
        report!(
            request,
            Error,
            REQUEST_REFUSED,
            "X-Accel-Redirect to \"{}\" leads nowhere: {error}",
            escape(text),
        );
        NOT_FOUND
    })
}

/// Reads the `Location: /path` of a script, and looks whether it may lead there.
///
/// # Errors
/// It may not, which has been logged: the status that answers the request.
pub(crate) fn local_target(request: Request, text: &[u8]) -> Result<RedirectTarget<'_>, ngx_int_t> {
    let refuse = |why: &str| {
        report!(request, Error, CGI_REDIRECT, "Location: {} {why}", escape(text));
        BAD_GATEWAY
    };
    if !request.is_main() {
        // nginx asks no access rules there, which a client's request would meet.
        return Err(refuse("comes from a script in a subrequest, where nginx asks no access rules"));
    }
    if memo::local_redirects(request) >= LOCAL_REDIRECTS {
        return Err(refuse(&format!(
            "is the one after {LOCAL_REDIRECTS} local redirects of scripts; they lead in a circle"
        )));
    }
    RedirectTarget::parse(text, request.merges_slashes())
        .map_err(|error| refuse(&format!("leads nowhere: {error}")))
}

/// Notes that the request goes on to where a script has sent it, next thing.
pub(crate) fn goes_local(request: Request, target: &[u8]) -> Result<(), NoMemory> {
    request.ask_anew(target)?;
    memo::note(request, |notes| {
        notes.local_redirects += 1;
        notes.redirects(request, InternalRedirect::Local);
    })
}

/// Notes that the request goes on to where X-Accel-Redirect has sent it, next thing.
pub(crate) fn goes(request: Request) -> Result<(), NoMemory> {
    memo::note(request, |notes| notes.redirects(request, InternalRedirect::Accel))
}

/// Sends the request on.
///
/// # Errors
/// The status that answers it.
pub(crate) fn redirect(request: Request, text: &[u8]) -> Result<(), ngx_int_t> {
    let failed = |NoMemory| INTERNAL_SERVER_ERROR;
    if text.starts_with(b"@") {
        goes(request).map_err(failed)?;
        return request.go_to_named(text).map_err(failed);
    }
    let target = target(request, text)?;
    goes(request).map_err(failed)?;
    request.go_to(&target.path, target.query).map_err(failed)
}

/// Installs the check of targets. It comes before the rewrite rules of the location: what they do is no longer the
/// application's choice. (nginx calls the handlers of a phase from the last to the first, and dynamic modules come last.)
pub(crate) fn install(conf: &Conf) -> ngx_int_t {
    if conf.add_phase_handler(Phase::Rewrite, check_target) { OK } else { ERROR }
}

unsafe extern "C" fn check_target(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("check_target", NOT_FOUND, || {
        // SAFETY: nginx calls a phase handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.core_location();
        let is_hidden = location.internal == 1 || location.named() != 0;
        // Every request comes here, and hardly one has a line.
        let uri = || escape(request.uri());
        match memo::redirected_here_by(request) {
            Some(InternalRedirect::Local) if is_hidden => report!(
                request,
                Error,
                CGI_REDIRECT,
                "Location: {} leads to an internal location, which only X-Accel-Redirect may",
                uri(),
            ),
            Some(InternalRedirect::Accel) if !is_hidden => report!(
                request,
                Error,
                REQUEST_REFUSED,
                "X-Accel-Redirect to \"{}\" leads to a location that is not internal; add \"internal;\" to it",
                uri(),
            ),
            _ => return DECLINED,
        }
        NOT_FOUND
    })
}
