// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a web server sends on one connection, as far as it has come: no socket, no clock.
//!
//! A connection carries one request at a time; one more is refused with FCGI_CANT_MPX_CONN. What follows the variables of a
//! request stays here undecoded until its handler asks for the body, so that a connection holds little memory and a
//! handler that does not read makes the web server wait.

use gangway::protocol::{
    RequestError, Role,
    fastcgi::{Pairs, Received, RequestRefusal, Requests, end, lanes, unknown_type, values_result},
};

/// Bytes of variables that a request may have: what web servers let in is less.
pub(crate) const VARIABLES_MOST: usize = 1024 * 1024;

/// A request that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) id: u16,
    /// The connection stays open after the response.
    pub(crate) keep_connection: bool,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A request whose variables are whole: [`Incoming::variables`] has them.
    Request(Begun),
    /// Its variables are more than [`VARIABLES_MOST`].
    TooLarge(Begun),
    /// Nobody waits for the response of the request any more.
    Aborted(Begun),
    /// A worker of ours asks for lanes. The bytes are the answer.
    Lanes(Vec<u8>),
    /// Bytes for the web server; the connection ends after them unless it is kept.
    Reply { bytes: Vec<u8>, keep_connection: bool },
}

#[derive(Debug)]
pub(crate) struct Incoming {
    decoder: Requests,
    begun: Option<Begun>,
    /// Name-value pairs of the request.
    variables: Vec<u8>,
    /// Its body is whole.
    has_body: bool,
    /// The worker has sent words for requests that are begun.
    has_words: bool,
    /// Bytes that have been received and not been decoded, from `used` on.
    rest: Vec<u8>,
    used: usize,
}

/// Memory for variables that a connection keeps.
const KEPT: usize = 4096;

impl Incoming {
    pub(crate) fn new() -> Self {
        Self {
            decoder: Requests::new(1),
            begun: None,
            variables: Vec::new(),
            has_body: false,
            has_words: false,
            rest: Vec::new(),
            used: 0,
        }
    }

    /// The worker has sent words for requests that are begun: any of them may have a lane.
    pub(crate) fn set_words(&mut self) {
        self.has_words = true;
    }

    /// The name-value pairs of the request.
    pub(crate) fn variables(&self) -> &[u8] {
        &self.variables
    }

