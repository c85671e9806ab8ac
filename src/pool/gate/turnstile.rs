// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who goes in, who waits and who is woken: a state machine without threads and without a clock.
//!
//! A thread that comes takes a free place though others wait: they sleep, and until one of them has woken the place
//! would be of no use to anybody. Those who wait are kept by [`TURN`]: once in that time a place is given to the
//! first of them and to nobody else.
//!
//! Where the handlers have an interpreter's lock and do not wait for anything, one thread at a time is on its way: the
//! others would only wait again, for the lock. The way is free for the next when the handler has ended, or takes
//! longer than is usual: then it may have given the lock up. One of those who wait *watches* for that.
//!
//! ```text
//! comes --place and way are free--> inside --> leaves
//!   \--they are not--> waits --called, and still free--> inside
//!                        \-----given a place---------> inside
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    super::{Refusal, admission::AdmissionPhase},
    handlers::Handlers,
};

/// Who has waited for longer is given the next place, once in this time.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// The way to the interpreter's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Free,
    /// This thread wakes up, or waits for the lock: nobody else would get it.
    Taken(u64),
    /// This one's handler runs since then.
    Runs(u64, Instant),
}

#[derive(Debug)]
struct Waiting<T> {
    ticket: u64,
    who: T,
    since: Instant,
    /// It has been woken and looks again.
    is_called: bool,
}

/// What a thread finds that has woken up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Awake<T> {
    /// It is inside; that one is to be woken.
    Runs(Option<T>),
    /// It waits on; that one is to be woken.
    Waits(Option<T>),
    /// Nobody is let in any more; it does not wait any longer.
    Stopping,
}

/// Places and those who wait for one. Every ticket that is inside leaves once.
#[derive(Debug)]
pub(super) struct Turnstile<T> {
    phase: AdmissionPhase,
    places: usize,
    room: usize,
    /// The handlers have an interpreter's lock.
    has_lock: bool,
    inside: usize,
    line: VecDeque<Waiting<T>>,
    /// How many of the line have been called and have not looked yet.
    called: usize,
    tickets: u64,
    lane: Lane,
    /// The one of the line that watches the lane, or is on its way to.
    watch: Option<u64>,
    /// When a place was given to the first of the line.
    given: Option<Instant>,
    handlers: Handlers,
}

impl<T: Clone> Turnstile<T> {
    /// A closed one: so many are inside at a time, and so many wait.
    pub(super) fn new(places: usize, room: usize) -> Self {
        Self {
            phase: AdmissionPhase::Closed,
            places,
            room,
            has_lock: false,
            inside: 0,
            line: VecDeque::new(),
            called: 0,
            tickets: 0,
            lane: Lane::Free,
            watch: None,
            given: None,
            handlers: Handlers::default(),
        }
    }

    /// Lets them in from now on. Those who wait are to be woken by [`Turnstile::wake`].
    pub(super) fn open(&mut self, has_lock: bool) {
        if self.phase == AdmissionPhase::Closed {
            self.phase = AdmissionPhase::Open;
            self.has_lock = has_lock;
        }
    }

    /// Nobody is let in any more. Those who wait are to be woken, to see it.
    pub(super) fn stop(&mut self) {
        self.phase = AdmissionPhase::Stopping;
    }

    /// One comes, and is inside if there is a place.
    ///
    /// # Errors
    /// [`Refusal::Stopping`].
    pub(super) fn enter(&mut self, now: Instant) -> Result<Option<u64>, Refusal> {
        match self.phase {
            AdmissionPhase::Stopping => Err(Refusal::Stopping),
            AdmissionPhase::Open if self.free(now) > 0 => {
                let ticket = self.ticket();
                self.take(ticket);
                Ok(Some(ticket))
            }
            AdmissionPhase::Open | AdmissionPhase::Closed => Ok(None),
        }
    }

    /// One that has found no place waits.
    ///
    /// # Errors
    /// [`Refusal::Full`].
    pub(super) fn wait(&mut self, who: T, now: Instant) -> Result<u64, Refusal> {
        // Where requests may not wait, the first of them waits for the opening all the same. And who waits though there are
        // places does not count.
        let most = match self.phase {
            AdmissionPhase::Closed => self.room.max(1),
            AdmissionPhase::Open | AdmissionPhase::Stopping => self.places.saturating_add(self.room),
        };
        if self.inside + self.line.len() >= most {
            return Err(Refusal::Full);
        }
        let ticket = self.ticket();
        self.line.push_back(Waiting { ticket, who, since: now, is_called: false });
        Ok(ticket)
    }

    /// One that waits is about to sleep; for no longer than this, if it is to watch.
    pub(super) fn sleep(&mut self, ticket: u64, now: Instant) -> Option<Duration> {
        if !self.is_narrow() || self.watch.is_some_and(|other| other != ticket) {
            return None;
        }
        self.watch = Some(ticket);
        let Lane::Runs(_, since) = self.lane else { return Some(TURN) };
        let left = self.handlers.brief().saturating_sub(now.saturating_duration_since(since));
        // The way is free, and who was called has not come yet.
        Some(if left.is_zero() { TURN } else { left })
    }

