// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_authorize`: a FastCGI authorizer (FastCGI §6.3) says whether a request may pass.
//!
//! The authorizer is asked by a subrequest that runs no phases: it goes straight to the backend. 200 lets the request
//! pass, and its `Variable-NAME` headers become variables of the request. Everything else is the answer to the client:
//! status, headers and body. The answer belongs to a location: after an internal redirect the next one is asked.

use std::{ffi::c_void, rc::Rc};

use gangway::{
    report,
    trace::Answerer,
    {engine::fence, http::is_connection_field},
};
use nginx_sys::{
    NGX_HTTP_SUBREQUEST_IN_MEMORY, NGX_HTTP_SUBREQUEST_WAITED, ngx_http_discard_request_body,
    ngx_http_finalize_request, ngx_http_output_filter, ngx_http_post_subrequest_t, ngx_http_request_t,
    ngx_http_send_header, ngx_http_subrequest, ngx_int_t, ngx_pcalloc,
};

use super::{ERROR, INTERNAL_SERVER_ERROR, Prepared, prepare, script::ScriptPath, send};
use crate::{
    conf::{LocationConf, Scheme},
    raw::{AGAIN, DECLINED, DONE, NoMemory, Request, Upstream, bytes, own},
    serve::{
        authorization::{Answer, Authorization},
        head, memo,
    },
};

/// The handler of the access phase.
pub(crate) unsafe extern "C" fn access_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("access_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a phase handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        if !request.is_main() || !location.upstream.authorizes() {
            return DECLINED;
        }
        let Some(asked) = memo::authorization(request) else {
            return begin(request).map_or(INTERNAL_SERVER_ERROR, |()| AGAIN);
        };
        match asked.answer() {
            None => AGAIN,
            Some(answer) if answer.status == 200 => 0,
            Some(answer) => deny(request, answer),
        }
    })
}

/// Asks the authorizer.
fn begin(request: Request) -> Result<(), NoMemory> {
    let asked = Rc::new(Authorization::default());
    // SAFETY: the pool of a live request, which its subrequests share; the subrequest is nginx's, and its handler is ours
    // before it can run.
    unsafe {
        let shared = own(request.pool(), Rc::clone(&asked));
        if shared.is_null() {
            return Err(NoMemory);
        }
        memo::note(request, |notes| notes.asks(request, asked))?;
        let after = ngx_pcalloc(request.pool(), size_of::<ngx_http_post_subrequest_t>())
            .cast::<ngx_http_post_subrequest_t>();
        let Some(after) = after.as_mut() else { return Err(NoMemory) };
        after.handler = Some(answered);
        after.data = shared.cast();
        let r = request.raw();
        let (mut uri, mut args) = ((*r).uri, (*r).args);
        let mut subrequest = std::ptr::null_mut();
        let flags = NGX_HTTP_SUBREQUEST_WAITED | NGX_HTTP_SUBREQUEST_IN_MEMORY;
        if ngx_http_subrequest(r, &raw mut uri, &raw mut args, &raw mut subrequest, after, flags as usize)
            != 0
        {
            return Err(NoMemory);
        }
        // No phases: the rules of the location have been applied to the request itself.
        (*subrequest).loc_conf = (*r).loc_conf;
        (*subrequest).method_name = (*r).method_name;
        Request::from_raw(subrequest).take_captures(Request::from_raw(r)).ok_or(NoMemory)?;
        (*subrequest).write_event_handler = Some(ask);
    }
    Ok(())
}

/// Starts the subrequest, instead of its phases.
unsafe extern "C" fn ask(r: *mut ngx_http_request_t) {
    fence("authorize::ask", (), || {
        // SAFETY: nginx runs a posted subrequest, which is live; its location is that of the request.
        unsafe {
            let request = Request::from_raw(r);
            let location = request.location::<LocationConf>();
            (*r).write_event_handler = Some(wait);
            let script = ScriptPath::of_authorizer();
            let upstream = request.create_upstream();
            let prepared = upstream.map_err(|NoMemory| ERROR).and_then(|upstream: Upstream| {
                upstream.set_conf(location.upstream.authorizer());
                upstream.set_schema(b"fastcgi://");
                let (scheme, answerer) = (Scheme::FastCgi, Answerer::Backend);
                prepare(Prepared { request, upstream, location, scheme, script, answerer })
            });
            match prepared {
                Ok(()) => send::begin(r),
                Err(_) => ngx_http_finalize_request(r, INTERNAL_SERVER_ERROR),
            }
        }
    });
}

