// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the event loop calls: pool threads have something, a client can be written to or read from, time is over.

use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    io,
    os::fd::AsFd,
    ptr,
    time::{Duration, Instant},
};

use gangway::{engine::fence, error::SERVER_FAILED, exchange::OutboxEvent, log::Line, sys::explain};
use nginx_sys::{ngx_event_t, ngx_http_request_t};

use super::{
    in_flight::{InFlight, NextStep},
    mounted::Applications,
    worker::Worker,
};
use crate::{
    module,
    raw::{self, Connection, Cycle, DONE, Request, Ticket, Timer, Watch, timer_data},
    serve::{accel, counting},
};

/// How long a worker waits for applications when it shuts down gracefully, and when it must end now: the master
/// kills a worker a second and a half after a fast stop (ngx_master_process_cycle() doubles a delay of 50 ms until it is above a second).
const GRACE: Duration = Duration::from_secs(5);
const SHORT_GRACE: Duration = Duration::from_millis(1000);
/// How often a worker that shuts down looks which requests hold it up.
const EXIT_LOOK_EVERY: Duration = Duration::from_millis(500);

thread_local! {
    static WATCHES: Cell<Vec<Watch>> = const { Cell::new(Vec::new()) };
    /// Of a worker that shuts down: the timer that looks which requests hold it up, and since when it does.
    static EXIT: RefCell<Option<(Timer, Instant)>> = const { RefCell::new(None) };
    /// Memory for what is taken from pool threads.
    static EVENTS: RefCell<Vec<OutboxEvent>> = const { RefCell::new(Vec::new()) };
}

/// Begins to run the applications of a configuration, if it has any.
///
/// # Errors
/// The system or nginx has no room for what it takes.
pub(crate) fn start(cycle: &Cycle<'_>) -> Result<(), Line> {
    let Some(applications) = Applications::of_cycle(cycle) else { return Ok(()) };
    run(applications, cycle.has_master()).map_err(|error| {
        Line::error(SERVER_FAILED, format!("applications cannot be started: {}", explain(&error)))
    })
}

/// `multiprocess`: others may run them as well.
fn run(applications: &Applications, multiprocess: bool) -> io::Result<()> {
    raw::leave_children_alone();
    let worker = Worker::start(multiprocess)?;
    let watch = |fd| {
        Watch::new(fd, on_outbox, ptr::null_mut())
            .ok_or_else(|| io::Error::other("no free connection; raise worker_connections"))
    };
    let outbox = worker.outbox();
    let watches = vec![watch(outbox.eventfd().as_fd())?, watch(outbox.timerfd().as_fd())?];
    watches.iter().for_each(Watch::tell_exit);
    WATCHES.set(watches);
    for (config, counted) in applications.all.iter().zip(&applications.counted) {
        worker.application(config).count_at(counting::tally(*counted));
    }
    Ok(())
}

/// Ends them.
pub(crate) fn stop() {
    let Some(worker) = Worker::current() else { return };
    let grace = if raw::now_exiting() { SHORT_GRACE } else { GRACE };
    worker.for_each(InFlight::end_socket);
    if !worker.stop(grace) {
        // A thread still runs an application: the destructors of exit(3) would pull the ground from under it.
        gangway::sys::exit_without_destructors();
    }
    drain(worker);
    drop(WATCHES.take());
    drop(EXIT.take());
}

/// Takes what pool threads have for the loop.
fn drain(worker: &Worker) {
    let mut events = EVENTS.take();
    worker.outbox().drain(&mut events);
    // Lines first: a request that ends takes its context with it.
    for event in &events {
        if let OutboxEvent::Line(ticket, level, line) = event {
            worker.log(*ticket, *level, line);
        }
    }
    for event in events.drain(..) {
        if let OutboxEvent::Ready(ticket) = event {
            let ticket = Ticket::from_number(ticket);
            match worker.aside_listener(ticket) {
                Some(listener) => (listener.ready)(listener.owner),
                None => wake(ticket, InFlight::advance),
            }
        }
    }
    EVENTS.set(events);
}

/// The timer of a request.
pub(super) fn deadline(ticket: Ticket) -> Timer {
    Timer::new(on_deadline, ticket.as_data(), true)
}

/// Makes nginx tell us of the request's end and of its client. Answers false without memory.
pub(super) fn register(worker: &Worker, mut flight: InFlight, ticket: Ticket) -> bool {
    let request = flight.request();
    if !request.on_end(on_end, ticket) {
        return false;
    }
    request.set_ticket(module(), Some(ticket));
    request.watch_client(Some(on_writable));
    if flight.reads_body() {
        request.watch_body(Some(on_readable));
    }
    flight.restart_timer();
    worker.insert(ticket, flight);
    true
}

