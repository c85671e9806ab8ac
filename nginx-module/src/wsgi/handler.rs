// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content phase: from nginx's request to a queued exchange.

use std::sync::Arc;

use gangway::{
    engine::fence,
    error::SERVER_FAILED,
    exchange::{Body, Channel, Exchange, ROOM, RequestHead, Wire},
    http::Fields,
    log::{Level, RequestLog},
    pool::Refusal,
    report,
    runtime::Application,
    sys::explain,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{
    body, event_loop, hooks::ErrandHooks, in_flight::InFlight, mounted::Mounted, socket, worker::Worker,
};
use crate::{
    conf::{LocationConf, MainConf},
    raw::{INTERNAL_SERVER_ERROR, Request, SERVICE_UNAVAILABLE},
    serve::{accel, head, variables},
};

/// Seconds after which a client may try again when the queue is full.
const RETRY_AFTER: &[u8] = b"1";

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        begin(unsafe { Request::from_raw(r) }, body_ready)
    })
}

/// Begins a request for an application in this process: `ready` is called with its body, or as soon as that has begun to come.
/// Answers what a content handler answers.
pub(crate) fn begin(request: Request, ready: unsafe extern "C" fn(*mut ngx_http_request_t)) -> ngx_int_t {
    if accel::leads_to_application(request) {
        return INTERNAL_SERVER_ERROR;
    }
    request.leave_conditions_to_the_handler();
    let location = request.location::<LocationConf>();
    request.read_body(location.upstream.conf.request_buffering == 0, ready)
}

unsafe extern "C" fn body_ready(r: *mut ngx_http_request_t) {
    fence("body_ready", (), || {
        // SAFETY: nginx calls a body handler with a live request, once.
        let request = unsafe { Request::from_raw(r) };
        if let Err(status) = start(request) {
            request.finalize(status);
        }
    });
}

/// Builds the exchange and queues it.
fn start(request: Request) -> Result<(), ngx_int_t> {
    let location = request.location::<LocationConf>();
    let (Some(worker), Some(mounted)) = (Worker::current(), location.settings::<Mounted>()) else {
        report!(request, Error, SERVER_FAILED, "this process runs no applications");
        return Err(INTERNAL_SERVER_ERROR);
    };
    let (body, length) = take_body(request)?;
    let main = request.http::<MainConf>();
    let shape = variables::Shape {
        mount: &mounted.path,
        path: request.uri(),
        length,
        headers: true,
        authorization: mounted.config.pass_authorization(),
        ..variables::Shape::default()
    };
    let (mut variables, mut wire) = told(request, (&main, &location), mounted, &shape)?;
    let socket = socket::offer(request, mounted)?;
    if socket.is_some() {
        // It may stay for hours.
        variables.shrink();
        wire.iter_mut().for_each(|wire| wire.fields.shrink());
    }
    let application = worker.mounted(mounted);
    let head = RequestHead {
        variables,
        content_length: length,
        no_body: request.is_head(),
        traced: request.takes(Level::Debug),
        tally: application.tally(),
        socket,
        wire,
        errand: None,
    };
    launch(RequestLaunch { request, application, head, body, counted: Some(mounted.counted), errand: None })
}

/// A request that is to run.
pub(super) struct RequestLaunch {
    pub(super) request: Request,
    pub(super) application: Arc<Application>,
    pub(super) head: RequestHead,
    /// `None`: it comes in meanwhile.
    pub(super) body: Option<Body>,
    /// Where it is counted, if it is.
    pub(super) counted: Option<usize>,
    pub(super) errand: Option<ErrandHooks>,
}

/// Queues it.
///
/// # Errors
/// The status of the request.
pub(super) fn launch(launch: RequestLaunch) -> Result<(), ngx_int_t> {
    let RequestLaunch { request, application, head, body, counted, errand } = launch;
    let worker = Worker::current().ok_or(INTERNAL_SERVER_ERROR)?;
    let streams = body.is_none();
    let ticket = worker.next_ticket();
    let channel = match body {
        Some(body) => Channel::new(ticket.number(), worker.notify(), body, ROOM),
        None => Channel::fed(ticket.number(), worker.notify(), ROOM),
    };
    let exchange = Exchange::new(head, Arc::<Channel>::clone(&channel));
    let deadline = event_loop::deadline(ticket);
    let mut flight = InFlight::new(
        (request, counted),
        Arc::clone(&application),
        Arc::clone(&exchange),
        channel,
        deadline,
        errand,
    );
    if streams {
        flight.stream_body()?;
    }
    if !event_loop::register(worker, flight, ticket) {
        return Err(INTERNAL_SERVER_ERROR);
    }
    application.submit(&exchange).map_err(|refusal| {
        worker.remove(ticket);
        exchange.within(|| refuse(request, &application, refusal))
    })
}

/// What the application is told of the request, in the form that its engine wants.
///
/// # Errors
/// nginx has no memory for a value.
fn told(
    request: Request,
    (main, location): (&MainConf, &LocationConf),
    mounted: &Mounted,
    shape: &variables::Shape<'_>,
) -> Result<(Fields, Option<Box<Wire>>), ngx_int_t> {
    if !mounted.config.has_fields() {
        let variables = variables::build(request, main, location, shape).ok_or(INTERNAL_SERVER_ERROR)?;
        return Ok((variables, None));
    }
    let found = variables::build_apart(request, main, location, shape);
    let (mut variables, fields) = found.ok_or(INTERNAL_SERVER_ERROR)?;
    if request.is_tls() {
        variables::add_tls(&mut variables, request);
    }
    let local_port = request.server_port();
    let (has_interim, has_trailers) = (request.has_interim(), request.has_trailers());
    Ok((variables, Some(Box::new(Wire { fields, local_port, has_interim, has_trailers }))))
}

/// The body that nginx has read, unless it comes in meanwhile, and its length, as far as that is known.
pub(super) fn take_body(request: Request) -> Result<(Option<Body>, Option<u64>), ngx_int_t> {
    if request.streams_body() {
        return Ok((None, request.announced_length()));
    }
    let (body, length) = body::take(request).map_err(|error| {
        report!(request, Error, SERVER_FAILED, "cannot keep the request body: {}", explain(&error));
        INTERNAL_SERVER_ERROR
    })?;
    Ok((Some(body), Some(length)))
}

fn refuse(request: Request, application: &Application, refusal: Refusal) -> ngx_int_t {
    if let Some(line) = application.refusal_line(refusal) {
        line.tell(&request);
    }
    // Without memory for the header the status says enough.
    let _ = head::add(request, b"Retry-After", RETRY_AFTER);
    SERVICE_UNAVAILABLE
}
