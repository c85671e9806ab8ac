// SPDX-License-Identifier: MIT OR Apache-2.0
//! With `timeout=`, or when the engine answers later: a thread of the pool runs the handler, and the server's thread
//! passes on what it gives, reads the body when it is wanted, and looks at the clock.

use std::{
    ffi::c_int,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gangway::{
    exchange::{
        Body, Cause, Channel, Delivery, End, Exchange, Mailbox, Notify, ROOM, RelayedPort, RequestHead,
    },
    log::{self, Level, RequestLog},
    pool::Refusal,
    report,
    runtime::{Application, Overdue, abandon},
    status::AppKind,
    sys::lock,
};

use super::{probe::Probe, stuck};
use crate::{
    counting,
    raw::{self, GATEWAY_TIME_OUT, OK, Request, Session},
    reply::{Progress, refuse},
};

/// Body bytes that are read from the client at a time.
const BODY_CHUNK: usize = 32 * 1024;

/// Without `timeout=`: longer than any that it can say.
const ENDLESS: Duration = Duration::from_secs(365 * 24 * 3600);

/// How often the server's thread looks whether the client is still there, while it waits for the handler.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Has the pool run the handler.
pub(super) fn run(
    session: Session<'_>,
    (application, number): (&Arc<Application>, usize),
    head: RequestHead,
    whole: Option<Body>,
) -> c_int {
    let timeout = application.config().timeout().unwrap_or(ENDLESS);
    let request = session.request();
    let detachable = Arc::new(DetachableMailbox::default());
    let channel = match whole {
        None => Channel::fed(0, Arc::<DetachableMailbox>::clone(&detachable), ROOM),
        Some(whole) => Channel::new(0, Arc::<DetachableMailbox>::clone(&detachable), whole, ROOM),
    };
    let port = RelayedPort { channel: Arc::clone(&channel), server: Probe::new(request.socket()) };
    let exchange = Exchange::new(head, Arc::new(port));
    if let Err(refusal) = application.submit(&exchange) {
        return exchange.within(|| refuse(request, application, refusal));
    }
    let accepted = Instant::now();
    let mut relay = HandlerRelay {
        session,
        progress: Progress::default(),
        application,
        exchange: &exchange,
        channel: &channel,
        timeout,
        accepted,
        deadline: accepted + timeout,
    };
    let status = relay.pump(&detachable.mailbox);
    detachable.close(|level, line| request.write(level, line), label(request));
    counting::note(request, AppKind::InProcess, number, exchange.passage(), Some(raw::process_id()));
    status
}

fn label(request: Request<'_>) -> String {
    format!("\"{} {}\"", log::escape(request.method()), log::escape(request.original_target()))
}

/// The server's side of one request.
struct HandlerRelay<'r, 'a> {
    session: Session<'r>,
    progress: Progress,
    application: &'a Arc<Application>,
    exchange: &'a Arc<Exchange>,
    channel: &'a Arc<Channel>,
    timeout: Duration,
    accepted: Instant,
    deadline: Instant,
}

impl HandlerRelay<'_, '_> {
    /// Serves the handler until it has ended, its time is over or its client has left.
    fn pump(&mut self, mailbox: &Mailbox) -> c_int {
        loop {
            let (posted, lines) = mailbox.wait(Some(self.deadline.min(Instant::now() + LOOK_EVERY)));
            for (level, line) in &lines {
                self.session.request().write(*level, line);
            }
            if posted {
                if let Some(status) = self.advance() {
                    return status;
                }
            } else if lines.is_empty() {
                if self.session.request().is_lost() {
                    abandon(self.application, self.exchange, Cause::ClientGone);
                    return OK;
                }
                if Instant::now() >= self.deadline
                    && let Some(status) = self.expire()
                {
                    return status;
                }
            }
        }
    }

    /// Does what the handler waits for. Answers at the end.
    fn advance(&mut self) -> Option<c_int> {
        let mut delivery = self.channel.take();
        if let Some(end) = delivery.end.take() {
            return Some(self.finish(delivery, end));
        }
        if delivery.has_output() || delivery.beyond.is_some() {
            let weight = delivery.weight();
            if self.progress.send(&mut self.session, delivery).is_err() {
                abandon(self.application, self.exchange, Cause::ClientGone);
                return Some(OK);
            }
            self.channel.sent(weight);
            self.restart_clock();
        }
        if self.channel.wants_body() {
            if let Some(status) = self.feed() {
                return Some(status);
            }
            self.restart_clock();
        }
        None
    }

    /// Sends the last part. How the response is framed and where it breaks off must not depend on how much of it
    /// came at once: a stream, whose head has no length, has begun when it ends.
    fn finish(&mut self, mut delivery: Delivery, end: End) -> c_int {
        let streams = delivery.head.as_ref().is_some_and(|head| head.content_length.is_none());
        if streams && !delivery.pieces.is_empty() {
            let begun = std::mem::take(&mut delivery);
            if self.progress.send(&mut self.session, begun).is_err() {
                return OK;
            }
        }
        self.progress.finish(&mut self.session, Delivery { end: Some(end), ..delivery })
    }

    /// What the client makes us wait for is not the application's time.
    fn restart_clock(&mut self) {
        self.deadline = Instant::now() + self.timeout;
    }

    /// Reads a part of the body. Answers when nothing can follow.
    fn feed(&mut self) -> Option<c_int> {
        let mut part = [0; BODY_CHUNK];
        match self.session.read(&mut part) {
            Ok(0) => self.channel.end_body(true),
            Ok(count) => self.channel.feed(part.get(..count).unwrap_or_default()),
            Err(error) => {
                report!(self.session.request(), Info, error.code(), "{error}");
                if error.is_answered() {
                    abandon(self.application, self.exchange, Cause::ClientGone);
                    return Some(error.status);
                }
                self.progress.body_failure = Some(error.status);
                self.channel.end_body(false);
            }
        }
        None
    }

    /// The application gave nothing for as long as its timeout. Answers unless its time has only begun.
    fn expire(&mut self) -> Option<c_int> {
        let request = self.session.request();
        let line = match self.application.overdue(self.exchange, self.accepted.elapsed()) {
            Overdue::Waiting => {
                self.exchange.cancel(Cause::Deadline);
                return Some(refuse(request, self.application, Refusal::Deadline));
            }
            Overdue::Begun(left) => {
                self.deadline = Instant::now() + left;
                return None;
            }
            Overdue::Silent(line) => line,
        };
        let label = label(request);
        self.exchange.within(|| report!(request, Error, line.code, "{} [{label}]", line.text));
        self.exchange.cancel(Cause::Deadline);
        self.application.interrupt(self.exchange);
        stuck::watch(self.application, self.exchange, label);
        if !self.progress.head_sent() {
            return Some(GATEWAY_TIME_OUT);
        }
        let cut = Delivery { end: Some(End::Failed), ..Delivery::default() };
        Some(self.progress.finish(&mut self.session, cut))
    }
}

/// A mailbox that the server's thread may leave while the handler still writes to it.
#[derive(Default)]
struct DetachableMailbox {
    mailbox: Mailbox,
    /// The request in words, when the server's thread has left.
    closed: Mutex<Option<String>>,
}

impl DetachableMailbox {
    /// The server's thread leaves: it writes the last lines, and later ones go to the log without it.
    fn close(&self, mut write: impl FnMut(Level, &str), label: String) {
        *lock(&self.closed) = Some(label);
        let (_, lines) = self.mailbox.wait(Some(Instant::now()));
        for (level, line) in lines {
            write(level, &line);
        }
    }
}

impl Notify for DetachableMailbox {
    fn post(&self, ticket: u64) {
        self.mailbox.post(ticket);
    }

    fn log(&self, ticket: u64, level: Level, line: &str) {
        let closed = lock(&self.closed);
        match &*closed {
            Some(label) if level != Level::Further => log::pass_on(level, &format!("{line} [{label}]")),
            Some(_) => log::pass_on(level, line),
            None => self.mailbox.log(ticket, level, line),
        }
    }
}
