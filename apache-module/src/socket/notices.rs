// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a handler on another thread has for whoever serves its request, who may leave while it still works.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use gangway::{
    exchange::{Mailbox, Notify, Outbox},
    log::{self, Level},
    sys::{EventFd, lock},
};

/// A mailbox that its reader may leave, or wait for together with other things.
#[derive(Default)]
pub(crate) struct Notices {
    mailbox: Mailbox,
    /// The request in words, when its reader has left.
    closed: Mutex<Option<String>>,
    /// Whom to wake beside those who wait for the mailbox.
    wake: OnceLock<Wake>,
}

/// Who waits for a WebSocket.
pub(super) enum Wake {
    /// A thread of its own.
    Thread(Arc<EventFd>),
    /// The one that serves all, which knows it by a number.
    Loop(Arc<Outbox>, u64),
}

impl Wake {
    fn wake(&self) {
        match self {
            Self::Thread(eventfd) => eventfd.signal(),
            Self::Loop(outbox, number) => outbox.post(*number),
        }
    }
}

impl Notices {
    /// Waits for news until then. Answers whether the handler has done something, and the lines of the log since the last call.
    pub(crate) fn wait(&self, until: Instant) -> (bool, Vec<(Level, String)>) {
        self.mailbox.wait(Some(until))
    }

    /// From now on somebody is woken, once more than needed rather than not at all: look at everything first.
    pub(super) fn wake_too(&self, wake: Wake) {
        // The one that serves the request says so, once.
        let _ = self.wake.set(wake);
    }

    /// The reader leaves: it writes the last lines, and later ones go to the log without it.
    pub(crate) fn close(&self, mut write: impl FnMut(Level, &str), label: String) {
        *lock(&self.closed) = Some(label);
        let (_, lines) = self.mailbox.wait(Some(Instant::now()));
        for (level, line) in lines {
            write(level, &line);
        }
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.get() {
            wake.wake();
        }
    }
}

impl Notify for Notices {
    fn post(&self, ticket: u64) {
        self.mailbox.post(ticket);
        self.wake();
    }

    fn post_gathered(&self, ticket: u64, now: Instant) -> bool {
        let Some(Wake::Loop(outbox, number)) = self.wake.get() else {
            self.post(ticket);
            return false;
        };
        self.mailbox.post(ticket);
        outbox.post_gathered(*number, now)
    }

    fn tell(&self) {
        if let Some(Wake::Loop(outbox, _)) = self.wake.get() {
            outbox.tell();
        }
    }

    fn log(&self, ticket: u64, level: Level, line: &str) {
        let closed = lock(&self.closed);
        match &*closed {
            Some(label) if level != Level::Further => log::pass_on(level, &format!("{line} [{label}]")),
            Some(_) => log::pass_on(level, line),
            None => {
                self.mailbox.log(ticket, level, line);
                self.wake();
            }
        }
    }
}
