// SPDX-License-Identifier: MIT OR Apache-2.0
//! `gangway_pass`: FastCGI, SCGI and uwsgi on nginx's own upstream.
//!
//! ```text
//! target     which backend a request goes to
//! script     which script it names, and whether it may be sent
//! request    the request as bytes; send: how it leaves; body: the same while the body still comes in
//! head       the response head; hints: interim ones, hold: one that waits for its body
//! hosted     what nginx does with the response of an application in processes of its own, as with one of its own process
//! output     what of a response is body; pipe: in buffered mode, stream: in unbuffered mode
//! receive    how it is read in buffered mode; flush: nothing waits for long
//! stderr     FCGI_STDERR
//! peer       connections: idle ones, and fresh ones to unix sockets; address: where they lead
//! state      what is known of one request: plain values below all of these
//! authorize  gangway_authorize: the authorizer role
//! ```
//! Balancing, retries, buffers, caches, timeouts and filters are nginx's. Everything here runs on its event loop.

mod address;
mod authorize;
mod body;
mod flush;
mod head;
mod hints;
mod hold;
mod hosted;
mod output;
mod part;
mod peer;
mod pipe;
mod receive;
mod request;
mod script;
mod send;
mod state;
mod stderr;
mod stream;
mod target;

use gangway::{
    cgi::{Form, RedirectTarget, ResponseParser},
    engine::fence,
    error::SERVER_FAILED,
    log::escape,
    protocol::Decoder,
    report,
    status::Passage,
    trace::{Answerer, Trace},
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::{
    conf::{LocationConf, MainConf, Scheme},
    raw::{ERROR, Hooks, INTERNAL_SERVER_ERROR, InCycle, NoMemory, Request, SERVICE_UNAVAILABLE, Upstream},
};
use state::{Context, ResponseTarget, peer::Judge};

pub(crate) use authorize::access_handler;
pub(crate) use head::process_header;
pub(crate) use hosted::install as install_conditions;
pub(crate) use peer::{install as install_peers, make_signals, stop_listening, wrap as keep_connections};
pub(crate) use script::{is_no_script, names};
pub(crate) use send::connect_now;

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("upstream::content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        request.leave_conditions_to_the_handler();
        match start(request, location) {
            Ok(stream) => request.read_body(stream, body_ready),
            Err(status) => status,
        }
    })
}

/// Makes the request's upstream. Answers whether the body is sent while it comes in.
fn start(request: Request, location: InCycle<LocationConf>) -> Result<bool, ngx_int_t> {
    let script = script::path_of(request, &location)?;
    begin(request, location, script, Answerer::Backend)
}

fn begin(
    request: Request,
    location: InCycle<LocationConf>,
    script: script::ScriptPath,
    answerer: Answerer,
) -> Result<bool, ngx_int_t> {
    let upstream = request.create_upstream().map_err(|NoMemory| INTERNAL_SERVER_ERROR)?;
    let scheme = target::choose(request, upstream, location)?;
    prepare(Prepared { request, upstream, location, scheme, script, answerer })?;
    let conf = &location.upstream.conf;
    // SCGI and uwsgi need the length of the body before it: nginx waits for a chunked one.
    let length_is_known = scheme == Scheme::FastCgi || !request.is_chunked();
    Ok(conf.request_buffering == 0 && conf.pass_request_body != 0 && length_is_known)
}

/// Makes the upstream of a request for an application in processes of its own, whose balancer the location names; `mount` is
/// where the application is mounted, if it runs no scripts. Answers whether the body is sent while it comes in.
///
/// # Errors
/// The status that answers the request.
pub(crate) fn prepare_managed(
    request: Request,
    location: InCycle<LocationConf>,
    mount: Option<(&[u8], bool)>,
) -> Result<bool, ngx_int_t> {
    let (script, answerer) = match mount {
        Some((mount, is_mapped)) => {
            let mut script = script::ScriptPath::mounted(request, mount).ok_or(INTERNAL_SERVER_ERROR)?;
            script.is_mapped = is_mapped;
            (script, Answerer::Application)
        }
        None => (script::path_of(request, &location)?, Answerer::Backend),
    };
    begin(request, location, script, answerer)
}

