// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handlers of phases have said of a response that somebody else gives: `headers_out` for one that is no error, `err_headers_out`
//! for every one.

use gangway::{engine::fence, phases::Table, sys::lock};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::{
    raw::{ERROR, HeadFilter, Request, put_head_filter_first},
    serve::{head, memo},
};

/// For postconfiguration, once in each.
pub(super) fn install() {
    put_head_filter_first(HeadFilter::Phases, filter);
}

unsafe extern "C" fn filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("phases::filter", ERROR, || {
        // SAFETY: nginx calls a filter with a live request.
        let request = unsafe { Request::from_raw(r) };
        if request.is_main() && add(request).is_none() {
            return ERROR;
        }
        request.run_next_head_filter(HeadFilter::Phases)
    })
}

/// `None` without memory.
fn add(request: Request) -> Option<()> {
    let Some(transit) = memo::said_of_response(request) else { return Some(()) };
    let status = request.response_status();
    let snapshot = lock(&transit.snapshot);
    let of_success = snapshot.entries(Table::HeadersOut).filter(|_| status < 400);
    let all = of_success.chain(snapshot.entries(Table::ErrHeadersOut));
    // Where another rule of the location has let the client in, nobody asks it for anything.
    let is_meant = |name: &[u8]| status == 401 || !name.eq_ignore_ascii_case(b"www-authenticate");
    for (name, value) in all.filter(|(name, _)| is_meant(name)) {
        // nginx says itself how long its responses are.
        if !name.eq_ignore_ascii_case(b"content-length") {
            head::add(request, name, value)?;
        }
    }
    Some(())
}
