// SPDX-License-Identifier: MIT OR Apache-2.0
//! With `timeout=`, or when the engine answers later: a thread of the pool runs the handler, and the server's thread
//! passes on what it gives, reads the body when it is wanted, and looks at the clock.

use std::{
    ffi::c_int,
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    exchange::{Body, Cause, Channel, Delivery, End, Exchange, ROOM, RelayedPort, RequestHead, SocketLink},
    http::Head,
    log::RequestLog,
    pool::Refusal,
    report,
    runtime::{Application, Overdue, abandon},
    status::AppKind,
};

use super::{probe::Probe, stuck};
use crate::{
    counting,
    raw::{self, GATEWAY_TIME_OUT, OK, SERVICE_UNAVAILABLE, Session, Socket},
    reply::{Progress, refuse},
    socket::{self, AcceptedSocket, HandlerSide, Notices, label},
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
    let notices = Arc::new(Notices::default());
    let channel = match whole {
        None => Channel::fed(0, Arc::<Notices>::clone(&notices), ROOM),
        Some(whole) => Channel::new(0, Arc::<Notices>::clone(&notices), whole, ROOM),
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
        notices: &notices,
        number,
        timeout,
        accepted,
        deadline: accepted + timeout,
        ends_since: None,
        is_upgraded: false,
    };
    let status = relay.pump();
    if relay.is_upgraded {
        return status;
    }
    notices.close(|level, line| request.write(level, line), label(request));
    let own = || Some(raw::process_id());
    counting::note(request, AppKind::InProcess, number, exchange.passage(), own);
    status
}

/// The server's side of one request.
struct HandlerRelay<'r, 'a> {
    session: Session<'r>,
    progress: Progress,
    application: &'a Arc<Application>,
    exchange: &'a Arc<Exchange>,
    channel: &'a Arc<Channel>,
    notices: &'a Arc<Notices>,
    number: usize,
    timeout: Duration,
    accepted: Instant,
    deadline: Instant,
    /// Since when this process is known to end.
    ends_since: Option<Instant>,
    /// It has become a WebSocket, which has ended the request itself, or will.
    is_upgraded: bool,
}

impl HandlerRelay<'_, '_> {
    /// Serves the handler until it has ended, its time is over or its client has left.
    fn pump(&mut self) -> c_int {
        loop {
            let (posted, lines) = self.notices.wait(self.deadline.min(Instant::now() + LOOK_EVERY));
            for (level, line) in &lines {
                self.session.request().write(*level, line);
            }
            if self.outlasts_process() {
                return self.leave_behind();
            }
            if posted {
                if let Some(status) = self.advance() {
                    return status;
                }
            } else if lines.is_empty() {
                if self.session.request().is_lost() || self.is_stream_left() {
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

    /// Whether the client of a stream has closed its side. A browser that has left does no more than that, and a stream that says nothing
    /// would not notice; who only asks and closes, as some scripts do, gets answers that do not stop in the middle, as from nginx.
    fn is_stream_left(&self) -> bool {
        self.application.config().has_fields()
            && self.progress.head_sent()
            && self.session.request().socket().is_some_and(Socket::is_closed)
    }

    /// Whether it has gone on for too long in a process that ends.
    fn outlasts_process(&mut self) -> bool {
        if !raw::is_stopping() {
            return false;
        }
        let since = *self.ends_since.get_or_insert_with(Instant::now);
        self.application.drain_timeout().is_some_and(|most| since.elapsed() >= most)
    }

    /// The process does not wait for it any longer.
    fn leave_behind(&mut self) -> c_int {
        let (request, name) = (self.session.request(), &self.application.config().spec().name);
        self.exchange.within(|| {
            let text = "the process ends, and the request has not within drain_timeout=";
            report!(request, Info, None, "{name}: {text}");
        });
        abandon(self.application, self.exchange, Cause::Shutdown);
        self.break_off(SERVICE_UNAVAILABLE)
    }

    /// Ends a response that is not whole; `status` is the client's if nothing of it has left.
    fn break_off(&mut self, status: c_int) -> c_int {
        if !self.progress.head_sent() {
            return status;
        }
        let cut = Delivery { end: Some(End::Failed), ..Delivery::default() };
        self.progress.finish(&mut self.session, cut)
    }

    /// Does what the handler waits for. Answers at the end.
    fn advance(&mut self) -> Option<c_int> {
        let mut delivery = self.channel.take();
        if let Some(head) = &delivery.head
            && let Some(link) = self.channel.socket()
        {
            return Some(self.upgrade((head, link), delivery.end.is_some()));
        }
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

    /// The handler has accepted a WebSocket.
    fn upgrade(&mut self, accepted: (&Head, Arc<SocketLink>), is_ended: bool) -> c_int {
        self.is_upgraded = true;
        let side = HandlerSide {
            exchange: self.exchange,
            channel: self.channel,
            notices: self.notices,
            application: self.application,
            number: self.number,
        };
        socket::serve(AcceptedSocket::begin(self.session.request(), side, accepted, is_ended))
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
        Some(self.break_off(GATEWAY_TIME_OUT))
    }
}
