// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request as the backend gets it.

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use gangway::{
    cgi::{Extra, Param},
    engine::fence,
    http::{Decimal, Fields},
    log::escape,
    protocol::{Role, Settings},
    report,
    status::Incident,
    supervise::{ARRIVED, MAPPED},
    trace::Answerer,
};
use nginx_sys::{ngx_array_push, ngx_buf_t, ngx_chain_t, ngx_http_request_t, ngx_int_t, ngx_str_t};

use super::{
    ERROR, body, out_of_memory,
    part::{narrow, size},
    script::Files,
    send,
    state::{Context, ResponseTarget, hold::WaitChange},
};
use crate::{
    conf::{Backend, MainConf, Scheme},
    raw::{Msec, NoMemory, Request, Upstream, buffers, bytes},
    serve::{
        accel,
        variables::{self, Shape},
    },
};

/// Heads of requests that are larger than this are tried before nginx begins with the upstream: only then the
/// answer can be another status than 500.
const LARGE: usize = 16 * 1024;

thread_local! {
    /// Where a request's head is written before its length is known; kept for the next one.
    static HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The variables of the request that is being written; their memory is kept for the next one.
    static VARIABLES: Cell<Fields> = Cell::default();
}

/// How much memory is kept for the next request: a large one gives its own back.
const KEPT: usize = 64 * 1024;

/// Writes the variables of the request. `None` when nginx has no memory.
fn write_variables(variables: &mut Fields, context: &Context, upstream: Upstream) -> Option<()> {
    let request = context.request;
    let main = request.http::<MainConf>();
    let conf = context.conf();
    let cacheable = upstream.is_cacheable();
    let mut params = Vec::new();
    if cacheable && conf.conf.cache_revalidate != 0 {
        let variable = |name, index| Param { name, value: request.variable(index), if_not_empty: true };
        params.push(variable(b"HTTP_IF_MODIFIED_SINCE", main.upstream.cache_last_modified));
        params.push(variable(b"HTTP_IF_NONE_MATCH", main.upstream.cache_etag));
    }
    let script = &context.script;
    let files = Files::of(&request)?;
    let document: Extra<'_> = (b"DOCUMENT_URI", [request.uri(), b""]);
    let extra = [
        document,
        (b"SCRIPT_FILENAME", files.file(script.script_name())),
        // What PHP with cgi.force_redirect wants to see.
        (b"REDIRECT_STATUS", [b"200", b""]),
        (b"PATH_TRANSLATED", [files.root, script.path_info()]),
    ];
    let extra = match context.scheme {
        // As in the server's own process.
        Scheme::FastCgi if script.is_mounted => None,
        Scheme::FastCgi if script.role == Role::Authorizer => extra.get(..1),
        // RFC 3875 §4.1.6: PATH_TRANSLATED only with PATH_INFO.
        Scheme::FastCgi if script.path_info().is_empty() => extra.get(..3),
        Scheme::FastCgi => Some(&extra[..]),
        Scheme::Scgi | Scheme::Uwsgi | Scheme::Suwsgi => extra.get(..1),
    };
    let shape = Shape {
        root: Some(files.root),
        mount: script.script_name(),
        path: script.path(),
        length: if conf.conf.pass_request_body == 0 { None } else { length(request, upstream) },
        extra: extra.unwrap_or_default(),
        params: &params,
        cacheable,
        settled: script.filename().map(|value| (b"SCRIPT_FILENAME".as_slice(), value)),
        headers: conf.conf.pass_request_headers != 0,
        // Credentials are the server's own business, and the authorizer is a part of it.
        authorization: script.role == Role::Authorizer || conf.pass_authorization(),
        role: script.role,
    };
    variables::write(variables, request, &main, &context.location, &shape)?;
    if script.is_mounted {
        tell_host(variables, request, script.is_mapped)?;
    }
    if script.role == Role::Authorizer {
        // FastCGI §6.3: not for an authorizer; and no script is run for it that the path names.
        for name in [&b"CONTENT_LENGTH"[..], b"PATH_INFO", b"PATH_TRANSLATED", b"SCRIPT_NAME"] {
            if let Some(index) = variables.position(name) {
                variables.remove(index);
            }
        }
    }
    Some(())
}

