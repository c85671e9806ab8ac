// SPDX-License-Identifier: MIT OR Apache-2.0
//! Python in pages of mod_include, as mod_python has it.

use gangway::{
    engine::PhaseCall,
    phases::{Handler, PhaseAnswer, PlaceWords, RequestPhase},
};
use gangway_httpd::brigade::Brigade;

use super::{
    run::{application, clean_up, interpreter, options},
    transaction::Visited,
    wanted,
};
use crate::{
    raw::{self, Flow, Request, RequestState, Session, with_lease},
    wsgi,
};

/// What the engine's package has for each way in which an element is written.
const HANDLERS: [(&[u8], &[u8]); 2] =
    [(b"eval", b"mod_python._includes::evaluate"), (b"exec", b"mod_python._includes::execute")];

/// mod_include is told of the element where the configuration has handlers: without that a page runs no Python.
pub(crate) fn register_includes() {
    if wanted::number().is_some() {
        raw::register_include(include);
    }
}

/// Makes a part of a page. Answers whether it is made.
fn include<'r>(request: Request<'r>, way: &'static [u8], flow: Flow<'r>, page: &mut Brigade<'r>) -> bool {
    let session = Session::in_filter(request, flow);
    with_lease(session, |lease| {
        let visited = Visited::new(lease, request.is_subrequest(), false, clean_up);
        let is_made = is_made(request, way, &visited);
        lease.with(|session| session.end_part(page, !is_made)).is_some() && is_made
    })
}

fn is_made(request: Request<'_>, way: &[u8], visited: &Visited<'_>) -> bool {
    let Some(conf) = request.conf().map(|conf| conf.phases()) else { return false };
    let Some((_, name)) = HANDLERS.iter().find(|(known, _)| *known == way) else { return false };
    let Some((number, application)) = application(request) else { return false };
    let handlers = [Handler { phase: RequestPhase::OutputFilter, name, suffix: None, directory: b"" }];
    let options = options(conf);
    let call = PhaseCall {
        phase: RequestPhase::OutputFilter,
        interpreter: interpreter(request, conf, &handlers),
        handlers: &handlers,
        settings: PlaceWords::Lent(conf.settings),
        options: PlaceWords::Lent(&options),
        filter: b"INCLUDES",
    };
    let kept = RequestState::of(request).for_filter();
    let nested = wsgi::is_inside();
    let outcome = wsgi::inside(request, number, || application.run_phase(nested, visited, &call, kept));
    matches!(outcome, Ok(Some(PhaseAnswer::Done | PhaseAnswer::Declined | PhaseAnswer::Over)))
}
