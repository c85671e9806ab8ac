// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handlers that run when the response has ended: nginx forgets the request at once, so they get a copy of what was known of it.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use gangway::{
    engine::{AfterErrand, fence},
    error::LATE_HANDLERS_SKIPPED,
    log::Throttle,
    phases::RequestPhase,
    report,
    runtime::Beside,
    sys::lock,
};
use nginx_sys::{ngx_event_t, ngx_http_request_t, ngx_int_t};

use super::{WantedHandlers, tell};
use crate::{
    conf::{LocationConf, MainConf},
    raw::{Request, Ticket, Tickets, Timer},
    serve::memo,
    wsgi::{Aside, Listener, send_aside},
};

/// How long a worker that shuts down waits for them.
const GRACE: Duration = Duration::from_secs(10);

thread_local! {
    static WAITING: RefCell<Tickets<Aside>> = RefCell::default();
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Keeps a worker that shuts down until they have run.
    static HOLD: RefCell<Option<Timer>> = const { RefCell::new(None) };
    static SKIPPED: Throttle = Throttle::default();
}

/// nginx calls it for requests that have ended, and for parts of pages where it logs those (`log_subrequest`).
pub(super) unsafe extern "C" fn log(r: *mut ngx_http_request_t) -> ngx_int_t {
    fence("phases::log", 0, || {
        // SAFETY: nginx calls a phase handler with a live request.
        let request = unsafe { Request::from_raw(r) };
        if request.is_main() {
            // Without memory there is no line.
            let _ = send(request);
        }
        0
    })
}

fn send(request: Request) -> Option<()> {
    let location = request.location::<LocationConf>();
    let place = location.handlers.place.as_ref()?;
    let known = memo::transit(request);
    let is_wanted = place.has(RequestPhase::Log)
        || place.has(RequestPhase::Cleanup)
        || known.as_ref().is_some_and(|transit| lock(&transit.snapshot).has_afterwards());
    if !is_wanted {
        return None;
    }
    let transit = match known {
        // Its client has left while handlers run, whose object is theirs.
        Some(transit) if memo::runs_handlers(request) => Arc::new(transit.copy()),
        Some(transit) => transit,
        None => Arc::default(),
    };
    tell::tell_end(request, place, &mut lock(&transit.snapshot))?;
    let main = request.http::<MainConf>();
    let mounted = main.kinds.get::<WantedHandlers>().and_then(|wanted| wanted.mounted.as_ref());
    let ticket = WAITING.with_borrow_mut(Tickets::reserve);
    let listener = Listener { ready, owner: ticket, has_request: false };
    let errand = AfterErrand::new(transit, place).for_head();
    match send_aside(request, mounted, Beside::Afterwards, errand, listener) {
        Ok(aside) => {
            WAITING.with_borrow_mut(|all| all.put(ticket, aside));
            hold();
        }
        Err(_) => {
            WAITING.with_borrow_mut(|all| all.remove(ticket));
            tell_skipped(request);
        }
    }
    Some(())
}

/// A few lines a second, not one for each request.
fn tell_skipped(request: Request) {
    let Some(held) = SKIPPED.with(|throttle| throttle.pass(std::time::Instant::now())) else { return };
    let more = if held > 0 { format!(" ({held} more since the last line)") } else { String::new() };
    report!(
        request,
        Error,
        LATE_HANDLERS_SKIPPED,
        "handlers of the phases log and cleanup do not run for this request, for too many wait{more}; make them faster"
    );
}

fn ready(ticket: Ticket) {
    // Nothing but the end is to come.
    let ended = WAITING.with_borrow_mut(|all| all.remove(ticket));
    if let Some(mut aside) = ended {
        let _ = aside.take();
        let left = COUNT.get().saturating_sub(1);
        COUNT.set(left);
        if left == 0 {
            HOLD.with_borrow_mut(Option::take);
        }
    }
}

fn hold() {
    COUNT.set(COUNT.get() + 1);
    HOLD.with_borrow_mut(|timer| {
        let timer = timer.get_or_insert_with(|| Timer::new(on_grace, std::ptr::null_mut(), true));
        if !timer.is_set() {
            timer.set(GRACE);
        }
    });
}

/// They have not run within the time that a worker which shuts down gives them. Another one goes on as before: the next of them sets
/// the timer again.
unsafe extern "C" fn on_grace(_: *mut ngx_event_t) {}

/// The process ends.
pub(crate) fn end() {
    HOLD.with_borrow_mut(Option::take);
}
