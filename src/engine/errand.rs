// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of phases on threads of the pool: what such a thread does with a request in the place of calling its handler.

use std::{
    any::Any,
    sync::{Arc, Mutex, OnceLock},
};

use super::{
    app::App,
    phases::{PhaseCall, PhaseState},
};
use crate::{
    error::NOBODY_LET_IN,
    exchange::{Errand, Exchange, Outcome},
    phases::{
        Fact, Handler, HandlerPlace, Number, OwnedHandler, PhaseAnswer, RequestPhase, Snapshot,
        SnapshotVisit, Transaction,
    },
    sys::lock,
};

/// A request on its way through the phases: what handlers see of it, and what the engine keeps for it meanwhile.
#[derive(Debug, Default)]
pub struct Transit {
    /// As handlers see it.
    pub snapshot: Mutex<Snapshot>,
    pub(super) state: Mutex<PhaseState>,
}

impl Transit {
    /// A request of which this is known.
    #[must_use]
    pub fn of(snapshot: Snapshot) -> Self {
        Self { snapshot: Mutex::new(snapshot), state: Mutex::default() }
    }

    /// The same request at another place of the server: handlers see a new one there.
    #[must_use]
    pub fn begin_anew(&self) -> Self {
        let mut snapshot = std::mem::take(&mut *lock(&self.snapshot));
        snapshot.begin_anew();
        Self { snapshot: Mutex::new(snapshot), state: Mutex::default() }
    }

    /// As it is seen now, for handlers that run beside others: one object of the engine is for one run at a time.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { snapshot: Mutex::new(lock(&self.snapshot).clone()), state: Mutex::default() }
    }

    /// Runs handlers of a place. `None`: they could not be run.
    pub(super) fn run_handlers(
        &self,
        app: &App,
        transaction: &dyn Transaction,
        place: &HandlerPlace,
        (phase, filter): (RequestPhase, &[u8]),
        handlers: &[Handler<'_>],
    ) -> Option<PhaseAnswer> {
        let (settings, options) = (place.settings(), place.options());
        let name;
        let interpreter = match place.interpreter() {
            Some(known) => known,
            None => {
                let mut snapshot = lock(&self.snapshot);
                name = snapshot.text(Fact::ServerHostname).map(<[u8]>::to_vec).unwrap_or_default();
                &name
            }
        };
        let call = PhaseCall { phase, filter, interpreter, handlers, settings, options };
        // One run of a request at a time: the next begins when the server knows of the end of this one.
        let state = lock(&self.state);
        app.run_phase(transaction, &call, &state)
    }

    /// Whether handlers of this request have added some for a phase.
    #[must_use]
    pub fn has_added(&self, phase: RequestPhase) -> bool {
        lock(&self.snapshot).has_added(phase)
    }

    /// The handlers of a phase at a place for this request.
    pub(super) fn chosen<'p>(&self, place: &'p HandlerPlace, phase: RequestPhase) -> Vec<Handler<'p>> {
        let filename = if place.goes_by_suffix() {
            lock(&self.snapshot).text(Fact::Filename).map(<[u8]>::to_vec)
        } else {
            None
        };
        place.chosen(phase, &filename.unwrap_or_default())
    }
}

/// One run of handlers: those of some phases, one behind the other, as long as each lets the next one run.
#[derive(Debug)]
pub struct PhaseErrand {
    transit: Arc<Transit>,
    place: Arc<HandlerPlace>,
    phases: &'static [RequestPhase],
    verdict: OnceLock<PhaseAnswer>,
}

const UNAUTHORIZED: PhaseAnswer = PhaseAnswer::Status(401);
const FORBIDDEN: PhaseAnswer = PhaseAnswer::Status(403);
const FAILED: PhaseAnswer = PhaseAnswer::Status(500);

impl Errand for PhaseErrand {
    fn run(&self, application: &dyn Any, exchange: &Exchange) {
        if let Some(app) = application.downcast_ref() {
            self.run_in(app, exchange);
        }
    }

    fn label(&self) -> Option<[Vec<u8>; 2]> {
        // A handler may ask the file system meanwhile.
        let snapshot = self.transit.snapshot.try_lock().ok()?;
        Some(
            [Fact::Method, Fact::UnparsedUri]
                .map(|fact| snapshot.pathless(fact).unwrap_or_default().to_vec()),
        )
    }

    fn answers(&self) -> bool {
        self.phases == [RequestPhase::Content]
    }
}

