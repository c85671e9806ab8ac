// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request between a server and a handler: body in, head and body out, cancellation, back-pressure.
//!
//! The handler's side is [`Exchange`], which keeps the rules of `gangway.h`. What passes them goes out through a [`Port`]: a [`Channel`] when
//! the handler runs on another thread than the server's, or the adapter's own when the server's thread runs the handler itself.

mod answer;
mod beyond;
mod body;
mod busy;
mod channel;
pub(crate) mod gather;
mod mailbox;
mod notify;
mod offer;
mod outbox;
mod output;
mod piece;
mod port;
mod pump;
mod socket;
mod told;
mod upgrade;

pub use answer::Outcome;
pub use beyond::Wire;
pub use body::{Body, BodyPart};
pub use busy::BusySockets;
pub use channel::{Channel, RelayedPort, ServerSide};
pub use mailbox::Mailbox;
pub use notify::{Notify, ROOM, Readiness, Waker};
pub use offer::SocketOffer;
pub(crate) use outbox::LATE;
pub use outbox::{Outbox, OutboxEvent};
pub use piece::{Beyond, Delivery, End, FileSlice, Lent, Piece};
pub use port::Port;
pub use pump::{ConnectionLost, PumpWait, SocketEnd, SocketPump, Transport, TransportRead};
pub use socket::SocketLink;
pub use told::RequestHead;
pub(crate) use told::ToldHead;

use std::{
    any::Any,
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use crate::{
    error::{BAD_HEADER, Code, ENGINE_MISUSE},
    http::Head,
    log::{self, Level, Line},
    protocol::websocket::close_code,
    report, report_at,
    status::Passage,
    sys::lock,
    trace::{self, Answerer, Trace},
};
use answer::Answer;

/// Whether a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Answer "again" instead.
    No,
    /// Wait for the client.
    Yes,
}

/// What stops a call from having its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It would have waited: nothing was done.
    Again,
    /// The client has left or the deadline has passed.
    Cancelled,
    /// The client's body is broken.
    Failed,
    /// A value was refused.
    Invalid,
    /// The contract was broken.
    Misuse,
}

/// Why an exchange was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The client closed the connection or reset the stream.
    ClientGone = 1,
    /// The application gave no output within its timeout.
    Deadline = 2,
    /// The worker process ends.
    Shutdown = 3,
}

/// What the thread that takes a request does in the place of calling its handler.
pub trait Errand: fmt::Debug + Send + Sync {
    /// Does it. `application`: where the handler would be called; who has made the errand knows its type. THREAD: pool thread, between
    /// enter() and leave() of that.
    fn run(&self, application: &dyn Any, exchange: &Exchange);

    /// The method and the target of the request, for lines without its context, if they can be told without a wait.
    fn label(&self) -> Option<[Vec<u8>; 2]> {
        None
    }

    /// Whether it most likely gives a response.
    fn answers(&self) -> bool {
        false
    }
}

/// One request. Shared by the server's thread and the handler's.
pub struct Exchange {
    told: Mutex<ToldHead>,
    content_length: Option<u64>,
    no_body: bool,
    traced: bool,
    errand: Option<Arc<dyn Errand>>,
    port: Arc<dyn Port>,
    cancelled: AtomicU8,
    answer: Mutex<Answer>,
    /// The response has ended, for those who do not wait for `answer`.
    ended: AtomicBool,
    /// What has been accepted.
    link: OnceLock<Arc<SocketLink>>,
    /// Whether a handler works on this request: from handle() to its end, or to finish() when it is asynchronous.
    pub(crate) running: AtomicBool,
    /// Its way, as it is counted.
    passage: Passage,
    /// Held by `interrupt` while it speaks of a running handler; taken at the end of a blocking handler's run.
    pub(crate) interrupting: Mutex<()>,
    /// Its handler has been told to return, or will be.
    pub(crate) is_interrupted: AtomicBool,
    /// What an asynchronous engine borrows until finish(). It stays here until the end, for its memory belongs to the thread that has
    /// the next request made of it: a memory allocator has the two wait for each other where the engine's thread gives it back.
    kept: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// An asynchronous engine holds this request.
    is_lent: AtomicBool,
    trace: Option<Box<Trace>>,
}

