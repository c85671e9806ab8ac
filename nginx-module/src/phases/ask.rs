// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends handlers on their way, and knows what they have said.

use std::sync::Arc;

use gangway::{
    engine::PhaseErrand,
    phases::{HandlerPlace, PhaseAnswer, RequestPhase},
    sys::lock,
};
use nginx_sys::ngx_int_t;

use super::{WantedHandlers, apply, tell};
use crate::{
    conf::{LocationConf, MainConf},
    raw::{INTERNAL_SERVER_ERROR, Request},
    serve::memo,
    wsgi::{self, ErrandHooks},
};

/// Where the handlers of some phases are.
pub(super) enum Asked {
    /// There are none here.
    Nobody,
    /// They run.
    Running,
    /// They have said this, and have given no response.
    Said(PhaseAnswer),
}

/// Asks the handlers of these phases, once at a place.
///
/// # Errors
/// The status of the request.
pub(super) fn ask(request: Request, phases: &'static [RequestPhase]) -> Result<Asked, ngx_int_t> {
    let location = request.location::<LocationConf>();
    let Some(place) = place_of(request, &location, phases) else { return Ok(Asked::Nobody) };
    let Some(first) = phases.first().copied() else { return Ok(Asked::Nobody) };
    if let Some(errand) = memo::errand(request, first) {
        return Ok(errand.verdict().map_or(Asked::Running, Asked::Said));
    }
    let hooks = ErrandHooks { is_early: true, answers: apply::gives_head, passed: resume };
    send(request, &place, phases, hooks)?;
    Ok(Asked::Running)
}

/// The handlers of a location, if they have something to do in these phases, or others that were added to the request.
fn place_of(request: Request, location: &LocationConf, phases: &[RequestPhase]) -> Option<Arc<HandlerPlace>> {
    let place = location.handlers.place.as_ref();
    if let Some(place) = place.filter(|place| phases.iter().any(|phase| place.has(*phase))) {
        return Some(Arc::clone(place));
    }
    let transit = memo::transit(request)?;
    let is_asked = phases.iter().any(|phase| transit.has_added(*phase));
    is_asked.then(|| place.map(Arc::clone).unwrap_or_default())
}

/// The handlers of a location, whatever they do.
pub(super) fn place_at(location: &LocationConf) -> Arc<HandlerPlace> {
    location.handlers.place.as_ref().map(Arc::clone).unwrap_or_default()
}

/// Sends the handlers of these phases on their way.
///
/// # Errors
/// The status of the request.
pub(super) fn send(
    request: Request,
    place: &Arc<HandlerPlace>,
    phases: &'static [RequestPhase],
    hooks: ErrandHooks,
) -> Result<(), ngx_int_t> {
    let first = phases.first().copied().ok_or(INTERNAL_SERVER_ERROR)?;
    let noted = memo::note(request, |notes| {
        let transit = notes.transit(first);
        let errand = PhaseErrand::new(&transit, place, phases);
        notes.asks_phases(request, first, Arc::clone(&errand));
        errand
    });
    let errand = noted.map_err(|_| INTERNAL_SERVER_ERROR)?;
    tell::tell(request, place, &mut lock(&errand.transit().snapshot)).ok_or(INTERNAL_SERVER_ERROR)?;
    let main = request.http::<MainConf>();
    let mounted = main.kinds.get::<WantedHandlers>().and_then(|wanted| wanted.mounted.as_ref());
    wsgi::run_errand(request, mounted, errand, hooks)
}

/// They have run: nginx goes on with the phase, whose handler knows what they have said.
fn resume(request: Request) {
    match apply::changes(request) {
        Ok(()) => request.resume_phases(),
        Err(_) => request.finalize(INTERNAL_SERVER_ERROR),
    }
}

/// The status by which nginx ends the request. What is none that a client understands lets nobody pass.
pub(super) fn refusal(answer: PhaseAnswer) -> ngx_int_t {
    match answer {
        PhaseAnswer::Status(status @ 300..600) => status as ngx_int_t,
        _ => INTERNAL_SERVER_ERROR,
    }
}
