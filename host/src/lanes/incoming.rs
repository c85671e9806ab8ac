// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a worker sends on a connection with lanes, as far as it has come: no socket, no clock.

use gangway::{
    protocol::{
        RequestError, Role,
        fastcgi::{Received, Requests, end, unknown_type},
    },
    supervise::SHARED_BODY_MOST,
};

use crate::incoming::VARIABLES_MOST;

/// Requests at a time on a connection. A worker has no more of them than places of this process; this bounds memory.
const MOST: usize = 4096;
/// Memory for variables that is kept for the next request.
const KEPT: usize = 4096;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LaneMessage {
    /// A request that is whole.
    Request(LaneRequest),
    /// Its variables are more than may be.
    TooLarge(u16),
    /// Its body is longer than what comes here.
    TooLong(u16),
    /// Nobody waits for its response: it has been handed over, and may have its end by now.
    Aborted(u16),
    /// The same of one that has not come wholly, so that nobody else answers it.
    Withdrawn(u16),
    /// So many bytes more may be sent.
    Granted(u16, u32),
    /// Bytes for the worker.
    Reply(Vec<u8>),
}

/// A request, as far as it has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneRequest {
    pub(crate) id: u16,
    /// Its name-value pairs.
    pub(crate) pairs: Vec<u8>,
    pub(crate) body: Vec<u8>,
    has_no_body: bool,
}

#[derive(Debug)]
pub(crate) struct LaneIncoming {
    decoder: Requests,
    /// Requests that have begun and are not whole.
    begun: Vec<LaneRequest>,
    spare: Vec<Vec<u8>>,
}

impl LaneIncoming {
    pub(crate) fn new() -> Self {
        let mut decoder = Requests::new(0);
        decoder.open_lanes(MOST);
        Self { decoder, begun: Vec::new(), spare: Vec::new() }
    }

    /// Whether no request is under way and no record has begun.
    pub(crate) fn is_idle(&self) -> bool {
        self.decoder.is_idle()
    }

