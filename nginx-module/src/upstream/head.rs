// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head: out of the protocol's framing, through the core's parser, into nginx's list.

use gangway::{
    cgi::ResponseError,
    engine::fence,
    error::{BACKEND_CUT, CACHE_SKIPPED, REQUEST_REFUSED},
    http::{Decimal, is_connection_field, is_event_stream},
    protocol::{ResponseEvent, Role},
    report,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t, ngx_str_t};

use super::{
    ERROR, hints, hold, hosted,
    state::{Context, Response, ResponseTarget, StageChange},
};
use crate::{
    conf::AUTHORIZER_PAGE,
    raw::{AGAIN, INVALID_HEADER, NoMemory, Request, Upstream},
    serve::accel,
};

/// What a part of the response made of the head.
enum Step {
    /// It is whole.
    Done,
    /// There is more in the buffer.
    Next,
    /// nginx has to read more.
    Wait,
}

pub(crate) unsafe extern "C" fn process_header(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("process_header", ERROR, || {
        // SAFETY: nginx calls this with a live request.
        let status = unsafe { Context::with(r, process) }.unwrap_or(Err(ERROR));
        status.unwrap_or_else(|status| status)
    })
}

/// What nginx is answered; an error ends the response.
fn process(context: &Context, upstream: Upstream) -> Result<ngx_int_t, ngx_int_t> {
    if !context.stage().has_answer() {
        context.change_stage(StageChange::Answered);
        context.peer.answered(upstream);
    }
    let response = &mut *context.response.borrow_mut();
    if !context.hold.end(upstream) {
        loop {
            match step(context, response, upstream)? {
                Step::Next => {}
                Step::Wait => return Ok(AGAIN),
                Step::Done if hold::begin(context, response, upstream) => return Ok(AGAIN),
                Step::Done => break,
            }
        }
    }
    finish(context, response, upstream)?;
    Ok(0)
}

