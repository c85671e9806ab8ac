// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content handler: from httpd's request to a running application.

use std::ffi::c_int;

use gangway::{
    error::{REQUEST_REFUSED, SERVER_FAILED},
    exchange::RequestHead,
    log::Level,
    pool::Refusal,
    runtime::Application,
};

use crate::{
    cgi, claim, direct, lifecycle,
    raw::{
        BAD_REQUEST, BodyLength, Choice, DECLINED, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, Request,
        SERVICE_UNAVAILABLE, TOO_LARGE,
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
    let head = body_length(request).and_then(|length| {
        let variables = variables::build(request, &conf, mount, length, config.pass_authorization())?;
        let content_length = match length {
            BodyLength::Known(length) => Some(length),
            BodyLength::Chunked | BodyLength::Invalid => None,
        };
        Ok(RequestHead { variables, content_length, no_body: request.is_head() })
    });
    match (head, config.timeout()) {
        (Err(status), _) => status,
        (Ok(head), None) => direct::run(request, application, number, head),
        (Ok(head), Some(timeout)) => relay::run(request, application, head, timeout),
    }
}

/// The length of a body that may be read.
pub(crate) fn body_length(request: Request<'_>) -> Result<BodyLength, c_int> {
    match request.body_length() {
        BodyLength::Invalid => Err(BAD_REQUEST),
        BodyLength::Known(length) if length > request.body_limit() && request.body_limit() > 0 => {
            let limit = request.body_limit();
            let line = format!(
                "{REQUEST_REFUSED} a request body of {length} bytes is larger than LimitRequestBody {limit}"
            );
            request.log(Level::Info, &line);
            Err(TOO_LARGE)
        }
        length => Ok(length),
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
