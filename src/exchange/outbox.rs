// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handler threads have for an event loop, with one wake-up for many events.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::Notify;
use crate::{
    log::Level,
    sys::{EventFd, TimerFd, lock},
};

/// Something for the event loop.
#[derive(Debug)]
pub enum OutboxEvent {
    /// The channel with this ticket has output or an end.
    Ready(u64),
    /// A line for the error log; ticket 0 is the process.
    Line(u64, Level, String),
}

/// A queue from any thread to one event loop, which sleeps on an eventfd.
///
/// The eventfd is written only when the loop has not been told yet, so a burst of events costs one system call.
/// Events that can wait for each other set a timer in its place, and those that are gathered a longer one, now and then: it ends
/// when their thread does not come to tell of them. The loop watches both edge-triggered and never reads them.
pub struct Outbox {
    state: Mutex<Unread>,
    eventfd: EventFd,
    timerfd: TimerFd,
}

/// For how long an event that can wait does.
pub(crate) const LATE: Duration = Duration::from_micros(150);

/// For how long gathered events wait at most, and those of handlers that go on. A timer serves those that follow for half of its time.
const GATHERED_MOST: Duration = Duration::from_millis(10);
const SOON_MOST: Duration = Duration::from_millis(2);

/// What the loop has been told, or is about to be, since it took the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    /// The timer is set.
    Late,
    /// The eventfd has been written.
    Now,
}

#[derive(Default)]
struct Unread {
    events: Vec<OutboxEvent>,
    told: Told,
    /// When the timer shows itself for gathered events or for those of handlers that go on, if it has not been set for others since.
    guarded: Option<Instant>,
}

impl Outbox {
    /// An empty outbox.
    ///
    /// # Errors
    /// When no descriptor can be made.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { state: Mutex::default(), eventfd: EventFd::new()?, timerfd: TimerFd::new()? })
    }

    /// The descriptor to watch for reading.
    #[must_use]
    pub fn eventfd(&self) -> &EventFd {
        &self.eventfd
    }

    /// The other descriptor to watch for reading.
    #[must_use]
    pub fn timerfd(&self) -> &TimerFd {
        &self.timerfd
    }

    /// Swaps all events into `into`, which should be empty; its capacity is used again. LOOP.
    pub fn drain(&self, into: &mut Vec<OutboxEvent>) {
        let mut state = lock(&self.state);
        // Together: a later event signals anew, so none is left behind.
        state.told = Told::Nothing;
        std::mem::swap(&mut state.events, into);
    }

    /// Adds an event. THREAD: any.
    pub fn push(&self, event: OutboxEvent) {
        if self.add(event, Told::Now) != Told::Now {
            self.eventfd.signal();
        }
    }

    /// Adds an event that can wait for a moment. THREAD: any.
    pub fn push_late(&self, event: OutboxEvent) {
        if self.add(event, Told::Late) == Told::Nothing {
            self.timerfd.set(LATE);
        }
    }

    /// Answers what the loop had been told before.
    fn add(&self, event: OutboxEvent, how: Told) -> Told {
        let mut state = lock(&self.state);
        state.events.push(event);
        let before = state.told;
        if before != Told::Now {
            state.told = how;
        }
        if how == Told::Late && before == Told::Nothing {
            // The timer is set for this one.
            state.guarded = None;
        }
        before
    }

    /// Adds an event that somebody tells of soon, and waits for no longer than `most`. Answers whether he has to, and whether the timer must
    /// be set for it.
    fn add_guarded(&self, event: OutboxEvent, now: Instant, most: Duration) -> (bool, bool) {
        let mut state = lock(&self.state);
        state.events.push(event);
        let left = state.guarded.map(|at| at.saturating_duration_since(now)).unwrap_or_default();
        let must_guard = state.told == Told::Nothing && !(most / 2..=most).contains(&left);
        if must_guard {
            state.guarded = Some(now + most);
        }
        (state.told != Told::Now, must_guard)
    }
}

impl Notify for Outbox {
    fn post(&self, ticket: u64) {
        self.push(OutboxEvent::Ready(ticket));
    }

    fn post_late(&self, ticket: u64) {
        self.push_late(OutboxEvent::Ready(ticket));
    }

    fn post_gathered(&self, ticket: u64, now: Instant) -> bool {
        let (must_tell, must_guard) = self.add_guarded(OutboxEvent::Ready(ticket), now, GATHERED_MOST);
        if must_guard {
            self.timerfd.set(GATHERED_MOST);
        }
        must_tell
    }

    fn post_soon(&self, ticket: u64, now: Instant) {
        let (_, must_guard) = self.add_guarded(OutboxEvent::Ready(ticket), now, SOON_MOST);
        if must_guard {
            self.timerfd.set(SOON_MOST);
        }
    }

    fn tell(&self) {
        let mut state = lock(&self.state);
        // The loop may have come for another reason.
        if state.events.is_empty() || state.told == Told::Now {
            return;
        }
        state.told = Told::Now;
        drop(state);
        self.eventfd.signal();
    }

    fn log(&self, ticket: u64, level: Level, line: &str) {
        self.push(OutboxEvent::Line(ticket, level, line.to_owned()));
    }
}

impl crate::log::Sink for Outbox {
    fn write(&self, level: Level, line: &str) {
        self.push(OutboxEvent::Line(0, level, line.to_owned()));
    }
}
