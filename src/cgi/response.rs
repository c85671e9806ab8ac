// SPDX-License-Identifier: MIT OR Apache-2.0
//! The head of a response that a CGI script or a gateway's backend has written: RFC 3875 §6.

use std::ops::Range;

use memchr::memchr;

use crate::{
    error::{BACKEND_CUT, BAD_RESPONSE_HEAD, Code, RESPONSE_HEAD_TOO_LARGE},
    http::{is_field_name, is_field_value, parse_length},
    log,
};

/// How a head begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// §6.2: header fields, the status among them. A status line in front is understood, as gateways do.
    Cgi,
    /// §5: a non-parsed header script writes HTTP, so the status line is required.
    Nph,
}

impl Form {
    /// That of the output of a script, by its file's name.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        let name = file.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if name.starts_with(b"nph-") { Self::Nph } else { Self::Cgi }
    }
}

/// Reads a response head that comes in parts, and keeps it.
///
/// What a peer of ours could read in another way than we do is refused: nothing of such a head is forwarded.
/// LF ends a line as well as CRLF does (§6.1).
#[derive(Debug)]
pub struct ResponseParser {
    form: Form,
    limit: usize,
    /// The bytes of earlier heads of this response.
    earlier: usize,
    bytes: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
    fields: Vec<Span>,
    status: Option<Status>,
    location: Option<Span>,
    content_length: Option<u64>,
    /// Nothing else than Location and `X-CGI-` fields has come (§6.2.2).
    bare: bool,
    done: bool,
}

#[derive(Clone, Debug)]
struct Span {
    name: Range<usize>,
    value: Range<usize>,
}

#[derive(Clone, Debug)]
struct Status {
    code: u16,
    reason: Range<usize>,
}

/// Why a head was refused. Texts are escaped for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not `HTTP/1.1 200 OK`.
    #[error("\"{0}\" is not a status line")]
    StatusLine(String),
    /// Not three digits from 100 to 999, or not a reason phrase behind those of a status line.
    #[error("the status \"{0}\" is not a number from 100 to 999 with a reason")]
    Status(String),
    /// Status twice, or beside a status line, with another number.
    #[error("there are two statuses, {0} and {1}")]
    TwoStatuses(u16, u16),
    /// RFC 9110 §15.2.2: what follows is not HTTP, and nobody has asked for that.
    #[error("the status 101 goes on with another protocol, which the server has not asked for")]
    Upgrade,
    /// A line begins with a space or a tab: RFC 9112 §5.2 forbids such continuations.
    #[error("the line \"{0}\" continues the one before it, which is obsolete")]
    Folded(String),
    /// Neither a field nor the end.
    #[error("the line \"{0}\" has no colon")]
    NoColon(String),
    /// Not a token.
    #[error("the header name \"{0}\" is not a token (RFC 9110 section 5.1)")]
    Name(String),
    /// CR, NUL or another control byte.
    #[error("the value of the header \"{0}\" holds control bytes: \"{1}\"")]
    Value(String, String),
    /// Not one decimal number.
    #[error("Content-Length \"{0}\" is not one decimal number")]
    ContentLength(String),
    /// Longer than the caller allows.
    #[error("the response head is larger than {0} bytes")]
    TooLarge(usize),
    /// The end came first.
    #[error("the response ended after {0} bytes, within its head")]
    Cut(usize),
}

impl ResponseError {
    /// The log code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge(_) => RESPONSE_HEAD_TOO_LARGE,
            Self::Cut(_) => BACKEND_CUT,
            Self::StatusLine(_)
            | Self::Status(_)
            | Self::TwoStatuses(..)
            | Self::Upgrade
            | Self::Folded(_)
            | Self::NoColon(_)
            | Self::Name(_)
            | Self::Value(..)
            | Self::ContentLength(_) => BAD_RESPONSE_HEAD,
        }
    }
}

impl ResponseParser {
    /// A parser for one response, whose heads may have `limit` bytes, interim ones included.
    #[must_use]
    pub fn new(form: Form, limit: usize) -> Self {
        Self {
            form,
            limit,
            earlier: 0,
            bytes: Vec::new(),
            line: 0,
            fields: Vec::new(),
            status: None,
            location: None,
            content_length: None,
            bare: true,
            done: false,
        }
    }

    /// Begins with another response, in the memory of the one before.
    pub fn reset(&mut self, form: Form, limit: usize) {
        self.restart();
        (self.form, self.limit, self.earlier) = (form, limit, 0);
    }

