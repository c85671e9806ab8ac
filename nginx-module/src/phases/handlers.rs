// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx calls in its phases.

use gangway::{
    engine::fence,
    phases::{PhaseAnswer, RequestPhase},
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{
    WantedHandlers, afterwards,
    ask::{Asked, ask, refusal},
    content, headers,
};
use crate::{
    raw::{Conf, DECLINED, DONE, INTERNAL_SERVER_ERROR, OK, Phase, Request},
    serve::memo,
};

/// Has nginx call what the configuration needs. For postconfiguration. Answers false without memory.
pub(crate) fn install(conf: &Conf, wanted: &WantedHandlers) -> bool {
    headers::install();
    // Handlers of a phase may add others to a later one.
    let needs = |phases: &[RequestPhase]| wanted.has_before(phases);
    // The second one looks where a request begins as well.
    (!needs(POST_READ) || conf.add_phase_handler(Phase::PostRead, post_read))
        && conf.add_phase_handler(Phase::ServerRewrite, server_rewrite)
        && (!needs(REWRITE) || conf.add_phase_handler(Phase::LateRewrite, rewrite))
        && (!needs(ACCESS) || conf.add_phase_handler(Phase::LateAccess, access))
        && (!needs(PRECONTENT) || conf.add_phase_handler(Phase::Precontent, precontent))
        // Others may have asked for a clean-up.
        && conf.add_phase_handler(Phase::Log, afterwards::log)
}

const POST_READ: &[RequestPhase] = &[RequestPhase::PostReadRequest];
const SERVER_REWRITE: &[RequestPhase] = &[RequestPhase::Trans];
const REWRITE: &[RequestPhase] = &[RequestPhase::Init, RequestPhase::HeaderParser];
const ACCESS: &[RequestPhase] = &[RequestPhase::Access, RequestPhase::Authen, RequestPhase::Authz];
const PRECONTENT: &[RequestPhase] = &[RequestPhase::Fixup];

unsafe extern "C" fn post_read(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a phase handler with a live request.
    unsafe { enter("post_read", r, |request| pass_on(request, POST_READ)) }
}

unsafe extern "C" fn server_rewrite(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a phase handler with a live request.
    unsafe {
        enter("server_rewrite", r, |request| {
            // Not when handlers of this phase were waited for.
            let is_new = memo::errand(request, RequestPhase::Trans).is_none();
            if is_new && memo::begins(request).is_err() {
                return INTERNAL_SERVER_ERROR;
            }
            pass_on(request, SERVER_REWRITE)
        })
    }
}

unsafe extern "C" fn rewrite(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a phase handler with a live request.
    unsafe { enter("rewrite", r, |request| pass_on(request, REWRITE)) }
}

unsafe extern "C" fn precontent(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a phase handler with a live request.
    unsafe {
        enter("precontent", r, |request| {
            let answer = pass_on(request, PRECONTENT);
            if answer == DECLINED {
                content::take_added(request);
            }
            answer
        })
    }
}

/// nginx comes here for main requests alone: what is known of the client is known of its subrequests, too.
unsafe extern "C" fn access(r: *mut ngx_http_request_t) -> ngx_int_t {
    let check = |request| match ask(request, ACCESS) {
        Ok(Asked::Nobody | Asked::Said(PhaseAnswer::Declined)) => DECLINED,
        Ok(Asked::Running) => DONE,
        // With `satisfy any` it is enough.
        Ok(Asked::Said(PhaseAnswer::Done)) => OK,
        Ok(Asked::Said(answer)) => refusal(answer),
        Err(status) => status,
    };
    // SAFETY: nginx calls a phase handler with a live request.
    unsafe { enter("access", r, check) }
}

/// # Safety
/// `r` is a live request.
unsafe fn enter(
    name: &'static str,
    r: *mut ngx_http_request_t,
    body: impl FnOnce(Request) -> ngx_int_t,
) -> ngx_int_t {
    // SAFETY: the caller's request is live.
    fence(name, INTERNAL_SERVER_ERROR, || body(unsafe { Request::from_raw(r) }))
}

/// A phase in which nothing is decided: every answer but an error lets the request pass.
fn pass_on(request: Request, phases: &'static [RequestPhase]) -> ngx_int_t {
    match ask(request, phases) {
        Ok(Asked::Nobody | Asked::Said(PhaseAnswer::Declined | PhaseAnswer::Done)) => DECLINED,
        Ok(Asked::Running) => DONE,
        Ok(Asked::Said(answer)) => refusal(answer),
        Err(status) => status,
    }
}
