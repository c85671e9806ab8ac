// SPDX-License-Identifier: MIT OR Apache-2.0
//! The usual way: the server's thread that has the request runs the handler itself.

use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use gangway::{
    exchange::{Body, Delivery, Exchange, Port, RequestHead, Stop, Wait},
    log::{self, Level, RequestLog},
    report,
    runtime::Application,
    status::AppKind,
    sys::lock,
};

use super::{cork::Cork, probe::Probe, process};
use crate::{
    counting,
    raw::{self, BodyError, INTERNAL_SERVER_ERROR, Lease, Session, with_lease},
    reply::{Gone, Progress, refuse},
};

/// Runs the handler when its turn has come.
pub(super) fn run(
    session: Session<'_>,
    application: &Arc<Application>,
    number: usize,
    head: RequestHead,
    whole: Option<Body>,
) -> c_int {
    let request = session.request();
    let socket = request.socket();
    with_lease(session, |lease| {
        let port = Arc::new(DirectPort {
            lease: Arc::clone(lease),
            state: Mutex::new(ResponseState { whole, ..ResponseState::default() }),
            gone: AtomicBool::new(false),
            probe: Probe::new(socket),
            cork: Cork::new(socket),
        });
        let exchange = Exchange::new(head, Arc::<DirectPort>::clone(&port));
        let status = match process::inside(request, number, || application.run(&exchange, None)) {
            Ok(()) => port.finish(),
            Err(refusal) => exchange.within(|| refuse(request, application, refusal)),
        };
        port.cork.end();
        let own = || Some(raw::process_id());
        counting::note(request, AppKind::InProcess, number, exchange.passage(), own);
        status
    })
}

/// The port of a handler that runs on the server's thread. Output leaves at once, but the end of it: an engine
/// gives that while it holds its lock, and it leaves when the lock has been given up.
struct DirectPort {
    lease: Arc<Lease>,
    state: Mutex<ResponseState>,
    gone: AtomicBool,
    probe: Probe,
    cork: Cork,
}

#[derive(Default)]
struct ResponseState {
    progress: Progress,
    end: Option<Delivery>,
    /// A body that has been read in advance.
    whole: Option<Body>,
}

impl DirectPort {
    /// Sends what the handler gave last. Answers what httpd's handler answers.
    fn finish(&self) -> c_int {
        let mut state = lock(&self.state);
        let end = state.end.take().unwrap_or_default();
        let sent = self.lease.with(|session| state.progress.finish(session, end));
        sent.unwrap_or(INTERNAL_SERVER_ERROR)
    }

    fn live(&self) -> Result<(), Stop> {
        if self.gone.load(Ordering::Relaxed) { Err(Stop::Cancelled) } else { Ok(()) }
    }

    fn set_gone(&self) -> Stop {
        self.gone.store(true, Ordering::Relaxed);
        Stop::Cancelled
    }

    fn body_failed(&self, session: &Session<'_>, error: BodyError) -> Stop {
        lock(&self.state).progress.body_failure = Some(error.status);
        report!(session.request(), Info, error.code(), "{error}");
        if error.is_answered() {
            // The client has its answer already: what the application says now would be a second one.
            self.set_gone();
        }
        Stop::Failed
    }
}

impl Port for DirectPort {
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        self.live()?;
        if let Some(whole) = &mut lock(&self.state).whole {
            return whole.read(out).map_err(|_| Stop::Failed);
        }
        let read = |session: &mut Session<'_>| {
            if session.body_ended() {
                return Ok(0);
            }
            if wait == Wait::No {
                return Err(Stop::Again);
            }
            session.read(out).map_err(|error| self.body_failed(session, error))
        };
        self.lease.with(read).unwrap_or(Err(Stop::Misuse))
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        self.live()?;
        // Sending may wait for the client at any time.
        if wait == Wait::No { Err(Stop::Again) } else { Ok(()) }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        if delivery.end.is_some() {
            lock(&self.state).end = Some(delivery);
            return Ok(());
        }
        self.live()?;
        self.cork.block();
        let send = |session: &mut Session<'_>| lock(&self.state).progress.send(session, delivery);
        match self.lease.with(send) {
            Some(Ok(())) => Ok(()),
            Some(Err(Gone)) => Err(self.set_gone()),
            None => Err(Stop::Misuse),
        }
    }

    fn log(&self, level: Level, line: &str) {
        if self.lease.with(|session| session.request().write(level, line)).is_none() {
            // Another thread of the application, or one that outlived the request.
            log::pass_on(level, line);
        }
    }

    fn cancel(&self) {
        self.set_gone();
    }

    /// The handler's turn is over before its last output leaves: a client that reads slowly does not take the
    /// place of another request for longer than the application itself needs.
    fn is_patient(&self) -> bool {
        true
    }

    fn client_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
            || self.probe.is_gone()
            || self.lease.with(|session| session.request().is_aborted()) == Some(true)
    }
}
