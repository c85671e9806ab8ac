// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for the application's side of the gateway protocols.

use std::collections::BTreeMap;

use super::gateways::ways;
use crate::protocol::{
    RequestError, Role,
    fastcgi::{Received, RequestRefusal, Requests},
};

/// So many requests at a time.
const LIMIT: usize = 3;

/// What was told of one connection.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    /// The requests in the order in which they began, with all that came of them.
    requests: Vec<Request>,
    refused: Vec<(u16, RequestRefusal)>,
    questions: Vec<Vec<u8>>,
    unknown: Vec<u8>,
    granted: Vec<(u16, u32)>,
    error: Option<RequestError>,
}

#[derive(Debug, Default, PartialEq)]
struct Request {
    id: u16,
    is_authorizer: bool,
    keep_connection: bool,
    params: Vec<u8>,
    body: Vec<u8>,
    params_ended: bool,
    body_ended: bool,
    aborts: usize,
}

impl Heard {
    fn request(&mut self, id: u16) -> &mut Request {
        let found = self.requests.iter().position(|request| request.id == id);
        let index = found.unwrap_or_else(|| panic!("request {id} has not begun"));
        self.requests.get_mut(index).unwrap_or_else(|| panic!("request {id} has not begun"))
    }

    fn take(&mut self, received: Received<'_>) {
        match received {
            Received::More => {}
            Received::Begin { id, role, keep_connection } => {
                assert!(self.requests.iter().all(|request| request.id != id));
                let is_authorizer = role == Role::Authorizer;
                self.requests.push(Request { id, is_authorizer, keep_connection, ..Request::default() });
            }
            Received::Refused { id, status, .. } => self.refused.push((id, status)),
            Received::Params(id, bytes) => {
                let request = self.request(id);
                assert!(!bytes.is_empty() && !request.params_ended);
                request.params.extend_from_slice(bytes);
            }
            Received::ParamsEnd(id) => {
                assert!(!self.request(id).params_ended);
                self.request(id).params_ended = true;
            }
            Received::Body(id, bytes) => {
                let request = self.request(id);
                assert!(!bytes.is_empty() && request.params_ended && !request.body_ended);
                request.body.extend_from_slice(bytes);
            }
            Received::BodyEnd(id) => {
                assert!(self.request(id).params_ended && !self.request(id).body_ended);
                self.request(id).body_ended = true;
            }
            Received::Abort(id) => self.request(id).aborts += 1,
            Received::Question(content) => self.questions.push(content),
            Received::UnknownType(kind) => self.unknown.push(kind),
            Received::Granted(id, bytes) => self.granted.push((id, bytes)),
        }
    }
}

/// What a host hears of several requests on a connection, in any parts.
pub(super) fn requests_in_lanes(data: &[u8]) {
    let all: Vec<_> = ways(data)
        .map(|way| {
            let mut decoder = Requests::new(0);
            decoder.open_lanes(LIMIT);
            hear(decoder, &way)
        })
        .collect();
    assert!(all.windows(2).all(|pair| pair.first() == pair.last()), "{all:?}");
}

fn hear(mut decoder: Requests, parts: &[&[u8]]) -> Heard {
    let mut heard = Heard::default();
    for part in parts {
        let mut rest = *part;
        loop {
            match decoder.decode(rest) {
                Ok((used, Received::More)) => {
                    assert_eq!(used, rest.len());
                    break;
                }
                Ok((used, received)) => {
                    rest = rest.get(used..).unwrap_or_default();
                    heard.take(received);
                }
                Err(error) => {
                    assert_eq!(decoder.decode(rest), Err(error));
                    heard.error = Some(error);
                    return heard;
                }
            }
            assert!(decoder.active() <= LIMIT);
        }
    }
    heard
}

/// What a web server sends over FastCGI, against a second reading of the specification.
///
/// # Panics
/// When the two differ, or the parts in which the bytes come make a difference.
pub fn fastcgi_request(data: &[u8]) {
    let expected = by_hand(data);
    for way in ways(data) {
        assert_eq!(hear(Requests::new(LIMIT), &way), expected);
    }
}

fn by_hand(data: &[u8]) -> Heard {
    let (mut heard, mut known, mut rest) = (Heard::default(), BTreeMap::new(), data);
    while let &[version, kind, high, low, c, d, padding, _, ref content @ ..] = rest {
        let (id, length) = (u16::from(high) * 256 + u16::from(low), u16::from(c) * 256 + u16::from(d));
        let whole = usize::from(length);
        let (content, after) = content.split_at(content.len().min(whole));
        heard.error =
            wrong([version, kind], id, length, known.get(&id).and_then(|at| heard.requests.get(*at)));
        if heard.error.is_some() {
            break;
        }
        match (id, kind) {
            (0, 9) if content.len() == whole => heard.questions.push(content.to_vec()),
            (0, 9) => {}
            (0, _) => heard.unknown.push(kind),
            (_, 1) if content.len() == 8 => heard.begin(id, content, &mut known),
            _ if known.contains_key(&id) => heard.go_on(id, kind, length, content),
            _ => {}
        }
        rest = after.get(usize::from(padding)..).unwrap_or_default();
    }
    heard
}

/// Whether the header of a record says that the connection is of no use any more.
fn wrong([version, kind]: [u8; 2], id: u16, length: u16, request: Option<&Request>) -> Option<RequestError> {
    if version != 1 {
        return Some(RequestError::Version(version));
    }
    let (begun, params_ended, ended) = request.map_or((false, false, false), |request| {
        (true, request.params_ended, request.body_ended || request.params_ended && request.is_authorizer)
    });
    match (id, kind) {
        (0, _) => None,
        (_, 1) if begun => Some(RequestError::Twice(id)),
        (_, 1) if length != 8 => Some(RequestError::BeginLength(length)),
        (_, 1 | 2) => None,
        (_, 4 | 5) | (_, 8) if !begun => None,
        (_, 4) if params_ended && length > 0 => Some(RequestError::Order(4, id)),
        (_, 5) if !params_ended || ended && length > 0 => Some(RequestError::Order(5, id)),
        (_, 4 | 5) => None,
        _ => Some(RequestError::Type(kind)),
    }
}

impl Heard {
    fn begin(&mut self, id: u16, content: &[u8], known: &mut BTreeMap<u16, usize>) {
        let &[high, role, flags, ..] = content else { return };
        match (high, role) {
            (0, 1 | 2) if self.requests.len() < LIMIT => {
                known.insert(id, self.requests.len());
                let (is_authorizer, keep_connection) = (role == 2, flags % 2 == 1);
                self.requests.push(Request { id, is_authorizer, keep_connection, ..Request::default() });
            }
            (0, 1 | 2) => self.refused.push((id, RequestRefusal::CannotMultiplex)),
            _ => self.refused.push((id, RequestRefusal::UnknownRole)),
        }
    }

    fn go_on(&mut self, id: u16, kind: u8, length: u16, content: &[u8]) {
        let request = self.request(id);
        let is_authorizer = request.is_authorizer;
        match kind {
            2 => request.aborts += 1,
            4 if length == 0 => request.params_ended = true,
            4 => request.params.extend_from_slice(content),
            5 if length == 0 => request.body_ended = !is_authorizer,
            5 => request.body.extend_from_slice(content),
            _ => {}
        }
    }
}