unsafe extern "C" fn wait(_: *mut ngx_http_request_t) {}

/// The authorizer has answered, or cannot.
unsafe extern "C" fn answered(r: *mut ngx_http_request_t, data: *mut c_void, status: ngx_int_t) -> ngx_int_t {
    fence("authorize::answered", ERROR, || {
        // SAFETY: nginx calls this with the live subrequest and what `begin` has put into the pool that it shares.
        let (request, asked) =
            unsafe { (Request::from_raw(r), Rc::clone(&*data.cast::<Rc<Authorization>>())) };
        if asked.answer().is_some() {
            return status;
        }
        let failed = status < 0 || status >= nginx_sys::NGX_HTTP_SPECIAL_RESPONSE as ngx_int_t;
        // SAFETY: nginx calls this with the live subrequest, whose head it has read or left empty.
        let sent = unsafe { (*r).headers_out.status };
        if failed || sent == 0 {
            let code = if status > 0 && failed { status as usize } else { 500 };
            report!(request, Error, gangway::error::NOT_AUTHORIZED, "the authorizer did not answer: {code}");
            asked.set_answer(Answer { status: code, ..Answer::default() });
            return 0;
        }
        asked.set_answer(take(request, sent));
        0
    })
}

/// Copies what the client or the application gets.
fn take(request: Request, status: usize) -> Answer {
    let mut answer = Answer { status, ..Answer::default() };
    let Some(upstream) = request.upstream() else { return answer };
    for (name, value) in upstream.headers() {
        const PREFIX: &[u8] = b"variable-";
        let prefix = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        match name.get(PREFIX.len()..) {
            // §6.3: the rest of the name is the variable's, as it stands.
            Some(variable) if prefix && !variable.is_empty() => {
                answer.variables.push((variable.to_vec(), value.to_vec()));
            }
            _ => answer.headers.push((name.to_vec(), value.to_vec())),
        }
    }
    // SAFETY: nginx's postpone filter keeps the body of a subrequest in memory in one buffer.
    unsafe {
        if let Some(link) = (*request.raw()).out.as_ref()
            && let Some(buffer) = link.buf.as_ref()
        {
            answer.body = bytes(buffer.pos, buffer.last).to_vec();
        }
    }
    answer
}

/// Sends the authorizer's answer to the client.
fn deny(request: Request, answer: &Answer) -> ngx_int_t {
    let status = answer.status;
    let other_rules_may_pass = !request.satisfies_all() && matches!(status, 401 | 403);
    if answer.headers.is_empty() && answer.body.is_empty() || other_rules_may_pass {
        // nginx has pages for these; a status below them is no refusal that a client understands.
        return if (300..600).contains(&status) { status as ngx_int_t } else { 403 };
    }
    // SAFETY: a live main request in its access phase, whose head has not been sent.
    unsafe {
        let r = request.raw();
        let discarded = ngx_http_discard_request_body(r);
        if discarded != 0 {
            return discarded;
        }
        (*r).headers_out.status = if (200..600).contains(&status) { status } else { 403 };
        for (name, value) in &answer.headers {
            let skipped = is_connection_field(name)
                || name.eq_ignore_ascii_case(b"content-length")
                || name.eq_ignore_ascii_case(b"status");
            if !skipped && head::add(request, name, value).is_none() {
                return INTERNAL_SERVER_ERROR;
            }
        }
        (*r).headers_out.content_length_n = answer.body.len() as i64;
        if answer.body.is_empty() {
            (*r).set_header_only(1);
        }
        let status = ngx_http_send_header(r);
        // nginx has found out with the head whether a body may follow: not to HEAD, and not after 204 and 304.
        if status != 0 || request.header_only() {
            ngx_http_finalize_request(r, status);
            return DONE;
        }
        let Ok(body) = request.buffer(&answer.body, 0) else { return ERROR };
        (*(*body).buf).set_last_buf(1);
        (*(*body).buf).set_last_in_chain(1);
        let status = ngx_http_output_filter(r, body);
        ngx_http_finalize_request(r, status);
    }
    DONE
}
