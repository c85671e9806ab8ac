// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the client is still there, for applications that ask often.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use gangway::exchange::ServerSide;

use crate::raw::Socket;

/// Answers that are younger are given again without a look at the socket.
const FRESH_MICROS: u64 = 10_000;
/// In place of a time: the client has left.
const GONE: u64 = u64::MAX;

/// Looks at a client's socket, but not too often.
#[derive(Debug)]
pub(super) struct Probe {
    socket: Option<Socket>,
    began: Instant,
    /// Microseconds after `began` at which the next look is due, or `GONE`.
    next: AtomicU64,
}

impl Probe {
    /// A stream of HTTP/2 has no socket of its own: its end shows when something is sent.
    pub(super) fn new(socket: Option<Socket>) -> Self {
        Self { socket, began: Instant::now(), next: AtomicU64::new(0) }
    }

    /// Whether the client has closed the connection. Never blocks.
    pub(super) fn is_gone(&self) -> bool {
        let Some(socket) = self.socket else { return false };
        let next = self.next.load(Ordering::Relaxed);
        if next == GONE {
            return true;
        }
        let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(GONE - 1);
        if now < next {
            return false;
        }
        let gone = socket.is_closed();
        self.next.store(if gone { GONE } else { now.saturating_add(FRESH_MICROS) }, Ordering::Relaxed);
        gone
    }
}

impl ServerSide for Probe {
    fn client_gone(&self) -> bool {
        self.is_gone()
    }
}
