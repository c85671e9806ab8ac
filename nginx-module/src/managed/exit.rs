// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker that shuts down: requests of applications on an event loop, whose streams may have no end, do not keep it for ever. Their
//! process may stay, and would go on.

use std::{
    cell::{Cell, RefCell},
    ptr,
    rc::Rc,
    time::{Duration, Instant},
};

use gangway::{engine::fence, report};
use nginx_sys::ngx_event_t;

use super::{queue::Seat, service::Service};
use crate::raw::{Request, Ticket, Tickets, Timer, is_exiting};

/// How often it is looked while there are such requests.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Running {
    request: Request,
    service: Rc<Service>,
    /// Empty when its process has given all.
    seat: Rc<Seat>,
    since: Instant,
    most: Duration,
}

thread_local! {
    static RUNNING: RefCell<Tickets<Running>> = RefCell::default();
    static LOOK: RefCell<Option<Timer>> = const { RefCell::new(None) };
    /// Since when this worker is known to shut down.
    static EXITING: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A request that is looked at, until this is dropped.
pub(super) struct Observed(Ticket);

impl Drop for Observed {
    fn drop(&mut self) {
        // What it held may be the last of its kind: not while the table is borrowed.
        let running = RUNNING.with_borrow_mut(|all| all.remove(self.0));
        drop(running);
    }
}

/// Looks after a request, if it is one that may keep a worker.
pub(super) fn observe(request: Request, service: &Rc<Service>, seat: &Rc<Seat>) -> Option<Observed> {
    let most = service.managed.drains_within()?;
    let (service, seat) = (Rc::clone(service), Rc::clone(seat));
    let running = Running { request, service, seat, since: Instant::now(), most };
    let ticket = RUNNING.with_borrow_mut(|all| {
        let ticket = all.reserve();
        all.put(ticket, running);
        ticket
    });
    LOOK.with_borrow_mut(|look| {
        let timer = look.get_or_insert_with(|| Timer::new(on_look, ptr::null_mut(), false));
        if !timer.is_set() {
            timer.set(LOOK_EVERY);
        }
    });
    Some(Observed(ticket))
}

unsafe extern "C" fn on_look(_: *mut ngx_event_t) {
    fence("managed::on_look", (), || {
        if RUNNING.with_borrow(|all| all.values().next().is_none()) {
            return;
        }
        if is_exiting() {
            let exiting = EXITING.get().unwrap_or_else(Instant::now);
            EXITING.set(Some(exiting));
            while let Some(running) = take_late(exiting) {
                leave_behind(&running);
            }
        }
        LOOK.with_borrow_mut(|look| look.iter_mut().for_each(|timer| timer.set(LOOK_EVERY)));
    });
}

/// One that has gone on for too long since.
fn take_late(exiting: Instant) -> Option<Running> {
    RUNNING.with_borrow_mut(|all| {
        let is_late = |running: &Running| exiting.elapsed().min(running.since.elapsed()) >= running.most;
        let late = all.find(|running| !running.seat.is_empty() && is_late(running))?;
        all.take(late)
    })
}

fn leave_behind(running: &Running) {
    let name = running.service.managed.name();
    report!(
        running.request,
        Info,
        None,
        "{name}: the worker ends, and the request has not within drain_timeout="
    );
    running.request.connection().shut();
}

/// The worker ends.
pub(super) fn stop() {
    drop(LOOK.take());
}
