// SPDX-License-Identifier: MIT OR Apache-2.0
//! The handler's side of one request: its body is read, and its output sent, by the thread that runs the handler.
//!
//! What a handler gives last leaves when it has ended: then it holds no lock of its engine, and a web server that takes its time
//! waits for no place of the application.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gangway::{
    error::{BODY_FAILED, SERVER_FAILED},
    exchange::{Cause, Delivery, End, Port, Stop, Wait},
    log::{self, Level},
    sys::{explain, lock},
};

use crate::{
    clock::Clock,
    connection::Connection,
    incoming::{Begun, BodyError, Incoming},
    outgoing::{Outgoing, Page, Sent, leveled},
    port_state::PortState,
    sys,
};

/// How long a web server may send no byte of a body, or take no byte of a response, before the request is given up.
const PEER_SILENCE: Duration = Duration::from_secs(60);
/// How often a thread that waits for the web server looks whether the request was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The least that is asked of the socket at a time while a body is read.
const READ: usize = 16 * 1024;

pub(crate) struct HostPort {
    connection: Arc<Connection>,
    begun: Begun,
    /// The web server is of our own kind: it knows the bytes that say levels, and the status of a response that is not whole.
    is_ours: bool,
    state: PortState,
    body: Mutex<BodyLeft>,
    response: Mutex<Response>,
    clock: Clock,
}

/// How much of the body is to come.
#[derive(Clone, Copy, Debug)]
struct BodyLeft {
    /// By CONTENT_LENGTH.
    length: Option<u64>,
    has_failed: bool,
}

#[derive(Default)]
struct Response {
    head_sent: bool,
    /// The end has been sent, or never will be.
    is_over: bool,
    end: Option<Delivery>,
}

/// What the threads of this process ask of the port of a request.
pub(crate) trait RequestPort: Port {
    fn connection(&self) -> &Arc<Connection>;

    /// When the handler last got something from the web server, or gave it something.
    fn clock(&self) -> &Clock;

    /// Whether a handler may begin it: nobody else has it.
    fn may_begin(&self) -> bool {
        true
    }

    /// Sends what the handler gave last, or what stands for it. `late`: somebody sees to it that it leaves soon.
    fn finish(&self, late: bool) -> Outcome;

    /// Answers a request that no handler has got.
    fn refuse(&self, page: Page) -> Outcome;

    /// Answers in place of a handler that does not end.
    fn answer_instead(&self, page: Page);

    fn state(&self) -> &PortState;
}

/// What has become of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is one of several on its connection, which nobody holds for it.
    InLane {
        /// It has not been sent.
        is_late: bool,
    },
    /// It has left, and the connection is as good as new.
    Kept,
    /// The rest of it waits in the connection for room.
    Blocked,
    /// The connection must be closed, now that all has left.
    Close,
}

impl HostPort {
    pub(crate) fn new(connection: &Arc<Connection>, begun: Begun, length: Option<u64>, clock: Clock) -> Self {
        Self {
            connection: Arc::clone(connection),
            begun,
            is_ours: false,
            state: PortState::default(),
            body: Mutex::new(BodyLeft { length, has_failed: false }),
            response: Mutex::default(),
            clock,
        }
    }

    /// The same for a web server of our own kind.
    pub(crate) fn of_ours(self) -> Self {
        Self { is_ours: true, ..self }
    }

    fn finish(&self) -> Outcome {
        let cancelled = self.state.cancelled();
        let mut response = lock(&self.response);
        let delivery = response.end.take().unwrap_or_default();
        let complete = delivery.end == Some(End::Complete) && cancelled.is_none();
        let head_sent = response.head_sent;
        if std::mem::replace(&mut response.is_over, true) {
            // Somebody has answered in place of the handler.
            return Outcome::Close;
        }
        let mut outgoing = Outgoing::default();
        if complete {
            outgoing.output(self.begun.id, delivery.head.as_ref(), delivery.pieces);
        } else if head_sent {
            outgoing.output(self.begun.id, None, delivery.pieces);
            self.cut(&mut outgoing);
            return self.leave(outgoing, false);
        } else {
            outgoing.page(self.begun.id, substitute(cancelled, lock(&self.body).has_failed));
        }
        outgoing.end(self.begun.id);
        self.leave(outgoing, self.begun.keep_connection)
    }

