// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames on their way to the client, and their order.

use std::mem;

use super::{encode, frame::Opcode};

/// Bytes of answers to pings that wait to be written.
const PONGS_MOST: usize = 2048;

/// Frames on their way to the client.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What the caller is writing, from `at` on.
    current: Vec<u8>,
    at: usize,
    /// Bytes of it that the caller has taken away to write them.
    lent: usize,
    /// Messages.
    queue: Vec<u8>,
    /// Answers to pings, up to [`PONGS_MOST`].
    pongs: Vec<u8>,
    ping: bool,
    close: Option<Vec<u8>>,
}

/// What is being written, while the connection's state is free for others: [`lend_output`](super::WebSocket::lend_output).
#[derive(Debug, Default)]
pub struct OutputLoan {
    bytes: Vec<u8>,
    at: usize,
}

impl OutputLoan {
    /// What is to be written now; empty: nothing.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.current.len()
            && self.lent == 0
            && self.queue.is_empty()
            && self.pongs.is_empty()
            && !self.ping
            && self.close.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.current.len() - self.at + self.lent + self.queue.len()
    }

    /// RFC 6455 §5.5.3: a client that does not read "MAY" get the answer to its last ping alone, so that it makes nothing grow.
    pub(super) fn answer_ping(&mut self, payload: &[u8]) {
        let pong = encode::control(Opcode::Pong, payload);
        if self.pongs.len() + pong.len() > PONGS_MOST {
            self.pongs.clear();
        }
        self.pongs.extend(pong);
    }

    /// Once what is being written has been: control frames pass messages, but for the close frame, which is the last.
    pub(super) fn refill(&mut self) {
        if self.at < self.current.len() {
            return;
        }
        self.at = 0;
        if !self.pongs.is_empty() || self.ping {
            self.current = mem::take(&mut self.pongs);
            if mem::take(&mut self.ping) {
                self.current.extend(encode::control(Opcode::Ping, &[]));
            }
            return;
        }
        // An idle socket has no memory for output.
        self.current = mem::take(&mut self.queue);
        if self.current.is_empty() {
            self.current = self.close.take().unwrap_or_default();
        }
    }

    /// Messages that follow what is there.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.queue
    }

    /// A ping goes out before messages.
    pub(super) fn ask(&mut self) {
        self.ping = true;
    }

    /// The last frame, behind all messages. Nobody is asked any more.
    pub(super) fn close(&mut self, frame: Vec<u8>) {
        self.close = Some(frame);
        self.ping = false;
    }

    /// What is being written.
    pub(super) fn rest(&self) -> &[u8] {
        self.current.get(self.at..).unwrap_or_default()
    }

    /// So many bytes of that have been.
    pub(super) fn written(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.current.len());
        if self.at == self.current.len() {
            self.current = Vec::new();
            self.at = 0;
        }
    }

    /// See [`WebSocket::lend_output`](super::WebSocket::lend_output).
    pub(super) fn lend(&mut self) -> OutputLoan {
        self.refill();
        let loan = OutputLoan { bytes: mem::take(&mut self.current), at: mem::take(&mut self.at) };
        self.lent = loan.rest().len();
        loan
    }

    /// See [`WebSocket::return_output`](super::WebSocket::return_output).
    pub(super) fn take_back(&mut self, loan: OutputLoan) {
        self.lent = 0;
        (self.current, self.at) = (loan.bytes, loan.at);
    }
}
