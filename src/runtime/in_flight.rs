// SPDX-License-Identifier: MIT OR Apache-2.0
//! Applications that answer later: the thread that has a request gives it to them itself.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Application, Lifecycle};
use crate::{
    engine::{App, fence},
    error::STOP_TIMEOUT,
    exchange::{Cause, Exchange, Outcome},
    log::{self, Level},
    pool::Refusal,
    sys::lock,
};

/// This part of the time for the end is over when requests that nobody waits for are interrupted.
const FIRST_PART: u32 = 4;

/// A place among the requests of an application, until the response has ended.
struct InFlightPlace {
    application: Weak<Application>,
    address: usize,
}

impl Drop for InFlightPlace {
    fn drop(&mut self) {
        if let Some(application) = self.application.upgrade()
            && application.in_flight.ended(self.address)
        {
            application.dispatch();
        }
    }
}

impl Application {
    /// Gives a request to an application that answers later.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn take_off(self: &Arc<Self>, exchange: &Arc<Exchange>) -> Result<(), Refusal> {
        self.in_flight.submit(Arc::clone(exchange))?;
        self.dispatch();
        Ok(())
    }

    /// Gives those who wait to the application, as many as have a place.
    pub(super) fn dispatch(self: &Arc<Self>) {
        // Those who wait while it loads are asked for when it has.
        let app = match &*lock(&self.state) {
            Lifecycle::Ready(app) if app.is_async() => Arc::clone(app),
            _ => return,
        };
        if self.in_flight.begin() {
            while let Some(exchange) = self.in_flight.next() {
                fence("handle", (), || self.depart(&app, &exchange));
            }
        }
    }

    fn depart(self: &Arc<Self>, app: &Arc<App>, exchange: &Arc<Exchange>) {
        let address = Arc::as_ptr(exchange).addr();
        exchange.hold(Box::new(InFlightPlace { application: Arc::downgrade(self), address }));
        exchange.begin(Instant::now());
        app.handle(exchange);
    }

    /// Ends the requests of an application that answers later. Who has been told that nobody waits for the response, and has not
    /// ended soon, is interrupted; those that still run when most of the time is over are cancelled, which its engine ends when it is
    /// unloaded.
    pub(super) fn land(self: &Arc<Self>, early: Instant) {
        for exchange in self.in_flight.stop() {
            exchange.cancel(Cause::Shutdown);
            // The error is that somebody else has ended it.
            let _ = exchange.finish(Outcome::Failed);
        }
        let soon = Instant::now() + early.saturating_duration_since(Instant::now()) / FIRST_PART;
        if self.in_flight.await_empty(soon) {
            return;
        }
        let mut given_up = self.in_flight.running();
        given_up.retain(|exchange| exchange.cancelled().is_some() && !is_interrupted(exchange));
        self.interrupt_all(given_up);
        if self.in_flight.await_empty(early) {
            return;
        }
        let mut rest = self.in_flight.running();
        for exchange in &rest {
            let (name, label) = (&self.config.spec().name, exchange.label());
            let text = format_args!("{name}: {label} still runs at the end of the worker; it is cancelled");
            log::coded(Level::Warn, STOP_TIMEOUT, text);
            exchange.cancel(Cause::Shutdown);
        }
        // Who has been told once may be at its `finally:`.
        rest.retain(|exchange| !is_interrupted(exchange));
        self.interrupt_all(rest);
    }
}

fn is_interrupted(exchange: &Arc<Exchange>) -> bool {
    exchange.is_interrupted.load(Ordering::Relaxed)
}

/// The application for the engine thread alone: another one may just tell it of a request.
pub(super) fn alone(mut app: Arc<App>, deadline: Instant) -> Result<App, Arc<App>> {
    loop {
        match Arc::try_unwrap(app) {
            Ok(app) => return Ok(app),
            Err(shared) if Instant::now() >= deadline => return Err(shared),
            Err(shared) => app = shared,
        }
        thread::sleep(Duration::from_millis(1));
    }
}