    /// One that waits is awake.
    pub(super) fn awake(&mut self, ticket: u64, now: Instant) -> Awake<T> {
        let Some(index) = self.place_in_line(ticket) else {
            // It was given a place.
            return Awake::Runs(self.wake(now));
        };
        self.uncall(index);
        if self.phase == AdmissionPhase::Stopping {
            self.remove(index);
            return Awake::Stopping;
        }
        if self.phase == AdmissionPhase::Open && self.free(now) > 0 && (index == 0 || !self.is_turn(now)) {
            self.remove(index);
            self.take(ticket);
            return Awake::Runs(self.wake(now));
        }
        if self.is_narrow() {
            self.watch.get_or_insert(ticket);
        }
        Awake::Waits(self.wake(now))
    }

    /// One that waits goes away; `None`: it was given a place. Otherwise who is to be woken.
    pub(super) fn withdraw(&mut self, ticket: u64, now: Instant) -> Option<Option<T>> {
        let index = self.place_in_line(ticket)?;
        self.remove(index);
        Some(self.wake(now))
    }

    /// Its handler begins: it has the interpreter's lock.
    pub(super) fn begin(&mut self, ticket: u64, now: Instant) {
        if self.lane == Lane::Taken(ticket) {
            self.lane = Lane::Runs(ticket, now);
        }
    }

    /// One leaves, whose handler has taken so long, and so much of it on a processor. Answers who is to be woken.
    pub(super) fn leave(
        &mut self,
        ticket: u64,
        ran: Option<(Duration, Option<Duration>)>,
        now: Instant,
    ) -> Option<T> {
        self.inside = self.inside.saturating_sub(1);
        if matches!(self.lane, Lane::Taken(lane) | Lane::Runs(lane, _) if lane == ticket) {
            self.lane = Lane::Free;
        }
        if let Some((length, used)) = ran {
            self.handlers.ended(length, used);
        }
        self.wake(now)
    }

    /// Who is to be woken now: for a place, or to watch.
    pub(super) fn wake(&mut self, now: Instant) -> Option<T> {
        if self.phase != AdmissionPhase::Open || self.line.is_empty() {
            return None;
        }
        self.call(now).or_else(|| self.send_watch())
    }

    /// Those who wait, in their order.
    pub(super) fn waiting(&self) -> impl ExactSizeIterator<Item = &T> {
        self.line.iter().map(|waiting| &waiting.who)
    }

    pub(super) fn inside(&self) -> usize {
        self.inside
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.phase == AdmissionPhase::Stopping
    }

    /// Whether a place is soon free: handlers end within moments.
    pub(super) fn is_brisk(&self) -> bool {
        self.phase == AdmissionPhase::Open && self.is_narrow()
    }

    pub(super) fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether one at a time is on its way.
    fn is_narrow(&self) -> bool {
        self.has_lock && !self.handlers.wait()
    }

    /// How many may go in now.
    fn free(&self, now: Instant) -> usize {
        let free = self.places.saturating_sub(self.inside);
        if !self.is_narrow() {
            return free;
        }
        match self.lane {
            Lane::Free => free.min(1),
            Lane::Runs(_, since) if now.saturating_duration_since(since) >= self.handlers.brief() => {
                free.min(1)
            }
            Lane::Taken(_) | Lane::Runs(..) => 0,
        }
    }

    /// Whether the first of the line is to be given the next place.
    fn is_turn(&self, now: Instant) -> bool {
        let is_long = |since: Instant| now.saturating_duration_since(since) >= TURN;
        self.line.front().is_some_and(|first| is_long(first.since)) && self.given.is_none_or(is_long)
    }

    fn call(&mut self, now: Instant) -> Option<T> {
        let free = self.free(now);
        if free == 0 {
            return None;
        }
        if self.is_turn(now) {
            let first = self.remove(0)?;
            self.given = Some(now);
            self.take(first.ticket);
            return Some(first.who);
        }
        if self.called >= free {
            return None;
        }
        let next = self.line.iter_mut().find(|waiting| !waiting.is_called)?;
        next.is_called = true;
        self.called += 1;
        Some(next.who.clone())
    }

    /// The last of the line is to watch, for it is there for longest; unless somebody who looks anyway is awake.
    fn send_watch(&mut self) -> Option<T> {
        if self.watch.is_some() || self.called > 0 || !self.is_narrow() {
            return None;
        }
        let last = self.line.back()?;
        self.watch = Some(last.ticket);
        Some(last.who.clone())
    }

    fn take(&mut self, ticket: u64) {
        self.inside += 1;
        if self.has_lock {
            self.lane = Lane::Taken(ticket);
        }
    }

    fn place_in_line(&self, ticket: u64) -> Option<usize> {
        self.line.iter().position(|waiting| waiting.ticket == ticket)
    }

    fn uncall(&mut self, index: usize) {
        if let Some(waiting) = self.line.get_mut(index)
            && std::mem::take(&mut waiting.is_called)
        {
            self.called -= 1;
        }
    }

    fn remove(&mut self, index: usize) -> Option<Waiting<T>> {
        self.uncall(index);
        let gone = self.line.remove(index)?;
        if self.watch == Some(gone.ticket) {
            self.watch = None;
        }
        Some(gone)
    }
}

#[cfg(test)]
mod tests;
