// SPDX-License-Identifier: MIT OR Apache-2.0
//! What handler threads have for an event loop, with one wake-up for many events.

use std::sync::Mutex;

use super::channel::Notify;
use crate::{
    log::Level,
    sys::{EventFd, lock},
};

/// Something for the event loop.
#[derive(Debug)]
pub enum Event {
    /// The channel with this ticket has output or an end.
    Ready(u64),
    /// A line for the error log; ticket 0 is the process.
    Line(u64, Level, String),
}

/// A queue from any thread to one event loop, which sleeps on an eventfd.
///
/// The eventfd is written only when the loop has not been told yet, so a burst of events costs one system call.
/// The loop watches it edge-triggered and never reads it.
pub struct Outbox {
    state: Mutex<State>,
    eventfd: EventFd,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// The eventfd has been written, or is about to be, since the loop took the events.
    signalled: bool,
}

impl Outbox {
    /// An empty outbox.
    ///
    /// # Errors
    /// When no eventfd can be made.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { state: Mutex::default(), eventfd: EventFd::new()? })
    }

    /// The descriptor to watch for reading.
    #[must_use]
    pub fn eventfd(&self) -> &EventFd {
        &self.eventfd
    }

    /// Swaps all events into `into`, which should be empty; its capacity is used again. LOOP.
    pub fn drain(&self, into: &mut Vec<Event>) {
        let mut state = lock(&self.state);
        // Together: a later event signals anew, so none is left behind.
        state.signalled = false;
        std::mem::swap(&mut state.events, into);
    }

    /// Adds an event. THREAD: any.
    pub fn push(&self, event: Event) {
        let mut state = lock(&self.state);
        state.events.push(event);
        let first = !std::mem::replace(&mut state.signalled, true);
        drop(state);
        if first {
            self.eventfd.signal();
        }
    }
}

impl Notify for Outbox {
    fn post(&self, ticket: u64) {
        self.push(Event::Ready(ticket));
    }

    fn log(&self, ticket: u64, level: Level, line: &str) {
        self.push(Event::Line(ticket, level, line.to_owned()));
    }
}

impl crate::log::Sink for Outbox {
    fn write(&self, level: Level, line: &str) {
        self.push(Event::Line(0, level, line.to_owned()));
    }
}
