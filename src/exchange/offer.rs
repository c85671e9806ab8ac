// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request for a WebSocket, which a handler may accept.

use crate::{
    http::{Head, HeadError},
    protocol::websocket::{Handshake, HandshakeError, SocketRules},
};

/// What a client asks for, and what holds for it if it is accepted.
#[derive(Clone, Debug)]
pub struct SocketOffer {
    handshake: Handshake,
    rules: SocketRules,
}

/// Why an answer that accepts is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcceptError {
    #[error("{0}")]
    Head(#[from] HeadError),
    #[error("the client does not speak the subprotocol \"{0}\"; it must be one of Sec-WebSocket-Protocol")]
    Subprotocol(String),
    #[error("the header \"{0}\" is the server's own in the answer to a WebSocket")]
    Field(String),
}

impl SocketOffer {
    /// Looks at a GET request over HTTP/1.1; `None` if it asks for no WebSocket. `deflate`: messages may be compressed.
    ///
    /// # Errors
    /// It asks wrongly.
    pub fn read<'a, F: Iterator<Item = (&'a [u8], &'a [u8])>>(
        fields: impl Fn() -> F,
        rules: SocketRules,
        deflate: bool,
    ) -> Result<Option<Self>, HandshakeError> {
        if !Handshake::is_asked_for(fields()) {
            return Ok(None);
        }
        Ok(Some(Self { handshake: Handshake::read(fields(), deflate)?, rules }))
    }

    /// The head that accepts, and what holds from then on.
    pub(super) fn accept<'a>(
        &self,
        subprotocol: &[u8],
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(Head, SocketRules), AcceptError> {
        const OURS: &[u8] = b"sec-websocket-";
        const PROTOCOL: &[u8] = b"sec-websocket-protocol";
        let (mut own, mut subprotocol) = (Vec::new(), subprotocol);
        for (name, value) in headers {
            if subprotocol.is_empty() && name.eq_ignore_ascii_case(PROTOCOL) {
                subprotocol = value;
            } else if name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS)) {
                return Err(AcceptError::Field(crate::log::escape(name)));
            } else {
                own.push((name, value));
            }
        }
        let spoken = &self.handshake.subprotocols;
        let chosen = spoken.iter().find(|spoken| spoken.as_bytes() == subprotocol);
        if chosen.is_none() && !subprotocol.is_empty() {
            return Err(AcceptError::Subprotocol(crate::log::escape(subprotocol)));
        }
        let mut head = Head::check_upgrade(own.into_iter())?;
        let accepted = self.handshake.accept(chosen.map(String::as_str));
        head.fields.push(b"Upgrade", b"websocket");
        for (name, value) in &accepted.fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        Ok((head, SocketRules { compression: accepted.compression, ..self.rules }))
    }
}
