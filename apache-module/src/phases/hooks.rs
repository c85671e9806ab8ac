// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phases of httpd, and which handlers run in each. Where the configuration has none, a hook looks at an empty list.

use std::ffi::c_int;

use gangway::phases::RequestPhase;

use super::run::{await_cleanup, has_handlers, run};
use crate::raw::{DECLINED, OK, Request, UNAUTHORIZED};

/// What `SetHandler` and `AddHandler` call the content handler.
const HANDLERS: [&[u8]; 2] = [b"mod_python", b"python-program"];

pub(crate) fn post_read_request(request: Request<'_>) -> c_int {
    run(request, RequestPhase::PostReadRequest)
}

pub(crate) fn trans(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Trans)
}

/// The first phase that knows the section: handlers of the beginning run here as well.
pub(crate) fn header_parser(request: Request<'_>) -> c_int {
    match run(request, RequestPhase::Init) {
        OK | DECLINED => run(request, RequestPhase::HeaderParser),
        status => status,
    }
}

pub(crate) fn access(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Access)
}

pub(crate) fn authen(request: Request<'_>) -> c_int {
    with_question(request, run(request, RequestPhase::Authen))
}

pub(crate) fn authz(request: Request<'_>) -> c_int {
    with_question(request, run(request, RequestPhase::Authz))
}

/// A 401 says how to authenticate: RFC 9110 section 11.6.1. A handler that has not said it leaves it to AuthType.
fn with_question(request: Request<'_>, answer: c_int) -> c_int {
    if answer == UNAUTHORIZED {
        request.ask_for_credentials();
    }
    answer
}

pub(crate) fn type_checker(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Type)
}

pub(crate) fn fixup(request: Request<'_>) -> c_int {
    run(request, RequestPhase::Fixup)
}

/// The response, if the request has been given to us.
pub(crate) fn content(request: Request<'_>) -> c_int {
    if !HANDLERS.contains(&request.handler()) {
        return DECLINED;
    }
    run(request, RequestPhase::Content)
}

/// After the response; the phase at the very end is waited for where somebody is there for it.
pub(crate) fn log(request: Request<'_>) -> c_int {
    let _not_looked_at = run(request, RequestPhase::Log);
    if has_handlers(request, RequestPhase::Cleanup) {
        await_cleanup(request);
    }
    DECLINED
}