/// Whether all of the response has come.
pub(crate) fn has_whole_response(request: Request) -> bool {
    Context::of(&request).is_some_and(|context| context.response.borrow().decoder.ended())
}

/// Where a response is of which nginx has taken the head alone, behind all that it has read. `None`: it ends there.
pub(crate) fn rest_of_response(request: Request) -> Option<Decoder> {
    let (context, upstream) = Context::of(&request).zip(request.upstream())?;
    context.response.borrow().behind(upstream.unread())
}

/// The beginning of what the process has said of the request in the log.
pub(crate) fn stderr_lines(request: Request) -> Vec<u8> {
    Context::of(&request).map(|context| context.stderr.borrow().said().to_vec()).unwrap_or_default()
}

/// Whether the process of an application has read nothing of a request that it has failed.
pub(crate) fn is_unread(request: Request) -> bool {
    let upstream = request.upstream();
    Context::of(&request).zip(upstream).is_some_and(|(context, upstream)| peer::is_unread(context, upstream))
}

/// Says who knows whether the process has begun the request: nobody, where its connection shows it.
pub(crate) fn set_judge(request: Request, judge: Option<Judge>) {
    if let Some(context) = Context::of(&request) {
        context.peer.judge.set(judge);
    }
}

/// How long the body of a request is, all of which is in memory. `None`: it is in a file, or comes later.
pub(crate) fn length_in_memory(request: Request) -> Option<u64> {
    let (context, upstream) = Context::of(&request).zip(request.upstream())?;
    context.has_request_in_memory(upstream).then(|| context.body_length.get())
}

/// Whether nginx has all that it wants of a response whose body is for nobody, as that to HEAD.
pub(crate) fn wants_no_body(request: Request) -> bool {
    request.header_sent() && request.header_only()
}

/// Makes the upstream of a request that a script answers, whose output stands as an SCGI backend's does.
///
/// # Errors
/// The status that answers the request.
pub(crate) fn prepare_script(
    request: Request,
    location: InCycle<LocationConf>,
    (file, form): (&[u8], Form),
    head_size: usize,
) -> Result<Upstream, ngx_int_t> {
    let upstream = request.create_upstream().map_err(|NoMemory| INTERNAL_SERVER_ERROR)?;
    // SAFETY: of the cycle, which keeps its locations as long as their requests live.
    unsafe { upstream.set_conf(&raw const location.upstream.conf) };
    upstream.set_schema(b"cgi://");
    let (scheme, script, answerer) = (Scheme::Scgi, script::ScriptPath::default(), Answerer::Script);
    prepare(Prepared { request, upstream, location, scheme, script, answerer })?;
    if let Some(context) = Context::of(&request) {
        context.response.borrow_mut().parser.reset(form, head_size);
        // There is no other script to ask, and no connection whose end says anything.
        context.hold.switch_off();
        if let Some(trace) = &context.trace {
            trace.name(escape(file));
        }
    }
    Ok(upstream)
}

/// Looks at the head of a script's response, as far as it has come.
pub(crate) fn with_script_parser<R>(request: Request, look: impl FnOnce(&ResponseParser) -> R) -> Option<R> {
    Context::of(&request).map(|context| look(&context.response.borrow().parser))
}

/// Tells the trace of a request what becomes of it, if somebody observes the request.
pub(crate) fn with_trace(request: Request, tell: impl FnOnce(&Trace)) {
    if let Some(trace) = Context::of(&request).and_then(|context| context.trace.as_deref()) {
        tell(trace);
    }
}

/// The request has come to the application with this number.
pub(crate) fn arrive(request: Request, counted: usize) {
    if let Some(context) = Context::of(&request) {
        context.arrive(counted);
    }
}

