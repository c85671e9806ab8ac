// SPDX-License-Identifier: MIT OR Apache-2.0
//! WebSocket on the server's side (RFC 6455), with permessage-deflate (RFC 7692).
//!
//! ```text
//! handshake   what a client asks for, and the answer that accepts it
//! extension   the words of Sec-WebSocket-Extensions
//! frame       the first bytes of a frame, and the numbers of closing
//! assemble    bytes from the client to messages and control frames
//! encode      messages to frames
//! deflate     what both use for compressed messages
//! socket      one connection: answers pings and closes by itself, knows when to ask whether the client is there
//! ```
//! Nothing here reads, waits or knows a clock. Everything that a client can make grow has a limit, which holds before
//! memory is taken: a message has `message_most` bytes, compressed and inflated, and of whole messages that nobody has taken
//! only so many are kept that another one may be read ([`WebSocket::wants_input`]).

mod assemble;
mod deflate;
mod encode;
mod extension;
mod frame;
mod handshake;
mod outgoing;
mod socket;
#[cfg(test)]
pub(crate) mod tests;

pub use encode::EncodedMessage;
pub use extension::Compression;
pub use frame::Fault;
pub use handshake::{Accepted, Handshake, HandshakeError};
pub use outgoing::OutputLoan;
pub use socket::{CloseError, SocketEvent, SocketRules, WebSocket};

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// UTF-8, which has been checked.
    Text,
    /// Any bytes.
    Binary,
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketMessage {
    /// Text or bytes.
    pub content: Content,
    /// What it says.
    pub payload: Vec<u8>,
}

/// Numbers of RFC 6455 §7.4.1.
pub mod close_code {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The endpoint goes away.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// Never sent: the peer's close frame named none.
    pub const NONE: u16 = 1005;
    /// Never sent: the connection ended without a close frame.
    pub const ABNORMAL: u16 = 1006;
    /// A message was not what its type says.
    pub const NOT_TEXT: u16 = 1007;
    /// A message was too big.
    pub const TOO_BIG: u16 = 1009;
    /// The server met something that it did not expect.
    pub const INTERNAL: u16 = 1011;
    /// The service is restarted.
    pub const RESTART: u16 = 1012;
}
