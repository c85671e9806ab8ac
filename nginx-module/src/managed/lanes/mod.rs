// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests that share a connection to a process of gangway-host (`gangway::protocol::fastcgi::lanes`): those that have a short body or none. What leaves in one turn of the event loop leaves together, and what comes together is read at once.
//!
//! nginx has a stand-in for each of them, which reads and writes records as on a connection of its own. A connection is made in the
//! background, and until its host has answered that it knows lanes, and where it does not, requests go their own ways.

mod io;
mod trunk;

use std::{
    ptr::{self, NonNull},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gangway::{
    engine::fence,
    supervise::segment::{Place, Segment},
};
use nginx_sys::{ngx_connection_t, ngx_event_t};

use super::{linger::Reason, queue::give_back, service::Service};
use crate::raw::{self, Connection, Request, Timer, close_spare, take_back, unconnected};
use trunk::{LaneUser, LeftLane, TRUNKS, Trunk, open, user};

/// What a request asks of a connection that it shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneWeight {
    /// Nothing: it has no body, and may be sent twice.
    Light,
    /// That the process takes bodies, and says what it has begun.
    Heavy,
}

/// A stand-in for the connection to the process of a slot, of which the request has a place. `None`: it is to connect by itself.
pub(super) fn take(
    request: Request,
    segment: &Arc<Segment>,
    slot: u16,
    weight: LaneWeight,
) -> Option<*mut ngx_connection_t> {
    if !raw::has_edges() {
        return None;
    }
    let pid = segment.slot(slot).pid;
    let trunk = TRUNKS.with_borrow(|trunks| {
        let is_it = |trunk: &&Rc<Trunk>| Arc::ptr_eq(&trunk.segment, segment) && trunk.slot == slot;
        trunks.all.values().find(is_it).cloned()
    });
    let Some(trunk) = trunk.filter(|trunk| {
        let is_its = trunk.pid == pid;
        if !is_its {
            // That of an earlier process.
            trunk.end();
        }
        is_its
    }) else {
        open(segment, slot, pid);
        return None;
    };
    let lane = trunk.take(weight == LaneWeight::Heavy)?;
    let Some(connection) = unconnected(request, &io::functions()).ok().and_then(NonNull::new) else {
        let _ = trunk.lanes.borrow_mut().leave(lane);
        return None;
    };
    // SAFETY: a connection that was made here, with its events.
    unsafe { (*(*connection.as_ptr()).write).set_ready(1) };
    trunk.users.borrow_mut().insert(lane, LaneUser::Request(connection));
    TRUNKS.with_borrow_mut(|trunks| trunks.users.insert(connection.as_ptr().addr(), (trunk, lane)));
    Some(connection.as_ptr())
}

/// Whether it is a stand-in from [`take`].
pub(super) fn has(connection: *mut ngx_connection_t) -> bool {
    TRUNKS.with_borrow(|trunks| trunks.users.contains_key(&connection.addr()))
}

/// Whether the process has not begun the request whose stand-in this is, and never will.
pub(super) fn is_unbegun(connection: Connection) -> bool {
    user(connection.raw()).is_some_and(|(trunk, lane)| trunk.take_back(lane))
}

/// A request leaves its lane, and gives its place back as soon as the process works on it no more.
///
/// # Safety
/// A stand-in from [`take`], which nobody uses any more.
pub(super) unsafe fn leave(
    connection: *mut ngx_connection_t,
    service: &Rc<Service>,
    place: Option<Place>,
    reason: Reason,
) {
    let found = TRUNKS.with_borrow_mut(|trunks| {
        let (trunk, lane) = trunks.users.remove(&connection.addr())?;
        Some((trunk, lane, trunks.users.is_empty()))
    });
    let Some((trunk, lane, is_last)) = found else { return };
    // SAFETY: the caller's connection came from `unconnected`.
    unsafe { take_back(connection) };
    if is_last {
        rest_soon();
    }
    trunk.users.borrow_mut().remove(&lane);
    let mut lanes = trunk.lanes.borrow_mut();
    let is_free = match reason {
        Reason::Abandoned => lanes.leave(lane),
        Reason::Answered => lanes.leave_running(lane),
    };
    drop(lanes);
    if is_free {
        if let Some(place) = place {
            give_back(&trunk.segment, place);
        }
        return;
    }
    let left = LeftLane::new(&trunk, service, place, reason);
    trunk.users.borrow_mut().insert(lane, LaneUser::Left(left));
    trunk.post();
}

/// How long nobody has a lane before the stand-ins of the last ones are closed: those of the next turn of the event loop save two calls each.
const REST: Duration = Duration::from_secs(1);

/// Nobody has a lane.
fn rest_soon() {
    TRUNKS.with_borrow_mut(|trunks| {
        let timer = trunks.rest.get_or_insert_with(|| Timer::new(on_rest, ptr::null_mut(), false));
        if !timer.is_set() {
            timer.set(REST);
        }
    });
}

unsafe extern "C" fn on_rest(_: *mut ngx_event_t) {
    fence("managed::lanes::on_rest", (), || {
        if TRUNKS.with_borrow(|trunks| trunks.users.is_empty()) {
            close_spare(1);
        }
    });
}

/// The worker ends.
pub(super) fn stop() {
    let trunks = TRUNKS.take();
    for trunk in trunks.all.values() {
        trunk.watch.take();
        let left = trunk.users.take();
        drop(left);
    }
    drop(trunks);
    close_spare(0);
}
