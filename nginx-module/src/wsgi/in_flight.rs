// SPDX-License-Identifier: MIT OR Apache-2.0
//! One running request: what its handler sends, its deadline, and its end.
//!
//! A request in flight is found by its ticket, never by an address: nginx may end a request in any call that finalizes, and
//! everybody else (a pool thread, a timer, nginx's cleanup) then finds that the ticket is gone.

mod ending;

use std::{
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    exchange::{Beyond, Cause, Channel, Delivery, End, Exchange, SocketEnd, SocketLink},
    http::{Fields, Head},
    pool::Refusal,
    report,
    runtime::{Application, Overdue},
};
use nginx_sys::{ngx_event_t, ngx_int_t};

use super::{
    feed::Feed,
    hooks::ErrandHooks,
    socket::ClientSocket,
    stuck::{self, Stuck},
};
use crate::{
    module,
    raw::{Buffers, ERROR, Msec, Request, Timer, is_exiting},
    serve::head::{self, Sent},
};

/// One running request.
pub(super) struct InFlight {
    request: Request,
    /// Where it is counted, if it is.
    counted: Option<usize>,
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    channel: Arc<Channel>,
    buffers: Buffers,
    timer: Timer,
    /// The body, if it still comes in.
    feed: Option<Feed>,
    /// What it is since its handler has accepted a WebSocket.
    socket: Option<Box<ClientSocket>>,
    /// When its timer ends, of a WebSocket.
    look_at: Option<Instant>,
    /// When the application was given the request.
    accepted: Msec,
    /// nginx has the rest: only the memory of what it still sends is kept.
    finalized: bool,
    /// The handler has ended its response.
    ended: bool,
    /// Handlers of phases run, and not the application's own.
    errand: Option<ErrandHooks>,
}

/// What follows when a request has done what it could.
pub(super) enum NextStep {
    Wait,
    /// Ends the request, which may be gone after it.
    Finalize(ngx_int_t),
    /// Ends it while its handler still runs, which is looked after.
    Leave(ngx_int_t, Stuck),
    /// Sends the request elsewhere.
    Redirect(Vec<u8>),
    /// Takes the connection for a WebSocket.
    Upgrade(Arc<SocketLink>),
    /// Leaves the request to whoever has sent the handlers.
    Pass(fn(Request)),
}

impl InFlight {
    pub(super) fn new(
        (request, counted): (Request, Option<usize>),
        application: Arc<Application>,
        exchange: Arc<Exchange>,
        channel: Arc<Channel>,
        deadline: Timer,
        errand: Option<ErrandHooks>,
    ) -> Self {
        let tag = ptr::from_ref(module()).cast_mut().cast();
        Self {
            request,
            counted,
            application,
            exchange,
            channel,
            buffers: Buffers::new(tag),
            timer: deadline,
            feed: None,
            socket: None,
            look_at: None,
            accepted: Msec::now(),
            finalized: false,
            ended: false,
            errand,
        }
    }

    pub(super) fn request(&self) -> Request {
        self.request
    }

    /// Has the body come in while the handler runs, which gets what is there.
    ///
    /// # Errors
    /// The status of the request when no more can come.
    pub(super) fn stream_body(&mut self) -> Result<(), ngx_int_t> {
        let mut feed = Feed::default();
        feed.give(self.request, &self.channel)?;
        self.feed = Some(feed);
        Ok(())
    }

    pub(super) fn restart_timer(&mut self) {
        self.timer.set(self.application.config().timeout().unwrap_or(NO_DEADLINE));
    }

    /// Sends what the handler has given.
    pub(super) fn advance(&mut self) -> NextStep {
        if self.finalized {
            return NextStep::Wait;
        }
        let mut delivery = self.channel.take();
        self.ended |= delivery.end.is_some();
        if self.socket.is_some() {
            return self.socket_step();
        }
        self.send_interim(&mut delivery);
        let head_alone = delivery.head.is_some() && delivery.pieces.is_empty() && delivery.end.is_none();
        let beyond = delivery.beyond.take();
        if beyond.as_deref().is_some_and(|beyond| beyond.expects_trailers) {
            self.request.expect_trailers();
        }
        if let (Some(End::Passed), Some(errand)) = (delivery.end, self.errand) {
            return self.end(NextStep::Pass(errand.passed));
        }
        if let Some(head) = delivery.head {
            // nginx can cut several ranges out of one piece, and one range out of many.
            let whole = delivery.end == Some(End::Complete) && delivery.pieces.len() == 1;
            if let Some(next) = self.start(&head, whole) {
                return next;
            }
        }
        if delivery.end == Some(End::Failed) && !self.request.header_sent() {
            return self.end(NextStep::Finalize(nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t));
        }
        let complete = delivery.end == Some(End::Complete);
        if complete {
            self.add_trailers(beyond);
        }
        let mut status = 0;
        if self.request.header_only() {
            self.channel.sent(delivery.pieces.iter().map(gangway::exchange::Piece::weight).sum());
        } else if head_alone {
            status = self.request.flush();
        } else if !delivery.pieces.is_empty() || complete {
            status = self.send(delivery.pieces, complete);
        }
        match delivery.end {
            _ if status == ERROR => self.end(NextStep::Finalize(ERROR)),
            Some(End::Complete) => self.end(NextStep::Finalize(status)),
            // After the head the connection is cut: a client must see that the response is not whole.
            Some(End::Failed | End::Passed) => self.end(NextStep::Finalize(ERROR)),
            None => {
                self.restart_timer();
                if let Some(feed) = &mut self.feed {
                    feed.look(&self.channel);
                }
                match self.feed() {
                    NextStep::Wait => self.watch_output(),
                    next => next,
                }
            }
        }
    }

