// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has come of a response, and what is still to come.

use std::cell::RefCell;

use gangway::{
    cgi::{Form, ResponseParser},
    protocol::{Decoder, EndStatus, ResponseEvent},
};

use super::rest::Rest;

thread_local! {
    /// Parsers of responses that have ended, whose memory the next ones use.
    static PARSERS: RefCell<Vec<ResponseParser>> = const { RefCell::new(Vec::new()) };
}

/// How many parsers are kept, and how large their memory may be.
const KEPT: usize = 32;
const KEPT_SIZE: usize = 4096;

fn new_parser(limit: usize) -> ResponseParser {
    match PARSERS.with_borrow_mut(Vec::pop) {
        Some(mut parser) => {
            parser.reset(Form::Cgi, limit);
            parser
        }
        None => ResponseParser::new(Form::Cgi, limit),
    }
}

/// The response of one backend.
pub(in crate::upstream) struct Response {
    pub(in crate::upstream) decoder: Decoder,
    pub(in crate::upstream) parser: ResponseParser,
    /// What may still come of the body.
    pub(in crate::upstream) rest: Rest,
    /// Bytes other than those of the final head have been taken from nginx's buffer, which a cache must not see.
    pub(in crate::upstream) mixed: bool,
    /// All of the response came with its head.
    pub(in crate::upstream) whole: bool,
    /// How many bytes of the body may still be kept: those of an authorizer are held in memory.
    room: Option<usize>,
}

impl Response {
    pub(in crate::upstream) fn new(decoder: Decoder, head_max_size: usize, room: Option<usize>) -> Self {
        Self {
            decoder,
            parser: new_parser(head_max_size),
            rest: Rest::Unknown,
            mixed: false,
            whole: false,
            room,
        }
    }

    /// Forgets it for that of another backend.
    pub(in crate::upstream) fn restart(&mut self, decoder: Decoder, head_max_size: usize) {
        self.decoder = decoder;
        self.parser.reset(Form::Cgi, head_max_size);
        self.rest = Rest::Unknown;
        self.mixed = false;
        self.whole = false;
    }

    /// When these bytes are all that is still to come of the response: the decoder behind them, how many of them are output, and how
    /// it has ended.
    pub(in crate::upstream) fn rest_in(&self, mut input: &[u8]) -> Option<(Decoder, u64, EndStatus)> {
        let (mut decoder, mut length) = (self.decoder, 0);
        while let Ok((count, event)) = decoder.decode(input) {
            input = input.get(count..).unwrap_or_default();
            match event {
                ResponseEvent::Output(output) => length += output.len() as u64,
                ResponseEvent::Errors(_) | ResponseEvent::OutputEnd => {}
                ResponseEvent::End(status) if input.is_empty() => return Some((decoder, length, status)),
                ResponseEvent::End(_) | ResponseEvent::More => return None,
            }
        }
        None
    }

    /// The decoder behind these bytes. `None`: the response ends in them, or has ended.
    pub(in crate::upstream) fn behind(&self, mut input: &[u8]) -> Option<Decoder> {
        let mut decoder = self.decoder;
        if decoder.ended() {
            return None;
        }
        while let Ok((count, event)) = decoder.decode(input) {
            match event {
                ResponseEvent::End(_) => return None,
                ResponseEvent::More => break,
                _ => input = input.get(count..).unwrap_or_default(),
            }
        }
        Some(decoder)
    }

    /// Whether these bytes hold a byte of output, or its end.
    pub(in crate::upstream) fn begins_body(&self, mut input: &[u8]) -> bool {
        let mut decoder = self.decoder;
        // Mostly it stands in the record of the head.
        if !input.is_empty() && decoder.pass(1) {
            return true;
        }
        while let Ok((count, event)) = decoder.decode(input) {
            match event {
                ResponseEvent::Errors(_) => input = input.get(count..).unwrap_or_default(),
                ResponseEvent::More => return false,
                ResponseEvent::Output(_) | ResponseEvent::OutputEnd | ResponseEvent::End(_) => return true,
            }
        }
        true
    }

    /// Takes `count` bytes of the body without a look at them, if all of them are body and are kept. Answers whether that is
    /// so; if not, nothing has been taken.
    #[inline]
    pub(in crate::upstream) fn pass(&mut self, count: usize) -> bool {
        let passes = self.keeps_all() && self.rest.holds(count) && self.decoder.pass(count);
        if passes {
            self.rest.reduce(count);
        }
        passes
    }

    /// Whether nothing of the body is cut off.
    pub(in crate::upstream) fn keeps_all(&self) -> bool {
        self.room.is_none()
    }

    /// As many bytes of the body as may be kept.
    pub(in crate::upstream) fn clip<'b>(&mut self, body: &'b [u8]) -> &'b [u8] {
        let Some(room) = self.room.as_mut() else { return body };
        let kept = body.get(..body.len().min(*room)).unwrap_or_default();
        *room -= kept.len();
        kept
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        let parser = std::mem::replace(&mut self.parser, ResponseParser::new(Form::Cgi, 0));
        // At the end of the process the list may be gone.
        let _ = PARSERS.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT && parser.capacity() <= KEPT_SIZE {
                kept.push(parser);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use gangway::protocol::{FastCgi, Protocol, Scgi};

    use super::*;

    /// A record of FCGI_STDOUT, and FCGI_END_REQUEST (FastCGI §3.3, §5.5).
    const OUTPUT: &[u8] = b"\x01\x06\x00\x01\x00\x03\x00\x00abc";
    const END: &[u8] = b"\x01\x03\x00\x01\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

    fn framed(room: Option<usize>) -> Response {
        Response::new(FastCgi.decoder(), 1024, room)
    }

    #[test]
    fn a_whole_response_is_known_by_its_end() {
        let response = framed(None);
        let whole = [OUTPUT, END].concat();
        assert_eq!(response.rest_in(&whole).map(|(_, length, _)| length), Some(3));
        assert!(response.rest_in(OUTPUT).is_none());
        assert!(response.rest_in(&[&whole, &b"x"[..]].concat()).is_none());
        assert!(Response::new(Scgi.decoder(), 1024, None).rest_in(b"abc").is_none());
    }

    #[test]
    fn a_body_begins_with_a_byte_or_its_end() {
        let response = framed(None);
        assert!(!response.begins_body(b"") && !response.begins_body(&OUTPUT[..4]));
        assert!(response.begins_body(OUTPUT) && response.begins_body(END));
        let errors = b"\x01\x07\x00\x01\x00\x01\x00\x00e";
        assert!(!response.begins_body(errors));
        assert!(response.begins_body(&[errors, OUTPUT].concat()));
    }

    #[test]
    fn what_is_held_in_memory_is_cut_off() {
        let mut response = framed(Some(4));
        assert!(!response.keeps_all() && !response.pass(1));
        assert_eq!(
            (response.clip(b"abc"), response.clip(b"def"), response.clip(b"g")),
            (&b"abc"[..], &b"d"[..], &b""[..])
        );
        assert_eq!(framed(None).clip(b"abc"), b"abc");
    }

    #[test]
    fn bytes_pass_only_if_all_of_them_are_body() {
        let mut response = Response::new(Scgi.decoder(), 1024, None);
        response.rest = Rest::Exactly(3);
        assert!(response.pass(2) && !response.pass(2) && response.pass(1));
        assert_eq!(response.rest, Rest::Exactly(0));
    }
}
