// SPDX-License-Identifier: MIT OR Apache-2.0
//! The response head, from the core's to nginx's.

use gangway::http::{Decimal, Head};
use nginx_sys::ngx_int_t;

use crate::raw::{ERROR, HeaderSlot, Request};

/// RFC 9110 §15.2.2.
const SWITCHING_PROTOCOLS: u16 = 101;

/// What became of a head.
pub(crate) enum Sent {
    /// It is nginx's now.
    Header,
    /// The request ends with this status.
    Failed(ngx_int_t),
    /// The application hands the request on: X-Accel-Redirect.
    Redirect(Vec<u8>),
}

/// Gives a head to nginx and its header filters. `whole`: the body is one piece, which follows.
pub(crate) fn send(request: Request, head: &Head, whole: bool) -> Sent {
    let target = head.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(b"x-accel-redirect"));
    if let Some((_, target)) = target
        && request.is_main()
    {
        return match keep_for_redirect(request, head) {
            Some(()) => Sent::Redirect(target.to_vec()),
            None => Sent::Failed(ERROR),
        };
    }
    if set(request, head, whole).is_none() {
        return Sent::Failed(ERROR);
    }
    match request.send_header() {
        status if status == ERROR || status > 0 => Sent::Failed(status),
        _ => Sent::Header,
    }
}

fn set(request: Request, head: &Head, whole: bool) -> Option<()> {
    let line = if head.reason.is_empty() {
        None
    } else {
        Some(request.joined_text(&[Decimal::default().write(head.status), b" ", &head.reason])?)
    };
    request.set_status(head.status, line);
    request.set_content_length(head.content_length);
    for (name, value) in head.fields.iter() {
        header(request, name, value)?;
    }
    // The whole response is known to be that long, and the application did not speak of ranges itself.
    if head.status == 200 && head.content_length.is_some() && !head.has(b"accept-ranges") {
        request.allow_ranges(!whole);
    }
    if head.status == SWITCHING_PROTOCOLS {
        // What follows is no response, for which `limit_rate` holds; nor is anybody there who would send the rest of the head later.
        request.set_limit_rate(0);
    }
    Some(())
}

fn header(request: Request, name: &[u8], value: &[u8]) -> Option<()> {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    // As proxied responses: Date and Server are nginx's own, X-Accel-* are for nginx alone.
    if is(b"date") || is(b"server") || is(b"x-pad") {
        return Some(());
    }
    if is(b"x-accel-limit-rate") {
        if let Some(rate) = std::str::from_utf8(value).ok().and_then(|rate| rate.parse().ok()) {
            request.set_limit_rate(rate);
        }
        return Some(());
    }
    if starts_with_ignore_case(name, b"x-accel-") {
        return Some(());
    }
    if is(b"content-type") {
        return content_type(request, value);
    }
    let slot = match () {
        () if is(b"content-encoding") => HeaderSlot::ContentEncoding,
        () if is(b"last-modified") => HeaderSlot::LastModified,
        () if is(b"content-range") => HeaderSlot::ContentRange,
        () if is(b"accept-ranges") => HeaderSlot::AcceptRanges,
        () if is(b"www-authenticate") => HeaderSlot::WwwAuthenticate,
        () if is(b"expires") => HeaderSlot::Expires,
        () if is(b"etag") => HeaderSlot::ETag,
        () => HeaderSlot::None,
    };
    request.add_header(request.text(name)?, request.text(value)?, slot).then_some(())
}

fn content_type(request: Request, value: &[u8]) -> Option<()> {
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    request.set_content_type(request.text(value)?, media_type.len());
    Some(())
}

/// What an application says of a response that nginx then sends, as for proxied responses.
fn keep_for_redirect(request: Request, head: &Head) -> Option<()> {
    const KEPT: [&[u8]; 5] =
        [b"content-type", b"set-cookie", b"content-disposition", b"cache-control", b"expires"];
    for (name, value) in head.fields.iter() {
        if KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
            || starts_with_ignore_case(name, b"x-accel-limit-")
        {
            header(request, name, value)?;
        }
    }
    Some(())
}

/// Adds one header.
pub(crate) fn add(request: Request, name: &[u8], value: &[u8]) -> Option<()> {
    header(request, name, value)
}

fn starts_with_ignore_case(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