/// Lines with the request's context.
impl log::RequestLog for Exchange {
    /// What else the server's log leaves out, it decides when the line has reached it.
    fn takes(&self, level: Level) -> bool {
        level != Level::Debug || self.traced
    }

    fn write(&self, level: Level, line: &str) {
        self.port.log(level, &log::escape(line.as_bytes()));
    }
}

impl Exchange {
    /// A request that has not been handled yet.
    #[must_use]
    pub fn new(head: RequestHead, port: Arc<dyn Port>) -> Arc<Self> {
        // Most requests for a WebSocket get one, which may stay for hours.
        let is_likely = head.socket.is_none() && head.errand.as_ref().is_none_or(|errand| errand.answers());
        let RequestHead { variables, content_length, no_body, traced, tally, socket, wire, errand } = head;
        let answer = Mutex::new(Answer::new(&variables, no_body, is_likely));
        let trace = Trace::open(traced, Answerer::Application);
        if let Some(trace) = &trace {
            trace.identify(&variables);
        }
        Arc::new(Self {
            passage: Passage::arrive(tally),
            told: Mutex::new(ToldHead::new(variables, wire, socket)),
            content_length,
            no_body,
            traced,
            errand,
            port,
            cancelled: AtomicU8::new(0),
            answer,
            ended: AtomicBool::new(false),
            link: OnceLock::new(),
            running: AtomicBool::new(false),
            interrupting: Mutex::default(),
            is_interrupted: AtomicBool::new(false),
            kept: OnceLock::new(),
            is_lent: AtomicBool::new(false),
            trace,
        })
    }

    /// Keeps what an asynchronous engine borrows. In an Arc: unlike a Box it may move while somebody reads through a pointer.
    pub(crate) fn keep(&self, kept: Arc<dyn Any + Send + Sync>) {
        // A request is handed over once.
        let _kept_before = self.kept.set(kept);
        self.is_lent.store(true, Ordering::Release);
    }

    /// Whether an asynchronous engine held this request until now.
    pub(crate) fn give_up(&self) -> bool {
        self.is_lent.swap(false, Ordering::AcqRel)
    }

    /// What an asynchronous engine borrows, or has borrowed.
    pub(crate) fn kept<T: Any>(&self) -> Option<&T> {
        self.kept.get()?.downcast_ref()
    }

    /// Length of the body; `None` when it is known at its end only.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the answer carries no body.
    pub(crate) fn has_no_body(&self) -> bool {
        self.no_body
    }

    /// What is done in the place of calling the handler.
    pub(crate) fn errand(&self) -> Option<&Arc<dyn Errand>> {
        self.errand.as_ref()
    }

    /// Stops the exchange: calls of the handler answer [`Stop::Cancelled`] from now on. The first cause stays.
    pub fn cancel(&self, cause: Cause) {
        self.mark(cause);
        self.port.cancel();
    }

    /// Its way, as it is counted.
    #[must_use]
    pub fn passage(&self) -> &Passage {
        &self.passage
    }

    /// Its turn has come: what it waited before is not the application's time.
    pub fn begin(&self, now: Instant) {
        self.passage.begin(now);
    }

    /// Has the handler told of what it would wait for.
    pub(crate) fn set_waker(&self, waker: Arc<dyn Waker>) {
        self.port.set_waker(waker);
    }

    /// Keeps `place` until the response has ended.
    pub(crate) fn hold(&self, place: Box<dyn Any + Send>) {
        lock(&self.answer).hold(place);
    }

    /// The application takes it now.
    pub(crate) fn taken_by(&self, application: &str) {
        if let Some(trace) = &self.trace {
            trace.name(application.to_owned());
            trace.begin();
        }
    }

    /// For how long it has run, if its turn has come.
    pub(crate) fn has_run(&self) -> Option<Duration> {
        self.passage.has_run()
    }

    /// The server may be told a moment late of output, together with that of requests that follow.
    pub(crate) fn can_leave_late(&self) {
        self.port.can_leave_late();
    }

