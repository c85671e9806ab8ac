// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body as a script gets it. Its standard input always ends: it is nothing, a filled pipe, a file, or a pipe
//! that is written to while the body comes in (`gangway_request_buffering off`) and then closed.

use std::ptr;

use gangway::engine::fence;
use nginx_sys::{ngx_chain_t, ngx_chain_update_sent, ngx_connection_t, ngx_http_request_t, ngx_int_t};

use super::{run::ScriptRun, scripts};
use crate::raw::{CHAIN_ERROR, ERROR, Request, RequestBuffer, buffers, bytes, is_special};

/// The length of a body that nginx has read; `None` when the client announced none.
pub(super) fn length(request: Request) -> Option<u64> {
    let sum = request.body_buffers().map(|part| match part {
        RequestBuffer::Memory(bytes) => bytes.len() as u64,
        RequestBuffer::File { len, .. } => len,
    });
    request.declares_body().then(|| sum.sum())
}

/// Tells nginx what it is to send: nothing, or the body as it comes in. Answers false without memory.
pub(super) fn prepare(run: &ScriptRun) -> bool {
    let request = run.request;
    let Some(upstream) = request.upstream() else { return false };
    // SAFETY: no chain.
    unsafe { upstream.set_request_chain(ptr::null_mut()) };
    if request.streams_body() {
        // nginx hangs the body behind a first link.
        let Ok(link) = request.buffer(&[], 0) else { return false };
        // SAFETY: a fresh link of the request's pool; the filter wants the request, and a chain of its upstream.
        unsafe {
            (*(*link).buf).set_temporary(0);
            (*(*link).buf).set_sync(1);
            upstream.set_request_chain(link);
            upstream.set_output_filter(output_filter, request.raw().cast());
        }
    }
    true
}

/// Passes the body on while it comes in, and ends standard input with it.
unsafe extern "C" fn output_filter(data: *mut std::ffi::c_void, input: *mut ngx_chain_t) -> ngx_int_t {
    fence("stdin::output_filter", ERROR, || {
        // SAFETY: `prepare` has set this filter with its live request; nginx gives a chain of live buffers.
        unsafe {
            let ends = buffers(input).any(|buffer| (*buffer).last_buf() != 0);
            let found = ScriptRun::with(data.cast::<ngx_http_request_t>(), |run| {
                run.body_ended |= ends;
                Some((run.id, run.body_ended, run.request.upstream()?))
            });
            let Some((id, body_ended, upstream)) = found.flatten() else { return ERROR };
            let status = upstream.write_chain(input);
            if status == 0 && body_ended {
                // RFC 3875 §4.2.
                scripts::with_script(id, |script| script.stdin = None);
            }
            status
        }
    })
}

/// Writes body bytes to a script: nginx's `send_chain` of its connection.
pub(super) unsafe extern "C" fn send_chain(
    c: *mut ngx_connection_t,
    input: *mut ngx_chain_t,
    _limit: i64,
) -> *mut ngx_chain_t {
    fence("stdin::send_chain", CHAIN_ERROR, || {
        // SAFETY: nginx sends on the live connection of a request whose upstream is ours, a chain of live buffers.
        unsafe {
            let Some(id) = ScriptRun::with((*c).data.cast(), |run| run.id) else { return CHAIN_ERROR };
            let mut sent = 0i64;
            for buffer in buffers(input) {
                if is_special(&*buffer) {
                    continue;
                }
                let part = bytes((*buffer).pos, (*buffer).last);
                match scripts::with_script(id, |script| script.write_input(part)).flatten() {
                    Some(count) => {
                        sent += count as i64;
                        if count < part.len() {
                            (*(*c).write).set_ready(0);
                            break;
                        }
                    }
                    // The script wants no more: the rest is as good as sent.
                    None => sent += part.len() as i64,
                }
            }
            (*c).sent += sent;
            ngx_chain_update_sent(input, sent)
        }
    })
}