    /// The client must see that something is missing. To a web server that is not ours only the end of the connection says so, without
    /// FCGI_END_REQUEST.
    fn cut(&self, outgoing: &mut Outgoing) {
        if self.is_ours {
            outgoing.broken_end(self.begun.id);
        }
    }

    fn refuse(&self, page: Page) -> Outcome {
        let mut response = lock(&self.response);
        if std::mem::replace(&mut response.is_over, true) {
            return Outcome::Close;
        }
        let mut outgoing = Outgoing::default();
        outgoing.page(self.begun.id, page);
        outgoing.end(self.begun.id);
        self.leave(outgoing, self.begun.keep_connection)
    }

    /// Sends the last bytes without waiting.
    fn leave(&self, mut outgoing: Outgoing, keep_connection: bool) -> Outcome {
        let mut waiting = lock(self.connection.outgoing());
        if waiting.is_empty() {
            *waiting = Outgoing::default();
        }
        if !keep_connection {
            outgoing.end_connection();
        }
        waiting.append(outgoing);
        match waiting.send(&*self.connection) {
            Ok(Sent::Blocked) => Outcome::Blocked,
            Ok(Sent::All) if keep_connection => {
                *waiting = Outgoing::default();
                Outcome::Kept
            }
            Ok(Sent::All) => Outcome::Close,
            Err(error) => {
                self.broken(&error);
                Outcome::Close
            }
        }
    }

    /// Ends the connection, too.
    fn answer_instead(&self, page: Page) {
        // A handler that sends is not silent, and the one who waits here must not.
        let Ok(mut response) = self.response.try_lock() else { return };
        if std::mem::replace(&mut response.is_over, true) {
            return;
        }
        let mut outgoing = Outgoing::default();
        if response.head_sent {
            self.cut(&mut outgoing);
        } else {
            outgoing.page(self.begun.id, page);
            outgoing.end(self.begun.id);
        }
        let _ = self.leave(outgoing, false);
        drop(response);
        self.connection.shut();
    }

    /// Sends all of it, and waits as often as there is no room.
    fn send(&self, outgoing: Outgoing) -> Result<(), Stop> {
        let mut waiting = lock(self.connection.outgoing());
        waiting.append(outgoing);
        let mut last = None;
        loop {
            match waiting.send(&*self.connection) {
                Ok(Sent::All) => {
                    *waiting = Outgoing::default();
                    self.clock.restart();
                    return Ok(());
                }
                Ok(Sent::Blocked) => {}
                Err(error) => {
                    self.broken(&error);
                    return Err(self.state.set_gone());
                }
            }
            self.clock.pause();
            let since = *last.get_or_insert_with(Instant::now);
            if sys::wait(&*self.connection, sys::Waiting::Output, LOOK_EVERY) {
                last = None;
            } else if since.elapsed() >= PEER_SILENCE {
                let text =
                    format!("{SERVER_FAILED} the web server takes no more of the response; it is given up");
                log::process(Level::Warn, &format!("{text} [{}]", self.state.label()));
                return Err(self.state.set_gone());
            }
            self.state.live()?;
        }
    }

    fn broken(&self, error: &std::io::Error) {
        // That a web server closes a connection is no fault of anything here.
        let is_usual = matches!(
            error.kind(),
            std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::NotConnected
        );
        if !is_usual {
            let text = format!("{SERVER_FAILED} a response cannot be sent: {}", explain(error));
            log::process(Level::Error, &format!("{text} [{}]", self.state.label()));
        }
    }

    /// Copies what has come of the body, waiting for some.
    fn read(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        let mut last = None;
        loop {
            let (copied, is_whole) = self.read_now(out)?;
            if copied > 0 || is_whole {
                return Ok(copied);
            }
            if wait == Wait::No {
                return Err(Stop::Again);
            }
            self.clock.pause();
            let since = *last.get_or_insert_with(Instant::now);
            if sys::wait(&*self.connection, sys::Waiting::Input, LOOK_EVERY) {
                last = None;
            } else if since.elapsed() >= PEER_SILENCE {
                return Err(self.body_failed("the web server sends no more of it"));
            }
            self.clock.restart();
            self.state.live()?;
        }
    }