    /// How many bytes of memory the head could have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes the next part of a response. `None`: all of `input` was taken, and more is needed. Otherwise the
    /// head ended after that many bytes of `input`.
    ///
    /// # Errors
    /// The head is malformed or too large. The parser is of no use any more.
    pub fn feed(&mut self, input: &[u8]) -> Result<Option<usize>, ResponseError> {
        let mut rest = input;
        if self.bytes.capacity() == 0 {
            // Most heads come whole and are small; what follows in `input` is body.
            self.bytes.reserve(input.len().min(512));
            self.fields.reserve(8);
        }
        while !self.done {
            let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, more) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            let room = self.limit.saturating_sub(self.earlier).saturating_sub(self.bytes.len());
            if line.len() > room {
                return Err(ResponseError::TooLarge(self.limit));
            }
            self.bytes.extend_from_slice(line);
            if line.last() != Some(&b'\n') {
                return Ok(None);
            }
            rest = more;
            self.end_line()?;
        }
        Ok(Some(input.len().saturating_sub(rest.len())))
    }

    /// What `feed` has found. Before it has said `Some` this is the part that is there.
    #[must_use]
    pub fn head(&self) -> ResponseHead<'_> {
        ResponseHead(self)
    }

    /// Forgets an interim head, whose bytes still count for the limit: the next one follows.
    pub fn restart(&mut self) {
        self.earlier = self.earlier.saturating_add(self.bytes.len());
        self.bytes.clear();
        self.line = 0;
        self.fields.clear();
        (self.status, self.location, self.content_length) = (None, None, None);
        (self.bare, self.done) = (true, false);
    }

    /// The bytes of the head so far, for the log.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.bytes
    }

    /// The response has ended: was there a head?
    ///
    /// # Errors
    /// There was none, or a part of one.
    pub fn finish(&self) -> Result<(), ResponseError> {
        if self.done {
            Ok(())
        } else {
            Err(ResponseError::Cut(self.earlier.saturating_add(self.bytes.len())))
        }
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// Judges the line that ends with the last byte.
    fn end_line(&mut self) -> Result<(), ResponseError> {
        let is_first = self.line == 0;
        let mut line = self.line..self.bytes.len().saturating_sub(1);
        self.line = self.bytes.len();
        if self.text(&line).ends_with(b"\r") {
            line.end -= 1;
        }
        let text = self.text(&line);
        if is_first && (self.form == Form::Nph || text.starts_with(b"HTTP/")) {
            self.status = Some(self.status_line(&line)?);
        } else if text.is_empty() {
            if self.head().status() == 101 {
                return Err(ResponseError::Upgrade);
            }
            self.done = true;
        } else {
            self.field(line)?;
        }
        Ok(())
    }

    /// RFC 9112 §4: `HTTP/1.1 200 OK`; the reason and the space before it may be missing.
    fn status_line(&self, line: &Range<usize>) -> Result<Status, ResponseError> {
        let text = self.text(line);
        let refused = || ResponseError::StatusLine(excerpt(text));
        let version = text.iter().position(|byte| *byte == b' ').ok_or_else(refused)?;
        if !text.get(..version).is_some_and(is_version) {
            return Err(refused());
        }
        let range = trim(&self.bytes, line.start + version..line.end);
        let status = self.parse_status(&range)?;
        // A line that is no status line may be anything: here nothing is guessed.
        let separated = self.is_separated(&range) && is_field_value(self.text(&status.reason));
        if separated { Ok(status) } else { Err(ResponseError::Status(excerpt(self.text(&range)))) }
    }

    /// §6.3.3: `status-code SP reason-phrase`. Numbers above 599 pass, as they do through other gateways. What follows
    /// the number at once is no reason phrase (`404: Not Found`, `404.1`): the status stands, and the phrase is empty.
    fn parse_status(&self, range: &Range<usize>) -> Result<Status, ResponseError> {
        let text = self.text(range);
        let refused = || ResponseError::Status(excerpt(text));
        let (digits, rest) = text.split_at_checked(3).ok_or_else(refused)?;
        if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(u8::is_ascii_digit) {
            return Err(refused());
        }
        let code = digits.iter().fold(0u16, |code, digit| code * 10 + u16::from(digit - b'0'));
        if code < 100 {
            return Err(refused());
        }
        let reason = if self.is_separated(range) { range.start + 3..range.end } else { range.end..range.end };
        Ok(Status { code, reason: trim(&self.bytes, reason) })
    }

    /// Whether a space, or nothing, follows the three digits of a status.
    fn is_separated(&self, range: &Range<usize>) -> bool {
        self.text(range).get(3).is_none_or(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// §6.3: `field-name ":" [ field-value ]`. No space may precede the colon (RFC 9112 §5.1).
    fn field(&mut self, line: Range<usize>) -> Result<(), ResponseError> {
        let text = self.text(&line);
        if text.starts_with(b" ") || text.starts_with(b"\t") {
            return Err(ResponseError::Folded(excerpt(text)));
        }
        let Some(colon) = memchr(b':', text) else {
            return Err(ResponseError::NoColon(excerpt(text)));
        };
        let name = line.start..line.start + colon;
        let value = trim(&self.bytes, name.end + 1..line.end);
        if !is_field_name(self.text(&name)) {
            return Err(ResponseError::Name(excerpt(self.text(&name))));
        }
        if !is_field_value(self.text(&value)) {
            return Err(ResponseError::Value(excerpt(self.text(&name)), excerpt(self.text(&value))));
        }
        self.add(Span { name, value })
    }

    fn add(&mut self, span: Span) -> Result<(), ResponseError> {
        let name = self.text(&span.name);
        if name.eq_ignore_ascii_case(b"status") {
            let status = self.parse_status(&span.value)?;
            if let Some(known) = self.status.as_ref().filter(|known| known.code != status.code) {
                return Err(ResponseError::TwoStatuses(known.code, status.code));
            }
            self.status = Some(status);
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = self.text(&span.value);
            let refused = || ResponseError::ContentLength(excerpt(text));
            let length = parse_length(text).ok_or_else(refused)?;
            // RFC 9112 §6.3: several lengths that differ cannot be trusted.
            if self.content_length.is_some_and(|known| known != length) {
                return Err(refused());
            }
            (self.content_length, self.bare) = (Some(length), false);
        } else if name.eq_ignore_ascii_case(b"location") {
            self.location.get_or_insert_with(|| span.clone());
        } else {
            // §6.3.5.
            self.bare &= name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"x-cgi-"));
        }
        self.fields.push(span);
        Ok(())
    }
}

