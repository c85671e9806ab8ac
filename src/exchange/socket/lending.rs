// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading that the server lends to the thread of a handler.

use std::{
    mem,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use super::{
    super::busy::{self, BusySocket, BusySockets},
    LinkState, SocketLink,
};
use crate::sys::{self, epoll::Shown, lock};

/// Pings that follow each other are nothing for a handler: there has been a message within so long.
const FLOWING: Duration = Duration::from_millis(50);

/// Reading, as it is lent to the handler's thread.
pub(super) struct Lease {
    sockets: Arc<BusySockets>,
    /// That of the socket there.
    number: u64,
    /// Something has come since the server has asked.
    has_read: bool,
    /// Bytes that it has read and the server does not know of.
    count: usize,
    /// The handler's thread has given it back, for the server to go on.
    is_over: bool,
    /// What it has read and nobody takes at the moment.
    rest: Vec<u8>,
}

/// What the server gets to know of the reading that it has lent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::exchange) enum LeaseNews {
    /// It goes on.
    GoesOn,
    /// The server reads again, behind this, which has been read and not been taken.
    Back(Vec<u8>),
}

impl SocketLink {
    /// Lends reading to the handler's thread, if messages come and are taken, until it gives it back or [`SocketLink::ask`] says so. Answers whether it
    /// is lent. SERVER.
    pub(in crate::exchange) fn lend(self: &Arc<Self>) -> bool {
        let waker = lock(&self.state).waker.clone();
        let Some(sockets) = waker.and_then(|waker| waker.busy_sockets()) else { return false };
        let mut state = lock(&self.state);
        let can_be = state.lease.is_none()
            && state.socket.is_flowing(Instant::now(), FLOWING)
            && state.socket.last_length() < busy::PART;
        let Some(socket) = state.shared.filter(|_| can_be) else { return false };
        let reader: Weak<dyn BusySocket> = Arc::<Self>::downgrade(self);
        let number = sockets.add(socket, reader);
        state.lease = number.map(|number| {
            Box::new(Lease { sockets, number, has_read: false, count: 0, is_over: false, rest: Vec::new() })
        });
        state.lease.is_some()
    }

    /// Asks whether the handler's thread goes on to read. `is_due`: not if it has read nothing since it was asked so. Answers how many bytes it
    /// has read as well. SERVER.
    pub(in crate::exchange) fn ask(&self, is_due: bool) -> (usize, LeaseNews) {
        let mut state = lock(&self.state);
        let is_closed = state.socket.is_closed();
        let Some(lease) = &mut state.lease else { return (0, LeaseNews::Back(Vec::new())) };
        let count = mem::take(&mut lease.count);
        let is_silent = is_due && !mem::take(&mut lease.has_read);
        if is_silent || is_closed || lease.is_over {
            return (count, LeaseNews::Back(state.end_lease()));
        }
        (count, LeaseNews::GoesOn)
    }

    /// The handler's thread does not read any more, if it did: [`SocketLink::ask`] says so. SERVER.
    pub(in crate::exchange) fn take_back(&self) {
        lock(&self.state).give_back();
    }
}

impl BusySocket for SocketLink {
    /// Reads from the client's socket, which has shown something in the set that it was lent to. HANDLER.
    fn read(&self, shown: &Shown, buffer: &mut [u8]) {
        let mut state = lock(&self.state);
        if !state.is_lent(Some(shown.number)) {
            return;
        }
        // With the lock: nobody closes the socket meanwhile, and the kernel does not wait.
        let goes_on = state.read_lent(shown, buffer);
        if !goes_on {
            state.give_back();
        }
        // Pings, and what ends it, are the server's.
        let is_servers = !goes_on || state.socket.has_output();
        self.tell(state);
        if is_servers {
            self.post(lock(&self.state));
        }
    }
}

impl LinkState {
    /// Whether the handler's thread reads, under this number where there is one.
    pub(super) fn is_lent(&self, number: Option<u64>) -> bool {
        let is_it = |lease: &Lease| !lease.is_over && number.is_none_or(|number| number == lease.number);
        self.lease.as_deref().is_some_and(is_it)
    }

    /// Answers whether the handler's thread may go on to read.
    fn read_lent(&mut self, shown: &Shown, buffer: &mut [u8]) -> bool {
        let (Some(lease), Some(socket)) = (&mut self.lease, self.shared) else { return false };
        lease.has_read = true;
        if shown.has_failed || !self.socket.wants_input() {
            return false;
        }
        let count = match sys::receive_now(socket, buffer) {
            Ok(None) => return true,
            // The server finds out what it is.
            Ok(Some(0)) | Err(_) => return false,
            Ok(Some(count)) => count,
        };
        lease.count = lease.count.saturating_add(count);
        let bytes = buffer.get(..count).unwrap_or_default();
        let taken = self.socket.handle_bytes(bytes, Instant::now());
        lease.rest = bytes.get(taken..).unwrap_or_default().to_vec();
        // By what it is when it has been decompressed, too.
        let is_little = count < buffer.len() && self.socket.last_length() < busy::PART;
        taken >= count && is_little && !self.socket.is_closed()
    }

    /// The handler's thread reads no more: what it has not taken is the server's to give.
    fn give_back(&mut self) {
        if let (Some(lease), Some(socket)) = (&mut self.lease, self.shared)
            && !mem::replace(&mut lease.is_over, true)
        {
            lease.sockets.remove(socket, lease.number);
        }
    }

    /// Nothing is lent any more. Answers what was read and not taken.
    pub(super) fn end_lease(&mut self) -> Vec<u8> {
        self.give_back();
        self.lease.take().map(|lease| lease.rest).unwrap_or_default()
    }
}