    /// The head that accepts a WebSocket has been given to nginx: `handler` is called for what happens on the connection.
    pub(super) fn upgrade(
        &mut self,
        link: Arc<SocketLink>,
        handler: unsafe extern "C" fn(*mut ngx_event_t),
    ) -> NextStep {
        self.timer.stop();
        if self.request.flush() == ERROR {
            return self.end(NextStep::Finalize(ERROR));
        }
        let Some(socket) = ClientSocket::begin(self.request, link, handler) else {
            return self.end(NextStep::Finalize(ERROR));
        };
        self.socket = Some(Box::new(socket));
        if is_exiting() {
            self.drain();
        }
        self.socket_step()
    }

    /// Something has happened on the connection of a WebSocket. `closing`: the worker shuts down; `now`: and waits for nobody.
    pub(super) fn socket_event(&mut self, (closing, now): (bool, bool)) -> NextStep {
        if self.finalized {
            return NextStep::Wait;
        }
        if now {
            self.end_socket();
            return self.end(NextStep::Finalize(ERROR));
        }
        if closing {
            self.drain();
        }
        self.socket_step()
    }

    fn drain(&mut self) {
        if let (Some(socket), Some(terms)) = (&mut self.socket, self.application.config().sockets()) {
            socket.drain(terms.drain(), self.channel.ticket());
        }
    }

    /// The process ends: what can be said at once to the client of a WebSocket.
    pub(super) fn end_socket(&self) {
        if let Some(socket) = self.socket.as_ref().filter(|_| !self.finalized) {
            socket.end_now(self.request);
        }
    }

    fn socket_step(&mut self) -> NextStep {
        if self.request.is_buffered() {
            let has_failed = self.send(Vec::new(), false) == ERROR;
            if has_failed || self.request.is_buffered() && !ClientSocket::waits(self.request) {
                return self.end(NextStep::Finalize(ERROR));
            }
            if self.request.is_buffered() {
                return NextStep::Wait;
            }
        }
        let Some(socket) = &mut self.socket else { return NextStep::Wait };
        match socket.go_on(self.request) {
            Ok(at) => {
                self.look_again(at);
                NextStep::Wait
            }
            Err(SocketEnd::Agreed) => {
                // Its handler may still run, which is no failure.
                self.exchange.passage().answer(101);
                self.end(NextStep::Finalize(0))
            }
            Err(SocketEnd::Broken) => self.end(NextStep::Finalize(ERROR)),
        }
    }

    /// A timer that ends too early is set again then, which costs less than to set it for each message.
    fn look_again(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return self.timer.stop() };
        if self.timer.is_set() && self.look_at.is_some_and(|known| known <= at) {
            return;
        }
        self.timer.stop();
        self.timer.set(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        self.look_at = Some(at);
    }

    /// Sends what comes before the head.
    fn send_interim(&self, delivery: &mut Delivery) {
        for fields in delivery.take_interim() {
            if !self.request.header_sent() {
                self.request.send_interim(103, &fields.iter().collect::<Vec<_>>());
            }
        }
    }

    /// Gives nginx what follows the body. Without memory for a field the response says enough.
    fn add_trailers(&self, beyond: Option<Box<Beyond>>) {
        for (name, value) in
            beyond.iter().filter_map(|beyond| beyond.trailers.as_ref()).flat_map(Fields::iter)
        {
            let _ = self.request.add_trailer(name, value);
        }
    }

    /// Gives nginx the head. Answers what follows, where that is not the body.
    fn start(&mut self, head: &Head, whole: bool) -> Option<NextStep> {
        self.note();
        if let Some(Err(status)) = self.errand.map(|errand| errand.begin(self.request)) {
            return Some(self.end(NextStep::Finalize(status)));
        }
        match head::send(self.request, head, whole) {
            Sent::Header => self.channel.socket().map(NextStep::Upgrade),
            Sent::Failed(status) => Some(self.end(NextStep::Finalize(status))),
            Sent::Redirect(target) => Some(self.end(NextStep::Redirect(target))),
        }
    }

