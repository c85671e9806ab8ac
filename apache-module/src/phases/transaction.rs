// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request of httpd's, as handlers of phases see it.

use std::{os::fd::OwnedFd, sync::Arc};

use gangway::{
    error::{TOO_LONG, TOO_SHORT},
    exchange::{FileSlice, Piece, Stop},
    phases::{FilterRead, Handler, PhaseAnswer, RequestFacts, RequestPhase, Transaction, possible},
    report,
};

use super::{connection::read_body, facts::Facts, held};
use crate::raw::{Lease, Request, RequestState, Session, add_filter};

/// Bytes that wait for more, or for the end of the phase, before they go through httpd's filters.
const STAGED: usize = 8 * 1024;

/// A request during one of its phases.
pub(super) struct Visited<'l> {
    lease: &'l Arc<Lease>,
    /// What it is.
    own: Facts,
    /// What is to leave may wait for a moment.
    may_hold: bool,
    /// The document of which this is a part sends the head.
    is_part: bool,
    /// Its handlers may read the body of the request and write a response.
    has_bodies: bool,
    /// What runs the last phase.
    clean_up: fn(Request<'_>),
}

impl<'l> Visited<'l> {
    /// The same where nobody waits for its handlers, which give the whole response.
    pub(super) fn outermost(self) -> Self {
        Self { may_hold: self.has_bodies, ..self }
    }

    pub(super) fn new(
        lease: &'l Arc<Lease>,
        is_part: bool,
        has_bodies: bool,
        clean_up: fn(Request<'_>),
    ) -> Self {
        let own = Facts::new(lease);
        Self { lease, own, may_hold: false, is_part, has_bodies, clean_up }
    }

    /// The phase has ended: what was written leaves, and what was read too far is kept for the next one. Of one that has failed
    /// nothing leaves that has not left, and a response that has begun is cut, so that the client sees it. With `ends` what leaves is
    /// the end of the response. Answers whether it was cut.
    pub(super) fn finish(&self, failed: bool, ends: bool) -> bool {
        let finished = self.lease.with(|session| {
            if failed || !ends {
                held::let_go(session);
            }
            let (is_staged, is_sent) = (session.staging.bytes > 0, session.staging.is_sent);
            let missing = session.staging.missing();
            let is_short = ends && is_sent && missing > 0 && session.request().answers_with_body();
            if is_short && !failed && !session.request().is_aborted() {
                let request = session.request();
                report!(request, Error, TOO_SHORT, "a handler has written {missing} bytes less than its Content-Length; the connection is cut");
            }
            let failed = failed || is_short;
            if failed && session.request().is_answered() {
                // A filter has ended the response, with an error page or by cutting it.
                session.withdraw();
            } else if failed && is_sent {
                session.push_broken();
                session.push_end(false);
                let _gone = session.pass();
                session.request().reset_if_unframed();
            } else if failed {
                session.withdraw();
            } else if is_staged {
                if ends && !self.is_part {
                    // With the end behind it httpd knows the length of a response of which nothing has left. It is short, and leaves
                    // here: the client's next request is often there then when httpd looks for it.
                    session.push_end(true);
                }
                let _gone = session.pass();
            }
            session.suspend();
            failed && is_sent
        });
        held::forget();
        finished.unwrap_or(false)
    }

    fn with<R>(&self, body: impl for<'a> FnOnce(&mut Session<'a>) -> Result<R, Stop>) -> Result<R, Stop> {
        self.lease.with(body).unwrap_or(Err(Stop::Misuse))
    }