    /// Decodes from the front of `input` until there is something to do; nothing, and all of the input is taken, when there is not.
    pub(crate) fn take(&mut self, input: &mut &[u8]) -> Result<Option<LaneMessage>, RequestError> {
        loop {
            let (used, received) = self.decoder.decode(input)?;
            *input = input.get(used..).unwrap_or_default();
            let message = match received {
                Received::More => return Ok(None),
                Received::Begin { id, role, .. } => {
                    let pairs = self.spare.pop().unwrap_or_default();
                    let has_no_body = role == Role::Authorizer;
                    self.begun.push(LaneRequest { id, pairs, has_no_body, ..LaneRequest::default() });
                    None
                }
                Received::Params(id, bytes) => self.begun_mut(id).and_then(|begun| begun.add(bytes)),
                Received::ParamsEnd(id) => {
                    let is_whole = self.begun_mut(id).is_some_and(|begun| begun.has_no_body);
                    if is_whole { self.begun(id).map(LaneMessage::Request) } else { None }
                }
                Received::Body(id, bytes) => self.begun_mut(id).and_then(|begun| begun.add_body(bytes)),
                Received::BodyEnd(id) => self.begun(id).map(LaneMessage::Request),
                Received::Abort(id) => Some(match self.begun(id) {
                    Some(_) => LaneMessage::Withdrawn(id),
                    None => LaneMessage::Aborted(id),
                }),
                Received::Granted(id, bytes) => Some(LaneMessage::Granted(id, bytes)),
                Received::Refused { id, status, .. } => {
                    Some(LaneMessage::Reply(end(id, 0, Some(status)).to_vec()))
                }
                Received::Question(_) => None,
                Received::UnknownType(kind) => Some(LaneMessage::Reply(unknown_type(kind).to_vec())),
            };
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    /// Takes out a request that is whole, or that nobody wants any more.
    fn begun(&mut self, id: u16) -> Option<LaneRequest> {
        let at = self.begun.iter().position(|begun| begun.id == id)?;
        Some(self.begun.swap_remove(at))
    }

    fn begun_mut(&mut self, id: u16) -> Option<&mut LaneRequest> {
        self.begun.iter_mut().find(|begun| begun.id == id)
    }

    /// Keeps memory for the variables of another request.
    pub(crate) fn give_back(&mut self, mut pairs: Vec<u8>) {
        if self.spare.is_empty() && pairs.capacity() <= KEPT {
            pairs.clear();
            self.spare.push(pairs);
        }
    }

    /// The response has its end: what still comes of the request is thrown away.
    pub(crate) fn end(&mut self, id: u16) {
        self.begun(id);
        self.decoder.end(id);
    }
}

impl LaneRequest {
    fn add(&mut self, bytes: &[u8]) -> Option<LaneMessage> {
        if self.pairs.len().saturating_add(bytes.len()) > VARIABLES_MOST {
            return Some(LaneMessage::TooLarge(self.id));
        }
        self.pairs.extend_from_slice(bytes);
        None
    }

    fn add_body(&mut self, bytes: &[u8]) -> Option<LaneMessage> {
        if self.body.len().saturating_add(bytes.len()) > SHARED_BODY_MOST {
            return Some(LaneMessage::TooLong(self.id));
        }
        self.body.extend_from_slice(bytes);
        None
    }
}

#[cfg(test)]
mod tests {
    use gangway::protocol::fastcgi::lanes;

    use super::*;

    fn record(kind: u8, id: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, kind, 0, id, 0, content.len() as u8, 0, 0];
        bytes.extend_from_slice(content);
        bytes
    }

    fn request(id: u16, pairs: &[u8], body: &[u8]) -> LaneMessage {
        LaneMessage::Request(LaneRequest {
            id,
            pairs: pairs.to_vec(),
            body: body.to_vec(),
            has_no_body: false,
        })
    }

    /// Two requests whose records stand between each other's, a grant, and the end of both.
    fn wire() -> Vec<u8> {
        let begin = [0, 1, 1, 0, 0, 0, 0, 0];
        [
            record(1, 1, &begin),
            record(4, 1, b"\x01\x01a1"),
            record(1, 2, &begin),
            record(4, 2, b"\x01\x01b2"),
            record(4, 1, b""),
            record(5, 1, b""),
            record(4, 2, b"\x01\x01c3"),
            lanes::grant(1, 70_000).to_vec(),
            record(4, 2, b""),
            record(5, 2, b"the "),
            record(2, 1, b""),
            record(5, 2, b"body"),
            record(5, 2, b""),
        ]
        .concat()
    }

    fn heard(parts: &[&[u8]]) -> Vec<LaneMessage> {
        let (mut incoming, mut found) = (LaneIncoming::new(), Vec::new());
        for mut part in parts.iter().copied() {
            while let Some(message) = incoming.take(&mut part).unwrap() {
                found.push(message);
            }
            assert!(part.is_empty());
        }
        assert!(!incoming.is_idle());
        (1..=2).for_each(|id| incoming.end(id));
        assert!(incoming.is_idle());
        found
    }

    #[test]
    fn requests_stand_between_each_other_at_every_cut() {
        let wire = wire();
        let expected = [
            request(1, b"\x01\x01a1", b""),
            LaneMessage::Granted(1, 70_000),
            LaneMessage::Aborted(1),
            request(2, b"\x01\x01b2\x01\x01c3", b"the body"),
        ];
        assert_eq!(heard(&[&wire]), expected);
        for cut in 1..wire.len() {
            let (first, second) = wire.split_at(cut);
            assert_eq!(heard(&[first, second]), expected, "cut after byte {cut}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(heard(&bytes), expected);
    }

    #[test]
    fn who_aborts_a_request_that_is_not_whole_withdraws_it() {
        let mut incoming = LaneIncoming::new();
        let wire = [record(1, 9, &[0, 1, 1, 0, 0, 0, 0, 0]), record(4, 9, b"\x01\x01a1"), record(2, 9, b"")];
        assert_eq!(incoming.take(&mut wire.concat().as_slice()), Ok(Some(LaneMessage::Withdrawn(9))));
    }

    #[test]
    fn a_body_has_a_limit() {
        let mut incoming = LaneIncoming::new();
        for bytes in [record(1, 9, &[0, 1, 1, 0, 0, 0, 0, 0]), record(4, 9, b"")] {
            assert_eq!(incoming.take(&mut bytes.as_slice()), Ok(None));
        }
        let part = [vec![1, 5, 0, 9, 0x40, 0, 0, 0], vec![7; 0x4000]].concat();
        for _ in 0..SHARED_BODY_MOST / 0x4000 {
            assert_eq!(incoming.take(&mut part.as_slice()), Ok(None));
        }
        assert_eq!(incoming.take(&mut part.as_slice()), Ok(Some(LaneMessage::TooLong(9))));
        incoming.end(9);
        assert_eq!(incoming.take(&mut record(5, 9, b"").as_slice()), Ok(None));
        assert!(incoming.is_idle());
    }

    #[test]
    fn variables_have_a_limit_and_what_has_ended_is_ignored() {
        let mut incoming = LaneIncoming::new();
        let begin = record(1, 9, &[0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(incoming.take(&mut begin.as_slice()), Ok(None));
        let part = [vec![1, 4, 0, 9, 0xff, 0xf8, 0, 0], vec![0; 0xfff8]].concat();
        let refused = (0..20).find_map(|_| incoming.take(&mut part.as_slice()).unwrap());
        assert_eq!(refused, Some(LaneMessage::TooLarge(9)));
        incoming.end(9);
        for late in [record(4, 9, b"x"), record(5, 9, b""), record(2, 9, b""), lanes::grant(9, 1).to_vec()] {
            assert_eq!(incoming.take(&mut late.as_slice()), Ok(None));
        }
    }
}
