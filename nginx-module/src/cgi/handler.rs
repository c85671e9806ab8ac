// SPDX-License-Identifier: MIT OR Apache-2.0
//! From nginx's request to a script that can be started.

use std::rc::Rc;

use gangway::{
    cgi::{Extra, Form, Location, ResponseParser},
    engine::fence,
    error::{CGI_REDIRECT, CGI_REFUSED, SERVER_FAILED},
    http::Fields,
    report,
    run::{Words, words},
};
use nginx_sys::{ngx_http_request_t, ngx_int_t};

use super::{programs::Programs, run::ScriptRun, script::Script, scripts, stdin, target::ScriptTarget};
use crate::{
    conf::{Handler, LocationConf, MainConf},
    raw::{Balancer, ERROR, INTERNAL_SERVER_ERROR, INVALID_HEADER, InCycle, OK, Request, own},
    serve::{
        accel,
        memo::{self, InternalRedirect},
        variables::{self, Shape},
    },
    upstream,
};

pub(crate) unsafe extern "C" fn content_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("cgi::content_handler", INTERNAL_SERVER_ERROR, || {
        // SAFETY: nginx calls a content handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        let location = request.location::<LocationConf>();
        request.leave_conditions_to_the_handler();
        let programs = location.handler.as_ref().and_then(Handler::shared_settings);
        let Some(programs) = programs else { return INTERNAL_SERVER_ERROR };
        match start(request, location, programs) {
            Ok(stream) => request.read_body(stream, upstream::body_ready),
            Err(status) => status,
        }
    })
}

/// Makes the request's upstream. Answers whether the body is sent while it comes in.
///
/// # Errors
/// The status that answers it.
fn start(
    request: Request,
    location: InCycle<LocationConf>,
    programs: Rc<Programs>,
) -> Result<bool, ngx_int_t> {
    if memo::redirected_here_by(request) == Some(InternalRedirect::Accel) {
        // The path of such a request may come from a client.
        report!(request, Error, CGI_REDIRECT, "the target of X-Accel-Redirect is a script");
        return Err(INTERNAL_SERVER_ERROR);
    }
    let target = ScriptTarget::of(request, &programs)?;
    let (script, head_size) =
        ((target.file.as_slice(), Form::of(&target.file)), programs.settings.head_size());
    let upstream = upstream::prepare_script(request, location, script, head_size)?;
    let run = ScriptRun::new(request, programs, target);
    // SAFETY: the pool of a live request.
    let run = unsafe { own(request.pool(), run) };
    if run.is_null() {
        return Err(INTERNAL_SERVER_ERROR);
    }
    upstream.set_head_functions(create_request, process_header);
    upstream.set_balancer(Balancer { get: None, free: None, data: run.cast() });
    Ok(location.upstream.conf.request_buffering == 0)
}

unsafe extern "C" fn create_request(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("cgi::create_request", ERROR, || {
        let make = |run: &mut ScriptRun| {
            let Some(words) = tell(run) else { return ERROR };
            run.words = words;
            if stdin::prepare(run) { OK } else { ERROR }
        };
        // SAFETY: nginx calls this with a live request whose upstream `start` has made; nothing here ends it.
        unsafe { upstream::within(Request::from_raw(r), || ScriptRun::with(r, make)) }.unwrap_or(ERROR)
    })
}

/// What the script is told, or the status that answers the request instead of it. `None` without memory.
fn tell(run: &ScriptRun) -> Option<Result<Words, ngx_int_t>> {
    let (request, target) = (run.request, &run.target);
    let Some(variables) = tell_variables(run) else {
        report!(request, Error, SERVER_FAILED, "nginx has no memory for the variables of a script");
        return None;
    };
    upstream::with_trace(request, |trace| trace.identify(&variables));
    let words = words(&run.programs.settings, &variables, &target.file, target.executable);
    Some(words.map_err(|error| {
        report!(request, Error, CGI_REFUSED, "{error}");
        error.status() as ngx_int_t
    }))
}

fn tell_variables(run: &ScriptRun) -> Option<Fields> {
    let (request, target) = (run.request, &run.target);
    let (main, location) = (request.http::<MainConf>(), request.location::<LocationConf>());
    // RFC 3875 §4.1.6: where the server would look for PATH_INFO.
    let translated = match target.path_info.as_slice() {
        b"" => Vec::new(),
        info => {
            let root = match &target.root {
                Some(root) => root,
                None => request.document_root()?,
            };
            [root.strip_suffix(b"/").unwrap_or(root), info].concat()
        }
    };
    let mut extra: Vec<Extra<'_>> = vec![(b"SCRIPT_FILENAME", [&target.file, b""])];
    if !translated.is_empty() {
        extra.push((b"PATH_TRANSLATED", [&translated, b""]));
    }
    let whole = [target.script_name.as_slice(), &target.path_info].concat();
    let shape = Shape {
        mount: &target.script_name,
        path: &whole,
        length: if request.streams_body() { request.announced_length() } else { stdin::length(request) },
        extra: &extra,
        cacheable: request.upstream()?.is_cacheable(),
        headers: location.upstream.conf.pass_request_headers != 0,
        authorization: run.programs.settings.pass_authorization(),
        ..Shape::default()
    };
    variables::build(request, &main, &location, &shape)
}

unsafe extern "C" fn process_header(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls this with a live request whose upstream `start` has made.
    let status = unsafe { upstream::process_header(r) };
    fence("cgi::process_header", ERROR, || {
        // SAFETY: nginx calls this with a live request whose upstream `start` has made; nothing here ends it.
        let found = unsafe { ScriptRun::with(r, |run| (run.id, run.request)) };
        let Some((id, request)) = found else { return ERROR };
        let status = upstream::with_script_parser(request, |parser| look(id, request, parser, status))
            .unwrap_or(ERROR);
        scripts::act(id);
        status
    })
}

/// What nginx is answered when [`upstream::process_header`] has given `status`.
fn look(id: u32, request: Request, parser: &ResponseParser, status: ngx_int_t) -> ngx_int_t {
    if status == INVALID_HEADER {
        let refuse =
            |script: &mut Script| script.life.handle_refused_head("its output is refused", parser.raw());
        scripts::with_script(id, refuse);
    }
    if status != OK {
        return status;
    }
    scripts::with_script(id, |script| {
        script.life.handle_head();
        script.has_head = true;
    });
    if let Some(Location::Local(text)) = parser.head().location() {
        // RFC 3875 §6.2.2: the server answers with another document.
        let Ok(target) = accel::local_target(request, text) else {
            scripts::with_script(id, |script| script.is_elsewhere = true);
            return INVALID_HEADER;
        };
        if let Err(status) = upstream::redirect_script(request, &target, text) {
            return status;
        }
    }
    OK
}
