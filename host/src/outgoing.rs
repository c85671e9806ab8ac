// SPDX-License-Identifier: MIT OR Apache-2.0
//! A part of a response on its way to the web server: FastCGI records around bytes that stay where they are.
//!
//! It can be stopped at any byte and goes on from there, on another thread if need be.

use std::{
    fmt::Write,
    io::{self, IoSlice},
    ops::Range,
    os::fd::AsFd,
};

use gangway::{
    exchange::Piece,
    http::Head,
    log::{self, Level},
    protocol::{
        EndStatus,
        fastcgi::{Stream, end, part, put},
    },
};

use crate::sys;

/// A body up to this size is copied behind its head: cheaper than one more part of a call.
const COPIED_MOST: usize = 4096;
/// Memory that is kept for the next ones.
const KEPT: usize = 64 * 1024;
/// Parts of one call.
const PARTS: usize = 64;

/// Responses of our own, where no application gives one. A web server that has pages of its own can put them in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// 400.
    BadRequest,
    /// 431: too many variables.
    TooLarge,
    /// 500.
    ServerError,
    /// 503, and it is worth while to come again.
    Unavailable,
    /// 504.
    GatewayTimeout,
}

impl Page {
    pub(crate) fn response(self) -> String {
        let (status, more) = match self {
            Self::BadRequest => ("400 Bad Request", ""),
            Self::TooLarge => ("431 Request Header Fields Too Large", ""),
            Self::ServerError => ("500 Internal Server Error", ""),
            Self::Unavailable => ("503 Service Unavailable", "Retry-After: 1\r\n"),
            Self::GatewayTimeout => ("504 Gateway Timeout", ""),
        };
        let length = status.len() + 1;
        format!(
            "Status: {status}\r\n{more}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{status}\n"
        )
    }
}

/// How far the sending has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// All of it has left.
    All,
    /// There is no room for the rest at the moment.
    Blocked,
}

/// Bytes to send, in order.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// Headers of records, and what was copied.
    own: Vec<u8>,
    pieces: Vec<Piece>,
    segments: Vec<Segment>,
    /// The segment that is next, and how much of it has left.
    next: usize,
    done: usize,
    /// The connection is closed behind them.
    ends: bool,
    /// There was no room, and an event will tell when there is.
    is_blocked: bool,
}

/// What stands where.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Own(Range<usize>),
    Piece(usize, Range<usize>),
}

