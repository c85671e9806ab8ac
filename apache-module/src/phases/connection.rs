// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection below a request: bytes that pass by httpd's filters for requests, as long as the handlers of a phase run.

use std::sync::Arc;

use gangway::{
    exchange::{Piece, Stop},
    log::{Level, RequestLog},
    phases::{Change, Fact, Number, RequestFacts, Table, Transaction},
    report,
};

use super::held;
use crate::raw::{Below, Lease, Session};

/// A connection that handlers take over.
pub(super) struct ConnectionTransaction {
    lease: Arc<Lease>,
    below: Below,
}

impl ConnectionTransaction {
    pub(super) fn new(lease: &Arc<Lease>) -> Self {
        Self { lease: Arc::clone(lease), below: Below::new() }
    }

    fn with<R>(&self, body: impl FnOnce(&mut Session<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
        let found = self.lease.with(|session| {
            // What the request has written stands before it.
            held::let_go(session);
            self.below.with(session.request(), body)
        });
        found.ok_or(Stop::Misuse)?.unwrap_or(Err(Stop::Invalid))
    }
}

/// What is left of a body, of a request or of a connection; 0 is the end.
pub(super) fn read_body(session: &mut Session<'_>, out: &mut [u8]) -> Result<usize, Stop> {
    if session.body_ended() {
        return Ok(0);
    }
    session.read(out).map_err(|error| {
        report!(session.request(), Info, error.code(), "{error}");
        Stop::Failed
    })
}

/// Nothing is known of it that its request does not know.
impl RequestFacts for ConnectionTransaction {
    fn text(&self, _: Fact, _: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn set_text(&self, _: Fact, _: Option<&[u8]>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn number(&self, _: Number) -> Result<i64, Stop> {
        Err(Stop::Invalid)
    }

    fn set_number(&self, _: Number, _: i64) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn entries(&self, _: Table, _: Option<&[u8]>, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn change(&self, _: Table, _: Change<'_>) -> Result<(), Stop> {
        Err(Stop::Invalid)
    }

    fn log(&self, level: Level, line: &str) {
        // Whoever outlives the phase has no request to speak of.
        let _ = self.lease.with(|session| session.request().write(level, line));
    }
}

impl Transaction for ConnectionTransaction {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }

    fn read(&self, out: &mut [u8]) -> Result<usize, Stop> {
        self.with(|session| read_body(session, out))
    }

    fn write(&self, bytes: &[u8], _: bool) -> Result<(), Stop> {
        self.with(|session| {
            session.push(Piece::Copied(bytes.to_vec())).map_err(|_| Stop::Failed)?;
            session.push_flush();
            if session.pass() { Ok(()) } else { Err(Stop::Cancelled) }
        })
    }
}