/// This process has the request.
pub(crate) fn is_given(request: Request, pid: u32) {
    if let Some(context) = Context::of(&request) {
        context.is_given(pid);
    }
}

/// Tells what counts a request what becomes of it.
pub(crate) fn with_passage(request: Request, tell: impl FnOnce(&Passage)) {
    if let Some(passage) = Context::of(&request).and_then(|context| context.passage.get()) {
        tell(passage);
    }
}

/// What is done for a request and does not end it: lines that are written meanwhile are events of its span.
pub(crate) fn within<R>(request: Request, act: impl FnOnce() -> R) -> R {
    match Context::of(&request) {
        Some(context) => context.within(act),
        None => act(),
    }
}

/// Lets nginx answer with what a client would get that asked for `target`, or with the same words for `text`.
///
/// # Errors
/// What `process_header` answers.
pub(crate) fn redirect_script(
    request: Request,
    target: &RedirectTarget<'_>,
    text: &[u8],
) -> Result<(), ngx_int_t> {
    let context = Context::of(&request).ok_or(ERROR)?;
    let upstream = request.upstream().ok_or(ERROR)?;
    head::may_redirect(request)?;
    upstream.redirect(request, &target.to_uri()).map_err(|NoMemory| ERROR)?;
    // What the location ignores is what a script says in X-Accel-Redirect. nginx looks at it after this.
    upstream.obey_redirect(request).map_err(|NoMemory| ERROR)?;
    context.response_target.replace(ResponseTarget::Local(target.request_uri(text)));
    Ok(())
}

/// A request that knows its backend.
struct Prepared {
    request: Request,
    upstream: Upstream,
    location: InCycle<LocationConf>,
    scheme: Scheme,
    script: script::ScriptPath,
    answerer: Answerer,
}

/// Gives the upstream its context and its functions.
fn prepare(prepared: Prepared) -> Result<(), ngx_int_t> {
    let no_memory = |NoMemory| INTERNAL_SERVER_ERROR;
    let Prepared { request, upstream, location, scheme, script, answerer } = prepared;
    let context = Context::create(request, location, scheme, script, answerer).map_err(no_memory)?;
    let hooks = Hooks {
        create_key: request::create_key,
        create_request: request::create_request,
        reinit_request: request::reinit_request,
        process_header,
        abort_request: request::abort_request,
        finalize_request: request::finalize_request,
        filter_init: pipe::filter_init,
        stream_filter: stream::input_filter,
        pipe_filter: pipe::input_filter,
        context,
    };
    upstream.install(request, &hooks).map_err(no_memory)?;
    // SAFETY: of the cycle; nginx changes the list of caches only while it reads the configuration.
    unsafe { upstream.set_caches(&raw const request.http::<MainConf>().upstream.caches) };
    upstream.set_buffering(location.upstream.conf.buffering != 0);
    Ok(())
}

/// nginx has the request body, or as much of it as the backend is to wait for.
pub(crate) unsafe extern "C" fn body_ready(r: *mut ngx_http_request_t) {
    fence("upstream::body_ready", (), || {
        // SAFETY: nginx calls a body handler with a live request, once; its upstream has been made by `start`.
        unsafe {
            let request = Request::from_raw(r);
            match request::check(request) {
                Ok(()) => send::begin(r),
                Err(status) => request.finalize(status),
            }
        }
    });
}

/// Answers a request with an error, now, instead of what it waits for. It may be gone after it.
pub(crate) fn answer(request: Request, status: ngx_int_t) {
    if status == SERVICE_UNAVAILABLE {
        // Without memory for the header the status says enough.
        let _ = crate::serve::head::add(request, b"Retry-After", b"1");
    }
    let run_posted = request.posted_runner();
    request.leave_upstream();
    request.finalize(status);
    run_posted();
}

/// The line and the status when nginx has no memory for a request.
fn out_of_memory(request: Request) -> ngx_int_t {
    report!(request, Error, SERVER_FAILED, "nginx has no memory for a request to a backend");
    ERROR
}