    /// Gives the handler more of the body, if it waits for that.
    fn feed(&mut self) -> NextStep {
        let Some(feed) = self.feed.as_mut().filter(|feed| feed.waits()) else { return NextStep::Wait };
        match feed.give(self.request, &self.channel) {
            Ok(()) if feed.is_open() => {}
            Ok(()) => self.request.watch_client_alone(),
            Err(status) => return self.fail_body(status),
        }
        if !self.feed.as_ref().is_some_and(Feed::waits) {
            // What the client makes us wait for is not the application's time.
            self.restart_timer();
        }
        NextStep::Wait
    }

    /// The client has left, or has sent what nginx refuses.
    fn fail_body(&mut self, status: ngx_int_t) -> NextStep {
        self.abandon();
        self.end(NextStep::Finalize(if self.request.header_sent() { ERROR } else { status }))
    }

    /// More of the body has come, or the client has left.
    pub(super) fn readable(&mut self) -> NextStep {
        match &self.feed {
            _ if self.finalized => NextStep::Wait,
            Some(feed) if feed.waits() => self.feed(),
            Some(_) if !self.request.leave_unread() => {
                self.fail_body(nginx_sys::NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t)
            }
            _ => NextStep::Wait,
        }
    }

    fn send(&mut self, pieces: Vec<gangway::exchange::Piece>, last: bool) -> ngx_int_t {
        let (status, sent) = self.buffers.send(self.request, pieces, last);
        if sent > 0 {
            self.channel.sent(sent);
        }
        status
    }

    fn watch_output(&mut self) -> NextStep {
        if self.request.watch_output() { NextStep::Wait } else { self.end(NextStep::Finalize(ERROR)) }
    }

    /// The client can take more, or took nothing for too long.
    pub(super) fn writable(&mut self) -> NextStep {
        let (timed_out, delayed) = self.request.write_state();
        if self.finalized {
            return NextStep::Wait;
        }
        if self.socket.is_some() {
            return self.socket_step();
        }
        if timed_out {
            self.exchange.within(|| report!(self.request, Info, None, "client timed out"));
            self.request.set_timed_out();
            return self.end(NextStep::Finalize(nginx_sys::NGX_HTTP_REQUEST_TIME_OUT as ngx_int_t));
        }
        if !delayed && self.buffers.have_output(self.request) && self.send(Vec::new(), false) == ERROR {
            return self.end(NextStep::Finalize(ERROR));
        }
        // While parts of the page were on the connection, nginx told them of what came.
        match if self.request.is_readable() { self.feed() } else { NextStep::Wait } {
            NextStep::Wait => self.watch_output(),
            next => next,
        }
    }

    /// The application gave nothing for as long as its timeout.
    pub(super) fn deadline(&mut self) -> NextStep {
        if self.socket.is_some() {
            return self.socket_step();
        }
        if self.application.config().timeout().is_none() {
            self.restart_timer();
            return NextStep::Wait;
        }
        // A client that does not take what it has been given is not the application's fault (send_timeout), nor is one that
        // does not send what the application waits for (client_body_timeout).
        let waits_for_body = self.feed.as_ref().is_some_and(Feed::waits);
        if waits_for_body
            || self.channel.has_outstanding()
            || (self.request.header_sent() && self.request.is_buffered())
        {
            self.restart_timer();
            return NextStep::Wait;
        }
        let (queued, line) = match self.application.overdue(&self.exchange, self.accepted.elapsed()) {
            Overdue::Waiting => (true, self.application.refusal_line(Refusal::Deadline)),
            Overdue::Begun(left) => {
                self.timer.set(left);
                return NextStep::Wait;
            }
            Overdue::Silent(line) => (false, Some(line)),
        };
        if let Some(line) = line {
            self.exchange.within(|| line.tell(&self.request));
        }
        self.exchange.cancel(Cause::Deadline);
        let late = nginx_sys::NGX_HTTP_GATEWAY_TIME_OUT as ngx_int_t;
        let status = if self.request.header_sent() { ERROR } else { late };
        if queued {
            return self.end(NextStep::Finalize(status));
        }
        self.application.interrupt(&self.exchange);
        let stuck =
            Stuck::new(&self.application, &self.exchange, self.channel.ticket(), stuck::label(self.request));
        self.end(NextStep::Leave(status, stuck))
    }

    /// Whether more of the body may come in.
    pub(super) fn reads_body(&self) -> bool {
        self.feed.as_ref().is_some_and(Feed::is_open)
    }
}

/// How long a request without a deadline keeps a timer, which also keeps a worker that shuts down alive.
const NO_DEADLINE: Duration = Duration::from_secs(3600);