impl Outgoing {
    /// The bytes themselves.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        let mut outgoing = Self::default();
        outgoing.own(|own| own.extend_from_slice(bytes));
        outgoing
    }

    /// Lines for the web server's log.
    pub(crate) fn errors(id: u16, lines: &[u8]) -> Self {
        let mut outgoing = Self::default();
        outgoing.own(|own| put(id, Stream::Errors, lines, own));
        outgoing
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.next >= self.segments.len()
    }

    /// How many bytes there are to send.
    pub(crate) fn len(&self) -> usize {
        let rest = self.segments.get(self.next..).unwrap_or_default();
        let length = |segment: &Segment| match segment {
            Segment::Own(range) | Segment::Piece(_, range) => range.len(),
        };
        rest.iter().map(length).sum::<usize>().saturating_sub(self.done)
    }

    /// Whether the connection is to be closed when all has left.
    pub(crate) fn ends_connection(&self) -> bool {
        self.ends
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    pub(crate) fn set_blocked(&mut self) {
        self.is_blocked = true;
    }

    /// All has left: what has memory keeps it.
    pub(crate) fn reuse(&mut self) {
        let mut own = std::mem::take(&mut self.own);
        own.clear();
        own.shrink_to(KEPT);
        *self = Self { own, ..Self::default() };
    }

    pub(crate) fn end_connection(&mut self) {
        self.ends = true;
    }

    /// Appends something to the own bytes.
    fn own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.own.len();
        write(&mut self.own);
        let range = start..self.own.len();
        match self.segments.last_mut() {
            _ if range.is_empty() => {}
            Some(Segment::Own(last)) if last.end == start => last.end = range.end,
            _ => self.segments.push(Segment::Own(range)),
        }
    }

    /// Adds a part of the FCGI_STDOUT stream: a head, if it is the first part, and pieces of the body.
    pub(crate) fn output(&mut self, id: u16, head: Option<&Head>, pieces: Vec<Piece>) {
        let mut text = Vec::new();
        if let Some(head) = head {
            write_head(head, &mut text);
        }
        self.stream(id, text, pieces);
    }

    /// Adds a part of the FCGI_STDOUT stream.
    pub(crate) fn stream(&mut self, id: u16, mut text: Vec<u8>, pieces: Vec<Piece>) {
        let total = pieces.iter().fold(0, |sum: usize, piece| sum.saturating_add(piece.len()));
        let is_small = total <= COPIED_MOST && pieces.iter().all(|piece| bytes_of(piece).is_some());
        if is_small {
            pieces.iter().filter_map(bytes_of).for_each(|bytes| text.extend_from_slice(bytes));
            self.own(|own| put(id, Stream::Output, &text, own));
            return;
        }
        self.frame(id, &text, pieces);
    }

    /// Records around the text and the pieces, which may be cut anywhere.
    fn frame(&mut self, id: u16, text: &[u8], pieces: Vec<Piece>) {
        let total = pieces.iter().fold(text.len(), |sum, piece| sum.saturating_add(piece.len()));
        let (mut left, mut room) = (total, 0);
        let mut begin = |this: &mut Self, room: &mut usize| {
            if *room == 0
                && let Some((header, content)) = part(id, Stream::Output, left)
            {
                this.own(|own| own.extend_from_slice(&header));
                (*room, left) = (content, left.saturating_sub(content));
            }
        };
        let mut rest = text;
        while !rest.is_empty() {
            begin(self, &mut room);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.own(|own| own.extend_from_slice(now));
            room -= now.len();
            rest = later;
        }
        for piece in pieces {
            let (index, length) = (self.pieces.len(), piece.len());
            self.pieces.push(piece);
            let mut at = 0;
            while at < length {
                begin(self, &mut room);
                let count = room.min(length - at);
                self.segments.push(Segment::Piece(index, at..at + count));
                (at, room) = (at + count, room - count);
            }
        }
    }

    /// Adds a response of our own.
    pub(crate) fn page(&mut self, id: u16, page: Page) {
        self.stream(id, page.response().into_bytes(), Vec::new());
    }

    /// Adds the end of the request.
    pub(crate) fn end(&mut self, id: u16) {
        self.own(|own| own.extend_from_slice(&end(id, 0, None)));
    }

    /// Adds the end of a request whose response is not whole, for a web server of our own kind.
    pub(crate) fn broken_end(&mut self, id: u16) {
        self.own(|own| own.extend_from_slice(&end(id, EndStatus::BROKEN, None)));
    }

    /// Sends what there is room for.
    ///
    /// # Errors
    /// The connection is broken, or a file is not what it was.
    pub(crate) fn send(&mut self, socket: &impl AsFd) -> io::Result<Sent> {
        while let Some(segment) = self.segments.get(self.next) {
            let count = match segment {
                Segment::Piece(index, range) if let Some(Piece::File(file)) = self.pieces.get(*index) => {
                    let count = range.len() - self.done;
                    let offset = file.offset.saturating_add((range.start + self.done) as u64);
                    match sys::send_file(socket, &file.fd, offset, count)? {
                        Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        sent => sent,
                    }
                }
                _ => self.send_bytes(socket)?,
            };
            match count {
                Some(count) => self.advance(count),
                None => return Ok(Sent::Blocked),
            }
        }
        Ok(Sent::All)
    }

    /// Sends the segments that are bytes, up to the next file.
    fn send_bytes(&self, socket: &impl AsFd) -> io::Result<Option<usize>> {
        let rest = self.segments.get(self.next..).unwrap_or_default();
        if let [Segment::Own(range)] = rest {
            let bytes = self.own.get(range.start + self.done..range.end).unwrap_or_default();
            return sys::send(socket, &[IoSlice::new(bytes)], false);
        }
        let mut parts = [IoSlice::new(&[]); PARTS];
        let mut used = 0;
        let bytes = rest.iter().map_while(|segment| self.segment(segment));
        for (slot, bytes) in parts.iter_mut().zip(bytes) {
            *slot = IoSlice::new(bytes);
            used += 1;
        }
        if let Some(first) = parts.first_mut() {
            first.advance(self.done);
        }
        let more = rest.len() > used;
        sys::send(socket, parts.get(..used).unwrap_or_default(), more)
    }

    fn segment(&self, segment: &Segment) -> Option<&[u8]> {
        match segment {
            Segment::Own(range) => self.own.get(range.clone()),
            Segment::Piece(index, range) => bytes_of(self.pieces.get(*index)?)?.get(range.clone()),
        }
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(segment) = self.segments.get(self.next) {
            let (Segment::Own(range) | Segment::Piece(_, range)) = segment;
            let left = range.len() - self.done;
            if count < left {
                self.done += count;
                return;
            }
            count -= left;
            (self.next, self.done) = (self.next + 1, 0);
        }
    }

    /// Adds all that another one has not sent yet.
    pub(crate) fn append(&mut self, more: Self) {
        let ends = self.ends | more.ends;
        if self.is_empty() {
            // What has left is forgotten, its memory is not.
            self.reuse();
            if self.own.capacity() == 0 {
                *self = Self { ends, ..more };
                return;
            }
        }
        self.ends = ends;
        let (own, pieces) = (self.own.len(), self.pieces.len());
        self.own.extend_from_slice(&more.own);
        self.pieces.extend(more.pieces);
        let mut done = more.done;
        for segment in more.segments.into_iter().skip(more.next) {
            let cut = std::mem::take(&mut done);
            let segment = match segment {
                Segment::Own(range) => Segment::Own(own + range.start + cut..own + range.end),
                Segment::Piece(index, range) => Segment::Piece(pieces + index, range.start + cut..range.end),
            };
            match (self.segments.last_mut(), &segment) {
                (Some(Segment::Own(last)), Segment::Own(next)) if last.end == next.start => {
                    last.end = next.end
                }
                _ => self.segments.push(segment),
            }
        }
    }
}