/// Lets a request do something, then carries out what follows, which may end it.
fn step(ticket: Ticket, act: impl FnOnce(&mut InFlight) -> NextStep) {
    let Some(worker) = Worker::current() else { return };
    if let Some((request, next)) = worker.with(ticket, |flight| (flight.request(), act(flight))) {
        carry_out(worker, ticket, request, next);
    }
}

fn carry_out(worker: &Worker, ticket: Ticket, request: Request, next: NextStep) {
    match next {
        NextStep::Upgrade(link) => step(ticket, |flight| flight.upgrade(link, on_socket)),
        NextStep::Wait => {}
        NextStep::Finalize(status) => request.finalize(status),
        NextStep::Leave(status, stuck) => {
            worker.add_stuck(stuck);
            request.finalize(status);
        }
        NextStep::Pass(passed) => {
            // What nginx calls at the end of the request finds nothing.
            if let Some(flight) = worker.remove(ticket) {
                flight.close();
            }
            request.set_ticket(module(), None);
            passed(request);
        }
        NextStep::Redirect(target) => {
            worker.with(ticket, |flight| flight.abandon());
            match accel::redirect(request, &target) {
                Ok(()) => request.finalize(DONE),
                Err(status) => request.finalize(status),
            }
        }
    }
}

/// A [`step`] that nginx has not asked for: requests that were posted meanwhile are run after it.
fn wake(ticket: Ticket, act: impl FnOnce(&mut InFlight) -> NextStep) {
    let Some(worker) = Worker::current() else { return };
    let Some(run_posted) = worker.with(ticket, |flight| flight.request().posted_runner()) else { return };
    step(ticket, act);
    run_posted();
}

/// A pool thread has signalled.
unsafe extern "C" fn on_outbox(event: *mut ngx_event_t) {
    fence("on_outbox", (), || {
        // SAFETY: nginx calls this with the event of one of our watches.
        unsafe { raw::acknowledge(event) };
        if let Some(worker) = Worker::current() {
            if raw::is_exiting() {
                begin_exit();
            }
            drain(worker);
        }
    });
}

/// The worker shuts down: from now on it is looked which requests hold it up.
fn begin_exit() {
    EXIT.with_borrow_mut(|exit| {
        exit.get_or_insert_with(|| {
            let mut look = Timer::new(on_exit_look, ptr::null_mut(), false);
            look.set(EXIT_LOOK_EVERY);
            (look, Instant::now())
        });
    });
}

unsafe extern "C" fn on_exit_look(_: *mut ngx_event_t) {
    fence("on_exit_look", (), || {
        let Some(worker) = Worker::current() else { return };
        let since = EXIT.with_borrow_mut(|exit| {
            let (look, since) = exit.as_mut()?;
            look.set(EXIT_LOOK_EVERY);
            Some(*since)
        });
        let mut late = Vec::new();
        worker.for_each(|flight| late.extend(since.and_then(|since| flight.outlasts(since))));
        for ticket in late {
            wake(ticket, InFlight::leave_behind);
        }
    });
}

unsafe extern "C" fn on_writable(r: *mut ngx_http_request_t) {
    fence("on_writable", (), || {
        // SAFETY: nginx calls a write handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if let Some(ticket) = request.ticket(module()) {
            step(ticket, InFlight::writable);
        }
    });
}

unsafe extern "C" fn on_readable(r: *mut ngx_http_request_t) {
    fence("on_readable", (), || {
        // SAFETY: nginx calls a read handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if let Some(ticket) = request.ticket(module()) {
            step(ticket, InFlight::readable);
        }
    });
}

/// The connection of a WebSocket can be read from or written to, has failed, or is to end with the worker.
unsafe extern "C" fn on_socket(event: *mut ngx_event_t) {
    fence("on_socket", (), || {
        // SAFETY: nginx calls the handler of a connection's event with that, and an upgraded connection has its request.
        let (connection, request) = unsafe { Connection::of_upgraded(event) };
        let closing = connection.is_to_end();
        if let Some(ticket) = request.ticket(module()) {
            wake(ticket, |flight| flight.socket_event(closing));
        }
    });
}

unsafe extern "C" fn on_deadline(event: *mut ngx_event_t) {
    fence("on_deadline", (), || {
        // SAFETY: nginx calls a timer's handler with its event, whose data is the ticket.
        wake(Ticket::from_data(unsafe { timer_data(event) }), InFlight::deadline);
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