/// A response head: the status and the other fields.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h>(&'h ResponseParser);

/// The value of Location, in one of the three forms of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'h> {
    /// §6.2.2: a path, no status, and no other field of weight: the server may answer with that path instead.
    Local(&'h [u8]),
    /// §6.2.3: the client is to go there; there was no status, so it is 302.
    Client(&'h [u8]),
    /// §6.2.4: the status says what it means.
    WithStatus(&'h [u8]),
}

impl<'h> ResponseHead<'h> {
    /// 100 to 999, without 101. Without Status: 302 with Location (§6.2.3), else 200 (§6.3.3).
    #[must_use]
    pub fn status(&self) -> u16 {
        match (&self.0.status, &self.0.location) {
            (Some(status), _) => status.code,
            (None, Some(_)) => 302,
            (None, None) => 200,
        }
    }

    /// Whether the application itself has named a status, by Status or a status line.
    #[must_use]
    pub fn names_status(&self) -> bool {
        self.0.status.is_some()
    }

    /// The reason phrase, empty if there was none: the server has its own.
    #[must_use]
    pub fn reason(&self) -> &'h [u8] {
        self.0.status.as_ref().map(|status| self.0.text(&status.reason)).unwrap_or_default()
    }

    /// Whether another head follows (RFC 9110 §15.2).
    #[must_use]
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), 100..=199)
    }

    /// The fields in order, without Status and with everything else, also what only servers may send
    /// ([`crate::http::is_connection_field`]). Names are tokens, values have no control bytes and no spaces around them.
    pub fn fields(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> + use<'h> {
        let parser = self.0;
        parser.fields.iter().map(|span| (parser.text(&span.name), parser.text(&span.value)))
    }

    /// The value of the first field with this name, in any case.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'h [u8]> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The first Location.
    #[must_use]
    pub fn location(&self) -> Option<Location<'h>> {
        let value = self.0.text(&self.0.location.as_ref()?.value);
        Some(match (&self.0.status, value.first()) {
            (Some(_), _) => Location::WithStatus(value),
            (None, Some(b'/')) if self.0.bare => Location::Local(value),
            (None, _) => Location::Client(value),
        })
    }

    /// Content-Length, which is one number however often it stands there.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.0.content_length
    }
}

/// What a log line quotes of a text of any length.
fn excerpt(text: &[u8]) -> String {
    const LIMIT: usize = 200;
    match text.split_at_checked(LIMIT) {
        Some((start, rest)) if !rest.is_empty() => log::escape(start) + "...",
        _ => log::escape(text),
    }
}

/// RFC 9112 §2.3, with the versions that other gateways take: `HTTP/1.0` to `HTTP/99.99`, no `HTTP/0.9`.
fn is_version(version: &[u8]) -> bool {
    let Some(numbers) = version.strip_prefix(b"HTTP/") else { return false };
    let Some(dot) = numbers.iter().position(|byte| *byte == b'.') else { return false };
    let (major, minor) = (numbers.get(..dot).unwrap_or_default(), numbers.get(dot + 1..).unwrap_or_default());
    let is_number = |digits: &[u8]| (1..=2).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    is_number(major) && is_number(minor) && !major.starts_with(b"0")
}

/// RFC 9110 §5.5: spaces and tabs around a value do not belong to it.
fn trim(bytes: &[u8], mut range: Range<usize>) -> Range<usize> {
    let is_space = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
    while range.start < range.end && is_space(range.start) {
        range.start += 1;
    }
    while range.start < range.end && is_space(range.end - 1) {
        range.end -= 1;
    }
    range
}

#[cfg(test)]
mod tests;
