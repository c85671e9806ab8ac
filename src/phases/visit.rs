// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request as handlers on another thread than its server's see it: a snapshot of it, and an exchange for what goes in and out.

use std::{
    os::fd::OwnedFd,
    sync::Mutex,
    thread::{self, ThreadId},
};

use super::{
    Change, Fact, Handler, LookUp, Number, PhaseAnswer, Relation, RequestFacts, RequestPhase, Table,
    Transaction, conditions::unmet, possible, snapshot::Snapshot,
};
use crate::{
    error::{BODY_FAILED, ENGINE_MISUSE},
    exchange::{Exchange, FileSlice, Piece, Stop, Wait},
    log::Level,
    sys::lock,
};

/// Questions that httpd's ap_mpm_query() answers, and an answer: AP_MPMQ_IS_THREADED, AP_MPMQ_IS_FORKED, AP_MPMQ_STATIC.
const THREADED: &[u8] = b"2";
const FORKED: &[u8] = b"3";
const STATIC: &[u8] = b"1";

/// What handlers of one run get.
pub struct SnapshotVisit<'r> {
    snapshot: &'r Mutex<Snapshot>,
    exchange: &'r Exchange,
    /// In that of the content the body has been read for these handlers, and they may send the request elsewhere.
    phase: RequestPhase,
    /// Whether the server goes on with the request: to later phases, or to another path.
    has_server: bool,
    thread: ThreadId,
}

impl<'r> SnapshotVisit<'r> {
    /// For handlers of a phase on the calling thread.
    #[must_use]
    pub fn new(snapshot: &'r Mutex<Snapshot>, exchange: &'r Exchange, phase: RequestPhase) -> Self {
        Self { snapshot, exchange, phase, has_server: true, thread: thread::current().id() }
    }

    /// The same where these handlers are all that there is: no other phase comes, and no other path can answer.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { has_server: false, ..self }
    }

    /// Whether the calling thread is the one that it was made for.
    pub(super) fn is_here(&self) -> bool {
        thread::current().id() == self.thread
    }

    fn gives_content(&self) -> bool {
        self.phase == RequestPhase::Content
    }

    /// In some phases nothing goes in or out.
    fn with_bodies(&self) -> Result<(), Stop> {
        if !self.is_here() {
            return Err(Stop::Misuse);
        }
        possible(self.phase.has_bodies())
    }

    fn with<R>(&self, body: impl FnOnce(&mut Snapshot) -> Result<R, Stop>) -> Result<R, Stop> {
        if !self.is_here() {
            return Err(Stop::Misuse);
        }
        body(&mut lock(self.snapshot))
    }

    /// Begins the response: its head is what facts and tables are now. Once.
    ///
    /// # Errors
    /// As [`Exchange::start`].
    pub fn begin(&self) -> Result<(), Stop> {
        if self.exchange.has_head() {
            return Ok(());
        }
        self.with(|snapshot| {
            if snapshot.has_target() {
                return Err(self.exchange.misuse("a response after a redirect"));
            }
            let status = u16::try_from(snapshot.number(Number::Status)).unwrap_or(500);
            let length = snapshot.length().map(|length| length.to_string());
            let line = snapshot.pathless(Fact::StatusLine).unwrap_or_default();
            let reason = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default();
            let kind = snapshot.pathless(Fact::ContentType);
            let coding = snapshot.pathless(Fact::ContentEncoding);
            let facts = [
                (&b"Content-Type"[..], kind),
                (b"Content-Encoding", coding),
                (b"Content-Length", length.as_deref().map(str::as_bytes)),
            ];
            let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
            // What a fact says is not said twice.
            let is_fact = |name: &[u8]| {
                name.eq_ignore_ascii_case(b"content-type") && kind.is_some()
                    || name.eq_ignore_ascii_case(b"content-encoding") && coding.is_some()
                    || name.eq_ignore_ascii_case(b"content-length") && length.is_some()
            };
            let tables = snapshot.entries(Table::HeadersOut).chain(snapshot.entries(Table::ErrHeadersOut));
            let headers = facts.clone().chain(tables.filter(|(name, _)| !is_fact(name)));
            self.exchange.start(status, reason, headers)
        })?;
        // Whatever becomes of the tables.
        self.with(|snapshot| {
            snapshot.settle_length();
            Ok(())
        })
    }

    fn push(&self, piece: Piece, flush: bool, wait: Wait) -> Result<(), Stop> {
        self.with_bodies()?;
        self.begin()?;
        if piece.is_empty() {
            return if flush { self.exchange.flush(wait) } else { Ok(()) };
        }
        let written = if flush && self.gives_content() {
            self.exchange.write_soon(piece, wait)
        } else {
            self.exchange.write(piece, flush, wait)
        };
        written.map_err(|(stop, _)| stop)
    }
}

