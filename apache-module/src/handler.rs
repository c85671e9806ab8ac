// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content handler: from httpd's request to a running application.

use std::ffi::c_int;

use gangway::{error::SERVER_FAILED, exchange::RequestHead, log::Level, pool::Refusal, runtime::Application};

use crate::{
    body::{self, Advance, Whole},
    cgi, claim, direct, lifecycle,
    raw::{
        BAD_REQUEST, BodyLength, Choice, DECLINED, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, Request,
        SERVICE_UNAVAILABLE, Session,
    },
    relay, variables,
};

pub(crate) fn serve(request: Request<'_>) -> c_int {
    if request.is_script() {
        return cgi::serve(request);
    }
    if !request.is_ours() {
        return DECLINED;
    }
    let Some(conf) = request.conf() else { return DECLINED };
    let Choice::Run(number) = conf.choice() else { return DECLINED };
    let Some(application) = lifecycle::application(number) else {
        request.log(Level::Error, &format!("{SERVER_FAILED} this process runs no applications"));
        return INTERNAL_SERVER_ERROR;
    };
    let config = application.config();
    let mount = claim::mount(request, conf.section(), conf.path(request));
    let mut session = Session::new(request);
    let found = body_length(request).and_then(|length| {
        let Advance { length, whole } = body::advance(&mut session, length)?;
        let variables = variables::build(request, &conf, mount, length, config.pass_authorization())?;
        let content_length = length.known();
        let head = RequestHead { variables, content_length, no_body: request.is_head() };
        Ok((head, whole.map(Whole::into_body)))
    });
    match (found, config.timeout()) {
        (Err(status), _) => status,
        (Ok((head, whole)), None) => direct::run(session, application, number, head, whole),
        (Ok((head, whole)), Some(timeout)) => relay::run(session, application, head, whole, timeout),
    }
}

/// The length of a body that may be read.
pub(crate) fn body_length(request: Request<'_>) -> Result<BodyLength, c_int> {
    match request.body_length() {
        BodyLength::Invalid => Err(BAD_REQUEST),
        BodyLength::Known(length) => body::check_limit(request, length).map(|()| BodyLength::Known(length)),
        BodyLength::Chunked => Ok(BodyLength::Chunked),
    }
}

/// Answers a request that no handler takes.
pub(crate) fn refuse(request: Request<'_>, application: &Application, refusal: Refusal) -> c_int {
    if let Some(line) = application.refusal_line(refusal) {
        request.log(Level::Error, &line);
    }
    if refusal == Refusal::Deadline {
        return GATEWAY_TIME_OUT;
    }
    request.set_error_header(c"Retry-After", c"1");
    SERVICE_UNAVAILABLE
}
