// SPDX-License-Identifier: MIT OR Apache-2.0
//! One running request: what its handler sends, its deadline, and its end.
//!
//! A flight is found by its ticket, never by an address: nginx may end a request in any call that finalizes, and
//! everybody else (a pool thread, a timer, nginx's cleanup) then finds that the ticket is gone.

use std::{ffi::c_void, ptr, sync::Arc, time::Duration};

use gangway::{
    engine::fence,
    exchange::{Cause, Channel, End, Exchange},
    log::Level,
    pool::Refusal,
    runtime::{Application, Overdue, abandon},
};
use nginx_sys::{ngx_event_t, ngx_http_request_t, ngx_int_t};

use super::{feed::Feed, stuck::Stuck, worker::Worker};
use crate::{
    module,
    raw::{Buffers, Msec, Request, Ticket, Timer, timer_data},
    serve::{
        accel,
        head::{self, Sent},
    },
};

const ERROR: ngx_int_t = nginx_sys::NGX_ERROR as ngx_int_t;
const DONE: ngx_int_t = nginx_sys::NGX_DONE as ngx_int_t;

pub(crate) struct InFlight {
    request: Request,
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    channel: Arc<Channel>,
    buffers: Buffers,
    timer: Timer,
    /// The body, if it still comes in.
    feed: Option<Feed>,
    /// When the application was given the request.
    accepted: Msec,
    /// nginx has the rest: only the memory of what it still sends is kept.
    finalized: bool,
    /// The handler has ended its response.
    ended: bool,
}

/// What follows when a flight has done what it could.
enum Next {
    Wait,
    /// Ends the request; the flight may be gone after it.
    Finalize(ngx_int_t),
    /// Sends the request elsewhere.
    Redirect(Vec<u8>),
}

impl InFlight {
    pub(crate) fn new(
        request: Request,
        application: Arc<Application>,
        exchange: Arc<Exchange>,
        channel: Arc<Channel>,
        ticket: Ticket,
    ) -> Self {
        let tag = ptr::from_ref(module()).cast_mut().cast();
        let timer = Timer::new(on_deadline, ticket.as_data(), true);
        Self {
            request,
            application,
            exchange,
            channel,
            buffers: Buffers::new(tag),
            timer,
            feed: None,
            accepted: Msec::now(),
            finalized: false,
            ended: false,
        }
    }

    pub(crate) fn request(&self) -> Request {
        self.request
    }

    /// Has the body come in while the handler runs, which gets what is there.
    ///
    /// # Errors
    /// The status of the request when no more can come.
    pub(crate) fn stream_body(&mut self) -> Result<(), ngx_int_t> {
        let mut feed = Feed::default();
        feed.give(self.request, &self.channel)?;
        self.feed = Some(feed);
        Ok(())
    }

    fn restart_timer(&mut self) {
        self.timer.set(self.application.config().timeout().unwrap_or(NO_DEADLINE));
    }

    /// Sends what the handler has given.
    fn advance(&mut self) -> Next {
        if self.finalized {
            return Next::Wait;
        }
        let delivery = self.channel.take();
        self.ended = delivery.end.is_some();
        let head_alone = delivery.head.is_some() && delivery.pieces.is_empty() && delivery.end.is_none();
        if let Some(head) = delivery.head {
            // nginx can cut several ranges out of one piece, and one range out of many.
            let whole = delivery.end == Some(End::Complete) && delivery.pieces.len() == 1;
            match head::send(self.request, &head, whole) {
                Sent::Header => {}
                Sent::Failed(status) => return self.end(Next::Finalize(status)),
                Sent::Redirect(target) => return self.end(Next::Redirect(target)),
            }
        }
        if delivery.end == Some(End::Failed) && !self.request.header_sent() {
            return self.end(Next::Finalize(nginx_sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t));
        }
        let complete = delivery.end == Some(End::Complete);
        let mut status = 0;
        if self.request.header_only() {
            self.channel.sent(delivery.pieces.iter().map(gangway::exchange::Piece::weight).sum());
        } else if head_alone {
            status = self.request.flush();
        } else if !delivery.pieces.is_empty() || complete {
            status = self.send(delivery.pieces, complete);
        }
        match delivery.end {
            _ if status == ERROR => self.end(Next::Finalize(ERROR)),
            Some(End::Complete) => self.end(Next::Finalize(status)),
            // After the head the connection is cut: a client must see that the response is not whole.
            Some(End::Failed) => self.end(Next::Finalize(ERROR)),
            None => {
                self.restart_timer();
                if let Some(feed) = &mut self.feed {
                    feed.look(&self.channel);
                }
                match self.feed() {
                    Next::Wait => self.watch_output(),
                    next => next,
                }
            }
        }
    }