    /// Why the exchange was cancelled, if it was.
    #[must_use]
    pub fn cancelled(&self) -> Option<Cause> {
        match self.cancelled.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cause::ClientGone),
            2 => Some(Cause::Deadline),
            _ => Some(Cause::Shutdown),
        }
    }

    /// Whether nobody waits for the response, as far as can be told by asking the server now. A client that has
    /// only closed its sending side counts as gone: nothing else is done about it, so it still gets its answer.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.cancelled().is_some() || self.port.client_gone()
    }

    /// Writes a line with the request's context, as one of its events.
    pub fn log(&self, level: Level, line: &str) {
        self.within(|| report_at!(*self, level, None, "{line}"));
    }

    /// Writes a line that the core has decided on.
    pub fn tell(&self, line: &Line) {
        self.within(|| line.tell(self));
    }

    /// What is done for this request: lines that are written meanwhile are events of its span.
    pub fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        trace::within(self.trace.as_deref(), body)
    }

    /// Reads body bytes; 0 is the end.
    ///
    /// # Errors
    /// As [`Port::read_body`].
    pub fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        // Not by the answer, which another thread that waits for room holds: it would wait for a client that waits for this one.
        if self.ended.load(Ordering::Acquire) {
            return Err(self.misuse("read_body() after finish()"));
        }
        if self.content_length == Some(0) {
            return Ok(0);
        }
        self.live()?;
        self.within(|| self.port.read_body(out, wait))
    }

    /// Gives the response head.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for a head that must not be sent, [`Stop::Misuse`] for a second one.
    pub fn start<'a>(
        &self,
        status: u16,
        reason: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        self.live()?;
        if answer.has_head() {
            return Err(self.misuse("start() was called twice"));
        }
        let fields = answer.room_for_fields(headers.size_hint().0);
        match Head::check_in(fields, status, reason, headers) {
            Ok(head) => {
                if let Some(trace) = &self.trace {
                    trace.start(head.status);
                }
                answer.start(head);
                Ok(())
            }
            Err(error) => {
                self.report(error.code(), format_args!("response refused: {error}"));
                Err(Stop::Invalid)
            }
        }
    }

    /// Ends the response.
    ///
    /// # Errors
    /// [`Stop::Misuse`] the second time.
    pub fn finish(&self, outcome: Outcome) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        if answer.ended() {
            return Err(self.misuse("finish() was called twice"));
        }
        if let Some(link) = self.link.get() {
            let code = if outcome == Outcome::Complete { close_code::NORMAL } else { close_code::INTERNAL };
            // Both numbers may be sent.
            let _ = link.close(code, "");
        }
        let fault = answer.end(outcome);
        self.ended.store(true, Ordering::Release);
        if let Some((code, text)) = &fault
            && !self.is_abandoned()
        {
            self.report(*code, format_args!("{text}"));
        }
        if let Some(trace) = &self.trace {
            trace.end(answer.is_replaced().then_some(500), self);
        }
        self.passage.close(answer.status());
        let delivered = self.deliver(&mut answer);
        let place = answer.release();
        drop(answer);
        // Another request may begin in its place.
        drop(place);
        delivered
    }

    /// Nothing more is written: a response of which nothing has left has its length. Before [`Self::finish`].
    pub(crate) fn measure(&self) {
        lock(&self.answer).measure();
    }

    /// Whether the response has been ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        lock(&self.answer).ended()
    }

    /// The first cause stays.
    fn mark(&self, cause: Cause) {
        let _ = self.cancelled.compare_exchange(0, cause as u8, Ordering::AcqRel, Ordering::Acquire);
        // Its handler may still run.
        self.passage.answer(match cause {
            Cause::ClientGone => 499,
            Cause::Deadline => 504,
            Cause::Shutdown => 503,
        });
    }

    fn live(&self) -> Result<(), Stop> {
        match self.cancelled.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(Stop::Cancelled),
        }
    }

    /// Logs a refusal of a header name, for the ABI's own checks.
    pub(crate) fn refuse(&self, text: &str) -> Stop {
        self.report(BAD_HEADER, format_args!("{text}"));
        Stop::Invalid
    }

    /// Writes what is wrong with the request, as one of its events.
    pub(crate) fn report(&self, code: Code, text: fmt::Arguments<'_>) {
        self.within(|| report!(*self, Error, code, "{text}"));
    }

    pub(crate) fn misuse(&self, text: &str) -> Stop {
        self.report(ENGINE_MISUSE, format_args!("the engine broke its contract: {text}"));
        Stop::Misuse
    }
}

#[cfg(test)]
mod tests;
