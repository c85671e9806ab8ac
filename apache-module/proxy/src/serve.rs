// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request of mod_proxy's: which connection it takes, and what becomes of it when an attempt fails.

use std::{ffi::c_int, time::Instant};

use gangway::{
    cgi::ResponseError,
    error::{BACKEND_SILENT, CANNOT_ENCODE, CLIENT_LEFT, TOO_SHORT},
    log::{self, Level, Line},
    protocol::{DecodeError, EncodeError, Settings},
    report,
    status::{Incident, Passage},
    trace::{Answerer, Trace},
};

use gangway_httpd::transfer::{Buffers, Filled, Then, Times, Transfer, TransferError, Wait, Wire};

use crate::{
    counting,
    keep::{self, History, IDLE_LIMIT, IDLE_TIME, KeepLimits, Key, Requirement},
    proxied::Proxied,
    raw::{
        BAD_GATEWAY, DECLINED, DONE, GATEWAY_TIME_OUT, OK, Output, ProxyTarget, Request, RequestBody,
        SERVICE_UNAVAILABLE, answer_with_page, response::forget_head,
    },
    reply::Reply,
    scheme::{Kind, Scheme},
    variables,
};

/// Serves a request. Answers what mod_proxy's hook answers.
pub(crate) fn serve(target: ProxyTarget<'_>) -> c_int {
    let Some((scheme, _)) = Scheme::of(target.url()) else { return DECLINED };
    // One span for each backend that a balancer sends the request to.
    target.request().observed(Answerer::Backend, |trace| {
        let mut buffers = Buffers::take();
        let passage = Passage::arrive(counting::tally(target));
        passage.begin(Instant::now());
        let status = attempt(target, scheme, &mut buffers, (trace, &passage)).unwrap_or_else(|status| status);
        counting::close(&passage, target, status);
        buffers.give_back();
        status
    })
}

fn attempt(
    target: ProxyTarget<'_>,
    scheme: Scheme,
    buffers: &mut Buffers,
    (trace, passage): (Option<&Trace>, &Passage),
) -> Result<c_int, c_int> {
    let (request, kind) = (target.request(), scheme.kind);
    let mut backend = target.acquire(kind)?;
    // PHP reads as many bytes as CONTENT_LENGTH says, and SCGI and uwsgi have no other end of a body.
    let names_php = kind == Kind::FastCgi && variables::names_php(request);
    let needs_length = kind != Kind::FastCgi || names_php;
    let mut body = RequestBody::prepare(request, &backend, needs_length)?;
    variables::write(&mut buffers.variables, target, kind)?;
    if let Some(trace) = trace {
        trace.name(log::escape(&target.name()));
        trace.identify(&buffers.variables);
        trace.begin();
    }
    let keeps = keeps(target, kind);
    // Connections of other protocols are nobody's to wait for.
    let mut key = kind.protocol().keeps_connections().then(|| Key::new(address(target, scheme)));
    let requirement = Requirement { for_once: !body.ended() || !is_idempotent(request.method()), names_php };
    let kept = key.as_ref().filter(|_| keeps).and_then(|key| keep::take(key, requirement));
    passage.tally().happened(if kept.is_some() { Incident::Kept } else { Incident::Fresh });
    let (wire, history) = match kept {
        Some(kept) => kept,
        // A balancer may send the request to another backend: nothing of its body has been taken yet.
        None => (backend.connect(scheme)?, History::begin()),
    };
    encode(request, kind, keeps, buffers)?;
    // The first part of the body leaves with the head.
    body.end_of_none(&mut buffers.out, kind.protocol());
    if let Filled::Failed(error) = body.fill(&mut buffers.out, kind.protocol(), false) {
        report!(request, Info, error.code(), "{error}");
        return Err(error.status);
    }
    let (status, retry) = transfer(target, kind, wire, history, &mut key, buffers, &mut body);
    if !retry {
        return Ok(status);
    }
    let wire = backend.connect(scheme).map_err(|status| match status {
        // A part of the body would be missing elsewhere.
        SERVICE_UNAVAILABLE if body.is_taken() => BAD_GATEWAY,
        status => status,
    })?;
    Ok(transfer(target, kind, wire, History::begin(), &mut key, buffers, &mut body).0)
}

