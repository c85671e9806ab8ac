// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nginx does with the response of an application in processes of its own, which is what it does with that of an application
//! in its own process: it answers conditional requests and ranges. With responses of other backends it leaves that to them.

use gangway::{cgi::ResponseHead, engine::fence};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{ERROR, state::Context};
use crate::raw::{HeadFilter, Request, Upstream, put_head_filter_first};

/// Puts the filter before nginx's own. For postconfiguration, once in each.
pub(crate) fn install() {
    put_head_filter_first(HeadFilter::Conditions, filter);
}

/// nginx calls it with the head of each response. It comes when nginx has decided that conditions are an upstream's, and before it looks at
/// them.
unsafe extern "C" fn filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("hosted::filter", ERROR, || {
        // SAFETY: nginx calls a filter with a live request.
        let request = unsafe { Request::from_raw(r) };
        let Some(context) = Context::of(&request).filter(|context| context.script.is_mounted) else {
            return request.run_next_head_filter(HeadFilter::Conditions);
        };
        request.answer_conditions();
        let status = request.run_next_head_filter(HeadFilter::Conditions);
        if request.header_only() {
            end_whole(context);
        }
        status
    })
}

/// nginx has found that the client has what the response says. It looks at no body then, and would close the connection.
fn end_whole(context: &Context) {
    let Some(upstream) = context.request.upstream() else { return };
    // Somebody who is at work on the response sees to its end.
    let Ok(mut response) = context.response.try_borrow_mut() else { return };
    if response.whole
        && !context.request.is_cached()
        && let Some((decoder, ..)) = response.rest_in(upstream.unread())
    {
        context.end_unread(&mut response, upstream, decoder);
    }
}

/// Lets nginx cut ranges out of a response whose length is known, unless the application has spoken of ranges itself.
pub(super) fn allow_ranges(request: Request, upstream: Upstream, head: ResponseHead<'_>) {
    if head.status() == 200 && upstream.content_length().is_some() && head.get(b"accept-ranges").is_none() {
        request.allow_ranges(true);
    }
}
