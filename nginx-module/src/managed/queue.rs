// SPDX-License-Identifier: MIT OR Apache-2.0
//! The requests of this worker that wait for a place. Whose turn it is, is said in memory that all workers share; a wakeup rings when
//! it is somebody's in another worker.
//!
//! A request is found by its number, never by an address: nginx may free it in any call that ends one.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ptr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::NO_PROCESS,
    log::Line,
    status::Incident,
    supervise::segment::{Claim, EntryKind, Place, QueuePoll, Segment, Ticket},
};
use nginx_sys::ngx_event_t;

use super::{processes, service::Service};
use crate::{
    raw::{self, AGAIN, BAD_GATEWAY, DONE, OK, Request, SERVICE_UNAVAILABLE, Timer, Watch},
    upstream,
};

/// How often it is looked whose turn it is where no wakeup can be heard.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a request has of a process.
#[derive(Default)]
pub(super) struct Seat(Cell<Option<Place>>);

impl Seat {
    pub(super) fn take(&self, place: Place) {
        self.0.set(Some(place));
    }

    pub(super) fn leave(&self) -> Option<Place> {
        self.0.take()
    }

    /// Of which process.
    pub(super) fn slot(&self) -> Option<u16> {
        let place = self.0.take();
        let slot = place.as_ref().map(Place::slot);
        self.0.set(place);
        slot
    }

    /// Looks at the place, if there is one.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Place) -> T) -> Option<T> {
        let place = self.0.take();
        let seen = place.as_ref().map(look);
        self.0.set(place);
        seen
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slot().is_none()
    }
}

struct Waiter {
    id: u32,
    request: Request,
    service: Rc<Service>,
    segment: Arc<Segment>,
    seat: Rc<Seat>,
    /// `None` for one that is to be refused.
    ticket: Option<Ticket>,
}