/// What our own host is told besides.
fn tell_host(variables: &mut Fields, request: Request, is_mapped: bool) -> Option<()> {
    variables.push(ARRIVED, Decimal::default().write(Msec::now().number()));
    if is_mapped {
        let (path, root) = request.map_to_path()?;
        variables.push(MAPPED, &[root.to_string().as_bytes(), b":", path].concat());
    }
    Some(())
}

/// The length of the body, if it is known.
fn length(request: Request, upstream: Upstream) -> Option<u64> {
    if request.streams_body() {
        return request.announced_length();
    }
    let mut sum = 0u64;
    // SAFETY: the body of a live request that nginx has read.
    for buffer in unsafe { buffers(upstream.request_chain()) } {
        // SAFETY: a link of that chain has a live buffer.
        sum += size(unsafe { &*buffer });
    }
    Some(sum)
}

fn settings(context: &Context) -> Settings<'_> {
    let conf = context.conf();
    Settings {
        keep_connection: context.keeps_connection(),
        role: context.script.role,
        modifier1: conf.modifier1(),
        modifier2: conf.modifier2(),
        string: conf.string(),
    }
}

/// Writes the head of the request, and gives it to `then`.
fn with_head<T>(
    context: &Context,
    upstream: Upstream,
    then: impl FnOnce(&[u8]) -> Result<T, ngx_int_t>,
) -> Result<T, ngx_int_t> {
    let request = context.request;
    let mut variables = VARIABLES.take();
    variables.begin(context.protocol().layout());
    let written = write_variables(&mut variables, context, upstream);
    if let Some(trace) = &context.trace {
        trace.identify(&variables);
    }
    let done = match written {
        None => Err(out_of_memory(request)),
        Some(()) => HEAD.with_borrow_mut(|head| {
            head.clear();
            let encoded = context.protocol().encode_head(&settings(context), &variables, head);
            let done = encoded.map_err(|error| {
                let name = context.protocol().name();
                report!(request, Error, error.code(), "{error}: the request cannot be sent over {name}");
                error.status() as ngx_int_t
            });
            let done = done.and_then(|()| then(head));
            head.shrink_to(KEPT);
            done
        }),
    };
    if variables.capacity() <= KEPT {
        VARIABLES.set(variables);
    }
    done
}

/// Whether a large request can be expressed at all.
///
/// # Errors
/// The status that answers it.
pub(super) fn check(request: Request) -> Result<(), ngx_int_t> {
    match (Context::of(&request), request.upstream()) {
        (Some(context), Some(upstream)) if request.head_length() > LARGE => {
            // SAFETY: the chain of the body that nginx has read for this request.
            unsafe { upstream.set_request_chain(request.body_chain()) };
            with_head(context, upstream, |_| Ok(()))
        }
        _ => Ok(()),
    }
}

/// Makes the chain that nginx sends.
pub(super) unsafe extern "C" fn create_request(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("create_request", ERROR, || {
        // SAFETY: nginx calls this with a live request.
        let made = unsafe {
            Context::with(r, |context, upstream| {
                if context.request.is_part() {
                    // nginx has put the client's body there.
                    upstream.set_request_chain(std::ptr::null_mut());
                }
                if let Some(trace) = &context.trace {
                    trace.begin();
                }
                if let Some(backend) = context.location.settings::<Backend>() {
                    context.arrive(backend.counted);
                    context.passage.get().iter().for_each(|passage| passage.begin(Instant::now()));
                }
                with_head(context, upstream, |head| {
                    chain(context, upstream, head).map_err(|NoMemory| out_of_memory(context.request))
                })
            })
        };
        if let Some(Ok(())) = made { 0 } else { ERROR }
    })
}

