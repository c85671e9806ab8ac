// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that ask for a WebSocket.

use std::{ffi::c_int, sync::LazyLock, time::Instant};

use gangway::{
    config::ApplicationConf,
    error::{REQUEST_REFUSED, SOCKETS_FULL},
    exchange::SocketOffer,
    log::Throttle,
    protocol::websocket::HandshakeError,
    report,
};

use super::places::{Place, Taken};
use crate::raw::{BAD_REQUEST, BodyLength, Request, SERVICE_UNAVAILABLE, StreamInput};

/// A WebSocket that may be accepted, and its place.
pub(crate) struct Asked {
    pub(crate) offer: SocketOffer,
    /// Is free again with it.
    _place: Option<Place>,
}

/// What a request asks for, if it is a WebSocket that its application may have.
///
/// # Errors
/// The status of the answer to a request that asks wrongly, or for which there is no place.
pub(super) fn offer(
    request: Request<'_>,
    config: &ApplicationConf,
    holds_thread: bool,
) -> Result<Option<Asked>, c_int> {
    let Some(terms) = config.sockets().filter(|_| can_upgrade(request)) else { return Ok(None) };
    let offer = SocketOffer::read(|| request.headers(), terms.rules(), terms.deflate())
        .map_err(|error| refuse(request, error))?;
    let Some(offer) = offer else { return Ok(None) };
    if request.is_stream() && StreamInput::of(request).is_none() {
        let why = "a WebSocket is asked for on a stream of HTTP/2 whose client sends nothing more";
        report!(request, Info, REQUEST_REFUSED, "{why}");
        return Err(BAD_REQUEST);
    }
    let place = if holds_thread {
        Some(Place::take(request).map_err(|taken| send_away(request, config, taken))?)
    } else {
        None
    };
    Ok(Some(Asked { offer, _place: place }))
}

/// Whether its connection can change its protocol (RFC 9110 §7.8): a GET request without a body over HTTP/1.1, or one that mod_http2 has
/// made of an extended CONNECT (RFC 8441).
fn can_upgrade(request: Request<'_>) -> bool {
    request.is_get()
        && !request.is_head()
        && !request.is_subrequest()
        && request.has_interim_responses()
        && (request.is_stream() || request.body_length() == BodyLength::Known(0))
}

fn refuse(request: Request<'_>, error: HandshakeError) -> c_int {
    for (name, value) in error.fields() {
        request.set_error_header(name, value);
    }
    c_int::from(error.status())
}

fn send_away(request: Request<'_>, config: &ApplicationConf, Taken { most, whose, cure }: Taken) -> c_int {
    static LINES: LazyLock<Throttle> = LazyLock::new(Throttle::default);
    if let Some(held) = LINES.pass(Instant::now()) {
        let name = &config.spec().name;
        let more = if held > 0 { format!(" ({held} more since the last line)") } else { String::new() };
        report!(
            request,
            Error,
            SOCKETS_FULL,
            "{name}: the WebSocket is refused, for {most} of {whose} have one already{more}; {cure}"
        );
    }
    request.set_error_header(c"Retry-After", c"1");
    SERVICE_UNAVAILABLE
}
