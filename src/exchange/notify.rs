// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the two sides of an exchange tell each other.

use std::{sync::Arc, time::Instant};

use super::BusySockets;
use crate::log::Level;

/// Output in bytes that may wait for a client before the handler waits: the default of [`Channel::new`](super::Channel::new).
pub const ROOM: usize = 256 * 1024;

/// Tells the server's thread that a channel has something for it.
pub trait Notify: Send + Sync {
    /// The channel with this ticket has output, an end, or wants body bytes. THREAD: any. Must not block.
    fn post(&self, ticket: u64);
    /// The same, but it can wait for less than a millisecond, until more is there.
    fn post_late(&self, ticket: u64) {
        self.post(ticket);
    }
    /// The same, but it can wait until [`Notify::tell`]. Answers whether that is to be called. It must not post anything else.
    fn post_gathered(&self, ticket: u64, _now: Instant) -> bool {
        self.post(ticket);
        false
    }
    /// The same, but it can wait for a few milliseconds, or until [`Notify::tell`]. It must not post anything else.
    fn post_soon(&self, ticket: u64, _now: Instant) {
        self.post(ticket);
    }
    /// Tells the server's thread of what [`Notify::post_gathered`] or [`Notify::post_soon`] has posted, if it does not know it yet. THREAD: any.
    fn tell(&self) {}
    /// A line for the error log with that request's context. THREAD: any.
    fn log(&self, ticket: u64, level: Level, line: &str);
}

/// What a handler that does not wait is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Body bytes have come, or their end.
    Read,
    /// There is room for output.
    Room,
    /// Nobody wants the rest.
    Gone,
}

/// Tells a handler that does not wait.
pub trait Waker: Send + Sync {
    /// THREAD: any, without a lock of the exchange. Must not block.
    fn wake(&self, readiness: Readiness);

    /// Where the handler's thread reads from busy WebSockets itself, if it does.
    fn busy_sockets(&self) -> Option<Arc<BusySockets>> {
        None
    }
}