/// The head, and the body as far as it is there.
fn chain(context: &Context, upstream: Upstream, head: &[u8]) -> Result<(), NoMemory> {
    let request = context.request;
    // Room for the framing of the first part of the body and for its end.
    let first = request.buffer(head, 16)?;
    let whole = upstream.request_chain();
    // SAFETY: a fresh link of the request's pool.
    unsafe { upstream.set_request_chain(first) };
    let streams = request.streams_body();
    let filter = if streams { body::output_filter } else { send::output_filter };
    // SAFETY: both want the request, and a chain of its upstream.
    unsafe { upstream.set_output_filter(filter, request.raw().cast()) };
    if streams {
        return Ok(());
    }
    if context.script.role == Role::Authorizer {
        return Ok(());
    }
    let mut last = first;
    context.body_length.set(0);
    if context.conf().conf.pass_request_body != 0 {
        // SAFETY: the body of a live request that nginx has read; parts of it are appended after `last`.
        for buffer in unsafe { buffers(whole) } {
            // SAFETY: a link of that chain has a live buffer.
            let buffer = unsafe { &*buffer };
            context.body_length.set(context.body_length.get() + size(buffer));
            // SAFETY: the last link of the chain that is made here.
            last = unsafe { append(context, last, buffer) }?;
        }
    }
    // SAFETY: the last link has a buffer that was made for framing.
    unsafe { write(last, context.protocol().body_end()) };
    Ok(())
}

/// Appends a buffer of the body in parts with their framing. Answers the last link, whose buffer has room for the
/// next framing.
///
/// # Safety
/// `last` is a link of the request's pool, whose buffer was made for framing.
unsafe fn append(
    context: &Context,
    mut last: *mut ngx_chain_t,
    whole: &ngx_buf_t,
) -> Result<*mut ngx_chain_t, NoMemory> {
    let request = context.request;
    let mut done = 0u64;
    let total = size(whole);
    while done < total {
        let frame = context.protocol().body_part(total - done);
        let part = request.part(whole)?;
        let link = request.link(part)?;
        // SAFETY: the caller's link, or one that was made here; a fresh buffer in the request's pool.
        unsafe {
            write(last, frame.header());
            narrow(&mut *part, whole, done, frame.content);
            (*last).next = link;
        }
        last = link;
        done += frame.content.max(1);
        if !frame.header().is_empty() {
            let link = request.buffer(&[], 16)?;
            // SAFETY: a link that was made here, in the request's pool.
            unsafe { (*last).next = link };
            last = link;
        }
    }
    Ok(last)
}

/// Writes framing into a buffer that has room for it.
///
/// # Safety
/// `link` is a live one, whose buffer was made for framing and is not being sent.
pub(super) unsafe fn write(link: *mut ngx_chain_t, framing: &[u8]) {
    if framing.is_empty() {
        return;
    }
    // SAFETY: the caller's link has a live buffer of ours, whose memory ends at `end`.
    unsafe {
        let buffer = &mut *(*link).buf;
        if bytes(buffer.last, buffer.end).len() >= framing.len() {
            std::ptr::copy_nonoverlapping(framing.as_ptr(), buffer.last, framing.len());
            buffer.last = buffer.last.add(framing.len());
        }
    }
}

/// Another backend is asked, or a cached response is sent instead.
pub(super) unsafe extern "C" fn reinit_request(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("reinit_request", ERROR, || {
        // SAFETY: nginx calls this with a live request.
        unsafe { Context::with(r, Context::restart) };
        0
    })
}

