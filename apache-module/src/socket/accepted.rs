// SPDX-License-Identifier: MIT OR Apache-2.0
//! One WebSocket: its handler, what passes between that and its connection, its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use gangway::{
    exchange::{Cause, Channel, Exchange, PumpWait, SocketEnd, SocketLink, SocketPump},
    http::Head,
    log::{self, RequestLog},
    runtime::{Application, abandon},
    status::AppKind,
};

use super::notices::Notices;
use crate::{
    counting,
    raw::{self, Request, Upgraded},
};

/// One WebSocket that has been accepted. Who serves it has its connection.
pub(crate) struct AcceptedSocket {
    pub(super) notices: Arc<Notices>,
    pump: SocketPump,
    channel: Arc<Channel>,
    exchange: Arc<Exchange>,
    application: Arc<Application>,
    /// That of the application.
    number: usize,
    /// Its own, which says when it is closed if all are.
    turn: u64,
    /// The handler has ended.
    is_ended: bool,
    /// Since when the client has taken nothing of what waits for it.
    stalled: Option<Instant>,
}

/// The handler's side of a request.
pub(crate) struct HandlerSide<'h> {
    pub(crate) exchange: &'h Arc<Exchange>,
    pub(crate) channel: &'h Arc<Channel>,
    pub(crate) notices: &'h Arc<Notices>,
    pub(crate) application: &'h Arc<Application>,
    pub(crate) number: usize,
}

impl AcceptedSocket {
    /// Tells the client that its WebSocket is accepted. Answers its connection, too. `is_ended`: the handler has nothing more to say.
    pub(crate) fn begin<'r>(
        request: Request<'r>,
        side: HandlerSide<'_>,
        (head, link): (&Head, Arc<SocketLink>),
        is_ended: bool,
    ) -> (Self, Upgraded<'r>) {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let upgraded = Upgraded::begin(request, head.fields.iter());
        let accepted = Self {
            notices: Arc::clone(side.notices),
            pump: SocketPump::new(link, Vec::new()),
            channel: Arc::clone(side.channel),
            exchange: Arc::clone(side.exchange),
            application: Arc::clone(side.application),
            number: side.number,
            // Processes begin at the same time.
            turn: TURN.fetch_add(1, Relaxed) + u64::from(raw::process_id()),
            is_ended,
            stalled: None,
        };
        (accepted, upgraded)
    }

    /// Does what can be done now. Answers what it waits for, unless it has ended.
    pub(super) fn go_on(&mut self, upgraded: &mut Upgraded<'_>) -> Result<PumpWait, SocketEnd> {
        self.write_lines(upgraded.request());
        self.is_ended |= self.channel.take().end.is_some();
        let mut wait = self.pump.step(upgraded)?;
        if !wait.is_stalled || wait.has_progress {
            self.stalled = None;
        }
        if wait.is_stalled {
            let now = Instant::now();
            let until = *self.stalled.get_or_insert(now) + upgraded.patience();
            if until <= now {
                self.pump.give_up();
                return Err(SocketEnd::Broken);
            }
            wait.look_at = wait.look_at.into_iter().chain([until]).min();
        }
        Ok(wait)
    }

    /// The connection has failed: its server sees that, whoever reads.
    pub(super) fn take_back(&self) {
        self.pump.take_back();
    }

    /// The process ends: it is closed within `ws_drain=`.
    pub(super) fn drain(&mut self) {
        if let Some(terms) = self.application.config().sockets() {
            self.pump.drain(terms.drain(), self.turn);
        }
    }

    pub(super) fn exchange(&self) -> Arc<Exchange> {
        Arc::clone(&self.exchange)
    }

    /// The process ends now: its client is told, as far as that can be done at once.
    pub(super) fn end_now(&self, upgraded: &mut Upgraded<'_>) {
        self.pump.end_now(upgraded);
    }

    /// Nobody takes what is sent any more.
    pub(super) fn give_up(&self) {
        self.pump.give_up();
    }

    /// The request ends, whose handler may still work.
    pub(super) fn end(&self, request: Request<'_>, end: SocketEnd) {
        if end == SocketEnd::Agreed {
            // Its handler may still run, which is no failure.
            self.exchange.passage().answer(101);
        }
        if !self.is_ended {
            abandon(&self.application, &self.exchange, Cause::ClientGone);
        }
        let label = label(request);
        self.notices.close(|level, line| request.write(level, line), label);
        let own = || Some(raw::process_id());
        counting::note(request, AppKind::InProcess, self.number, self.exchange.passage(), own);
    }

    fn write_lines(&self, request: Request<'_>) {
        let (_, lines) = self.notices.wait(Instant::now());
        for (level, line) in &lines {
            request.write(*level, line);
        }
    }
}

/// A request in words.
pub(crate) fn label(request: Request<'_>) -> String {
    format!("\"{} {}\"", log::escape(request.method()), log::escape(request.original_target()))
}
