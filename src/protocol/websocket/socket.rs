// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection after the handshake, as a machine without I/O or clock.
//!
//! ```text
//! Open --close(), a fault, silence--> Closing --the client's close frame, another fault--> Answering
//!   \--the client's close frame--> Answering --written--> Over
//! any --close_wait, the end of the transport--> Over
//! ```
//! The caller gives it what it has read ([`WebSocket::handle_bytes`]), writes what it is given ([`WebSocket::output`]), wakes
//! it at [`WebSocket::deadline`], and ends the transport when [`WebSocket::is_over`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    Content, SocketMessage,
    assemble::{Arrival, Assembler},
    close_code,
    encode::{self, EncodedMessage},
    extension::Compression,
    frame::{Fault, is_sendable},
    outgoing::{Outgoing, OutputLoan},
};
use crate::wire::Reader;

/// Messages that nobody has taken are read up to this, with what a message costs besides its bytes.
const INBOX_MOST: usize = 64 * 1024;
const MESSAGE_COST: usize = 64;

/// What holds for a connection.
#[derive(Clone, Copy, Debug)]
pub struct SocketRules {
    /// Bytes of a message.
    pub message_most: usize,
    /// What was agreed on in the handshake.
    pub compression: Option<Compression>,
    /// A client that has sent nothing for so long is asked whether it is there.
    pub ping_every: Option<Duration>,
    /// How long it may take to answer.
    pub ping_wait: Duration,
    /// How long the client may take to end after our close frame.
    pub close_wait: Duration,
    /// Without a message in either direction for so long the connection is closed.
    pub idle: Option<Duration>,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// The client has sent a message.
    Message(SocketMessage),
    /// No message can be sent or received any more. Comes once.
    Closed {
        /// The number: the client's, or that of our close frame, or one that is never sent.
        code: u16,
        /// The reason.
        reason: String,
    },
}

