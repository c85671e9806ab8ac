// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request is: that of the phase that runs, or one beside it, of which nothing is read or written.

use std::sync::Arc;

use gangway::{
    exchange::Stop,
    log::{self, Level, RequestLog},
    phases::{Change, Fact, LookUp, Number, Relation, RequestFacts, Table, Transaction, possible, split},
};

use gangway_httpd::server::Server;

use super::{connection::ConnectionTransaction, held};
use crate::raw::{Lease, Request, RequestState};

/// A request that is reached from the one that is leased.
pub(super) struct Facts {
    lease: Arc<Lease>,
    /// The way to it.
    steps: Vec<Relation>,
}

impl Facts {
    /// Those of the leased request itself.
    pub(super) fn new(lease: &Arc<Lease>) -> Self {
        Self { lease: Arc::clone(lease), steps: Vec::new() }
    }

    fn with<R>(&self, body: impl FnOnce(Request<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
        self.within(false, body)
    }

    /// What was written must be gone before.
    fn when_gone<R>(&self, body: impl FnOnce(Request<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
        self.within(true, body)
    }

    fn within<R>(
        &self,
        needs_gone: bool,
        body: impl FnOnce(Request<'_>) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let found = self.lease.with(|session| {
            if needs_gone {
                held::let_go(session);
            }
            let own = session.request();
            let request = self.steps.iter().try_fold(own, |request, step| request.related(*step));
            body(request.ok_or(Stop::Misuse)?)
        });
        found.unwrap_or(Err(Stop::Misuse))
    }
}

/// Tells the name of the file from what follows it in the path, where httpd has looked for none.
fn tell_file(request: Request<'_>, fact: Fact) {
    if matches!(fact, Fact::Filename | Fact::CanonicalFilename | Fact::PathInfo)
        && RequestState::found(request).is_some_and(RequestState::takes_path)
    {
        let (path, root) = (request.filename(), request.document_root());
        let root = if path.starts_with(root) { root.len() } else { 0 };
        let (filename, rest) = split(path, root);
        for (fact, value) in
            [(Fact::PathInfo, rest), (Fact::CanonicalFilename, filename), (Fact::Filename, filename)]
        {
            request.set_fact(fact, Some(value));
        }
    }
}

/// Where `realm=` stands in the place of AuthType and AuthName.
fn by_realm(request: Request<'_>, fact: Fact) -> Option<&[u8]> {
    if !matches!(fact, Fact::AuthType | Fact::AuthName) {
        return None;
    }
    let realm = request.conf()?.phases().realm?;
    Some(if fact == Fact::AuthType { b"Basic" } else { realm })
}

impl RequestFacts for Facts {
    fn text(&self, fact: Fact, give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        self.with(|request| {
            tell_file(request, fact);
            if let Some(value) = request.fact(fact).or_else(|| by_realm(request, fact)) {
                give(value);
            }
            Ok(())
        })
    }

    fn set_text(&self, fact: Fact, value: Option<&[u8]>) -> Result<(), Stop> {
        self.when_gone(|request| {
            tell_file(request, fact);
            possible(request.set_fact(fact, value))
        })
    }

    fn number(&self, number: Number) -> Result<i64, Stop> {
        use Number::{Aborted, BytesSent, Chunked, Clength, EosSent, SentBodyct};
        let tells_of_response =
            matches!(number, Aborted | BytesSent | Chunked | Clength | EosSent | SentBodyct);
        let value = self.within(tells_of_response, |request| Ok(request.figure(number)))?;
        let is_own_length = number == Clength && self.steps.is_empty();
        // What the head says that has left, whatever has become of the tables.
        let declared = is_own_length.then(|| self.lease.with(|session| session.staging.declared())).flatten();
        Ok(declared.flatten().unwrap_or(value))
    }

    fn set_number(&self, number: Number, value: i64) -> Result<(), Stop> {
        self.when_gone(|request| possible(request.set_figure(number, value)))
    }

    fn entries(
        &self,
        table: Table,
        name: Option<&[u8]>,
        give: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Stop> {
        self.with(|request| {
            request.show_table(table, &mut |known, value| {
                if name.is_none_or(|name| known.eq_ignore_ascii_case(name)) {
                    give(known, value);
                }
            });
            Ok(())
        })
    }

    fn change(&self, table: Table, change: Change<'_>) -> Result<(), Stop> {
        let leaves = matches!(table, Table::HeadersOut | Table::ErrHeadersOut);
        // A head has one length, and httpd knows of one table that has it.
        let (table, change) = match change {
            Change::Add(name, value) if leaves && names_length(change) => {
                (Table::HeadersOut, Change::Set(name, value))
            }
            _ if leaves && names_length(change) => (Table::HeadersOut, change),
            _ => (table, change),
        };
        self.when_gone(|request| possible(request.change_table(table, change)))
    }

    fn related(&self, which: Relation) -> Result<Option<Box<dyn Transaction>>, Stop> {
        if which == Relation::Connection {
            let is_there = self.steps.is_empty() && !self.when_gone(|request| Ok(request.is_stream()))?;
            return Ok(
                is_there.then(|| Box::new(ConnectionTransaction::new(&self.lease)) as Box<dyn Transaction>)
            );
        }
        if !self.with(|request| Ok(request.related(which).is_some()))? {
            return Ok(None);
        }
        let steps = self.steps.iter().copied().chain([which]).collect();
        Ok(Some(Box::new(Self { lease: Arc::clone(&self.lease), steps })))
    }

    fn server(&self) -> Result<usize, Stop> {
        self.with(|request| request.server().and_then(Server::place).ok_or(Stop::Invalid))
    }

    fn look_up(&self, what: LookUp, name: &[u8], give: &mut dyn FnMut(&[u8])) -> Result<(), Stop> {
        self.with(|request| {
            request.look_up(what, name, give);
            Ok(())
        })
    }

    fn log(&self, level: Level, line: &str) {
        let logged = self.with(|request| {
            request.write(level, line);
            Ok(())
        });
        if logged.is_err() {
            // Another thread, or one that is inside of another call.
            log::pass_on(level, line);
        }
    }
}

/// Nothing of it is read or written.
impl Transaction for Facts {
    fn facts(&self) -> &dyn RequestFacts {
        self
    }
}

/// Whether a change is one of the response's length.
fn names_length(change: Change<'_>) -> bool {
    let (Change::Set(name, _) | Change::Add(name, _) | Change::Unset(name)) = change else { return false };
    name.eq_ignore_ascii_case(b"content-length")
}
