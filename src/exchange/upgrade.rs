// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a handler does with a request for a WebSocket: the rules of `gangway.h`.

use super::{Exchange, SocketLink, Stop, Wait};
use crate::{
    error::{BAD_HEADER, BAD_MESSAGE},
    protocol::websocket::{Content, SocketEvent},
    sys::lock,
};

impl Exchange {
    /// Accepts a WebSocket.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for an answer that must not be sent, [`Stop::Misuse`] where nobody has asked for one or after another
    /// answer, [`Stop::Cancelled`].
    pub fn accept<'a>(
        &self,
        subprotocol: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Stop> {
        let mut answer = lock(&self.answer);
        if answer.has_head() {
            return Err(self.misuse("accept() after another answer"));
        }
        // Out of its place: a line about it may have to say which request this is.
        let Some(offer) = self.take_offer() else {
            return Err(self.misuse("accept() of a request that asks for no WebSocket"));
        };
        let opened = self.live().and_then(|()| {
            let (head, rules) = offer.accept(subprotocol, headers).map_err(|error| {
                self.report(BAD_HEADER, format_args!("the WebSocket is not accepted: {error}"));
                Stop::Invalid
            })?;
            Ok((head, self.port.open_socket(rules)?))
        });
        let (head, link) = match opened {
            Ok(opened) => opened,
            Err(stop) => {
                // It may be accepted otherwise.
                self.put_offer_back(offer);
                return Err(stop);
            }
        };
        if let Some(trace) = &self.trace {
            trace.start(head.status);
        }
        // It is the only one: the lock is held, and there was no head.
        let _ = self.link.set(link);
        answer.upgrade(head);
        self.deliver(&mut answer)
    }

    /// The next thing that has happened to a WebSocket.
    ///
    /// # Errors
    /// [`Stop::Again`]; [`Stop::Cancelled`] after the last event; [`Stop::Misuse`] where there is none.
    pub fn receive(&self, wait: Wait) -> Result<SocketEvent, Stop> {
        self.link("receive()")?.receive(wait)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Stop::Again`] without effect; [`Stop::Cancelled`] when it is closed; [`Stop::Invalid`] for text that is not UTF-8;
    /// [`Stop::Misuse`] where there is no WebSocket.
    pub fn send(&self, content: Content, payload: &[u8], wait: Wait) -> Result<(), Stop> {
        let sent = self.link("send()")?.send(content, payload, wait);
        if sent == Err(Stop::Invalid) {
            self.report(
                BAD_MESSAGE,
                format_args!("a text of {} bytes is not UTF-8 and is not sent", payload.len()),
            );
        }
        sent
    }

    /// Closes a WebSocket.
    ///
    /// # Errors
    /// [`Stop::Invalid`] for a number that must not be sent; [`Stop::Misuse`] where there is no WebSocket.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Stop> {
        let closed = self.link("close()")?.close(code, reason);
        if closed == Err(Stop::Invalid) {
            self.report(BAD_MESSAGE, format_args!("the WebSocket is not closed: {code} must not be sent"));
        }
        closed
    }

    fn link(&self, call: &str) -> Result<&SocketLink, Stop> {
        match self.link.get() {
            Some(link) if !self.is_finished() => Ok(link),
            Some(_) => Err(self.misuse(&format!("{call} after finish()"))),
            None => Err(self.misuse(&format!("{call} without an accepted WebSocket"))),
        }
    }
}