    /// The same without waiting, and whether all of the body has come.
    fn read_now(&self, out: &mut [u8]) -> Result<(usize, bool), Stop> {
        let mut incoming = lock(self.connection.incoming());
        let mut body = |incoming: &mut Incoming| {
            incoming.body(out).map_err(|error| match error {
                BodyError::Aborted => self.state.set_gone(),
                BodyError::Broken(error) => self.body_failed(&error.to_string()),
                BodyError::Unanswerable => self.body_failed("another request came in the middle of it"),
            })
        };
        let copied = body(&mut incoming)?;
        if copied > 0 || incoming.is_whole() {
            return Ok((copied, incoming.is_whole()));
        }
        let room = READ;
        match sys::receive(&*self.connection, incoming.room(room)) {
            Ok(Some(count)) => {
                incoming.filled(room, count);
                if count == 0 {
                    return Err(self.state.set_gone());
                }
                let copied = body(&mut incoming)?;
                Ok((copied, incoming.is_whole()))
            }
            Ok(None) => {
                incoming.filled(room, 0);
                Ok((0, false))
            }
            Err(_broken) => {
                incoming.filled(room, 0);
                Err(self.state.set_gone())
            }
        }
    }

    /// The caller holds `body`, which it tells.
    fn body_failed(&self, why: &str) -> Stop {
        self.log(Level::Info, &format!("{BODY_FAILED} cannot read the request body: {why}"));
        Stop::Failed
    }
}

impl RequestPort for HostPort {
    fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn finish(&self, _: bool) -> Outcome {
        Self::finish(self)
    }

    fn refuse(&self, page: Page) -> Outcome {
        Self::refuse(self, page)
    }

    fn answer_instead(&self, page: Page) {
        Self::answer_instead(self, page);
    }

    fn state(&self) -> &PortState {
        &self.state
    }
}

/// What the web server gets when the handler gave no response.
pub(crate) fn substitute(cancelled: Option<Cause>, has_body_failed: bool) -> Page {
    match cancelled {
        Some(Cause::Deadline) => Page::GatewayTimeout,
        Some(Cause::Shutdown) => Page::Unavailable,
        _ if has_body_failed => Page::BadRequest,
        _ => Page::ServerError,
    }
}

impl Port for HostPort {
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        self.state.live()?;
        let mut body = lock(&self.body);
        let most =
            body.length.map_or(out.len(), |left| usize::try_from(left).unwrap_or(usize::MAX).min(out.len()));
        let Some(out) = out.get_mut(..most).filter(|out| !out.is_empty()) else { return Ok(0) };
        let mut read = self.read(out, wait);
        if let (Ok(count), Some(left)) = (read, &mut body.length) {
            if count == 0 {
                read = Err(self.body_failed(&format!("{left} bytes of it are missing")));
            }
            *left = left.saturating_sub(count as u64);
        }
        body.has_failed |= read == Err(Stop::Failed);
        read
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        self.state.live()?;
        // Sending may wait for the web server at any time.
        if wait == Wait::No { Err(Stop::Again) } else { Ok(()) }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        let mut response = lock(&self.response);
        if delivery.end.is_some() {
            response.end = Some(delivery);
            return Ok(());
        }
        self.state.live()?;
        if response.is_over {
            return Err(self.state.set_gone());
        }
        response.head_sent |= delivery.head.is_some();
        let mut outgoing = Outgoing::default();
        outgoing.output(self.begun.id, delivery.head.as_ref(), delivery.pieces);
        self.send(outgoing)
    }

    /// A line for the web server's log, where it has the request's context. It leaves at once, for what comes next may be the
    /// end of this process; where there is no room it leaves with the response. FastCGI has no levels: a web server of any kind takes such
    /// lines for errors.
    fn log(&self, level: Level, line: &str) {
        let is_sent = self.is_ours || !matches!(level, Level::Info | Level::Debug);
        if is_sent
            && let Ok(response) = self.response.try_lock()
            && !response.is_over
        {
            let mut waiting = lock(self.connection.outgoing());
            let plain = || [line.as_bytes(), b"\n"].concat();
            let text = if self.is_ours { leveled(level, line) } else { plain() };
            waiting.append(Outgoing::errors(self.begun.id, &text));
            // What is wrong with the connection is found by who sends the response.
            if matches!(waiting.send(&*self.connection), Ok(Sent::All)) {
                *waiting = Outgoing::default();
            }
            return;
        }
        match level {
            Level::Further => log::process(level, line),
            _ => log::process(level, &format!("{line} [{}]", self.state.label())),
        }
    }

    fn cancel(&self) {
        self.state.set_gone();
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn client_gone(&self) -> bool {
        self.state.is_gone() || self.connection.has_left()
    }
}
