// SPDX-License-Identifier: MIT OR Apache-2.0
//! The content handler: from httpd's request to a running application.

use std::ffi::c_int;

use gangway::{
    report,
    {
        error::SERVER_FAILED,
        exchange::RequestHead,
        log::{Level, RequestLog},
        runtime::Threads,
    },
};

use crate::{
    applications,
    body::{self, Advance, Whole},
    cgi, claim, direct, managed, mount,
    raw::{Choice, DECLINED, INTERNAL_SERVER_ERROR, Request, ScriptRequest, Session},
    relay, variables,
};

pub(crate) fn serve(request: Request<'_>) -> c_int {
    if request.is_script() {
        return cgi::serve(request);
    }
    let is_program = managed::is_program(request);
    if !is_program && !claim::is_ours(request) {
        return DECLINED;
    }
    let Some(conf) = request.conf() else { return DECLINED };
    let number = match conf.choice() {
        Choice::Run(number) if !is_program => number,
        Choice::Hosted(number) if !is_program => return managed::serve_application(request, conf, number),
        Choice::Program(number) if is_program => return managed::serve_program(request, conf, number),
        // Declining would send the source of a script to the client.
        _ if is_program => return INTERNAL_SERVER_ERROR,
        _ => return DECLINED,
    };
    let Some(application) = applications::application(number) else {
        report!(request, Error, SERVER_FAILED, "this process runs no applications");
        return INTERNAL_SERVER_ERROR;
    };
    let config = application.config();
    let mount = mount::mount(request, conf.section(), conf.path());
    let mut session = Session::new(request);
    let found = body::body_length(request).and_then(|length| {
        let Advance { length, whole } = body::advance(&mut session, length)?;
        let variables = variables::build(request, conf, mount, length, config.pass_authorization())?;
        let content_length = length.known();
        let head = RequestHead {
            variables,
            content_length,
            no_body: request.is_head(),
            traced: request.takes(Level::Debug),
        };
        Ok((head, whole.map(Whole::into_body)))
    });
    match (found, application.threads()) {
        (Err(status), _) => status,
        (Ok((head, whole)), Threads::Server) => direct::run(session, application, number, head, whole),
        (Ok((head, whole)), Threads::Own) => relay::run(session, application, head, whole, config.timeout()),
    }
}
