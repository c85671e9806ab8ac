// SPDX-License-Identifier: MIT OR Apache-2.0
//! The port of a handler that runs on another thread than its server.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Body, Delivery, Notify, Port, Readiness, SocketLink, Stop, Wait, Waker, gather};
use crate::{error::BODY_FAILED, log::Level, protocol::websocket::SocketRules, sys::lock};

/// One request's queue between two threads.
///
/// The handler's side is [`Port`]; the server's side takes deliveries, says how much was sent, and feeds the body.
pub struct Channel {
    ticket: u64,
    notify: Arc<dyn Notify>,
    limit: usize,
    state: Mutex<ChannelState>,
    changed: Condvar,
    body: Mutex<BodySource>,
}

#[derive(Default)]
struct ChannelState {
    waiting: Delivery,
    outstanding: usize,
    posted: bool,
    /// What is posted waits for more, or for a moment.
    soon: bool,
    /// Something has been posted at some time.
    began: bool,
    closed: bool,
    /// Output may be told of late.
    late: bool,
    sleepers: usize,
    feed: Feed,
    /// Of a handler that does not wait.
    waker: Option<Arc<dyn Waker>>,
    /// It has been told that there is no room.
    lacks_room: bool,
    /// What has been accepted.
    link: Option<Arc<SocketLink>>,
}

/// The body of a request whose server reads it on demand.
#[derive(Default)]
struct Feed {
    wanted: bool,
    /// A handler that does not wait has been told that there is nothing.
    is_lacking: bool,
    bytes: Vec<u8>,
    used: usize,
    end: Option<bool>,
}

enum BodySource {
    Whole(Body),
    Fed,
}

impl Channel {
    /// A channel whose body is already read.
    #[must_use]
    pub fn new(ticket: u64, notify: Arc<dyn Notify>, body: Body, limit: usize) -> Arc<Self> {
        Self::with_source(ticket, notify, BodySource::Whole(body), limit)
    }

    /// A channel whose server feeds the body when it is wanted.
    #[must_use]
    pub fn fed(ticket: u64, notify: Arc<dyn Notify>, limit: usize) -> Arc<Self> {
        Self::with_source(ticket, notify, BodySource::Fed, limit)
    }

    fn with_source(ticket: u64, notify: Arc<dyn Notify>, body: BodySource, limit: usize) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Arc::new(Self { ticket, notify, limit, state, changed, body: Mutex::new(body) })
    }

    /// The ticket that its notifications carry.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Takes what waits. SERVER.
    #[must_use]
    pub fn take(&self) -> Delivery {
        let mut state = lock(&self.state);
        (state.posted, state.soon) = (false, false);
        std::mem::take(&mut state.waiting)
    }

    /// Says that output of this weight has left memory. SERVER.
    pub fn sent(&self, weight: usize) {
        let mut state = lock(&self.state);
        state.outstanding = state.outstanding.saturating_sub(weight);
        if state.outstanding >= self.limit {
            return;
        }
        if state.sleepers > 0 {
            self.changed.notify_all();
        }
        if std::mem::take(&mut state.lacks_room) {
            tell(state, Readiness::Room);
        }
    }

    /// Whether output was taken or waits that has not left yet. SERVER.
    #[must_use]
    pub fn has_outstanding(&self) -> bool {
        lock(&self.state).outstanding > 0
    }

    /// Whether the handler waits for body bytes. SERVER, for a fed channel.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        let mut state = lock(&self.state);
        state.posted = false;
        state.feed.wanted
    }

    /// Gives body bytes to a handler that wants them. SERVER.
    pub fn feed(&self, bytes: &[u8]) {
        let mut state = lock(&self.state);
        let feed = &mut state.feed;
        feed.bytes.clear();
        feed.bytes.extend_from_slice(bytes);
        feed.used = 0;
        self.fed_now(state);
    }

    /// Ends the body: complete or broken. SERVER.
    pub fn end_body(&self, complete: bool) {
        let mut state = lock(&self.state);
        state.feed.end = Some(complete);
        self.fed_now(state);
    }

    /// The WebSocket that the handler has accepted, whose head stands in a delivery. SERVER.
    #[must_use]
    pub fn socket(&self) -> Option<Arc<SocketLink>> {
        lock(&self.state).link.clone()
    }

    fn fed_now(&self, mut state: MutexGuard<'_, ChannelState>) {
        state.feed.wanted = false;
        self.changed.notify_all();
        if std::mem::take(&mut state.feed.is_lacking) {
            tell(state, Readiness::Read);
        }
    }

    fn post(&self, mut state: MutexGuard<'_, ChannelState>) {
        let first = !std::mem::replace(&mut state.posted, true);
        let untold = std::mem::take(&mut state.soon);
        state.began = true;
        // A handler that wants body bytes waits for them.
        let late = state.late && !state.feed.wanted;
        drop(state);
        match (first, late) {
            (true, false) => gather::post(&self.notify, self.ticket),
            (false, false) if untold => self.notify.tell(),
            (_, true) if first || untold => self.notify.post_late(self.ticket),
            (false, _) | (true, true) => {}
        }
    }

    /// Adds to what waits.
    fn add(&self, delivery: Delivery) -> Result<MutexGuard<'_, ChannelState>, Stop> {
        let mut state = lock(&self.state);
        if state.closed && delivery.end.is_none() {
            return Err(Stop::Cancelled);
        }
        state.outstanding = state.outstanding.saturating_add(delivery.weight());
        state.waiting.append(delivery);
        Ok(state)
    }

    fn read_fed(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return Err(Stop::Cancelled);
            }
            let feed = &mut state.feed;
            let rest = feed.bytes.get(feed.used..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(out.len());
                if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                feed.used += count;
                return Ok(count);
            }
            match feed.end {
                Some(true) => return Ok(0),
                Some(false) => return Err(Stop::Failed),
                None => {}
            }
            if !feed.wanted {
                feed.wanted = true;
                self.post(state);
                state = lock(&self.state);
                continue;
            }
            if wait == Wait::No {
                state.feed.is_lacking = true;
                return Err(Stop::Again);
            }
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, ChannelState>) -> MutexGuard<'a, ChannelState> {
        state.sleepers += 1;
        let mut state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleepers -= 1;
        state
    }

    fn read_whole(&self, result: io::Result<usize>) -> Result<usize, Stop> {
        result.map_err(|error| {
            self.notify.log(
                self.ticket,
                Level::Error,
                &format!("{BODY_FAILED} cannot read the request body: {error}"),
            );
            Stop::Failed
        })
    }
}