impl PhaseErrand {
    /// Of these phases, in this order. One with `Content` has no other.
    #[must_use]
    pub fn new(
        transit: &Arc<Transit>,
        place: &Arc<HandlerPlace>,
        phases: &'static [RequestPhase],
    ) -> Arc<Self> {
        let (transit, place) = (Arc::clone(transit), Arc::clone(place));
        Arc::new(Self { transit, place, phases, verdict: OnceLock::new() })
    }

    /// What the last handler that ran has answered; `None` before the end. [`PhaseAnswer::Done`]: all phases let the request pass.
    /// A response that has begun has gone out meanwhile.
    #[must_use]
    pub fn verdict(&self) -> Option<PhaseAnswer> {
        self.verdict.get().copied()
    }

    /// The request.
    #[must_use]
    pub fn transit(&self) -> &Arc<Transit> {
        &self.transit
    }

    /// For [`RequestHead::errand`](crate::exchange::RequestHead).
    #[must_use]
    pub fn for_head(self: Arc<Self>) -> Arc<dyn Errand> {
        self
    }

    /// Runs them. THREAD: pool thread, between enter() and leave().
    fn run_in(&self, app: &App, exchange: &Exchange) {
        let gives_content = self.phases == [RequestPhase::Content];
        let phase = self.phases.first().copied().unwrap_or(RequestPhase::Content);
        let visit = SnapshotVisit::new(&self.transit.snapshot, exchange, phase);
        let verdict = self.run_phases(app, &visit);
        let verdict = self.end(exchange, &visit, verdict, gives_content);
        // Before the server is told.
        let _first = self.verdict.set(verdict);
        let outcome = match verdict {
            _ if !exchange.has_head() => Outcome::Passed(status_of(verdict)),
            PhaseAnswer::Status(status) if status >= 300 => Outcome::Failed,
            _ => Outcome::Complete,
        };
        if outcome == Outcome::Complete {
            exchange.measure();
        }
        // The error is that somebody else has ended it: the client has left.
        let _ = exchange.finish(outcome);
    }

    /// Begins the response where handlers have given one without a byte of a body.
    pub(super) fn end(
        &self,
        exchange: &Exchange,
        visit: &SnapshotVisit<'_>,
        verdict: PhaseAnswer,
        gives_content: bool,
    ) -> PhaseAnswer {
        if exchange.has_head() || lock(&self.transit.snapshot).has_target() {
            return verdict;
        }
        let is_response = match verdict {
            PhaseAnswer::Over => true,
            PhaseAnswer::Done => gives_content,
            PhaseAnswer::Status(status @ 200..300) => {
                lock(&self.transit.snapshot).set_number(Number::Status, status.into())
            }
            PhaseAnswer::Status(..200) => return FAILED,
            PhaseAnswer::Declined | PhaseAnswer::Status(_) => false,
        };
        if is_response && visit.begin().is_err() {
            return FAILED;
        }
        verdict
    }

    pub(super) fn run_phases(&self, app: &App, visit: &SnapshotVisit<'_>) -> PhaseAnswer {
        let mut last = PhaseAnswer::Declined;
        for phase in self.phases.iter().copied() {
            let added = lock(&self.transit.snapshot).added(phase);
            let mut handlers = self.transit.chosen(&self.place, phase);
            handlers.extend(added.iter().map(OwnedHandler::lend));
            if handlers.is_empty() {
                continue;
            }
            let ran = self.transit.run_handlers(app, visit, &self.place, (phase, b""), &handlers);
            last = ran.unwrap_or(FAILED);
            match (phase, last) {
                // The server asks nobody else who the client is and what it may.
                (RequestPhase::Authen, PhaseAnswer::Declined) => {
                    return self.refuse(visit, phase, UNAUTHORIZED);
                }
                (RequestPhase::Authz, PhaseAnswer::Declined) => return self.refuse(visit, phase, FORBIDDEN),
                (_, PhaseAnswer::Done | PhaseAnswer::Declined) => {}
                _ => break,
            }
        }
        last
    }

    fn refuse(&self, visit: &SnapshotVisit<'_>, phase: RequestPhase, answer: PhaseAnswer) -> PhaseAnswer {
        let what = if phase == RequestPhase::Authen { "authen" } else { "authz" };
        let line = format!(
            "{NOBODY_LET_IN} every handler of the phase {what} has declined, and nobody else is asked: one of them must \
             answer OK to let a client in"
        );
        visit.facts().log(crate::log::Level::Error, &line);
        answer
    }
}

/// As what a request counts whose response the server gives.
fn status_of(verdict: PhaseAnswer) -> u16 {
    match verdict {
        PhaseAnswer::Status(status) => status,
        _ => 200,
    }
}
