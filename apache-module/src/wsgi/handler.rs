// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content handler: from httpd's request to a running application.

use std::ffi::c_int;

use gangway::{
    error::SERVER_FAILED,
    exchange::{RequestHead, Wire},
    log::{Level, RequestLog},
    report,
    runtime::Threads,
};

use super::{applications, direct, relay};
use crate::{
    body::{self, Advance, Whole},
    mount,
    raw::{BodyLength, INTERNAL_SERVER_ERROR, Request, Session},
    socket, variables,
};

/// Serves a request for the application with this number.
pub(crate) fn serve(request: Request<'_>, number: usize) -> c_int {
    let Some(conf) = request.conf() else { return INTERNAL_SERVER_ERROR };
    let Some(application) = applications::application(number) else {
        report!(request, Error, SERVER_FAILED, "this process runs no applications");
        return INTERNAL_SERVER_ERROR;
    };
    let config = application.config();
    let asked = match socket::offer(request, config) {
        Ok(asked) => asked,
        Err(status) => return status,
    };
    let mount = mount::mount(request, conf.section(), conf.path());
    let mut session = Session::new(request);
    // What follows a handshake is no body, also where mod_http2 says that one of unknown length follows.
    let announced = if asked.is_some() { Ok(BodyLength::Known(0)) } else { body::body_length(request) };
    let found = announced.and_then(|length| {
        let Advance { length, whole } = body::advance(&mut session, length)?;
        let authorization = config.pass_authorization();
        let (mut variables, mut wire) = if config.has_fields() {
            let (variables, fields) = variables::build_apart(request, conf, mount, length, authorization)?;
            let has_interim = request.has_interim_responses() && !request.is_subrequest();
            let local_port = request.local_port();
            // httpd 2.4 has no place for trailers of a response.
            (variables, Some(Box::new(Wire { fields, local_port, has_interim, has_trailers: false })))
        } else {
            (variables::build(request, conf, mount, length, authorization)?, None)
        };
        if asked.is_some() {
            // It may stay for hours.
            variables.shrink();
            wire.iter_mut().for_each(|wire: &mut Box<Wire>| wire.fields.shrink());
        }
        let content_length = length.known();
        let head = RequestHead {
            variables,
            content_length,
            no_body: request.is_head(),
            traced: request.takes(Level::Debug),
            tally: application.tally(),
            wire,
            socket: asked.as_ref().map(|asked| asked.offer.clone()),
            errand: None,
        };
        Ok((head, whole.map(Whole::into_body)))
    });
    match (found, application.threads()) {
        (Err(status), _) => status,
        (Ok((head, whole)), Threads::Server) => direct::run(session, application, number, head, whole),
        (Ok((head, whole)), Threads::Own) => relay::run(session, (application, number), head, whole),
    }
}