/// A line as a web server of our own kind gets it, with its level.
pub(crate) fn leveled(level: Level, line: &str) -> Vec<u8> {
    [&[log::level_byte(level)], line.as_bytes(), b"\n"].concat()
}

/// The bytes of a piece that has them in memory.
pub(crate) fn bytes_of(piece: &Piece) -> Option<&[u8]> {
    match piece {
        Piece::Copied(bytes) => Some(bytes),
        Piece::Lent(lent) => Some(lent.as_slice()),
        Piece::File(_) => None,
    }
}

/// A head as CGI programs write it (RFC 3875 §6.3). The name Status is the status line's there.
pub(crate) fn write_head(head: &Head, out: &mut Vec<u8>) {
    out.reserve(256);
    let mut status = String::with_capacity(16);
    // Writing to a String cannot fail.
    let _ = write!(status, "Status: {} ", head.status);
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(if head.reason.is_empty() { reason(head.status) } else { &head.reason });
    for (name, value) in head.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"status")) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    if let Some(length) = head.content_length {
        out.extend_from_slice(b"\r\nContent-Length: ");
        out.extend_from_slice(gangway::http::Decimal::default().write(length));
    }
    out.extend_from_slice(b"\r\n\r\n");
}

/// RFC 9110 §15: web servers write what stands here into the status line, also nothing.
pub(crate) fn reason(status: u16) -> &'static [u8] {
    const KNOWN: [(u16, &str); 26] = [
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "No Content"),
        (206, "Partial Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (409, "Conflict"),
        (410, "Gone"),
        (413, "Content Too Large"),
        (422, "Unprocessable Content"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
    ];
    let known = KNOWN.iter().find(|(number, _)| *number == status).map(|(_, reason)| *reason);
    let reason = known.unwrap_or(match status {
        ..300 => "Success",
        300..400 => "Redirection",
        400..500 => "Client Error",
        500.. => "Server Error",
    });
    reason.as_bytes()
}

#[cfg(test)]
mod tests;
