// SPDX-License-Identifier: MIT OR Apache-2.0
//! The records of requests, as an application reads them: the other side of `encode.rs`.
//!
//! A connection carries several requests at a time, told apart by their ids (§3.3). What is kept of each is in which of its
//! streams it is; bytes are handed on as they come.

use super::{
    ABORT_REQUEST, BEGIN_REQUEST, DATA, GET_VALUES, GRANT, PARAMS, STDIN, VERSION, encode::KEEP_CONN,
};
use crate::{
    protocol::{RequestError, Role},
    wire::{Gather, Reader},
};

/// What a web server sends on one connection.
#[derive(Clone, Debug)]
pub struct Requests {
    next: Next,
    gather: Gather<8>,
    record: RecordRest,
    /// What has come of the content of a FCGI_GET_VALUES record.
    question: Vec<u8>,
    active: Vec<Active>,
    limit: usize,
    /// Records of [`lanes`](super::lanes) are understood.
    has_lanes: bool,
    failed: Option<RequestError>,
}

/// The record that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct RecordRest {
    kind: u8,
    id: u16,
    /// Bytes of its content that are still to come.
    content: u16,
    /// Bytes of its padding that are still to come.
    padding: u8,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Header,
    BeginBody,
    GrantBody,
    Params,
    Body,
    Question,
    /// Content that nobody wants, then padding.
    Skipped,
}

/// A request that has begun and not ended.
#[derive(Clone, Copy, Debug)]
struct Active {
    id: u16,
    role: Role,
    stage: NextStream,
}

/// The stream that comes next of a request (§3.3: each ends with an empty record).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextStream {
    Params,
    Body,
    Whole,
}

/// What [`Requests::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<'i> {
    /// All of the input was taken, and nothing can be said before there is more.
    More,
    /// A request begins (§5.1).
    Begin {
        /// The number by which its records and those of its response are known.
        id: u16,
        /// What is asked of the application.
        role: Role,
        /// The connection stays open after the response.
        keep_connection: bool,
    },
    /// A request that is not taken up: it wants FCGI_END_REQUEST with this status, and nothing else of it is told.
    Refused {
        /// Its number.
        id: u16,
        /// FCGI_UNKNOWN_ROLE or FCGI_CANT_MPX_CONN.
        status: RequestRefusal,
        /// The connection stays open after it.
        keep_connection: bool,
    },
    /// Bytes of the FCGI_PARAMS stream, never empty, cut anywhere (§5.2).
    Params(u16, &'i [u8]),
    /// The variables are whole. A responder's body follows, also one of no bytes; an authorizer has none.
    ParamsEnd(u16),
    /// Bytes of the body, never empty (§5.3).
    Body(u16, &'i [u8]),
    /// The body is whole.
    BodyEnd(u16),
    /// Nobody waits for the response any more (§5.4). The request wants its FCGI_END_REQUEST all the same.
    Abort(u16),
    /// So many bytes more of the response may be sent: [`grant`](super::lanes::grant).
    Granted(u16, u32),
    /// FCGI_GET_VALUES with this content (§4.1), which wants [`values_result`](super::values_result).
    Question(Vec<u8>),
    /// A management record of this type, which wants FCGI_UNKNOWN_TYPE (§4.2).
    UnknownType(u8),
}

/// Why a request is not taken up (§5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRefusal {
    /// FCGI_CANT_MPX_CONN: the connection has as many requests as it may have.
    CannotMultiplex = 1,
    /// FCGI_OVERLOADED: the application has as many requests as it may have.
    Overloaded = 2,
    /// FCGI_UNKNOWN_ROLE: a filter, or a number without a meaning.
    UnknownRole = 3,
}

