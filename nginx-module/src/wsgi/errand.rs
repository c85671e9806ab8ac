// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of phases: they run on the same threads as handlers of applications, with the same rules for what they send.

use std::sync::Arc;

use gangway::{
    engine::PhaseErrand,
    error::SERVER_FAILED,
    exchange::{Body, RequestHead},
    log::{Level, RequestLog},
    report,
    status::Tally,
};
use nginx_sys::ngx_int_t;

use super::{
    handler::{RequestLaunch, launch, take_body},
    hooks::ErrandHooks,
    mounted::Mounted,
    worker::Worker,
};
use crate::raw::{INTERNAL_SERVER_ERROR, Request};

/// Sends handlers of phases on their way.
///
/// # Errors
/// The status of the request.
pub(crate) fn run(
    request: Request,
    mounted: Option<&Mounted>,
    errand: Arc<PhaseErrand>,
    hooks: ErrandHooks,
) -> Result<(), ngx_int_t> {
    let (Some(worker), Some(mounted)) = (Worker::current(), mounted) else {
        report!(request, Error, SERVER_FAILED, "this process runs no handlers");
        return Err(INTERNAL_SERVER_ERROR);
    };
    let (body, length) =
        if hooks.is_early { (Some(Body::new(Vec::new())), None) } else { take_body(request)? };
    let application = worker.mounted(mounted);
    let counted = (!hooks.is_early).then_some(mounted.counted);
    let head = RequestHead {
        content_length: length,
        no_body: request.is_head(),
        traced: request.takes(Level::Debug),
        tally: if counted.is_some() { application.tally() } else { Tally::default() },
        errand: Some(errand.for_head()),
        ..RequestHead::default()
    };
    launch(RequestLaunch { request, application, head, body, counted, errand: Some(hooks) })
}
