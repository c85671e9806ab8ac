// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers that give the response.

use gangway::{
    engine::fence,
    phases::{PhaseAnswer, RequestPhase},
    sys::lock,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{
    apply,
    ask::{self, refusal},
};
use crate::{
    conf::LocationConf,
    raw::{DONE, INTERNAL_SERVER_ERROR, Request},
    serve::{accel, memo},
    wsgi::{self, ErrandHooks},
};

const CONTENT: &[RequestPhase] = &[RequestPhase::Content];

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("phases::content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        wsgi::begin(unsafe { Request::from_raw(r) }, body_ready)
    })
}

unsafe extern "C" fn body_ready(r: *mut ngx_http_request_t) {
    fence("phases::body_ready", (), || {
        // SAFETY: nginx calls a body handler with a live request, once.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        let hooks = ErrandHooks { is_early: false, answers: apply::gives_head, passed };
        if let Err(status) = ask::send(request, &ask::place_at(&location), CONTENT, hooks) {
            request.finalize(status);
        }
    });
}

/// Handlers of earlier phases have added some for the content: they give it.
pub(super) fn take_added(request: Request) {
    if memo::transit(request).is_some_and(|transit| transit.has_added(RequestPhase::Content)) {
        request.give_content(content_handler);
    }
}

/// They have ended without a response.
fn passed(request: Request) {
    let Some(errand) = memo::errand(request, RequestPhase::Content) else {
        request.finalize(INTERNAL_SERVER_ERROR);
        return;
    };
    let verdict = errand.verdict();
    let target = {
        let mut snapshot = lock(&errand.transit().snapshot);
        apply::complete_refusal(request, verdict, &mut snapshot);
        snapshot.take_target()
    };
    match (target, verdict) {
        (Some(target), Some(PhaseAnswer::Done | PhaseAnswer::Over)) => go(request, &target),
        // nginx's own handlers answer, as they do where a location has none.
        (_, Some(PhaseAnswer::Declined)) => {
            request.leave_to_phase_handlers();
            request.resume_phases();
        }
        (_, Some(answer)) => request.finalize(refusal(answer)),
        (_, None) => request.finalize(INTERNAL_SERVER_ERROR),
    }
}

/// Has another path answer, as if a client had asked for it.
fn go(request: Request, text: &[u8]) {
    let gone = accel::local_target(request, text).and_then(|target| {
        let noted = accel::goes_local(request, &target.request_uri(text));
        noted.and_then(|()| request.go_to(&target.path, target.query)).map_err(|_| INTERNAL_SERVER_ERROR)
    });
    request.finalize(match gone {
        Ok(()) => DONE,
        Err(status) => status,
    });
}
