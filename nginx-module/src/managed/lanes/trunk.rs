// SPDX-License-Identifier: MIT OR Apache-2.0
//! A connection that requests share, and who shares it.

use std::{
    cell::{Cell, RefCell},
    io::{ErrorKind, IoSliceMut, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    ptr::{self, NonNull},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use gangway::{
    engine::fence,
    error::BACKEND_BROKE,
    log::{self, Level},
    protocol::fastcgi::lanes::{LaneError, LaneEvent, LaneId, Lanes},
    supervise::{
        begun::BegunWords,
        segment::{Place, Segment},
    },
    sys::{enlarge, send_with},
};
use nginx_sys::{ngx_connection_t, ngx_event_t};
use rustc_hash::FxHashMap;

use super::super::{linger::Reason, queue::give_back, service::Service};
use crate::raw::{Connection, Timer, Watch, timer_data, watch_data};

/// What is read of a connection at a time: what many small responses are together, or the rest of a large one that nobody takes.
const SMALL_PART: usize = 16 * 1024;
const PART: usize = 64 * 1024;
/// Bytes that may be on their way to a process, where the system allows it: several requests with a body.
const ROOM: usize = 1024 * 1024;
/// So many bytes wait for no others.
const MUCH: usize = 64 * 1024;
/// So much of one response is left to its request, which reads it from the connection itself. It costs a call.
pub(super) const WORTH_PASSING: usize = 4 * 1024;
/// How long a process may work on after it has been told that nobody waits, where `timeout=` says nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the process of a slot.
pub(super) struct Trunk {
    pub(super) number: usize,
    pub(super) segment: Arc<Segment>,
    pub(super) slot: u16,
    pub(super) pid: u32,
    socket: UnixStream,
    /// Where the process says which requests it has begun, if both know of it.
    words: Option<BegunWords>,
    pub(super) watch: RefCell<Option<Watch>>,
    pub(super) lanes: RefCell<Lanes>,
    pub(super) users: RefCell<FxHashMap<LaneId, LaneUser>>,
    /// It will be looked after in this turn of the event loop.
    is_posted: Cell<bool>,
    /// The record that has been left to its request last: if that does not take it, nobody waits for it.
    offered: Cell<u64>,
}

/// What a lane has.
pub(super) enum LaneUser {
    /// The stand-in of a request.
    Request(NonNull<ngx_connection_t>),
    /// The place of one that has left.
    Left(LeftLane),
}

pub(super) struct LeftLane {
    place: Option<Place>,
    pub(super) segment: Arc<Segment>,
    service: Rc<Service>,
    /// The process is still to be told that nobody asks any more.
    is_untold: bool,
    timer: Timer,
}

impl LeftLane {
    /// A request has left its lane of `trunk`, and its process has so long to notice, or to end by itself.
    pub(super) fn new(trunk: &Trunk, service: &Rc<Service>, place: Option<Place>, reason: Reason) -> Self {
        let mut timer = Timer::new(on_timer, ptr::without_provenance_mut(trunk.number), false);
        timer.set(patience(service));
        Self {
            place,
            segment: Arc::clone(&trunk.segment),
            service: Rc::clone(service),
            is_untold: reason == Reason::Answered,
            timer,
        }
    }
}

fn patience(service: &Service) -> Duration {
    service.managed().timeout().unwrap_or(PATIENCE)
}

impl Drop for LeftLane {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            give_back(&self.segment, place);
        }
    }
}

#[derive(Default)]
pub(super) struct Trunks {
    pub(super) all: FxHashMap<usize, Rc<Trunk>>,
    last: usize,
    /// Which lane a stand-in has.
    pub(super) users: FxHashMap<usize, (Rc<Trunk>, LaneId)>,
    /// When stand-ins that nobody has used are given up.
    pub(super) rest: Option<Timer>,
}

