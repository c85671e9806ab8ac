// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request's place of a process. Who finds none waits for one, on the thread that serves the request.

use std::time::{Duration, Instant};

use gangway::{
    status::Tally,
    supervise::{
        Trouble,
        segment::{Claim, EntryKind, Place, QueuePoll, Segment, Ticket},
    },
};

use super::{
    recorder,
    services::{Service, now, owner},
};
use crate::raw::Request;

/// How often a request that waits looks whether its client is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For how long a client that has closed its side may want an answer: it may have closed only that.
const GRACE: Duration = Duration::from_secs(1);

/// Why a request has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// So many wait already.
    Full,
    /// No process runs, and none could be started.
    Down,
    /// It has waited for too long.
    Late,
    /// Its client has left.
    Gone,
}

/// A place, given back when it is dropped.
pub(super) struct Seat {
    service: &'static Service,
    segment: &'static Segment,
    place: Option<Place>,
}

impl Seat {
    /// Takes a place, and waits for one until `deadline`.
    pub(super) fn take(
        service: &'static Service,
        segment: &'static Segment,
        request: Request<'_>,
        deadline: Option<Instant>,
        tally: Tally,
    ) -> Result<Self, NoSeat> {
        let place = match segment.claim(owner(), now()) {
            Claim::Claimed(place) => place,
            Claim::Full => return Err(NoSeat::Full),
            Claim::Down => return Err(NoSeat::Down),
            Claim::Waits(ticket) => {
                tally.note_waiting(segment.waiting());
                if segment.wants_more(service.managed.life().most) {
                    service.demand();
                }
                wait(segment, ticket, request, deadline)?
            }
        };
        segment.note_request(
            &place,
            now(),
            recorder::id_of(request),
            [request.method(), request.original_target()],
        );
        Ok(Self { service, segment, place: Some(place) })
    }

    /// Notes what has become of the request, for who asks later why something went wrong.
    pub(super) fn note_end(&self, kind: EntryKind, status: u16) {
        if let Some(place) = &self.place {
            self.segment.note_end(place, now(), kind, status);
        }
    }

    /// Notes that the request was not answered in time, and what the process's host has said of that.
    pub(super) fn note_late(&self, text: Vec<u8>) {
        let (slot, pid) = (self.slot(), self.pid());
        self.service.tell(|app| Trouble { app, slot, pid, text });
        self.note_end(EntryKind::TimedOut, 504);
    }

    /// Of which process: the number of its slot.
    pub(super) fn slot(&self) -> u16 {
        self.place.as_ref().map_or(0, Place::slot)
    }

    /// The number of its process; 0 is none.
    pub(super) fn pid(&self) -> u32 {
        self.segment.slot(self.slot()).pid
    }

    /// The process has not answered in time: no other request is to find it, and the supervisor is told to end it.
    pub(super) fn leave_stuck(mut self) {
        self.note_end(EntryKind::TimedOut, 0);
        if let Some(place) = self.place.take() {
            self.segment.mark_stuck(&place);
            self.segment.release(owner(), place);
        }
        self.service.demand();
    }

    /// The process has ended, or is about to: no other request is to find it.
    pub(super) fn leave_gone(mut self) {
        if let Some(place) = self.place.take() {
            self.segment.forget_request(&place);
            self.segment.mark_gone(&place);
            self.segment.release(owner(), place);
        }
    }

    /// Whether the process has ended, or is about to: the kernel closes its sockets before it counts as ended.
    pub(super) fn is_ending(&self) -> bool {
        self.place.as_ref().is_none_or(|place| self.segment.is_ending(place))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Unless it is known what has become of its request.
        self.note_end(EntryKind::Left, 0);
        if let Some(place) = self.place.take() {
            // Who waits in this child sleeps in the kernel as anybody else does, and has been woken.
            self.segment.release(owner(), place);
        }
    }
}

fn wait(
    segment: &Segment,
    ticket: Ticket,
    request: Request<'_>,
    deadline: Option<Instant>,
) -> Result<Place, NoSeat> {
    let mut closed_at = None;
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        segment.wait(&ticket, left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY)));
        match segment.poll(&ticket, owner(), now()) {
            QueuePoll::Claimed(place) => return Ok(place),
            QueuePoll::Refused => return Err(NoSeat::Down),
            QueuePoll::Waits => {}
        }
        if request.socket().is_some_and(|socket| socket.is_closed()) {
            closed_at = closed_at.or_else(|| Some(Instant::now()));
        }
        let has_left = closed_at.is_some_and(|at| at.elapsed() >= GRACE);
        let outcome = if request.is_lost() || has_left {
            NoSeat::Gone
        } else if left.is_some_and(|left| left.is_zero()) {
            NoSeat::Late
        } else {
            continue;
        };
        segment.withdraw(ticket, owner());
        return Err(outcome);
    }
}