    /// Gives the handler more of the body, if it waits for that.
    fn feed(&mut self) -> Next {
        let Some(feed) = self.feed.as_mut().filter(|feed| feed.waits()) else { return Next::Wait };
        match feed.give(self.request, &self.channel) {
            Ok(()) if feed.is_open() => {}
            Ok(()) => self.request.watch_client_alone(),
            Err(status) => return self.fail_body(status),
        }
        if !self.feed.as_ref().is_some_and(Feed::waits) {
            // What the client makes us wait for is not the application's time.
            self.restart_timer();
        }
        Next::Wait
    }

    /// The client has left, or has sent what nginx refuses.
    fn fail_body(&mut self, status: ngx_int_t) -> Next {
        abandon(&self.application, &self.exchange, Cause::ClientGone);
        self.end(Next::Finalize(if self.request.header_sent() { ERROR } else { status }))
    }

    /// More of the body has come, or the client has left.
    fn readable(&mut self) -> Next {
        match &self.feed {
            _ if self.finalized => Next::Wait,
            Some(feed) if feed.waits() => self.feed(),
            Some(_) if !self.request.leave_unread() => {
                self.fail_body(nginx_sys::NGX_HTTP_CLIENT_CLOSED_REQUEST as ngx_int_t)
            }
            _ => Next::Wait,
        }
    }

    fn send(&mut self, pieces: Vec<gangway::exchange::Piece>, last: bool) -> ngx_int_t {
        let (status, sent) = self.buffers.send(self.request, pieces, last);
        if sent > 0 {
            self.channel.sent(sent);
        }
        status
    }

    fn watch_output(&mut self) -> Next {
        if self.request.watch_output() { Next::Wait } else { self.end(Next::Finalize(ERROR)) }
    }

    /// The client can take more, or took nothing for too long.
    fn writable(&mut self) -> Next {
        let (timed_out, delayed) = self.request.write_state();
        if self.finalized {
            return Next::Wait;
        }
        if timed_out {
            self.request.log(Level::Info, "client timed out");
            self.request.set_timed_out();
            return self.end(Next::Finalize(nginx_sys::NGX_HTTP_REQUEST_TIME_OUT as ngx_int_t));
        }
        if !delayed && self.request.header_sent() && self.send(Vec::new(), false) == ERROR {
            return self.end(Next::Finalize(ERROR));
        }
        // While parts of the page were on the connection, nginx told them of what came.
        match if self.request.is_readable() { self.feed() } else { Next::Wait } {
            Next::Wait => self.watch_output(),
            next => next,
        }
    }

    /// The application gave nothing for as long as its timeout.
    fn deadline(&mut self) -> Next {
        if self.application.config().timeout().is_none() {
            self.restart_timer();
            return Next::Wait;
        }
        // A client that does not take what it has been given is not the application's fault (send_timeout), nor is one that
        // does not send what the application waits for (client_body_timeout).
        let waits_for_body = self.feed.as_ref().is_some_and(Feed::waits);
        if waits_for_body
            || self.channel.has_outstanding()
            || (self.request.header_sent() && self.request.is_buffered())
        {
            self.restart_timer();
            return Next::Wait;
        }
        let (queued, line) = match self.application.overdue(&self.exchange, self.accepted.elapsed()) {
            Overdue::Waiting => (true, self.application.refusal_line(Refusal::Deadline)),
            Overdue::Begun(left) => {
                self.timer.set(left);
                return Next::Wait;
            }
            Overdue::Silent(line) => (false, Some(line)),
        };
        self.request.log(Level::Error, &line.unwrap_or_default());
        self.exchange.cancel(Cause::Deadline);
        if !queued {
            self.application.interrupt(&self.exchange);
            Stuck::watch(&self.application, &self.exchange, self.channel.ticket(), &self.label());
        }
        let late = nginx_sys::NGX_HTTP_GATEWAY_TIME_OUT as ngx_int_t;
        self.end(Next::Finalize(if self.request.header_sent() { ERROR } else { late }))
    }