/// One event of the protocol.
fn step(context: &Context, response: &mut Response, upstream: Upstream) -> Result<Step, ngx_int_t> {
    let request = context.request;
    let input = upstream.unread();
    let before = response.decoder;
    let (count, event) = response.decoder.decode(input).map_err(|error| {
        report!(request, Error, error.code(), "{error}");
        INVALID_HEADER
    })?;
    match event {
        ResponseEvent::More => {
            upstream.take(count);
            if upstream.room() == 0 {
                // The parser has its own copy, so a head may be larger than nginx's buffer.
                upstream.rewind(request);
                response.mixed = true;
            }
            Ok(Step::Wait)
        }
        ResponseEvent::Output(bytes) => {
            let Some(end) = response.parser.feed(bytes).map_err(|error| refuse(context, &error))? else {
                upstream.take(count);
                return Ok(Step::Next);
            };
            // What follows in this record is body, which the filters take apart themselves.
            let taken = bytes.as_ptr().addr() - input.as_ptr().addr() + end;
            response.decoder = before;
            let _ = response.decoder.decode(input.get(..taken).unwrap_or_default());
            upstream.take(taken);
            if !response.parser.head().is_interim() {
                return Ok(Step::Done);
            }
            response.mixed = true;
            if !request.is_cached() {
                hints::send(request, response.parser.head());
            }
            response.parser.restart();
            Ok(Step::Next)
        }
        ResponseEvent::Errors(bytes) => {
            response.mixed = true;
            let caught = context.conf().catch_stderr().any(|text| contains(bytes, text));
            context.stderr.borrow_mut().add(request, bytes);
            upstream.take(count);
            if caught { Err(INVALID_HEADER) } else { Ok(Step::Next) }
        }
        ResponseEvent::OutputEnd | ResponseEvent::End(_) => {
            context.stderr.borrow_mut().finish(request);
            report!(
                request,
                Error,
                BACKEND_CUT,
                "the backend ended its response before the end of the head; look at the application's own log",
            );
            Err(INVALID_HEADER)
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    !word.is_empty() && text.windows(word.len()).any(|window| window == word)
}

fn refuse(context: &Context, error: &ResponseError) -> ngx_int_t {
    let is_mounted = context.script.is_mounted;
    let cure = match error {
        ResponseError::TooLarge(_) if is_mounted => "; send fewer or shorter headers",
        ResponseError::TooLarge(_) => "; raise gangway_head_max_size",
        _ => "",
    };
    report!(context.request, Error, error.code(), "{error}{cure}");
    // It is the application that is at fault, and no backend: as in the server's own process. nginx answers an error with 500.
    if is_mounted { ERROR } else { INVALID_HEADER }
}

/// Gives the head to nginx.
fn finish(context: &Context, response: &mut Response, upstream: Upstream) -> Result<(), ngx_int_t> {
    let request = context.request;
    context.note();
    let head = response.parser.head();
    for (name, value) in head.fields() {
        // nginx knows what to do with these two, and the others are the connection's alone.
        let known =
            name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"transfer-encoding");
        if known || !is_connection_field(name) {
            upstream.add_header(request, name, value)?;
        }
    }
    let line = if head.reason().is_empty() {
        ngx_str_t::empty()
    } else {
        request.joined_text(&[Decimal::default().write(head.status()), b" ", head.reason()]).ok_or(ERROR)?
    };
    upstream.set_status(head.status(), line);
    if context.script.role == Role::Authorizer
        && upstream.content_length().is_some_and(|length| length > AUTHORIZER_PAGE as u64)
    {
        // The client gets the start of such a page, and nginx makes room for no more.
        upstream.set_content_length(None);
    }
    let streams = head.get(b"content-type").is_some_and(is_event_stream);
    if upstream.redirect_target().is_some() && !context.conf().ignores_accel_redirect() {
        jump(context, upstream)?;
    }
    if context.script.is_mounted {
        hosted::allow_ranges(request, upstream, head);
    }
    if response.mixed && upstream.is_cacheable() {
        rewrite(context, response, upstream)?;
    }
    take_whole(context, response, upstream);
    if is_limited(context, response, upstream) {
        // nginx forgets the rate of what it does not buffer. What waits leaves when the backend pauses all the same.
        upstream.set_buffering(true);
    } else if streams {
        // An event is for now: no buffer waits until it is full.
        upstream.set_buffering(false);
    }
    Ok(())
}

/// Lets nginx send the request where the response says, by a path that is read as a client's would be.
fn jump(context: &Context, upstream: Upstream) -> Result<(), ngx_int_t> {
    let request = context.request;
    may_redirect(request)?;
    if let Some(text) = upstream.redirect_target().filter(|text| !text.starts_with(b"@")) {
        let target = accel::target(request, text).ok();
        // nginx refuses "?" with 404, as it does paths that lead out of the root. The next redirect is to the page of that
        // error, if there is one: not the backend's choice.
        let uri = target.as_ref().map_or_else(|| b"?".to_vec(), |target| target.to_uri());
        upstream.redirect(request, &uri).map_err(|NoMemory| ERROR)?;
        if target.is_none() {
            return Ok(());
        }
    }
    context.response_target.replace(ResponseTarget::Accel);
    Ok(())
}

/// Whether this response may send the request elsewhere. nginx keeps no response in a cache that it has obeyed so; what is
/// there is of a location that does not obey (`gangway_ignore_headers`). nginx forgets to hold the request that such a
/// response sends on, and does not tell us: the backend is asked instead.
///
/// # Errors
/// What `process_header` answers, for which nginx leaves the cache.
pub(super) fn may_redirect(request: Request) -> Result<(), ngx_int_t> {
    if !request.is_cached() {
        return Ok(());
    }
    report!(
        request,
        Warn,
        REQUEST_REFUSED,
        "a cached response is not used, because it sends the request elsewhere; a location with other \
         gangway_ignore_headers has put it there, so let their gangway_cache_key differ",
    );
    Err(INVALID_HEADER)
}

/// Uses what is known when all of the response has come with its head, as small ones do.
fn take_whole(context: &Context, response: &mut Response, upstream: Upstream) {
    if context.request.is_cached() {
        return;
    }
    let Some((decoder, length, status)) = response.rest_in(upstream.unread()) else { return };
    if context.script.is_mounted && status.is_broken() {
        return;
    }
    response.whole = true;
    if context.request.is_head() || matches!(upstream.status(), 204 | 304) {
        context.end_unread(response, upstream, decoder);
    } else if upstream.content_length().is_none() && context.gives_length() {
        // No chunks for what has a length, and the connection of a client of HTTP/1.0 can go on.
        upstream.set_content_length(Some(length));
    }
}

/// Whether the backend wants its response to leave at a rate of so many bytes a second, and is obeyed.
fn is_limited(context: &Context, response: &Response, upstream: Upstream) -> bool {
    response.parser.head().get(b"x-accel-limit-rate").is_some()
        && !upstream.ignores(nginx_sys::NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE)
        && context.request.limit_rate() > 0
}

/// Puts the head alone where nginx looks for what it writes to a cache file.
fn rewrite(context: &Context, response: &Response, upstream: Upstream) -> Result<(), ngx_int_t> {
    let request = context.request;
    let raw = response.parser.raw();
    let mut parts = Vec::new();
    let frames: Vec<[u8; 8]> = raw.chunks(usize::from(u16::MAX)).map(output_header).collect();
    for (frame, content) in frames.iter().zip(raw.chunks(usize::from(u16::MAX))) {
        if response.decoder.wanted().is_some() {
            parts.push(frame.as_slice());
        }
        parts.push(content);
    }
    upstream.replace_head(request, &parts).map_err(|_| ERROR)?;
    let limit = context.conf().conf.buffer_size;
    if upstream.taken() > limit {
        // nginx reads so much of a cache file to find the body.
        report!(
            request,
            Warn,
            CACHE_SKIPPED,
            "the head of a response is larger than gangway_buffer_size and is not cached; raise it",
        );
        upstream.set_uncacheable();
    }
    Ok(())
}

/// The header of an FCGI_STDOUT record without padding (FastCGI §3.3).
fn output_header(content: &[u8]) -> [u8; 8] {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    [1, 6, 0, 1, high, low, 0, 0]
}