/// Whether the connection may carry more than this request.
fn keeps(target: ProxyTarget<'_>, kind: Kind) -> bool {
    kind.protocol().keeps_connections()
        && !target.forbids_reuse()
        && !target.is_remote()
        && target.request().conf().is_none_or(|conf| conf.keeps_connections())
}

/// What tells one backend from another.
fn address(target: ProxyTarget<'_>, scheme: Scheme) -> Vec<u8> {
    let path = target.unix_path();
    if !path.is_empty() {
        return [keep::UNIX, path].concat();
    }
    let url = scheme.to_connect(target.url());
    let place = url.splitn(4, |byte| *byte == b'/').nth(2).unwrap_or_default();
    place.to_ascii_lowercase()
}

fn encode(request: Request<'_>, kind: Kind, keeps: bool, buffers: &mut Buffers) -> Result<(), c_int> {
    let settings = Settings { keep_connection: keeps, ..Settings::default() };
    let Buffers { variables, out, .. } = buffers;
    out.clear();
    kind.protocol().encode_head(&settings, variables, out).map_err(|error: EncodeError| {
        report!(request, Error, CANNOT_ENCODE, "{error}");
        c_int::from(error.status())
    })
}

/// Makes one attempt, which takes the key when no other one follows. Answers a status, and whether the request should be
/// tried once more on a new connection.
fn transfer<'r>(
    target: ProxyTarget<'r>,
    kind: Kind,
    wire: Wire,
    history: History,
    key: &mut Option<Key>,
    buffers: &mut Buffers,
    body: &mut RequestBody<'r>,
) -> (c_int, bool) {
    let mut proxied = proxied(target, kind, key.as_ref(), buffers, body);
    let mut transfer = Transfer::new(&mut proxied, kind.protocol(), &wire, buffers, times(target));
    let done = transfer.run();
    target.count(transfer.total_sent, transfer.total_received);
    match done {
        Ok(()) => {
            let (page, is_clean) = (transfer.carried.reply.page, transfer.is_clean);
            // The bytes that the request had, if it had no body.
            let sent = (!transfer.carried.body.is_taken()).then_some(transfer.total_sent);
            buffers.put_parser(proxied.reply.into_parser());
            if is_clean
                && keeps(target, kind)
                && let Some(key) = key.take()
            {
                let limits = KeepLimits {
                    count: target.idle_limit(IDLE_LIMIT),
                    time: target.idle_time().unwrap_or(IDLE_TIME),
                    age: target.address_ttl(),
                    blindly: target.keeps_blindly(),
                };
                keep::put(key, wire, history, limits, sent);
            }
            if let Some(status) = page {
                answer_with_page(target.request(), status);
            }
            (OK, false)
        }
        Err(failure) => {
            let is_closed = wire.is_reused() && is_unanswered(&transfer, &failure);
            if let Some(record) =
                key.as_ref().filter(|_| is_closed && !transfer.is_left).and_then(Key::record)
            {
                record.has_closed();
            }
            let retry = is_closed && may_retry(&transfer);
            let status = if retry { OK } else { fail(&mut transfer, &failure) };
            buffers.put_parser(proxied.reply.into_parser());
            (status, retry)
        }
    }
}

fn proxied<'a, 'r>(
    target: ProxyTarget<'r>,
    kind: Kind,
    key: Option<&'a Key>,
    buffers: &mut Buffers,
    body: &'a mut RequestBody<'r>,
) -> Proxied<'a, 'r> {
    let conf = target.request().conf();
    let limit = conf.map_or(64 * 1024, |conf| conf.head_max());
    Proxied {
        target,
        key,
        body,
        reply: Reply::new(kind, buffers.take_parser(), limit),
        output: Output::new(target.request()),
        stderr_level: conf.map_or(Level::Error, |conf| conf.stderr_level()),
    }
}

fn times(target: ProxyTarget<'_>) -> Times {
    let wait = match target.request().conf().and_then(|conf| conf.flush_wait()) {
        Some(0) => Wait::Never,
        Some(time) => Wait::For(time),
        None => target.flush(),
    };
    Times { backend: target.timeout(), client: target.client_timeout(), wait }
}

