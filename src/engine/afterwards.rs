// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers of what comes after a response, for a server that has forgotten the request when they run.

use std::{any::Any, sync::Arc};

use super::{app::App, errand::Transit};
use crate::{
    exchange::{Errand, Exchange, Outcome},
    phases::{Handler, HandlerPlace, OwnedHandler, RequestPhase, SnapshotVisit},
    sys::lock,
};

/// The phases, in order.
const PHASES: [RequestPhase; 2] = [RequestPhase::Log, RequestPhase::Cleanup];

/// The handlers of a request whose response has ended.
#[derive(Debug)]
pub struct AfterErrand {
    transit: Arc<Transit>,
    place: Arc<HandlerPlace>,
}

impl Errand for AfterErrand {
    fn run(&self, application: &dyn Any, exchange: &Exchange) {
        if let Some(app) = application.downcast_ref() {
            self.run_in(app, exchange);
        }
    }
}

impl AfterErrand {
    /// Of a request that has ended at this place. What handlers see of it is copied.
    #[must_use]
    pub fn new(transit: Arc<Transit>, place: &Arc<HandlerPlace>) -> Self {
        Self { transit, place: Arc::clone(place) }
    }

    /// For [`RequestHead::errand`](crate::exchange::RequestHead).
    #[must_use]
    pub fn for_head(self) -> Arc<dyn Errand> {
        Arc::new(self)
    }

    /// Runs them. THREAD: pool thread, between enter() and leave().
    fn run_in(&self, app: &App, exchange: &Exchange) {
        for phase in PHASES {
            let (added, awaits) = {
                let snapshot = lock(&self.transit.snapshot);
                (snapshot.added(phase), phase == RequestPhase::Cleanup && snapshot.awaits_cleanup())
            };
            let mut handlers: Vec<Handler<'_>> = self.transit.chosen(&self.place, phase);
            handlers.extend(added.iter().map(OwnedHandler::lend));
            if handlers.is_empty() && !awaits {
                continue;
            }
            let visit = SnapshotVisit::new(&self.transit.snapshot, exchange, phase);
            // Whatever they answer, the response has left.
            let _ = self.transit.run_handlers(app, &visit, &self.place, (phase, b""), &handlers);
        }
        // The error is that the process ends.
        let _ = exchange.finish(Outcome::Passed(200));
    }
}