thread_local! {
    pub(super) static TRUNKS: RefCell<Trunks> = RefCell::default();
    static PARTS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn find(number: usize) -> Option<Rc<Trunk>> {
    TRUNKS.with_borrow(|trunks| trunks.all.get(&number).cloned())
}

pub(super) fn user(connection: *mut ngx_connection_t) -> Option<(Rc<Trunk>, LaneId)> {
    TRUNKS.with_borrow(|trunks| trunks.users.get(&connection.addr()).cloned())
}

/// Connects, and asks. A process that nobody reaches is found so by the request itself.
pub(super) fn open(segment: &Arc<Segment>, slot: u16, pid: u32) {
    let Ok(socket) = UnixStream::connect(segment.socket_path(slot)) else { return };
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    let number = TRUNKS.with_borrow_mut(|trunks| {
        trunks.last = trunks.last.wrapping_add(1).max(1);
        trunks.last
    });
    let watch = Watch::new(socket.as_fd(), on_event, ptr::without_provenance_mut(number));
    if watch.is_none() {
        return;
    }
    enlarge(socket.as_fd(), ROOM);
    let mut lanes = Lanes::new();
    // Without them requests with a body have connections of their own.
    let words = BegunWords::create().ok().and_then(|(words, descriptor)| {
        let sent = send_with(socket.as_fd(), lanes.output(), descriptor.as_fd());
        sent.ok().map(|count| {
            lanes.sent(count);
            words
        })
    });
    let trunk = Rc::new(Trunk {
        number,
        segment: Arc::clone(segment),
        slot,
        pid,
        socket,
        watch: RefCell::new(watch),
        words,
        lanes: RefCell::new(lanes),
        users: RefCell::default(),
        is_posted: Cell::new(false),
        offered: Cell::new(0),
    });
    TRUNKS.with_borrow_mut(|trunks| trunks.all.insert(number, Rc::clone(&trunk)));
    trunk.post();
}

impl Trunk {
    /// A lane for a request; `is_heavy`: it has a body, or must not be sent twice.
    pub(super) fn take(&self, is_heavy: bool) -> Option<LaneId> {
        let mut lanes = self.lanes.borrow_mut();
        if is_heavy && !lanes.takes_bodies() {
            return None;
        }
        let lane = lanes.take()?;
        let has_word = self.words.as_ref().is_some_and(|words| words.wait(lane.number()));
        if is_heavy && !has_word {
            let _ = lanes.leave(lane);
            return None;
        }
        Some(lane)
    }

    /// Whether another process may have the request in a lane: this one has not begun it, and never does.
    pub(super) fn take_back(&self, lane: LaneId) -> bool {
        let lanes = self.lanes.borrow();
        let is_told = lanes.takes_bodies();
        lanes.is_unsent(lane)
            || is_told && self.words.as_ref().is_some_and(|words| words.take_back(lane.number()))
    }

    /// Sends what fits of what waits, if that is much: nobody need wait for the end of this turn.
    pub(super) fn send_some(&self) {
        let mut lanes = self.lanes.borrow_mut();
        while lanes.output().len() >= MUCH {
            let sent = (&self.socket).write(lanes.output());
            match sent {
                Ok(count) => lanes.sent(count),
                // What that means is found at the end of the turn.
                Err(_) => break,
            }
        }
    }

    /// Has it looked after when the present event is done, and those that came with it.
    pub(super) fn post(&self) {
        if !self.is_posted.replace(true)
            && let Some(watch) = &*self.watch.borrow()
        {
            watch.event().post();
        }
    }

    /// Leaves what comes next to the request whose response it is, if it is much, and looks again when that has had its turn. Answers whether it does.
    fn offer(&self) -> bool {
        let lanes = self.lanes.borrow();
        let Some(ahead) = lanes.ahead().filter(|ahead| ahead.count >= WORTH_PASSING) else { return false };
        if self.offered.replace(ahead.record) == ahead.record {
            return false;
        }
        drop(lanes);
        self.tell();
        self.tell_of(ahead.lane);
        if let Some(watch) = &*self.watch.borrow() {
            self.is_posted.set(true);
            watch.event().post_behind();
        }
        true
    }

    /// Bytes that stand in the connection have been read by `lane` itself: so many, behind which is what `rest` holds.
    pub(super) fn passed(&self, lane: LaneId, count: usize, rest: &[u8]) {
        self.offered.set(0);
        let mut lanes = self.lanes.borrow_mut();
        lanes.passed(lane, count);
        let taken = lanes.receive(rest);
        drop(lanes);
        if let Err(error) = taken {
            // It ends when nobody is at work on it.
            self.complain(error);
        }
        self.post();
    }

    /// Reads what comes next on the connection into the rooms of a request that may do so.
    pub(super) fn receive_into(&self, rooms: &mut [IoSliceMut<'_>]) -> std::io::Result<usize> {
        loop {
            match (&self.socket).read_vectored(rooms) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Whether there may be something to read.
    pub(super) fn is_ready(&self) -> bool {
        self.watch.borrow().as_ref().is_some_and(|watch| watch.event().is_ready())
    }

    fn complain(&self, error: LaneError) {
        if !matches!(error, LaneError::Unknown) {
            let text = format_args!("{error}; its connection is closed");
            log::coded(Level::Error, BACKEND_BROKE, text);
        }
    }

    /// Takes what has come.
    fn receive(&self) {
        let mut part = PARTS.take();
        part.resize(PART, 0);
        loop {
            if self.offer() {
                break;
            }
            let most = if self.lanes.borrow().ahead().is_some() { PART } else { SMALL_PART };
            match (&self.socket).read(part.get_mut(..most).unwrap_or_default()) {
                Ok(0) => {
                    self.end();
                    break;
                }
                Ok(count) => {
                    let taken = self.lanes.borrow_mut().receive(part.get(..count).unwrap_or_default());
                    if let Err(error) = taken {
                        self.complain(error);
                        self.end();
                        break;
                    }
                    if count < most && self.is_read() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some(watch) = &*self.watch.borrow() {
                        watch.event().forget();
                    }
                    break;
                }
                Err(_broken) => {
                    self.end();
                    break;
                }
            }
        }
        PARTS.set(part);
        self.tell();
    }

    /// Whether all that there is has been read by a read that had room for more: not where an end has been told, which may stand behind it.
    pub(super) fn is_read(&self) -> bool {
        let watch = self.watch.borrow();
        let Some(event) = watch.as_ref().map(Watch::event) else { return true };
        let is_read = !event.is_about_to_end();
        if is_read {
            event.set_ready(false);
        }
        is_read
    }

    /// Tells requests what has come for them.
    fn tell(&self) {
        loop {
            let Some(event) = self.lanes.borrow_mut().next_event() else { return };
            match event {
                LaneEvent::Readable(lane) => self.tell_of(lane),
                LaneEvent::Free(lane) => {
                    // What it gives back may let another request go.
                    let left = self.users.borrow_mut().remove(&lane);
                    drop(left);
                }
            }
        }
    }

    /// Tells the request in a lane that there is something to read.
    fn tell_of(&self, lane: LaneId) {
        if let Some(LaneUser::Request(connection)) = self.users.borrow().get(&lane) {
            // SAFETY: a stand-in has its events until its request leaves the lane, which takes it out of the table.
            let read = unsafe { Connection::from_raw(connection.as_ptr()) }.map(Connection::read);
            if let Some(read) = read {
                read.set_available(self.lanes.borrow().available(lane));
                read.set_ready(true);
                read.post();
            }
        }
    }

    /// Sends what there is.
    fn flush(&self) {
        self.lanes.borrow_mut().settle();
        loop {
            let sent = {
                let lanes = self.lanes.borrow();
                let output = lanes.output();
                if output.is_empty() {
                    return;
                }
                (&self.socket).write(output)
            };
            match sent {
                Ok(count) => self.lanes.borrow_mut().sent(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some(watch) = &*self.watch.borrow() {
                        watch.tell_room(on_event);
                    }
                    return;
                }
                Err(_broken) => {
                    // What it has answered comes before the end.
                    self.receive();
                    self.end();
                    self.tell();
                    return;
                }
            }
        }
    }

    /// The connection is over.
    pub(super) fn end(&self) {
        let known = TRUNKS.with_borrow_mut(|trunks| trunks.all.remove(&self.number));
        if known.is_none() {
            return;
        }
        self.lanes.borrow_mut().close();
        // After the event that has told of it.
        let watch = self.watch.take();
        drop(watch);
        self.tell();
    }
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    fence("managed::on_lanes", (), || {
        // SAFETY: nginx calls this with an event of a watch that has been given a trunk's number.
        let Some(trunk) = find(unsafe { watch_data(event) }.addr()) else { return };
        trunk.is_posted.set(false);
        if trunk.lanes.borrow().is_over() {
            trunk.end();
            return;
        }
        trunk.tell();
        if trunk.is_ready() {
            trunk.receive();
        }
        trunk.flush();
    });
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    fence("managed::on_lane_patience", (), || {
        // SAFETY: nginx calls this with the event of a timer that has been given a trunk's number.
        let Some(trunk) = find(unsafe { timer_data(event) }.addr()) else { return };
        let mut stuck = Vec::new();
        for (lane, user) in &mut *trunk.users.borrow_mut() {
            let LaneUser::Left(left) = user else { continue };
            if left.timer.is_set() {
                continue;
            }
            if std::mem::take(&mut left.is_untold) {
                left.timer.set(patience(&left.service));
                trunk.lanes.borrow_mut().abort(*lane);
                trunk.post();
            } else if let Some(place) = left.place.take() {
                left.segment.mark_stuck(&place);
                stuck.push((place, Arc::clone(&left.segment), Rc::clone(&left.service)));
            }
        }
        for (place, segment, service) in stuck {
            give_back(&segment, place);
            service.demand();
        }
    });
}