    /// The request in words, for a line that is written when nginx has forgotten it.
    fn label(&self) -> String {
        let escape = gangway::log::escape;
        format!(
            "client: {}, request: \"{} {}\"",
            escape(self.request.remote_addr()),
            escape(self.request.method()),
            escape(self.request.unparsed_uri())
        )
    }

    fn end(&mut self, next: Next) -> Next {
        self.finalized = true;
        self.timer.stop();
        if self.feed.as_ref().is_some_and(Feed::is_open) {
            self.request.ignore_body();
        }
        next
    }

    /// nginx has ended the request.
    fn close(self) {
        if !self.ended {
            abandon(&self.application, &self.exchange, Cause::ClientGone);
        }
    }
}

/// Makes nginx tell us of the request's end and of its client. Answers false without memory.
pub(crate) fn register(worker: &Worker, request: Request, mut flight: InFlight, ticket: Ticket) -> bool {
    if !request.on_end(Some(on_end), ticket.as_data()) {
        return false;
    }
    request.set_context(module(), ticket.as_data());
    request.watch_client(Some(on_writable));
    if flight.feed.as_ref().is_some_and(Feed::is_open) {
        request.watch_body(Some(on_readable));
    }
    flight.restart_timer();
    worker.insert(ticket, flight);
    true
}

/// Lets a flight do something, then carries out what follows, which may end it.
fn step(ticket: Ticket, act: impl FnOnce(&mut InFlight) -> Next) {
    let Some(worker) = Worker::current() else { return };
    let Some((request, next)) = worker.with(ticket, |flight| (flight.request, act(flight))) else { return };
    match next {
        Next::Wait => {}
        Next::Finalize(status) => request.finalize(status),
        Next::Redirect(target) => {
            // What the handler still sends has no place to go.
            worker.with(ticket, |flight| abandon(&flight.application, &flight.exchange, Cause::ClientGone));
            match accel::redirect(request, &target) {
                Ok(()) => request.finalize(DONE),
                Err(status) => request.finalize(status),
            }
        }
    }
}

/// A handler has given something.
pub(crate) fn pump(ticket: Ticket) {
    let Some(worker) = Worker::current() else { return };
    let Some(run_posted) = worker.with(ticket, |flight| flight.request.posted_runner()) else { return };
    step(ticket, InFlight::advance);
    run_posted();
}

unsafe extern "C" fn on_writable(r: *mut ngx_http_request_t) {
    fence("on_writable", (), || {
        // SAFETY: nginx calls a write handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        step(Ticket::from_data(request.context(module())), InFlight::writable);
    });
}

unsafe extern "C" fn on_readable(r: *mut ngx_http_request_t) {
    fence("on_readable", (), || {
        // SAFETY: nginx calls a read handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        step(Ticket::from_data(request.context(module())), InFlight::readable);
    });
}

unsafe extern "C" fn on_deadline(event: *mut ngx_event_t) {
    fence("on_deadline", (), || {
        // SAFETY: nginx calls a timer's handler with its event, whose data is the ticket.
        let ticket = Ticket::from_data(unsafe { timer_data(event) });
        let Some(worker) = Worker::current() else { return };
        let Some(run_posted) = worker.with(ticket, |flight| flight.request.posted_runner()) else { return };
        step(ticket, InFlight::deadline);
        run_posted();
    });
}

/// nginx frees the request.
unsafe extern "C" fn on_end(data: *mut c_void) {
    fence("on_end", (), || {
        if let Some(flight) = Worker::current().and_then(|worker| worker.remove(Ticket::from_data(data))) {
            flight.close();
        }
    });
}

/// How long an interrupted handler may take to end.
pub(crate) const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

/// How long a request without a deadline keeps a timer, which also keeps a worker that shuts down alive.
const NO_DEADLINE: Duration = Duration::from_secs(3600);
