// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters: one run of a handler for each piece of a body that passes.

use std::ffi::c_int;

use gangway::{
    engine::PhaseCall,
    error::SERVER_FAILED,
    log,
    phases::{Handler, PhaseAnswer, PlaceWords},
    report,
};

use super::{
    run::{application, clean_up, interpreter, options},
    transaction::Visited,
};
use crate::{
    phase_conf::PhaseConf,
    raw::{FilterState, Flow, INTERNAL_SERVER_ERROR, Request, RequestState, Session, with_lease},
    wsgi,
};

/// One run of a filter. Answers a status of APR's.
pub(crate) fn filter<'r>(request: Request<'r>, state: &FilterState, flow: Flow<'r>) -> c_int {
    let session = Session::in_filter(request, flow);
    with_lease(session, |lease| {
        let visited = Visited::new(lease, request.is_subrequest(), false, clean_up);
        let failed = !is_done(request, state, &visited);
        lease.with(|session| session.end_filter(state, failed)).unwrap_or(INTERNAL_SERVER_ERROR)
    })
}

fn is_done(request: Request<'_>, state: &FilterState, visited: &Visited<'_>) -> bool {
    let Some(conf) = request.conf().map(|conf| conf.phases()) else { return false };
    let Some(handler) = state.handler().or_else(|| configured(conf, state)) else {
        let name = log::escape(state.name());
        report!(
            request,
            Error,
            SERVER_FAILED,
            "no directive of this place names a handler for the filter \"{name}\""
        );
        return false;
    };
    let Some((number, application)) = application(request) else { return false };
    let (options, handlers) = (options(conf), [handler]);
    let call = PhaseCall {
        phase: state.phase(),
        interpreter: interpreter(request, conf, &handlers),
        handlers: &handlers,
        settings: PlaceWords::Lent(conf.settings),
        options: PlaceWords::Lent(&options),
        filter: state.name(),
    };
    let kept = RequestState::of(request).for_filter();
    let nested = wsgi::is_inside();
    let outcome = wsgi::inside(request, number, || application.run_phase(nested, visited, &call, kept));
    matches!(outcome, Ok(Some(PhaseAnswer::Done | PhaseAnswer::Declined | PhaseAnswer::Over)))
}

/// The handler that the configuration has for a filter of this name.
fn configured<'r>(conf: &PhaseConf<'r>, state: &FilterState) -> Option<Handler<'r>> {
    let is_meant = |handler: &&Handler<'_>| {
        handler.phase == state.phase()
            && handler.suffix.is_some_and(|name| name.eq_ignore_ascii_case(state.name()))
    };
    conf.handlers.iter().rev().find(is_meant).copied()
}