impl Requests {
    /// A new connection, which may carry so many requests at a time.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            next: Next::Header,
            gather: Gather::EMPTY,
            record: RecordRest::default(),
            question: Vec::new(),
            active: Vec::new(),
            limit,
            has_lanes: false,
            failed: None,
        }
    }

    /// The web server is a worker of ours, and from here on the connection carries so many requests at a time as [`lanes`](super::lanes)
    /// says.
    pub fn open_lanes(&mut self, limit: usize) {
        (self.limit, self.has_lanes) = (limit, true);
    }

    /// Takes what it can from the front of `input` and says how many bytes that was: all of them with [`Received::More`].
    ///
    /// # Errors
    /// The web server broke the protocol. The connection is of no use any more; the decoder only repeats the error.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<(usize, Received<'i>), RequestError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut reader = Reader::new(input);
        loop {
            match self.step(&mut reader) {
                Ok(Some(received)) => return Ok((input.len().saturating_sub(reader.len()), received)),
                Ok(None) => {}
                Err(error) => {
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    /// The application has sent FCGI_END_REQUEST: what still comes of that request is thrown away, and its number may be used
    /// for another one.
    pub fn end(&mut self, id: u16) {
        self.active.retain(|active| active.id != id);
        if self.record.id == id && matches!(self.next, Next::Params | Next::Body) {
            self.next = Next::Skipped;
        }
    }

    /// Whether no request is under way and no record has begun: the web server may close the connection here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_between = match self.next {
            Next::Header => self.gather.is_empty(),
            Next::Skipped => self.record.content == 0 && self.record.padding == 0,
            Next::BeginBody | Next::GrantBody | Next::Params | Next::Body | Next::Question => false,
        };
        self.active.is_empty() && is_between && self.failed.is_none()
    }

    /// How many requests are under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.len()
    }

    /// One part of a record. `None`: there is nothing to tell, but there may be more to take.
    fn step<'i>(&mut self, reader: &mut Reader<'i>) -> Result<Option<Received<'i>>, RequestError> {
        if self.next == Next::Question && self.record.content == 0 {
            self.next = Next::Skipped;
            return Ok(Some(Received::Question(std::mem::take(&mut self.question))));
        }
        if reader.is_empty() {
            return Ok(Some(Received::More));
        }
        match self.next {
            Next::Header => match self.gather.fill(reader) {
                Some(header) => self.begin_record(header),
                None => Ok(Some(Received::More)),
            },
            Next::BeginBody => match self.gather.fill(reader) {
                Some(body) => {
                    self.record.content = 0;
                    self.next = Next::Skipped;
                    Ok(self.begin_request(body))
                }
                None => Ok(Some(Received::More)),
            },
            Next::GrantBody => match self.gather.fill(reader) {
                Some([a, b, c, d, ..]) => {
                    self.record.content = 0;
                    self.next = Next::Skipped;
                    Ok(Some(Received::Granted(self.record.id, u32::from_be_bytes([a, b, c, d]))))
                }
                None => Ok(Some(Received::More)),
            },
            Next::Params => Ok(Some(Received::Params(self.record.id, self.take_content(reader)))),
            Next::Body => Ok(Some(Received::Body(self.record.id, self.take_content(reader)))),
            Next::Question => {
                let bytes = reader.take_up_to(usize::from(self.record.content));
                self.question.extend_from_slice(bytes);
                self.count(bytes);
                Ok(None)
            }
            Next::Skipped => {
                self.skip(reader);
                Ok(None)
            }
        }
    }

    /// §3.3: what stands in a record is decided by its header and by what is known of its request.
    fn begin_record<'i>(&mut self, header: [u8; 8]) -> Result<Option<Received<'i>>, RequestError> {
        let [version, kind, id_high, id_low, high, low, padding, _reserved] = header;
        if version != VERSION {
            return Err(RequestError::Version(version));
        }
        let (id, content) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([high, low]));
        self.record = RecordRest { kind, id, content, padding };
        self.next = Next::Skipped;
        if id == 0 {
            return Ok(self.begin_management());
        }
        let stage = self.active.iter().find(|active| active.id == id).map(|active| active.stage);
        match (kind, stage) {
            (BEGIN_REQUEST, Some(_)) => Err(RequestError::Twice(id)),
            (BEGIN_REQUEST, None) if content != 8 => Err(RequestError::BeginLength(content)),
            (BEGIN_REQUEST, None) => {
                self.next = Next::BeginBody;
                Ok(None)
            }
            // §3.3: records of a request that is not there mean nothing.
            (ABORT_REQUEST | PARAMS | STDIN | DATA, None) => Ok(None),
            (ABORT_REQUEST, Some(_)) => Ok(Some(Received::Abort(id))),
            (GRANT, Some(_)) if self.has_lanes && content == 8 => {
                self.next = Next::GrantBody;
                Ok(None)
            }
            // The response has just ended.
            (GRANT, None) if self.has_lanes => Ok(None),
            (PARAMS, Some(NextStream::Params)) => Ok(self.begin_content(Next::Params)),
            (STDIN, Some(NextStream::Body)) => Ok(self.begin_content(Next::Body)),
            // A second end of a stream says what is known already.
            (PARAMS, Some(NextStream::Body | NextStream::Whole)) | (STDIN, Some(NextStream::Whole))
                if content == 0 =>
            {
                Ok(None)
            }
            (PARAMS | STDIN, Some(_)) => Err(RequestError::Order(kind, id)),
            // §6.4: only filters get data, and none is taken up.
            _ => Err(RequestError::Type(kind)),
        }
    }

    /// §4: records that belong to no request.
    fn begin_management<'i>(&mut self) -> Option<Received<'i>> {
        match self.record.kind {
            GET_VALUES => {
                self.next = Next::Question;
                None
            }
            kind => Some(Received::UnknownType(kind)),
        }
    }

    fn begin_content<'i>(&mut self, next: Next) -> Option<Received<'i>> {
        if self.record.content > 0 {
            self.next = next;
            return None;
        }
        let id = self.record.id;
        let active = self.active.iter_mut().find(|active| active.id == id)?;
        if next == Next::Params {
            // §6.3: an authorizer gets no body.
            active.stage = if active.role == Role::Authorizer { NextStream::Whole } else { NextStream::Body };
            Some(Received::ParamsEnd(id))
        } else {
            active.stage = NextStream::Whole;
            Some(Received::BodyEnd(id))
        }
    }

    /// §5.1: the role, flags, five reserved bytes.
    fn begin_request<'i>(&mut self, body: [u8; 8]) -> Option<Received<'i>> {
        let [high, low, flags, ..] = body;
        let (id, keep_connection) = (self.record.id, flags & KEEP_CONN != 0);
        let role = match u16::from_be_bytes([high, low]) {
            1 => Some(Role::Responder),
            2 => Some(Role::Authorizer),
            _ => None,
        };
        let status = match role {
            Some(role) if self.active.len() < self.limit => {
                self.active.push(Active { id, role, stage: NextStream::Params });
                return Some(Received::Begin { id, role, keep_connection });
            }
            Some(_) => RequestRefusal::CannotMultiplex,
            None => RequestRefusal::UnknownRole,
        };
        Some(Received::Refused { id, status, keep_connection })
    }

    fn take_content<'i>(&mut self, reader: &mut Reader<'i>) -> &'i [u8] {
        let bytes = reader.take_up_to(usize::from(self.record.content));
        self.count(bytes);
        if self.record.content == 0 {
            self.next = Next::Skipped;
            self.skip(reader);
        }
        bytes
    }

    fn count(&mut self, bytes: &[u8]) {
        // Never more than `content`, which has 16 bits.
        let taken = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.record.content = self.record.content.saturating_sub(taken);
    }

    fn skip(&mut self, reader: &mut Reader<'_>) {
        let content = reader.take_up_to(usize::from(self.record.content));
        self.count(content);
        if self.record.content > 0 {
            return;
        }
        let padding = reader.take_up_to(usize::from(self.record.padding));
        self.record.padding =
            self.record.padding.saturating_sub(u8::try_from(padding.len()).unwrap_or(u8::MAX));
        if self.record.padding == 0 {
            self.next = Next::Header;
        }
    }
}