impl RequestFacts for SnapshotVisit<'_> {
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        self.with(|snapshot| {
            if let Some(value) = snapshot.text(fact) {
                give(value);
            }
            Ok(())
        })
    }

    fn set_text(&self, fact: Fact, value: Option<&[u8]>) -> Result<(), Stop> {
        self.with(|snapshot| possible(snapshot.set_text(fact, value)))
    }

    fn number(&self, number: Number) -> Result<i64, Stop> {
        match number {
            Number::Aborted => Ok(self.exchange.is_abandoned().into()),
            Number::SentBodyct => Ok(self.exchange.has_head().into()),
            // Only a server with processes of its own counts its starts.
            Number::Generation | Number::RestartTime => Err(Stop::Invalid),
            _ => self.with(|snapshot| Ok(snapshot.number(number))),
        }
    }

    fn set_number(&self, number: Number, value: i64) -> Result<(), Stop> {
        self.with(|snapshot| possible(snapshot.set_number(number, value)))
    }

    fn entries(
        &self,
        table: Table,
        name: Option<&[u8]>,
        give: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Stop> {
        let is_meant = |known: &[u8]| name.is_none_or(|name| known.eq_ignore_ascii_case(name));
        self.with(|snapshot| {
            let entries = snapshot.entries(table);
            entries.filter(|(known, _)| is_meant(known)).for_each(|(name, value)| give(name, value));
            Ok(())
        })
    }

    fn change(&self, table: Table, change: Change<'_>) -> Result<(), Stop> {
        self.with(|snapshot| {
            snapshot.change(table, change);
            Ok(())
        })
    }

    fn related(&self, which: Relation) -> Result<Option<Box<dyn Transaction>>, Stop> {
        // A request beside this one belongs to the server's thread.
        self.with(|snapshot| possible(snapshot.has_none_beside(which)).map(|()| None))
    }

    fn look_up(&self, what: LookUp, name: &[u8], give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        self.with(|snapshot| {
            match what {
                LookUp::Ssl if snapshot.number(Number::IsHttps) != 0 => {
                    let known = snapshot.tls(name).ok_or(Stop::Invalid)?;
                    Some(known).filter(|known| !known.is_empty()).into_iter().for_each(give);
                }
                // Whatever the server is, the handlers run on threads of several processes.
                LookUp::Mpm if [THREADED, FORKED].contains(&name) => give(STATIC),
                // No encryption, no words of a command line, and nothing else that a server of this kind has settings for.
                LookUp::Ssl | LookUp::Mpm | LookUp::Define => {}
            }
            Ok(())
        })
    }

    fn log(&self, level: Level, line: &str) {
        self.exchange.log(level, line);
    }
}

impl Transaction for SnapshotVisit<'_> {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }

    fn read(&self, out: &mut [u8]) -> Result<usize, Stop> {
        self.with_bodies()?;
        if !self.gives_content() {
            let text =
                format_args!("the body of the request is there for handlers of the phase content alone");
            self.exchange.report(BODY_FAILED, text);
            return Err(Stop::Failed);
        }
        self.exchange.read_body(out, Wait::Yes)
    }

    fn write(&self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.push(self.exchange.copy(bytes), flush, Wait::Yes)
    }

    fn write_at_once(&self, bytes: &[u8], flush: bool) -> Result<(), Stop> {
        self.push(self.exchange.copy(bytes), flush, Wait::No)
    }

    fn send_file(&self, file: OwnedFd, offset: u64, length: u64, flush: bool) -> Result<(), Stop> {
        self.push(Piece::File(FileSlice { fd: file, offset, len: length }), flush, Wait::Yes)
    }

    fn set_length(&self, length: u64) -> Result<(), Stop> {
        self.with(|snapshot| {
            snapshot.set_length(length);
            Ok(())
        })
    }

    fn meets_conditions(&self) -> Result<PhaseAnswer, Stop> {
        self.with(|snapshot| Ok(unmet(snapshot).map_or(PhaseAnswer::Done, PhaseAnswer::Status)))
    }

    fn redirect(&self, target: &[u8]) -> Result<(), Stop> {
        self.with_bodies()?;
        if !self.has_server {
            let why = "internal_redirect() is for handlers in the server's own process: let the client ask for the other path";
            self.exchange.log(Level::Error, &format!("{ENGINE_MISUSE} {why}"));
            return Err(Stop::Misuse);
        }
        if !self.gives_content() || self.exchange.has_head() {
            let why = "internal_redirect() is for handlers of the phase content that have written nothing";
            self.exchange.log(Level::Error, &format!("{ENGINE_MISUSE} {why}"));
            return Err(Stop::Misuse);
        }
        self.with(|snapshot| {
            snapshot.set_target(target);
            Ok(())
        })
    }

    fn add_handler(&self, handler: &Handler<'_>) -> Result<(), Stop> {
        use RequestPhase::{Cleanup, Connection, InputFilter, Log, OutputFilter, Type};
        possible(match handler.phase {
            Log | Cleanup => true,
            Type | InputFilter | OutputFilter | Connection => false,
            _ => self.has_server,
        })?;
        self.with(|snapshot| {
            snapshot.add_handler(handler);
            Ok(())
        })
    }

    fn add_filter(&self, phase: RequestPhase, _: &[u8], handler: Option<&Handler<'_>>) -> Result<(), Stop> {
        // The server's own have no names for handlers, and what has begun passes no further one.
        let handler = handler
            .filter(|_| phase == RequestPhase::OutputFilter && self.has_server)
            .ok_or(Stop::Invalid)?;
        possible(self.phase.has_bodies() && !self.exchange.has_head())?;
        self.with(|snapshot| {
            snapshot.add_handler(handler);
            Ok(())
        })
    }

    fn await_cleanup(&self) -> Result<(), Stop> {
        self.with(|snapshot| {
            snapshot.await_cleanup();
            Ok(())
        })
    }
}
