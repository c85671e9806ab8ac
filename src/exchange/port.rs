// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands between an exchange and its server.

use std::sync::Arc;

use super::{Delivery, SocketLink, Stop, Wait, Waker};
use crate::{log::Level, protocol::websocket::SocketRules};

/// What a handler's output and input pass through. One request thread at a time calls the first four.
pub trait Port: Send + Sync {
    /// Copies body bytes; 0 is the end.
    ///
    /// # Errors
    /// [`Stop::Again`] when it would wait and must not, [`Stop::Cancelled`], [`Stop::Failed`].
    fn read_body(&self, out: &mut [u8], wait: Wait) -> Result<usize, Stop>;

    /// Answers when there is room for more output.
    ///
    /// # Errors
    /// [`Stop::Again`] when it would wait and must not, [`Stop::Cancelled`].
    fn room(&self, wait: Wait) -> Result<(), Stop>;

    /// Takes output after `room` said yes, and ends at any time. A delivery with an end must not block.
    ///
    /// # Errors
    /// [`Stop::Cancelled`].
    fn deliver(&self, delivery: Delivery) -> Result<(), Stop>;

    /// The same for output that is to leave soon although the handler goes on. Where most handlers end right behind it, it may wait for a
    /// moment, to leave together with the end.
    ///
    /// # Errors
    /// As [`Port::deliver`].
    fn deliver_soon(&self, delivery: Delivery) -> Result<(), Stop> {
        self.deliver(delivery)
    }

    /// Writes a line with the request's context. THREAD: any.
    fn log(&self, level: Level, line: &str);

    /// Wakes a caller that waits: the exchange is cancelled. THREAD: any.
    fn cancel(&self);

    /// Whether sending makes the handler wait, so that output had better stay together until it must leave or has
    /// ended: a piece is then never too long to wait here, and memory is bounded by [`ROOM`](super::ROOM) and one piece.
    fn is_patient(&self) -> bool {
        false
    }

    /// Whether the client is known to have left. THREAD: any.
    fn client_gone(&self) -> bool {
        false
    }

    /// Output may leave a moment later, together with that of the requests behind this one.
    fn can_leave_late(&self) {}

    /// The connection is a WebSocket's as soon as the head that is delivered next has left.
    ///
    /// # Errors
    /// [`Stop::Misuse`] of a server that has none: it does not offer what could be accepted.
    fn open_socket(&self, _rules: SocketRules) -> Result<Arc<SocketLink>, Stop> {
        Err(Stop::Misuse)
    }

    /// From now on a call that answers [`Stop::Again`] is followed by a word when it would not any more.
    fn set_waker(&self, _waker: Arc<dyn Waker>) {}
}
