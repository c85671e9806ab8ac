// SPDX-License-Identifier: MIT OR Apache-2.0
//! A script's output as a response: heads, then a body of as many bytes as Content-Length says, and when it leaves.

use std::time::{Duration, Instant};

use crate::{
    cgi::{Form, Location, ResponseParser},
    exchange::{Delivery, End, Piece},
    http::{Fields, Head, is_event_stream},
};

/// How long a head waits for more. Most scripts end right after their last byte, and then head, body and end leave at
/// once.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes of a body that leave without waiting for more: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// What some bytes were.
pub(super) enum Part {
    /// Nothing whole: all of them are taken.
    More,
    /// A head before the head (RFC 9110 §15.2).
    Interim(u16, Fields),
    /// RFC 3875 §6.2.2: the server is to answer with another document.
    Redirect(Vec<u8>),
    /// The end of the head.
    Head,
    /// No head that may be passed on: why, and how it began.
    Refused(String, Vec<u8>),
    /// More than Content-Length allows; dropped.
    Excess,
    /// The end of the body: nothing can follow.
    Whole,
}

#[derive(Debug)]
enum DocumentPart {
    Head(ResponseParser),
    Body,
}

#[derive(Debug)]
pub(super) struct Document {
    part: DocumentPart,
    /// The request is HEAD: Content-Length says nothing about the body.
    is_head: bool,
    /// What has not left yet.
    head: Option<Head>,
    held: Vec<u8>,
    head_left: bool,
    /// The bytes of the body that may still follow, if that is known.
    left: Option<u64>,
    /// When the next of it leaves.
    due: Option<Instant>,
}

impl Document {
    pub(super) fn new(form: Form, head_size: usize, is_head: bool) -> Self {
        Self {
            part: DocumentPart::Head(ResponseParser::new(form, head_size)),
            is_head,
            head: None,
            held: Vec::new(),
            head_left: false,
            left: None,
            due: None,
        }
    }

    /// What there is of a head that is not whole.
    pub(super) fn head_start(&self) -> &[u8] {
        match &self.part {
            DocumentPart::Head(parser) => parser.raw(),
            DocumentPart::Body => &[],
        }
    }

    pub(super) fn has_head(&self) -> bool {
        matches!(self.part, DocumentPart::Body)
    }

    /// Whether a part of it has left.
    pub(super) fn has_left(&self) -> bool {
        self.head_left
    }

    /// The bytes that are missing when it ends now.
    pub(super) fn missing(&self) -> u64 {
        self.left.unwrap_or(0)
    }

    /// When the next of it leaves.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes bytes off the beginning, up to something that is to be known.
    pub(super) fn take(&mut self, bytes: &mut &[u8], now: Instant) -> Part {
        match self.part {
            DocumentPart::Head(_) => self.take_head(bytes),
            DocumentPart::Body => self.take_body(bytes, now),
        }
    }

    fn take_head(&mut self, bytes: &mut &[u8]) -> Part {
        let DocumentPart::Head(parser) = &mut self.part else { return Part::More };
        let known = parser.raw().len();
        match parser.feed(bytes) {
            Ok(None) => {
                *bytes = &[];
                Part::More
            }
            Ok(Some(used)) => {
                *bytes = bytes.get(used..).unwrap_or_default();
                self.end_head()
            }
            Err(error) => {
                let start = [parser.raw().get(..known).unwrap_or_default(), bytes].concat();
                Part::Refused(error.to_string(), start)
            }
        }
    }

    /// A head is whole.
    fn end_head(&mut self) -> Part {
        let DocumentPart::Head(parser) = &mut self.part else { return Part::More };
        let head = parser.head();
        if head.is_interim() {
            let mut fields = Fields::default();
            head.fields().for_each(|(name, value)| fields.push(name, value));
            let status = head.status();
            parser.restart();
            return Part::Interim(status, fields);
        }
        if let Some(Location::Local(target)) = head.location() {
            return Part::Redirect(target.to_vec());
        }
        match Head::check(head.status(), head.reason(), head.fields()) {
            Ok(head) => {
                self.left = head.content_length.filter(|_| !self.is_head && !head.forbids_body());
                (self.part, self.head) = (DocumentPart::Body, Some(head));
                Part::Head
            }
            Err(error) => Part::Refused(error.to_string(), parser.raw().to_vec()),
        }
    }

    fn take_body(&mut self, bytes: &mut &[u8], now: Instant) -> Part {
        let mut part = std::mem::take(bytes);
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            if part.len() > most {
                // What is too much is looked at once.
                (part, *bytes) = (part.get(..most).unwrap_or_default(), &[]);
                *left = 0;
                self.held.extend_from_slice(part);
                return Part::Excess;
            }
            *left -= part.len() as u64;
        }
        self.held.extend_from_slice(part);
        if self.left == Some(0) {
            return Part::Whole;
        }
        if self.due.is_none() && (self.head.is_some() || !self.held.is_empty()) {
            self.due = Some(if self.may_gather() { now + GATHER } else { now });
        }
        Part::More
    }

    /// Only a head waits, and that of an event stream does not.
    fn may_gather(&self) -> bool {
        self.head.as_ref().is_some_and(|head| {
            let mut fields = head.fields.iter();
            !fields.any(|(name, value)| name.eq_ignore_ascii_case(b"content-type") && is_event_stream(value))
        })
    }

    /// What leaves at this time.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Delivery> {
        let leaves = self.held.len() >= CHUNK || self.due.is_some_and(|at| at <= now);
        leaves.then(|| self.take_all(None))
    }

    /// All that has not left.
    pub(super) fn take_all(&mut self, end: Option<End>) -> Delivery {
        self.due = None;
        let (head, held) = (self.head.take(), std::mem::take(&mut self.held));
        self.head_left |= head.is_some();
        let pieces = if held.is_empty() { Vec::new() } else { vec![Piece::Copied(held)] };
        Delivery { head, pieces, end, ..Delivery::default() }
    }
}
