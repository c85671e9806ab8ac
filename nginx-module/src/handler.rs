// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content phase: from nginx's request to a queued exchange.

use std::{sync::Arc, time::Duration};

use gangway::{
    engine::fence,
    error::{REQUEST_REFUSED, SERVER_FAILED},
    exchange::{Channel, Exchange, ROOM, RequestHead},
    log::Level,
    pool::Refusal,
    runtime::Application,
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use crate::{
    body,
    conf::LocationConf,
    flight::{self, Flight},
    head,
    memo::{self, Jump},
    module,
    raw::Request,
    variables,
    worker::Worker,
};

const INTERNAL_SERVER_ERROR: ngx_int_t = nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
const SERVICE_UNAVAILABLE: ngx_int_t = nginx_sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;

/// Seconds after which a client may try again when the queue is full.
const RETRY_AFTER: &[u8] = b"1";

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if memo::jump_to_here(request) == Some(Jump::Accel) {
            let line =
                format!("{REQUEST_REFUSED} X-Accel-Redirect leads to an application; let it lead to files");
            request.log(Level::Error, &line);
            return INTERNAL_SERVER_ERROR;
        }
        request.read_body(body_ready)
    })
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
    // SAFETY: this location's configuration was made by create_location and lives as long as the request's cycle.
    let location: &LocationConf = unsafe { &*request.location_conf(module()) };
    let (Some(worker), Some(handler)) = (Worker::current(), location.handler.as_ref()) else {
        request.log(Level::Error, &format!("{SERVER_FAILED} this process runs no applications"));
        return Err(INTERNAL_SERVER_ERROR);
    };
    // A subrequest asks for something else than the main request, whose body is not its own.
    let taken = if request.is_main() { body::take(request) } else { Ok(Default::default()) };
    let (body, length) = taken.map_err(|error| {
        let line =
            format!("{SERVER_FAILED} cannot keep the request body: {error}; raise worker_rlimit_nofile");
        request.log(Level::Error, &line);
        INTERNAL_SERVER_ERROR
    })?;
    let main = worker.main_conf(request);
    let shape = variables::Shape {
        mount: &handler.mount,
        path: request.uri(),
        length: Some(length),
        headers: true,
        authorization: handler.config.pass_authorization(),
        ..variables::Shape::default()
    };
    let variables = variables::build(request, main, location, &shape).ok_or(INTERNAL_SERVER_ERROR)?;
    let head = RequestHead { variables, content_length: Some(length), no_body: request.is_head() };
    let application = Arc::clone(handler.application.get_or_init(|| worker.application(&handler.config)));
    let ticket = worker.next_ticket();
    let channel = Channel::new(ticket, worker.notify(), body, ROOM);
    let exchange = Exchange::new(head, Arc::<Channel>::clone(&channel));
    let flight = Flight::new(request, Arc::clone(&application), Arc::clone(&exchange), channel, ticket);
    if !flight::register(worker, request, flight, ticket) {
        return Err(INTERNAL_SERVER_ERROR);
    }
    application.submit(&exchange).map_err(|refusal| {
        worker.remove(ticket);
        refuse(request, &application, refusal)
    })
}

fn refuse(request: Request, application: &Application, refusal: Refusal) -> ngx_int_t {
    if let Some(line) = application.refusal_line(refusal) {
        request.log(Level::Error, &line);
    }
    // Without memory for the header the status says enough.
    let _ = head::add(request, b"Retry-After", RETRY_AFTER);
    SERVICE_UNAVAILABLE
}

/// How long a request without a deadline keeps a timer, which also keeps a worker that shuts down alive.
pub(crate) const NO_DEADLINE: Duration = Duration::from_secs(3600);