/// Whether a connection that was idle before has only turned out to be closed.
fn is_unanswered(transfer: &Transfer<'_, Proxied<'_, '_>>, failure: &TransferError) -> bool {
    matches!(failure, TransferError::Closed(_)) && transfer.total_received == 0
}

/// Whether the request can be sent again then: it has not left at all, or it may arrive twice.
fn may_retry(transfer: &Transfer<'_, Proxied<'_, '_>>) -> bool {
    let is_harmless = transfer.total_sent == 0 || is_idempotent(transfer.carried.target.request().method());
    is_harmless && transfer.is_first_part
}

/// RFC 9110 §9.2.2, and the one of RFC 4918 that only reads.
fn is_idempotent(method: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PROPFIND"];
    METHODS.contains(&method)
}

/// Ends a request whose last attempt has failed. Answers a status.
fn fail(transfer: &mut Transfer<'_, Proxied<'_, '_>>, failure: &TransferError) -> c_int {
    let (target, request) = (transfer.carried.target, transfer.carried.target.request());
    if matches!(failure, TransferError::Answered) {
        return OK;
    }
    log_failure(target, failure, transfer.has_begun);
    if matches!(failure, TransferError::Gone) {
        request.set_aborted();
        return OK;
    }
    if transfer.has_begun {
        if transfer.deliver(Then::More).is_ok() {
            transfer.carried.output.cut();
        }
        return DONE;
    }
    if transfer.carried.reply.has_head() {
        forget_head(request);
    }
    match failure {
        TransferError::Body(error) => error.status,
        TransferError::Timeout => GATEWAY_TIME_OUT,
        // A balancer takes this status for a reason to ask another backend.
        failure if may_ask_another(transfer, failure) => SERVICE_UNAVAILABLE,
        _ => BAD_GATEWAY,
    }
}

/// Whether another member of a balancer can have a request of which the client has seen nothing: this one has not
/// begun with it, or has ended in the middle of an answer and it may arrive twice.
fn may_ask_another(transfer: &Transfer<'_, Proxied<'_, '_>>, failure: &TransferError) -> bool {
    let is_harmless = match failure {
        TransferError::Broken(DecodeError::Refused(_)) => !transfer.carried.reply.has_head(),
        TransferError::Closed(_) | TransferError::Head(ResponseError::Cut(_)) | TransferError::Short(_) => {
            is_idempotent(transfer.carried.target.request().method())
        }
        _ => false,
    };
    is_harmless && transfer.carried.target.is_member() && !transfer.carried.body.is_taken()
}

fn log_failure(target: ProxyTarget<'_>, failure: &TransferError, has_begun: bool) {
    let outcome = if has_begun { "; the response is cut" } else { "" };
    let name = log::escape(&target.name());
    let (level, code, text) = match failure {
        // No fault of anybody's; the filter has said what it did.
        TransferError::Answered => return,
        TransferError::Gone => {
            (Level::Info, CLIENT_LEFT, format!("the client has left before the response of {name} was whole"))
        }
        TransferError::Timeout => {
            let time = target.timeout().as_secs_f32();
            (Level::Error, BACKEND_SILENT, format!("{name} has sent nothing for {time} seconds{outcome}"))
        }
        TransferError::Closed(error) | TransferError::Broken(error) => {
            (Level::Error, error.code(), format!("{error}: {name}{outcome}"))
        }
        TransferError::Head(error) => {
            let cure =
                if matches!(error, ResponseError::TooLarge(_)) { "; raise GangwayHeadMaxSize" } else { "" };
            (Level::Error, error.code(), format!("{error}: {name}{cure}"))
        }
        TransferError::Short(missing) => {
            let text = format!("{missing} bytes that Content-Length promised are missing: {name}{outcome}");
            (Level::Error, TOO_SHORT, text)
        }
        TransferError::Body(error) => (Level::Info, error.code(), error.to_string()),
    };
    Line { level, code, text }.tell(&target.request());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_change_something_each_time_are_not_repeated() {
        assert!(is_idempotent(b"GET") && is_idempotent(b"PUT"));
        for method in [&b"POST"[..], b"PATCH", b"LOCK", b"get", b""] {
            assert!(!is_idempotent(method));
        }
    }
}