/// Why a close frame cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// RFC 6455 §7.4.
    #[error("the close code {0} must not be sent")]
    Code(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketState {
    Open,
    /// Our close frame comes first; what the client still sends is read for its own.
    Closing,
    /// The client has said its last word.
    Answering,
    Over,
}

/// One connection.
#[derive(Debug)]
pub struct WebSocket {
    rules: SocketRules,
    state: SocketState,
    assembler: Assembler,
    inbox: VecDeque<SocketMessage>,
    inbox_weight: usize,
    /// What is told once everything before it has been taken.
    closed: Option<(u16, String)>,
    outgoing: Outgoing,
    /// When the client has last shown that it is there.
    last_received: Instant,
    /// When a ping went out that has not been answered.
    asked: Option<Instant>,
    /// When the last message came or went.
    used: Instant,
    /// Bytes of the last one that came, as the application gets it.
    last_length: usize,
    /// When a close frame of ours went out.
    closing_since: Option<Instant>,
}

impl WebSocket {
    /// A connection that begins now.
    #[must_use]
    pub fn new(rules: SocketRules, now: Instant) -> Self {
        Self {
            assembler: Assembler::new(rules.message_most, rules.compression.is_some()),
            rules,
            state: SocketState::Open,
            inbox: VecDeque::new(),
            inbox_weight: 0,
            closed: None,
            outgoing: Outgoing::default(),
            last_received: now,
            asked: None,
            used: now,
            last_length: 0,
            closing_since: None,
        }
    }

    /// Takes bytes of the client; answers how many. Less than all of them are taken when messages wait that nobody has
    /// polled: the rest is given again after that.
    pub fn handle_bytes(&mut self, input: &[u8], now: Instant) -> usize {
        self.last_received = now;
        self.asked = None;
        let mut reader = Reader::new(input);
        while self.wants_input() && !reader.is_empty() {
            if matches!(self.state, SocketState::Answering | SocketState::Over) {
                // It is read so that the transport can end without a reset.
                return input.len();
            }
            match self.assembler.take(&mut reader) {
                Ok(None) => break,
                Ok(Some(arrival)) => self.arrive(arrival, now),
                Err(fault) if self.state == SocketState::Open => {
                    self.fail(fault, now);
                    if self.assembler.has_close() {
                        // It sends no other, and waits for the end of the connection.
                        self.state = SocketState::Answering;
                    }
                }
                // Where the next frame begins is not known any more.
                Err(_) => self.state = SocketState::Answering,
            }
        }
        input.len() - reader.len()
    }

    /// The transport has ended, or is about to.
    pub fn handle_end(&mut self) {
        if self.state == SocketState::Open {
            self.tell_closed(close_code::ABNORMAL, String::new());
        }
        self.state = SocketState::Over;
    }

    /// Looks at the time.
    pub fn handle_time(&mut self, now: Instant) {
        if let Some(since) = self.closing_since
            && now.saturating_duration_since(since) >= self.rules.close_wait
        {
            self.state = SocketState::Over;
        }
        if self.state != SocketState::Open {
            return;
        }
        if !self.wants_input() || !self.outgoing.is_empty() {
            // Its answer may stand in what is not read, and our question behind what it has not read: for that the caller
            // has a limit.
            self.last_received = now;
            self.asked = self.asked.map(|_| now);
        }
        if let Some(asked) = self.asked {
            if now.saturating_duration_since(asked) >= self.rules.ping_wait {
                self.fail(Fault { code: close_code::INTERNAL, text: "no answer to a ping" }, now);
                return;
            }
        } else if let Some(every) = self.rules.ping_every
            && now.saturating_duration_since(self.last_received) >= every
        {
            self.outgoing.ask();
            self.asked = Some(now);
        }
        if let Some(idle) = self.rules.idle
            && now.saturating_duration_since(self.used) >= idle
        {
            self.end_with(close_code::GOING_AWAY, "idle", now);
        }
    }

    /// When [`WebSocket::handle_time`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.state == SocketState::Over {
            return None;
        }
        if let Some(since) = self.closing_since {
            return Some(since + self.rules.close_wait);
        }
        let ping = match self.asked {
            Some(asked) => Some(asked + self.rules.ping_wait),
            None => self.rules.ping_every.map(|every| self.last_received + every),
        };
        let idle = self.rules.idle.map(|idle| self.used + idle);
        ping.into_iter().chain(idle).min()
    }

    /// What has happened.
    pub fn poll(&mut self) -> Option<SocketEvent> {
        if let Some(message) = self.inbox.pop_front() {
            self.inbox_weight -= message.payload.len() + MESSAGE_COST;
            if self.inbox.is_empty() {
                // An idle socket has no memory for messages.
                self.inbox = VecDeque::new();
            }
            return Some(SocketEvent::Message(message));
        }
        self.closed.take().map(|(code, reason)| SocketEvent::Closed { code, reason })
    }

    /// Whether [`WebSocket::poll`] has something.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.inbox.is_empty() || self.closed.is_some()
    }

    /// Whether messages come or go at the moment, and are polled: there has been one within so long, and one at most waits.
    #[must_use]
    pub fn is_flowing(&self, now: Instant, within: Duration) -> bool {
        self.state == SocketState::Open
            && self.inbox.len() <= 1
            && now.saturating_duration_since(self.used) < within
    }

    /// Bytes of the last message that has come, as the application gets it: a few of the wire may become many.
    #[must_use]
    pub const fn last_length(&self) -> usize {
        self.last_length
    }

    /// Whether the client is to be read from: not while so much waits to be polled.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match self.state {
            SocketState::Open => self.inbox_weight <= INBOX_MOST,
            SocketState::Closing | SocketState::Answering => true,
            SocketState::Over => false,
        }
    }

    /// Sends a message; text must be UTF-8. Answers whether it can still be.
    pub fn send(&mut self, content: Content, payload: &[u8], now: Instant) -> bool {
        if self.state != SocketState::Open {
            return false;
        }
        self.used = now;
        encode::message(content, payload, self.rules.compression, self.outgoing.queue());
        true
    }

    /// Sends a message that has been encoded. Answers whether it can still be.
    pub fn send_encoded(&mut self, message: EncodedMessage, now: Instant) -> bool {
        if self.state != SocketState::Open {
            return false;
        }
        self.used = now;
        let EncodedMessage(mut bytes) = message;
        let queue = self.outgoing.queue();
        if queue.is_empty() {
            *queue = bytes;
        } else {
            queue.append(&mut bytes);
        }
        true
    }

    /// Closes the connection once what was sent before has been written.
    ///
    /// # Errors
    /// The number must not be sent.
    pub fn close(&mut self, code: u16, reason: &str, now: Instant) -> Result<(), CloseError> {
        if !is_sendable(code) {
            return Err(CloseError::Code(code));
        }
        if self.state == SocketState::Open {
            self.end_with(code, reason, now);
        }
        Ok(())
    }

    /// What is to be written now; empty: nothing.
    pub fn output(&mut self) -> &[u8] {
        self.outgoing.refill();
        self.outgoing.rest()
    }

    /// So many bytes of [`WebSocket::output`] have been written.
    pub fn handle_written(&mut self, count: usize) {
        self.outgoing.written(count);
    }

    /// As [`WebSocket::output`], taken away: whoever writes it for long keeps nobody from the connection's state meanwhile. It
    /// comes back by [`WebSocket::return_output`] before anything else is written.
    pub fn lend_output(&mut self) -> OutputLoan {
        self.outgoing.lend()
    }

    /// What was lent comes back; so many bytes of it have been written.
    pub fn return_output(&mut self, loan: OutputLoan, written: usize) {
        self.outgoing.take_back(loan);
        self.outgoing.written(written);
    }

    /// Whether something is to be written, or is being.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Bytes of messages that wait to be written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether the transport is to be ended: both sides have said what they have to.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            SocketState::Over => true,
            // §7.1.1: "the server MUST close the connection immediately" once both close frames are through.
            SocketState::Answering => self.outgoing.is_empty(),
            SocketState::Open | SocketState::Closing => false,
        }
    }

    /// Whether no message can be sent any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state != SocketState::Open
    }

    /// Bytes of memory that the message takes whose frames come in.
    #[cfg(test)]
    pub(super) fn assembling(&self) -> usize {
        self.assembler.memory()
    }

    fn arrive(&mut self, arrival: Arrival, now: Instant) {
        match arrival {
            Arrival::Message(message) => {
                (self.used, self.last_length) = (now, message.payload.len());
                self.inbox_weight += message.payload.len() + MESSAGE_COST;
                self.inbox.push_back(message);
            }
            Arrival::Ping(payload) if self.state == SocketState::Open => {
                self.outgoing.answer_ping(&payload);
            }
            Arrival::Ping(_) | Arrival::Pong => {}
            Arrival::Close(_) if self.state == SocketState::Closing => self.state = SocketState::Answering,
            Arrival::Close(close) => {
                // §5.5.1: the answer "typically echos the status code".
                let code = close.as_ref().map(|(code, _)| *code);
                self.outgoing.close(encode::close(code, ""));
                self.state = SocketState::Answering;
                self.closing_since = Some(now);
                let (code, reason) = close.unwrap_or((close_code::NONE, Vec::new()));
                self.tell_closed(code, String::from_utf8(reason).unwrap_or_default());
            }
        }
    }

    fn fail(&mut self, fault: Fault, now: Instant) {
        self.end_with(fault.code, fault.text, now);
    }

    /// Our close frame goes out. What was not polled before stays.
    fn end_with(&mut self, code: u16, reason: &str, now: Instant) {
        self.outgoing.close(encode::close(Some(code), reason));
        self.assembler.discard();
        self.state = SocketState::Closing;
        self.closing_since = Some(now);
        self.tell_closed(code, reason.to_owned());
    }

    fn tell_closed(&mut self, code: u16, reason: String) {
        self.closed = Some((code, reason));
    }
}