#[derive(Default)]
struct Waiting {
    /// In the order in which they came.
    table: BTreeMap<u32, Waiter>,
    last: u32,
    timer: Option<Timer>,
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
    /// The watch over the wakeup; NULL without one.
    static WAKEUP: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// No function of nginx that may come back to this module is called inside.
fn with<R>(body: impl FnOnce(&mut Waiting) -> R) -> R {
    WAITING.with_borrow_mut(body)
}

/// One more waits. Without a ticket it waits for its refusal, which comes after the current event. Answers its number.
pub(super) fn add(
    request: Request,
    service: &Rc<Service>,
    segment: &Arc<Segment>,
    seat: &Rc<Seat>,
    ticket: Option<Ticket>,
) -> u32 {
    let is_refused = ticket.is_none();
    let (service, segment, seat) = (Rc::clone(service), Arc::clone(segment), Rc::clone(seat));
    let id = with(|waiting| {
        // Never 0; a number comes again only after four billion others.
        waiting.last = waiting.last.checked_add(1).unwrap_or(1);
        let id = waiting.last;
        waiting.table.insert(id, Waiter { id, request, service, segment, seat, ticket });
        id
    });
    // What happened before the wakeup could be heard is looked after as well.
    if is_refused || !has_bell() {
        look_soon();
    }
    id
}

/// One waits no more. Answers whether it did.
pub(super) fn remove(id: u32) -> bool {
    let Some(waiter) = with(|waiting| waiting.table.remove(&id)) else { return false };
    if let Some(ticket) = waiter.ticket
        && waiter.segment.withdraw(ticket, processes::worker())
    {
        look_soon();
    }
    true
}

/// Gives a place back.
pub(super) fn give_back(segment: &Segment, place: Place) {
    // Unless it is known what has become of its request.
    segment.note_end(&place, processes::now(), EntryKind::Left, 0);
    if segment.release(processes::worker(), place) {
        look_soon();
    }
}

/// Gives back a place of a process that nobody reaches: no other request is to find it.
pub(super) fn leave_gone(segment: &Segment, place: Place) {
    segment.forget_request(&place);
    segment.mark_gone(&place);
    give_back(segment, place);
}

fn has_bell() -> bool {
    WAKEUP.with_borrow(Option::is_some)
}

/// Has it looked whose turn it is, after the current event.
pub(super) fn look_soon() {
    let event = WAKEUP.with_borrow_mut(|watch| {
        if watch.is_none() && raw::has_edges() {
            *watch = processes::wakeup().and_then(|wakeup| Watch::new(wakeup, on_wakeup, ptr::null_mut()));
        }
        watch.as_ref().map(Watch::event)
    });
    match event {
        Some(event) => event.post(),
        None => look_at(Duration::from_millis(1)),
    }
}

fn look_at(after: Duration) {
    with(|waiting| {
        waiting.timer.get_or_insert_with(|| Timer::new(on_timer, ptr::null_mut(), false)).set(after);
    });
}

unsafe extern "C" fn on_wakeup(_: *mut ngx_event_t) {
    fence("managed::on_wakeup", (), look);
}

unsafe extern "C" fn on_timer(_: *mut ngx_event_t) {
    fence("managed::on_timer", (), || {
        look();
        if !has_bell() && with(|waiting| !waiting.table.is_empty()) {
            look_at(LOOK_EVERY);
        }
    });
}

/// What comes next for one that waits.
enum Next {
    Goes(Waiter),
    Refused(Request, Option<Line>),
}

/// Lets those go whose turn it is.
fn look() {
    let all: Vec<u32> = with(|waiting| waiting.table.keys().copied().collect());
    for id in all {
        let next = with(|waiting| {
            let next = waiting.table.get(&id).and_then(next)?;
            let waiter = waiting.table.remove(&id)?;
            Some(match next {
                Found::Place => Next::Goes(waiter),
                Found::Refusal(line) => Next::Refused(waiter.request, line),
            })
        });
        match next {
            None => {}
            Some(Next::Goes(waiter)) => go(waiter),
            Some(Next::Refused(request, line)) => {
                if let Some(line) = line {
                    line.tell(&request);
                }
                upstream::answer(request, SERVICE_UNAVAILABLE);
            }
        }
    }
}

/// What somebody who waits has got.
enum Found {
    Place,
    Refusal(Option<Line>),
}

fn next(waiter: &Waiter) -> Option<Found> {
    let Some(ticket) = &waiter.ticket else { return Some(Found::Refusal(None)) };
    match waiter.segment.poll(ticket, processes::worker(), processes::now()) {
        QueuePoll::Waits => None,
        QueuePoll::Claimed(place) => {
            waiter.seat.take(place);
            Some(Found::Place)
        }
        QueuePoll::Refused => {
            count_refusal(waiter.request);
            Some(Found::Refusal(Some(refusal())))
        }
    }
}

fn count_refusal(request: Request) {
    upstream::with_passage(request, |passage| passage.refuse(Incident::NoProcess, 503));
}

fn refusal() -> Line {
    let text = "the request is refused, for it has waited for a process, and none could be started; lines before this one say why";
    Line::error(NO_PROCESS, text.into())
}

/// The request has a place: it connects to the process. It may be gone after it.
fn go(mut waiter: Waiter) {
    let request = waiter.request;
    let Some(upstream) = request.upstream() else { return };
    upstream::with_passage(request, |passage| passage.begin(Instant::now()));
    loop {
        let connect = || upstream.connect_now(request);
        if let OK | DONE | AGAIN = upstream::connect_now(request, upstream, connect) {
            let run_posted = request.posted_runner();
            upstream.run_write_handler(request);
            run_posted();
            return;
        }
        // The process has ended meanwhile: once more, at another one. There are only so many.
        let Some(place) = waiter.seat.leave() else { return upstream::answer(request, BAD_GATEWAY) };
        leave_gone(&waiter.segment, place);
        match waiter.segment.claim(processes::worker(), processes::now()) {
            Claim::Claimed(place) => waiter.seat.take(place),
            Claim::Waits(ticket) => {
                waiter.ticket = Some(ticket);
                let service = Rc::clone(&waiter.service);
                with(|waiting| waiting.table.insert(waiter.id, waiter));
                // Its process has ended.
                service.demand();
                return;
            }
            Claim::Full | Claim::Down => {
                count_refusal(request);
                refusal().tell(&request);
                return upstream::answer(request, SERVICE_UNAVAILABLE);
            }
        }
    }
}

/// The worker ends.
pub(super) fn stop() {
    let all = with(|waiting| {
        waiting.timer = None;
        std::mem::take(&mut waiting.table)
    });
    for waiter in all.into_values() {
        if let Some(ticket) = waiter.ticket {
            let _ = waiter.segment.withdraw(ticket, processes::worker());
        }
        if let Some(place) = waiter.seat.leave() {
            give_back(&waiter.segment, place);
        }
    }
    drop(WAKEUP.take());
}