impl Port for Channel {
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        match &mut *lock(&self.body) {
            // A temporary file counts as memory: the server has just written it.
            BodySource::Whole(body) => self.read_whole(body.read(out)),
            BodySource::Fed => self.read_fed(out, wait),
        }
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return Err(Stop::Cancelled);
            }
            if state.outstanding < self.limit {
                return Ok(());
            }
            if wait == Wait::No {
                state.lacks_room = true;
                return Err(Stop::Again);
            }
            if state.soon {
                self.post(state);
                state = lock(&self.state);
                continue;
            }
            state = self.sleep(state);
        }
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        let mut state = self.add(delivery)?;
        if state.soon {
            state.waiting.measure();
        }
        self.post(state);
        Ok(())
    }

    fn deliver_soon(&self, delivery: Delivery) -> Result<(), Stop> {
        let mut state = self.add(delivery)?;
        if state.soon {
            // It leaves with what waits already.
            return Ok(());
        }
        if std::mem::replace(&mut state.began, true) {
            self.post(state);
            return Ok(());
        }
        (state.posted, state.soon) = (true, true);
        drop(state);
        self.notify.post_soon(self.ticket, Instant::now());
        Ok(())
    }

    fn log(&self, level: Level, line: &str) {
        self.notify.log(self.ticket, level, line);
    }

    fn cancel(&self) {
        let mut state = lock(&self.state);
        let first = !std::mem::replace(&mut state.closed, true);
        // What waits will never be sent; its memory goes now, not with the handler.
        let waste = std::mem::take(&mut state.waiting.pieces);
        let link = state.link.clone();
        self.changed.notify_all();
        if first {
            tell(state, Readiness::Gone);
        } else {
            drop(state);
        }
        drop(waste);
        if let Some(link) = link {
            link.handle_end();
        }
    }

    fn set_waker(&self, waker: Arc<dyn Waker>) {
        let mut state = lock(&self.state);
        state.waker = Some(waker);
        if state.closed {
            // It has been cancelled while it was being handed over.
            tell(state, Readiness::Gone);
        }
    }

    fn open_socket(&self, rules: SocketRules) -> Result<Arc<SocketLink>, Stop> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Stop::Cancelled);
        }
        let (notify, waker) = (Arc::clone(&self.notify), state.waker.clone());
        let link = Arc::new(SocketLink::new(self.ticket, notify, waker, rules));
        state.link = Some(Arc::clone(&link));
        Ok(link)
    }

    fn can_leave_late(&self) {
        lock(&self.state).late = true;
    }
}

/// Tells a handler that does not wait, without the lock.
fn tell(state: MutexGuard<'_, ChannelState>, readiness: Readiness) {
    let waker = state.waker.clone();
    drop(state);
    if let Some(waker) = waker {
        waker.wake(readiness);
    }
}

/// What a handler behind a channel meets of its server beside the channel. THREAD: any.
pub trait ServerSide: Send + Sync {
    /// Writes a line with the request's context.
    fn log(&self, channel: &Channel, level: Level, line: &str) {
        channel.log(level, line);
    }

    /// Whether the client is known to have left.
    fn client_gone(&self) -> bool;

    /// The exchange is cancelled, which the channel is told next.
    fn cancel(&self) {}
}

/// The port of a handler whose server passes on what comes out of a channel, and can be asked while it does.
pub struct RelayedPort<S> {
    /// What goes in and out.
    pub channel: Arc<Channel>,
    /// Whom to ask.
    pub server: S,
}

impl<S: ServerSide> Port for RelayedPort<S> {
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop> {
        self.channel.read_body(out, wait)
    }

    fn room(&self, wait: Wait) -> Result<(), Stop> {
        self.channel.room(wait)
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Stop> {
        self.channel.deliver(delivery)
    }

    fn deliver_soon(&self, delivery: Delivery) -> Result<(), Stop> {
        self.channel.deliver_soon(delivery)
    }

    fn log(&self, level: Level, line: &str) {
        self.server.log(&self.channel, level, line);
    }

    fn cancel(&self) {
        self.server.cancel();
        self.channel.cancel();
    }

    fn client_gone(&self) -> bool {
        self.server.client_gone()
    }

    fn set_waker(&self, waker: Arc<dyn Waker>) {
        self.channel.set_waker(waker);
    }

    fn open_socket(&self, rules: SocketRules) -> Result<Arc<SocketLink>, Stop> {
        self.channel.open_socket(rules)
    }
}