/// The key of a cached response: `gangway_cache_key`.
pub(super) unsafe extern "C" fn create_key(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("create_key", ERROR, || {
        // SAFETY: nginx calls this with a live request that has a cache entry; the value lives in the request's pool.
        let written = unsafe {
            Context::with(r, |context, _| {
                let value = context.request.evaluate(context.conf().cache_key?)?;
                let key = ngx_array_push(&raw mut (*(*r).cache).keys).cast::<ngx_str_t>();
                if key.is_null() {
                    return None;
                }
                key.write(ngx_str_t { len: value.len(), data: value.as_ptr().cast_mut() });
                Some(())
            })
        };
        if let Some(Some(())) = written { 0 } else { ERROR }
    })
}

/// nginx has no use for it.
pub(super) unsafe extern "C" fn abort_request(_: *mut ngx_http_request_t) {}

fn jump(context: &Context, upstream: Upstream) {
    let request = context.request;
    let noted = match &*context.response_target.borrow() {
        ResponseTarget::Client => Ok(()),
        ResponseTarget::Accel => accel::goes(request),
        ResponseTarget::Local(target) => accel::goes_local(request, target),
    };
    if noted.is_err() {
        // Without the note nobody would look at the target.
        let _ = upstream.redirect(request, b"?");
        out_of_memory(request);
    }
}

/// Tells an observer what the client gets: the response, or nginx's own status if nothing of it has left.
fn end_trace(context: &Context, upstream: Upstream, status: ngx_int_t) {
    let Some(trace) = &context.trace else { return };
    if trace.answerer() == Answerer::Backend {
        trace.name(escape(upstream.peer_name()));
    }
    let instead =
        u16::try_from(status).ok().filter(|status| *status >= 300 && !context.request.header_sent());
    let own = u16::try_from(upstream.status()).ok().filter(|status| *status > 0);
    trace.end(instead.or(own), &context.request);
}

/// Counts what the request was answered with. A response that breaks off is a failure, whatever its head says.
fn end_passage(context: &Context, upstream: Upstream, status: ngx_int_t) {
    let Some(passage) = context.passage.get() else { return };
    let has_left = status == nginx_sys::NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t;
    let instead = u16::try_from(status)
        .ok()
        .filter(|status| *status >= 300 && !(has_left && context.request.header_sent()));
    let own = u16::try_from(upstream.status()).ok().filter(|status| *status > 0);
    let status = instead.or(own).unwrap_or(499);
    if status == 504 {
        let is_running = passage.has_begun();
        context.happened(if is_running { Incident::RunTimeout } else { Incident::QueueTimeout });
    }
    passage.close(status);
    context.note();
}

/// The upstream's part of the request ends; its connection is still there.
pub(super) unsafe extern "C" fn finalize_request(r: *mut ngx_http_request_t, status: ngx_int_t) {
    fence("finalize_request", (), || {
        // SAFETY: nginx calls this with a live request.
        unsafe { Context::with(r, |context, upstream| finalize(context, upstream, status)) };
    });
}

fn finalize(context: &Context, upstream: Upstream, status: ngx_int_t) {
    context.stderr.borrow_mut().finish(context.request);
    end_trace(context, upstream, status);
    end_passage(context, upstream, status);
    // Only when it sends the request where the response says, nginx ends the upstream like this.
    if status == nginx_sys::NGX_DECLINED as ngx_int_t {
        jump(context, upstream);
    }
    let connection = upstream.connection();
    context.flush.stop(connection);
    context.hold.stop(connection, WaitChange::Told);
    // FastCGI §5.4: an application learns that nobody waits. The connection is closed after it.
    let words = context.protocol().abort();
    // One whose client has all that it wants, as after HEAD, may go on: as in the server's own process.
    let may_go_on = context.script.is_mounted && super::wants_no_body(context.request);
    if upstream.is_body_sent()
        && !may_go_on
        && !context.response.borrow().decoder.ended()
        && !words.is_empty()
        && let Some(connection) = connection
    {
        // One that has gone meanwhile need not be told, and that is no error.
        connection.log_errors_as_info();
        connection.send_now(words);
    }
}