    /// Whether all of the request has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_body
    }

    /// Whether no request is under way and no record has begun: the connection may be closed here.
    pub(crate) fn is_idle(&self) -> bool {
        self.decoder.is_idle() && self.rest.is_empty()
    }

    /// Decodes from the front of `input` until there is something to do; nothing, and all of the input is taken, when there is
    /// not. Body bytes are thrown away: this is for connections whose handler does not read.
    pub(crate) fn take(&mut self, input: &mut &[u8]) -> Result<Option<Message>, RequestError> {
        loop {
            let (used, received) = self.decoder.decode(input)?;
            *input = input.get(used..).unwrap_or_default();
            let message = match received {
                Received::More => return Ok(None),
                Received::Begin { id, role, keep_connection } => {
                    self.begin(Begun { id, keep_connection });
                    // §6.3: nothing of a body comes.
                    self.has_body = role == Role::Authorizer;
                    None
                }
                Received::Params(_, bytes) => self.add(bytes),
                Received::ParamsEnd(_) => self.begun.map(Message::Request),
                Received::Body(..) | Received::Granted(..) => None,
                Received::BodyEnd(_) => {
                    self.has_body = true;
                    None
                }
                Received::Abort(_) => self.begun.map(Message::Aborted),
                Received::Refused { id, status, keep_connection } => {
                    Some(refused(id, status, keep_connection))
                }
                // Not while a request is under way.
                Received::Question(question) => Some(answer(&question, self.begun.is_none(), self.has_words)),
                Received::UnknownType(kind) => {
                    Some(Message::Reply { bytes: unknown_type(kind).to_vec(), keep_connection: true })
                }
            };
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    fn begin(&mut self, begun: Begun) {
        self.begun = Some(begun);
        self.variables.clear();
    }

    fn add(&mut self, bytes: &[u8]) -> Option<Message> {
        if self.variables.len().saturating_add(bytes.len()) > VARIABLES_MOST {
            return self.begun.map(Message::TooLarge);
        }
        self.variables.extend_from_slice(bytes);
        None
    }

    /// Takes the end of a body from the front of `input`, if that is what stands there. Answers whether the body is whole: a
    /// request without one usually comes at once.
    pub(crate) fn look_ahead(&mut self, input: &mut &[u8]) -> bool {
        // §3.3: an empty record of FCGI_STDIN.
        if matches!(input, [1, 5, _, _, 0, 0, _, _, ..])
            && let Ok((used, received)) = self.decoder.decode(input)
        {
            *input = input.get(used..).unwrap_or_default();
            self.has_body |= matches!(received, Received::BodyEnd(_));
        }
        self.has_body
    }

    /// Whether FCGI_ABORT_REQUEST is what comes next in what was kept, as far as can be seen without taking it.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(self.rest.get(self.used..), Some([1, 2, ..]))
    }

    /// Bytes that were kept and not taken.
    pub(crate) fn kept(&self) -> usize {
        self.rest.len().saturating_sub(self.used)
    }

    /// Keeps bytes that have been received for later: the body of the request that has just come, and what is behind it.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        if self.rest.is_empty() {
            self.used = 0;
        }
        self.rest.extend_from_slice(bytes);
    }

    /// The room for `count` bytes more, which [`Incoming::filled`] says are there.
    pub(crate) fn room(&mut self, count: usize) -> &mut [u8] {
        let end = self.rest.len();
        self.rest.resize(end + count, 0);
        self.rest.get_mut(end..).unwrap_or_default()
    }

    /// Of the `room` bytes that were made room for, so many have been received.
    pub(crate) fn filled(&mut self, room: usize, count: usize) {
        self.rest.truncate(self.rest.len().saturating_sub(room.saturating_sub(count)));
    }

    /// Takes what was kept out, for [`Incoming::take`].
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.drain(..self.used.min(rest.len()));
        self.used = 0;
        rest
    }

    /// Copies body bytes of what was kept. 0: there are none, and when [`Incoming::is_whole`] there will be none.
    ///
    /// # Errors
    /// The web server broke the protocol, or aborted the request.
    pub(crate) fn body(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        let mut copied = 0;
        while copied < out.len() && !self.has_body {
            let kept = self.rest.get(self.used..).unwrap_or_default();
            // No piece of so many bytes holds more of a body.
            let input = kept.get(..out.len() - copied).unwrap_or(kept);
            let (used, received) = self.decoder.decode(input).map_err(BodyError::Broken)?;
            self.used += used;
            match received {
                Received::More if self.used >= self.rest.len() => break,
                Received::Body(_, bytes) => {
                    if let Some(place) = out.get_mut(copied..copied + bytes.len()) {
                        place.copy_from_slice(bytes);
                    }
                    copied += bytes.len();
                }
                Received::BodyEnd(_) => self.has_body = true,
                Received::Abort(_) => return Err(BodyError::Aborted),
                // Questions and further requests in the middle of a body: no web server does it, and to answer would need the
                // connection's other direction.
                Received::Refused { .. } | Received::Question(_) | Received::UnknownType(_) => {
                    return Err(BodyError::Unanswerable);
                }
                Received::More
                | Received::Begin { .. }
                | Received::Params(..)
                | Received::ParamsEnd(_)
                | Received::Granted(..) => {}
            }
        }
        if self.used >= self.rest.len() {
            self.rest.clear();
            self.used = 0;
        }
        Ok(copied)
    }

    /// The response has ended. What still comes of the request is thrown away.
    pub(crate) fn end(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.decoder.end(begun.id);
        }
        self.variables.clear();
        self.variables.shrink_to(KEPT);
        if self.rest.is_empty() {
            self.rest.shrink_to(KEPT);
        }
    }
}

/// Why no more of a body can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The web server broke the protocol.
    Broken(RequestError),
    /// It does not wait for the response any more.
    Aborted,
    /// It wants an answer in the middle of a body.
    Unanswerable,
}

fn refused(id: u16, status: RequestRefusal, keep_connection: bool) -> Message {
    Message::Reply { bytes: end(id, 0, Some(status)).to_vec(), keep_connection }
}

/// §4.1. How many connections there may be is not told: web servers would take it for a wish.
fn answer(question: &[u8], may_have_lanes: bool, has_words: bool) -> Message {
    let mut bytes = Vec::new();
    let lanes = if has_words { lanes::ANSWER_BODIES } else { lanes::ANSWER };
    let known: [(&[u8], &[u8]); 2] = [(b"FCGI_MPXS_CONNS", b"0"), (lanes::NAME, lanes)];
    let wants_lanes = may_have_lanes && Pairs::new(question).any(|(name, _)| name == lanes::NAME);
    // It fits: what is known are two short names.
    let _ = values_result(question, if wants_lanes { &known } else { &known[..1] }, &mut bytes);
    if wants_lanes { Message::Lanes(bytes) } else { Message::Reply { bytes, keep_connection: true } }
}

#[cfg(test)]
mod tests;
