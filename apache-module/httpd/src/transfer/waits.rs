// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an attempt waits for its backend, and what it does meanwhile.

use std::time::{Duration, Instant};

use gangway::protocol::DecodeError;

use super::{
    Transfer, TransferError,
    carried::{Carried, SilenceWatch},
    wire::{Interest, Readiness},
};

/// For how long a backend may be silent when the client has closed its side: it may have closed only that.
const GRACE: Duration = Duration::from_secs(1);
/// How often a stream of HTTP/2, which has no socket, is asked whether it is still wanted.
const LOOKS_EACH: Duration = Duration::from_millis(250);

impl<'r, C: Carried<'r>> Transfer<'_, C> {
    /// The backend does not read: it may be writing.
    pub(super) fn wait_for_room(&mut self) -> Result<(), TransferError> {
        let begun = Instant::now();
        loop {
            let time = self.patience(begun)?;
            let ready = self.wire.wait(Interest { send: true, client: self.watched() }, time);
            self.look_at_client(ready, begun)?;
            if ready.receive {
                return self.receive_now();
            }
            if ready.send {
                return Ok(());
            }
        }
    }

    /// The client's socket, to see its end.
    fn watched(&self) -> Option<(i32, bool)> {
        // A client that has closed its side is one event for ever.
        self.client.filter(|_| self.closed_at.is_none()).map(|socket| (socket.descriptor(), false))
    }

    /// How long the next wait may take that is one of those that began then.
    fn patience(&self, begun: Instant) -> Result<Duration, TransferError> {
        let left = self.times.backend.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        let mut time = left.ok_or(TransferError::Timeout)?;
        if let Some(at) = self.closed_at {
            let grace = GRACE.saturating_sub(at.max(begun).elapsed());
            time = time.min(grace.max(Duration::from_millis(1)));
        }
        if self.carried.may_be_left() {
            time = time.min(GRACE);
        }
        Ok(if self.client.is_none() { time.min(LOOKS_EACH) } else { time })
    }

    /// Notes whether the client is still there, in a wait that began then.
    fn look_at_client(&mut self, ready: Readiness, begun: Instant) -> Result<(), TransferError> {
        if ready.client_reset || self.carried.request().is_aborted() || self.carried.is_left() {
            return Err(TransferError::Gone);
        }
        if ready.client_closed && self.closed_at.is_none() {
            self.closed_at = Some(Instant::now());
        }
        let is_over = self.closed_at.is_some_and(|at| at.max(begun).elapsed() >= GRACE);
        if is_over && !ready.receive { Err(TransferError::Gone) } else { Ok(()) }
    }

    /// Waits for a backend that has paused.
    pub(super) fn wait_long(&mut self) -> Result<(), TransferError> {
        let begun = Instant::now();
        let mut watch = (self.total_received == 0).then(|| self.carried.watch(self.wire));
        loop {
            let mut time = self.patience(begun)?;
            if let Some(watch) = &mut watch
                && let Some(limit) = watch.limit(self.wire, begun.elapsed(), self.total_sent)
            {
                time = time.min(limit);
            }
            let ready = self.wire.wait(Interest { send: false, client: self.watched() }, time);
            self.look_at_client(ready, begun)?;
            if ready.receive {
                return Ok(());
            }
            if let Some(watch) = &mut watch
                && watch.leaves(self.wire, begun.elapsed(), self.total_sent, self.may_leave())
            {
                self.is_left = true;
                return Err(TransferError::Closed(DecodeError::Cut));
            }
        }
    }

    /// Whether a request that nobody has read may be sent elsewhere. What is left behind may still be read and done: only where
    /// that does no harm, and not after others of its kind.
    fn may_leave(&self) -> bool {
        // RFC 9110 §9.2.1, and the method of RFC 4918 that only reads.
        const SAFE: [&[u8]; 4] = [b"GET", b"HEAD", b"OPTIONS", b"PROPFIND"];
        let is_whole = self.is_first_part && self.carried.body_ended() && self.sent == self.buffers.out.len();
        is_whole && SAFE.contains(&self.carried.request().method())
    }
}
