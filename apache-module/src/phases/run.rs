// SPDX-License-Identifier: MIT OR Apache-2.0
//! One run of handlers, on the thread that has the request.

use std::{ffi::c_int, sync::Arc};

use gangway::{
    engine::PhaseCall,
    error::SERVER_FAILED,
    phases::{Handler, PhaseAnswer, PlaceWords, RequestPhase, chosen},
    report,
    runtime::Application,
};
use gangway_httpd::DONE;

use super::{transaction::Visited, wanted};
use crate::{
    phase_conf::PhaseConf,
    raw::{
        DECLINED, INTERNAL_SERVER_ERROR, OK, Request, RequestState, SERVICE_UNAVAILABLE, Session, with_lease,
    },
    wsgi,
};

/// Runs the handlers that the request has in this phase.
pub(super) fn run(request: Request<'_>, phase: RequestPhase) -> c_int {
    let Some(conf) = request.conf().map(|conf| conf.phases()) else { return DECLINED };
    let handlers = all_handlers(request, conf, phase);
    if handlers.is_empty() { DECLINED } else { answer(request, phase, conf, &handlers) }
}

/// Those of the configuration, and behind them those that other handlers have added.
fn all_handlers<'r>(request: Request<'r>, conf: &PhaseConf<'r>, phase: RequestPhase) -> Vec<Handler<'r>> {
    let mut handlers = Vec::new();
    if conf.has(phase) {
        handlers.extend(chosen(conf.handlers, phase, request.filename()));
    }
    if let Some(kept) = RequestState::found(request) {
        handlers.extend(kept.added(request, phase));
    }
    handlers
}

/// The handlers of a phase.
pub(super) fn handlers(request: Request<'_>, phase: RequestPhase) -> Vec<Handler<'_>> {
    request.conf().map(|conf| all_handlers(request, conf.phases(), phase)).unwrap_or_default()
}

/// Whether there are any.
pub(super) fn has_handlers(request: Request<'_>, phase: RequestPhase) -> bool {
    !handlers(request, phase).is_empty()
}

/// Has the last phase run at the end of the request.
pub(super) fn await_cleanup(request: Request<'_>) {
    RequestState::of(request).await_end(request, clean_up);
}

/// The last phase.
pub(super) fn clean_up(request: Request<'_>) {
    if let Some(conf) = request.conf().map(|conf| conf.phases()) {
        let handlers = all_handlers(request, conf, RequestPhase::Cleanup);
        let _not_looked_at = answer(request, RequestPhase::Cleanup, conf, &handlers);
    }
}

fn answer(
    request: Request<'_>,
    phase: RequestPhase,
    conf: &PhaseConf<'_>,
    handlers: &[Handler<'_>],
) -> c_int {
    answer_with(request, phase, conf, handlers, &[])
}

/// Runs handlers, which are told something besides what the configuration says.
pub(super) fn answer_with(
    request: Request<'_>,
    phase: RequestPhase,
    conf: &PhaseConf<'_>,
    handlers: &[Handler<'_>],
    told: &[(&[u8], &[u8])],
) -> c_int {
    let Some((number, application)) = application(request) else { return INTERNAL_SERVER_ERROR };
    let kept = RequestState::of(request);
    let Some(state) = kept.begin() else {
        // A handler runs inside of itself.
        report!(request, Error, SERVER_FAILED, "a phase of this request is at work already");
        return INTERNAL_SERVER_ERROR;
    };
    let mut options = options(conf);
    options.extend_from_slice(told);
    let call = PhaseCall {
        phase,
        interpreter: interpreter(request, conf, handlers),
        handlers,
        settings: PlaceWords::Lent(conf.settings),
        options: PlaceWords::Lent(&options),
        filter: b"",
    };
    let nested = wsgi::is_inside();
    let mut session = Session::new(request);
    session.resume();
    with_lease(session, |lease| {
        let visited = Visited::new(lease, request.is_subrequest(), phase.has_bodies(), clean_up);
        let visited = if phase == RequestPhase::Content && !nested { visited.outermost() } else { visited };
        let outcome =
            wsgi::inside(request, number, || application.run_phase(nested, &visited, &call, &state));
        let answer = match outcome {
            Ok(Some(PhaseAnswer::Done)) => OK,
            Ok(Some(PhaseAnswer::Declined)) => DECLINED,
            Ok(Some(PhaseAnswer::Over)) => DONE,
            Ok(Some(PhaseAnswer::Status(status))) => status.into(),
            Ok(None) => INTERNAL_SERVER_ERROR,
            Err(_) => SERVICE_UNAVAILABLE,
        };
        // httpd would put an error page behind what the client has already.
        let ends = phase == RequestPhase::Content && matches!(answer, OK | DONE);
        if visited.finish(answer >= INTERNAL_SERVER_ERROR, ends) { DONE } else { answer }
    })
}

/// What stands for all handlers in this process.
pub(super) fn application(request: Request<'_>) -> Option<(usize, &'static Arc<Application>)> {
    let number = wanted::number();
    let found = number.and_then(|number| wsgi::application(number).map(|application| (number, application)));
    if found.is_none() {
        report!(request, Error, SERVER_FAILED, "this process runs no handlers");
    }
    found
}

/// The handlers' own words.
pub(super) fn options<'r>(conf: &PhaseConf<'r>) -> Vec<(&'r [u8], &'r [u8])> {
    conf.options.iter().filter(|(_, value)| !value.is_empty()).copied().collect()
}

/// Whose modules the handlers use: a name that the configuration gives, a directory, or the name of the virtual host.
pub(super) fn interpreter<'r>(
    request: Request<'r>,
    conf: &PhaseConf<'r>,
    handlers: &[Handler<'r>],
) -> &'r [u8] {
    if let Some(name) = conf.setting(b"PythonInterpreter") {
        return name;
    }
    let is_on = |name: &[u8]| conf.setting(name) == Some(b"1");
    if is_on(b"PythonInterpPerDirectory") {
        let filename = request.filename();
        let end = filename.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        return filename.get(..end).unwrap_or_default();
    }
    if is_on(b"PythonInterpPerDirective") {
        return handlers.first().map_or(b"", |handler| handler.directory);
    }
    request.fact(gangway::phases::Fact::ServerHostname).unwrap_or_default()
}
