// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filters on threads of the pool: a run for each piece of a body that passes.

use std::{
    any::Any,
    iter,
    sync::{Arc, Mutex, OnceLock},
};

use super::{app::App, errand::Transit};
use crate::{
    exchange::{Errand, Exchange, Outcome, Piece, Stop, Wait},
    phases::{FilterSink, FilterVisit, Handler, HandlerPlace, OwnedHandler, PhaseAnswer, RequestPhase},
    sys::lock,
};

/// The filters of one response, each behind the other.
#[derive(Debug)]
pub struct FilterChain {
    transit: Arc<Transit>,
    place: Arc<HandlerPlace>,
    /// Which of them are not to be called again.
    passing: Mutex<Vec<bool>>,
}

/// What a run says of those to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterOutcome {
    /// The body has ended: nothing passes any more.
    pub is_over: bool,
    /// No filter wants to see what comes.
    pub passes_always: bool,
}

/// One run.
#[derive(Debug)]
pub struct FilterErrand {
    chain: Arc<FilterChain>,
    piece: Mutex<Vec<u8>>,
    is_last: bool,
    outcome: OnceLock<FilterOutcome>,
}

impl FilterChain {
    /// Those of a place for a request. Nobody else runs handlers with this `transit` meanwhile.
    #[must_use]
    pub fn new(transit: Arc<Transit>, place: &Arc<HandlerPlace>) -> Arc<Self> {
        Arc::new(Self { transit, place: Arc::clone(place), passing: Mutex::default() })
    }

    /// A run for a piece, with `is_last` the last one.
    #[must_use]
    pub fn run(self: &Arc<Self>, piece: Vec<u8>, is_last: bool) -> Arc<FilterErrand> {
        let piece = Mutex::new(piece);
        Arc::new(FilterErrand { chain: Arc::clone(self), piece, is_last, outcome: OnceLock::new() })
    }
}

impl Errand for FilterErrand {
    fn run(&self, application: &dyn Any, exchange: &Exchange) {
        if let Some(app) = application.downcast_ref() {
            self.run_in(app, exchange);
        }
    }
}

impl FilterErrand {
    /// For [`RequestHead::errand`](crate::exchange::RequestHead).
    #[must_use]
    pub fn for_head(self: Arc<Self>) -> Arc<dyn Errand> {
        self
    }

    /// What it says of those to come, at its end.
    #[must_use]
    pub fn outcome(&self) -> Option<FilterOutcome> {
        self.outcome.get().copied()
    }

    /// Runs it. THREAD: pool thread, between enter() and leave().
    fn run_in(&self, app: &App, exchange: &Exchange) {
        let outcome = match self.pass(app, exchange) {
            Ok(outcome) => {
                // Before the server is told.
                let _first = self.outcome.set(outcome);
                Outcome::Complete
            }
            Err(_) => Outcome::Failed,
        };
        // The error is that somebody else has ended it: the client has left.
        let _ = exchange.finish(outcome);
    }

    fn pass(&self, app: &App, exchange: &Exchange) -> Result<FilterOutcome, Stop> {
        // The server has the head of its response; an exchange wants one before a body.
        exchange.start(200, b"", iter::empty())?;
        let FilterChain { transit, place, passing } = &*self.chain;
        let added = lock(&transit.snapshot).added(RequestPhase::OutputFilter);
        let mut handlers = transit.chosen(place, RequestPhase::OutputFilter);
        handlers.extend(added.iter().map(OwnedHandler::lend));
        let mut passing = lock(passing);
        passing.resize(handlers.len(), false);
        let (mut piece, mut is_last) = (std::mem::take(&mut *lock(&self.piece)), self.is_last);
        let final_one = passing.iter().rposition(|passes| !passes);
        for (at, handler) in handlers.iter().enumerate() {
            if passing.get(at).copied().unwrap_or_default() || piece.is_empty() && !is_last {
                continue;
            }
            let out = if Some(at) == final_one {
                FilterSink::Server(exchange)
            } else {
                FilterSink::Memory(Vec::new())
            };
            let visit = FilterVisit::new(&transit.snapshot, exchange, (&piece, is_last), out);
            self.call(app, &visit, handler)?;
            let (written, is_closed, passes_always) = visit.end();
            piece = written;
            is_last |= is_closed;
            if let Some(passes) = passing.get_mut(at) {
                *passes |= passes_always;
            }
        }
        if !piece.is_empty() {
            let written = exchange.write(Piece::Copied(piece), false, Wait::Yes);
            written.map_err(|(stop, _)| stop)?;
        }
        Ok(FilterOutcome { is_over: is_last, passes_always: passing.iter().all(|passes| *passes) })
    }

    fn call(&self, app: &App, visit: &FilterVisit<'_>, handler: &Handler<'_>) -> Result<(), Stop> {
        let FilterChain { transit, place, .. } = &*self.chain;
        let called = (RequestPhase::OutputFilter, handler.name);
        match transit.run_handlers(app, visit, place, called, &[*handler]) {
            Some(PhaseAnswer::Done | PhaseAnswer::Declined | PhaseAnswer::Over) => Ok(()),
            Some(PhaseAnswer::Status(_)) | None => Err(Stop::Failed),
        }
    }
}
