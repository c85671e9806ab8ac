// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content phase: as gangway_pass, with the application's own view of the path.

use gangway::engine::fence;
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::service::Service;
use crate::{
    conf::LocationConf,
    raw::{DECLINED, INTERNAL_SERVER_ERROR, Request},
    serve::accel,
    upstream,
};

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("managed::content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        let Some(service) = location.settings::<Service>() else { return INTERNAL_SERVER_ERROR };
        if service.mount.is_some() && accel::leads_to_application(request) {
            return INTERNAL_SERVER_ERROR;
        }
        request.leave_conditions_to_the_handler();
        if let Some(line) = service.no_sockets_line(&request) {
            line.tell(&request);
        }
        let mount = service.mount.as_deref().map(|mount| (mount, service.managed.has_handlers()));
        match upstream::prepare_managed(request, location, mount) {
            Ok(stream) => {
                if service.mount.is_some() {
                    upstream::with_trace(request, |trace| trace.name(service.managed.name().to_owned()));
                }
                request.read_body(stream, upstream::body_ready)
            }
            Err(status) => status,
        }
    })
}

/// The handler of the phase before that of the content: PHP gets scripts, and nginx's own handlers what lies beside them, as
/// images and folders with an index.
pub(crate) unsafe extern "C" fn leave_files(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("managed::leave_files", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a phase handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        let service = location.settings::<Service>();
        if service.is_some_and(|service| service.managed.runs_any_file())
            && upstream::is_no_script(request, &location)
        {
            request.leave_to_phase_handlers();
        }
        DECLINED
    })
}
