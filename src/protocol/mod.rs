// SPDX-License-Identifier: MIT OR Apache-2.0
//! The gateway protocols as bytes: how a request and a response stand on the wire.
//!
//! Nothing here reads, waits or knows a clock: the caller feeds what it has received and sends what it is given.
//! A peer is not trusted: what a specification does not allow is a [`DecodeError`], and nothing is guessed.

mod error;
pub mod fastcgi;
mod scgi;
#[cfg(test)]
mod tests;
mod uwsgi;
pub mod websocket;

pub use error::{DecodeError, EncodeError, ProtocolStatus, RequestError};
pub use fastcgi::FastCgi;
pub use scgi::Scgi;
pub use uwsgi::Uwsgi;

use crate::http::{Fields, Layout};

/// How requests and responses of one gateway protocol stand on the wire. One connection carries one request at
/// a time. What has a body here is so for protocols that frame nothing, whose response ends with the connection.
pub trait Protocol: Sync {
    /// The name for the log: `FastCGI`, `SCGI` or `uwsgi`.
    fn name(&self) -> &'static str;

    /// How variables stand in a request. A list in this layout costs the least, and any other will do.
    fn layout(&self) -> Layout;

    /// Appends everything that precedes the body to `out`. `variables` are complete, CONTENT_LENGTH included.
    ///
    /// # Errors
    /// When the variables cannot be expressed in this protocol. `out` is then as it was.
    fn encode_head(
        &self,
        settings: &Settings<'_>,
        variables: &Fields,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;

    /// The framing of the next part of a body of which `available` bytes are at hand. Nothing is available:
    /// nothing is framed, because an empty part would end the body.
    fn body_part(&self, available: u64) -> FramedBody {
        FramedBody { header: [0; 8], framed: false, content: available }
    }

    /// What follows the body, also one of no bytes. A FastCGI authorizer gets no body (§6.3) and not this.
    fn body_end(&self) -> &'static [u8] {
        &[]
    }

    /// What tells the peer that nobody waits for its response; empty when the protocol has no such words.
    fn abort(&self) -> &'static [u8] {
        &[]
    }

    /// The decoder for one response.
    fn decoder(&self) -> Decoder {
        Decoder(Framing::Plain)
    }

    /// Whether a connection can carry another request after [`ResponseEvent::End`].
    fn keeps_connections(&self) -> bool {
        false
    }
}

/// What a request says to the peer besides its variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// FastCGI: the peer leaves the connection open after the response.
    pub keep_connection: bool,
    /// FastCGI: what is asked of the application.
    pub role: Role,
    /// uwsgi: which plugin gets the request.
    pub modifier1: u8,
    /// uwsgi: a number for the plugin.
    pub modifier2: u8,
    /// uwsgi: bytes after the variables, inside the packet.
    pub string: &'a [u8],
}

/// What is asked of a FastCGI application (§6). A filter needs a file of the server: no server here has a place
/// for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// To answer (§6.2).
    #[default]
    Responder,
    /// To say whether the request may pass (§6.3).
    Authorizer,
}

/// A part of a body: `header`, then `content` bytes of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramedBody {
    header: [u8; 8],
    framed: bool,
    /// How many bytes of the body belong to this part.
    pub content: u64,
}

impl FramedBody {
    /// The bytes before the content; empty when the protocol has no framing.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        if self.framed { &self.header } else { &[] }
    }
}

/// What a decoder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseEvent<'i> {
    /// All of the input was taken, and nothing can be said before there is more.
    More,
    /// Bytes of the response, never empty: a CGI response head, then the body.
    Output(&'i [u8]),
    /// Bytes for the log, never empty: FCGI_STDERR.
    Errors(&'i [u8]),
    /// The response has all its bytes, but the request has not ended: the end of the FCGI_STDOUT stream. Comes
    /// once at most, and not every peer sends it.
    OutputEnd,
    /// The request has ended well. If no byte follows, the connection can carry the next one.
    End(EndStatus),
}

/// How a request ended (§5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndStatus {
    /// What the program would have returned as CGI; its meaning is the application's.
    pub application: u32,
}

impl EndStatus {
    /// What `gangway-host` tells a server of its own kind of a response that is not whole.
    pub const BROKEN: u32 = 1;

    /// Whether a `gangway-host` says so.
    #[must_use]
    pub fn is_broken(self) -> bool {
        self.application == Self::BROKEN
    }
}

/// The state of one response.
#[derive(Clone, Copy, Debug)]
pub struct Decoder(Framing);

#[derive(Clone, Copy, Debug)]
enum Framing {
    /// SCGI and uwsgi: the response is what comes until the connection is closed.
    Plain,
    FastCgi(fastcgi::RecordDecoder),
}

impl Decoder {
    /// Takes what it can from the front of `input` and says how many bytes that was. No byte is looked at
    /// twice; the number is 0 only with [`ResponseEvent::More`], and all of `input` is taken then.
    ///
    /// # Errors
    /// The peer broke its protocol. The connection is of no use any more; the decoder only repeats the error.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<(usize, ResponseEvent<'i>), DecodeError> {
        match &mut self.0 {
            Framing::Plain if input.is_empty() => Ok((0, ResponseEvent::More)),
            Framing::Plain => Ok((input.len(), ResponseEvent::Output(input))),
            Framing::FastCgi(decoder) => decoder.decode(input),
        }
    }

    /// [`Decoder::decode`] for the next `count` bytes if all of them are output, which they can be without a look at them.
    /// Answers whether that is so; if not, nothing has been taken.
    #[inline]
    #[must_use]
    pub fn pass(&mut self, count: usize) -> bool {
        match &mut self.0 {
            Framing::Plain => true,
            Framing::FastCgi(decoder) => decoder.pass(count),
        }
    }

    /// The peer has closed the connection: was the response whole, as far as the protocol can tell?
    ///
    /// # Errors
    /// Something is missing, or `decode` has failed.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match &self.0 {
            Framing::Plain => Ok(()),
            Framing::FastCgi(decoder) => decoder.finish(),
        }
    }

    /// How many bytes finish what has been begun, so that a caller who likes large pieces knows when to stop
    /// waiting for more. `None`: the protocol cannot tell.
    #[inline]
    #[must_use]
    pub fn wanted(&self) -> Option<u16> {
        match &self.0 {
            Framing::Plain => None,
            Framing::FastCgi(decoder) => Some(decoder.wanted()),
        }
    }

    /// Whether [`ResponseEvent::End`] has come, and nothing behind it: such a connection can carry the next request.
    #[must_use]
    pub fn ended(&self) -> bool {
        match &self.0 {
            Framing::Plain => false,
            Framing::FastCgi(decoder) => decoder.ended(),
        }
    }
}