    /// Takes a piece of the response, and lets it leave where there is enough or somebody says so.
    fn push(&self, mut piece: Piece, flush: bool) -> Result<(), Stop> {
        possible(self.has_bodies)?;
        self.with(|session| {
            if session.request().is_aborted() {
                return Err(Stop::Cancelled);
            }
            let (was_empty, excess) = (piece.is_empty(), session.hold_to_length(&mut piece));
            if excess > 0 && session.is_first_excess() {
                let request = session.request();
                report!(
                    request,
                    Warn,
                    TOO_LONG,
                    "a handler has written {excess} bytes more than its Content-Length; they are dropped, and what it writes behind them"
                );
            }
            if piece.is_empty() && !was_empty && (!flush || session.staging.bytes == 0) {
                return Ok(());
            }
            let waits = session.staging.bytes + piece.weight();
            session.push(piece).map_err(|_| Stop::Failed)?;
            let is_short = waits < STAGED;
            if is_short && flush && !session.staging.is_held {
                session.staging.is_held = self.may_hold && session.may_hold() && held::watch(self.lease);
            }
            if is_short && (!flush || session.staging.is_held) {
                session.staging.bytes = waits.max(1);
                return Ok(());
            }
            if session.staging.is_held {
                held::forget();
            }
            if session.send(flush) { Ok(()) } else { Err(Stop::Cancelled) }
        })
    }

    /// Something that the client, or who looks at the response, must find what was written gone for.
    fn when_gone<R>(
        &self,
        body: impl for<'a> FnOnce(&mut Session<'a>) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        self.with(|session| {
            held::let_go(session);
            body(session)
        })
    }
}

impl Transaction for Visited<'_> {
    fn facts(&self) -> &dyn RequestFacts {
        &self.own
    }

    fn read(&self, out: &mut [u8]) -> Result<usize, Stop> {
        possible(self.has_bodies)?;
        self.when_gone(|session| read_body(session, out))
    }

    fn write(&self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.push(Piece::Copied(bytes.to_vec()), flush && !self.is_part)
    }

    fn send_file(&self, file: OwnedFd, offset: u64, length: u64, flush: bool) -> Result<(), Stop> {
        self.push(Piece::File(FileSlice { fd: file, offset, len: length }), flush && !self.is_part)
    }

    fn set_length(&self, length: u64) -> Result<(), Stop> {
        self.when_gone(|session| {
            session.request().set_content_length(length);
            Ok(())
        })
    }

    fn meets_conditions(&self) -> Result<PhaseAnswer, Stop> {
        self.when_gone(|session| {
            Ok(session.request().unmet_condition().map_or(PhaseAnswer::Done, PhaseAnswer::Status))
        })
    }

    fn redirect(&self, target: &[u8]) -> Result<(), Stop> {
        possible(self.has_bodies)?;
        self.when_gone(|session| {
            let request = session.request();
            let target = request.pool().text(target);
            request.redirect_internally(target).map_err(|_| Stop::Failed)
        })
    }

    fn add_handler(&self, handler: &Handler<'_>) -> Result<(), Stop> {
        self.when_gone(|session| {
            let request = session.request();
            let kept = RequestState::of(request);
            kept.add_handler(handler);
            if handler.phase == RequestPhase::Cleanup {
                kept.await_end(request, self.clean_up);
            }
            Ok(())
        })
    }

    fn await_cleanup(&self) -> Result<(), Stop> {
        self.when_gone(|session| {
            let request = session.request();
            RequestState::of(request).await_end(request, self.clean_up);
            Ok(())
        })
    }

    fn filter_read(&self, out: &mut [u8]) -> Result<FilterRead, Stop> {
        self.when_gone(|session| session.filter_read(out))
    }

    fn filter_write(&self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.when_gone(|session| session.filter_write(bytes, flush))
    }

    fn filter_close(&self) -> Result<(), Stop> {
        self.when_gone(|session| session.filter_close())
    }

    fn filter_pass(&self, always: bool) -> Result<(), Stop> {
        self.when_gone(|session| session.filter_pass(always))
    }

    fn add_filter(
        &self,
        phase: RequestPhase,
        name: &[u8],
        handler: Option<&Handler<'_>>,
    ) -> Result<(), Stop> {
        self.when_gone(|session| possible(add_filter(session.request(), phase, name, handler)))
    }
}
