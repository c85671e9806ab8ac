// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a running request ends: by itself, with its client, or with its worker.

use std::time::Instant;

use gangway::{exchange::Cause, report, runtime::abandon};

use super::{InFlight, NextStep};
use crate::{
    raw::{ERROR, SERVICE_UNAVAILABLE, Ticket},
    serve::counting,
};

impl InFlight {
    pub(super) fn end(&mut self, next: NextStep) -> NextStep {
        self.finalized = true;
        self.timer.stop();
        if let Some(socket) = &self.socket {
            socket.give_back(self.request);
        }
        if self.reads_body() {
            self.request.ignore_body();
        }
        next
    }

    /// Its ticket, if it has gone on for too long in a worker that shuts down since then. One whose handler has ended is nginx's, and a
    /// WebSocket has a time of its own.
    pub(in crate::wsgi) fn outlasts(&self, exiting: Instant) -> Option<Ticket> {
        let most = self.application.drain_timeout().filter(|_| !self.finalized && self.socket.is_none())?;
        let has_had = exiting.elapsed().min(self.accepted.elapsed());
        (has_had >= most).then(|| Ticket::from_number(self.channel.ticket()))
    }

    /// Its worker does not wait for it any longer.
    pub(in crate::wsgi) fn leave_behind(&mut self) -> NextStep {
        if self.finalized || self.socket.is_some() {
            return NextStep::Wait;
        }
        self.exchange.within(|| {
            let name = &self.application.config().spec().name;
            report!(
                self.request,
                Info,
                None,
                "{name}: the worker ends, and the request has not within drain_timeout="
            );
        });
        abandon(&self.application, &self.exchange, Cause::Shutdown);
        self.end(NextStep::Finalize(if self.request.header_sent() { ERROR } else { SERVICE_UNAVAILABLE }))
    }

    /// What the handler still sends has no place to go.
    pub(in crate::wsgi) fn abandon(&self) {
        abandon(&self.application, &self.exchange, Cause::ClientGone);
    }

    /// For variables of a log, and of headers.
    pub(in crate::wsgi) fn note(&self) {
        if let Some(counted) = self.counted {
            let own = || Some(std::process::id());
            counting::note(self.request, counted, self.exchange.passage(), own);
        }
    }

    /// nginx has ended the request.
    pub(in crate::wsgi) fn close(self) {
        if !self.ended {
            self.abandon();
        }
        self.note();
    }
}
