// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers that give the response where there is no server behind them that could give another one: in a process of their own.

use std::{any::Any, sync::Arc};

use super::{
    app::App,
    errand::{PhaseErrand, Transit},
};
use crate::{
    exchange::{Errand, Exchange, Outcome, Piece, Stop, Wait},
    phases::{HandlerPlace, PhaseAnswer, RequestPhase, Snapshot, SnapshotVisit, Table, complete_refusal},
    sys::lock,
};

const NOT_FOUND: u16 = 404;
const FAILED: u16 = 500;

/// A request for such handlers.
#[derive(Debug)]
pub struct ContentErrand {
    asked: Arc<PhaseErrand>,
    place: Arc<HandlerPlace>,
    /// The text of a response that has a status and nothing else.
    page: fn(u16) -> Vec<u8>,
}

impl Errand for ContentErrand {
    fn run(&self, application: &dyn Any, exchange: &Exchange) {
        if let Some(app) = application.downcast_ref() {
            self.run_in(app, exchange);
        }
    }
}

impl ContentErrand {
    /// Of a request of which this is known, for the handlers of a place.
    #[must_use]
    pub fn new(snapshot: Snapshot, place: &Arc<HandlerPlace>, page: fn(u16) -> Vec<u8>) -> Self {
        let asked = PhaseErrand::new(&Arc::new(Transit::of(snapshot)), place, &[RequestPhase::Content]);
        Self { asked, place: Arc::clone(place), page }
    }

    /// The request.
    #[must_use]
    pub fn transit(&self) -> &Arc<Transit> {
        self.asked.transit()
    }

    /// For [`RequestHead::errand`](crate::exchange::RequestHead).
    #[must_use]
    pub fn for_head(self) -> Arc<dyn Errand> {
        Arc::new(self)
    }

    /// Runs them. THREAD: pool thread, between enter() and leave().
    fn run_in(&self, app: &App, exchange: &Exchange) {
        let snapshot = &self.transit().snapshot;
        let visit = SnapshotVisit::new(snapshot, exchange, RequestPhase::Content).alone();
        let verdict = self.asked.run_phases(app, &visit);
        let verdict = self.asked.end(exchange, &visit, verdict, true);
        let outcome = match verdict {
            _ if !exchange.has_head() => match self.refuse(exchange, verdict) {
                Ok(()) => Outcome::Complete,
                Err(_) => Outcome::Failed,
            },
            PhaseAnswer::Status(status) if status >= 300 => Outcome::Failed,
            _ => Outcome::Complete,
        };
        if outcome == Outcome::Complete {
            exchange.measure();
        }
        // The error is that somebody else has ended it: the client has left.
        let _ = exchange.finish(outcome);
    }

    /// The response to a status, which nobody else gives. As with httpd's pages, what leaves with errors goes out with it, and where a
    /// redirect leads.
    fn refuse(&self, exchange: &Exchange, verdict: PhaseAnswer) -> Result<(), Stop> {
        let status = match verdict {
            PhaseAnswer::Status(status @ 200..) => status,
            PhaseAnswer::Declined => NOT_FOUND,
            PhaseAnswer::Status(_) | PhaseAnswer::Done | PhaseAnswer::Over => FAILED,
        };
        let mut snapshot = lock(&self.transit().snapshot);
        complete_refusal(Some(PhaseAnswer::Status(status)), self.place.realm(), &mut snapshot);
        let leads =
            (300..400).contains(&status).then(|| snapshot.entry(Table::HeadersOut, b"Location")).flatten();
        let is_said = snapshot.entry(Table::ErrHeadersOut, b"Location").is_some();
        let location = leads.filter(|_| !is_said).map(|value| (&b"Location"[..], value));
        let has_page = !matches!(status, 204 | 205 | 304);
        let text = if has_page { (self.page)(status) } else { Vec::new() };
        let kind = has_page.then_some((&b"Content-Type"[..], &b"text/plain"[..]));
        let own = |name: &[u8]| {
            name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"content-length")
        };
        let others = snapshot.entries(Table::ErrHeadersOut).filter(|(name, _)| !own(name));
        exchange.start(status, b"", kind.into_iter().chain(location).chain(others))?;
        drop(snapshot);
        if text.is_empty() {
            return Ok(());
        }
        exchange.write(Piece::Copied(text), false, Wait::Yes).map_err(|(stop, _)| stop)
    }
}
