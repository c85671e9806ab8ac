// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that a thread uses for one request after the other.

use std::{cell::Cell, ops::Range};

use gangway::{
    cgi::{Form, ResponseParser},
    http::Fields,
};

/// Bytes that one call receives.
const RECEIVED: usize = 64 * 1024;
/// What has grown beyond this is given back to the system.
const KEPT: usize = 256 * 1024;

/// The memory for one request.
#[derive(Debug, Default)]
pub struct Buffers {
    /// The variables of the request.
    pub variables: Fields,
    /// What is sent: the head, then parts of the body.
    pub out: Vec<u8>,
    /// What is received.
    pub input: Vec<u8>,
    /// The bytes of `input` that are for the client.
    pub pieces: Vec<Range<usize>>,
    /// What understands the head of the response.
    parser: Option<ResponseParser>,
}

thread_local! {
    static SPARE: Cell<Option<Buffers>> = const { Cell::new(None) };
}

impl Buffers {
    /// A parser that has what memory there is.
    pub fn take_parser(&mut self) -> ResponseParser {
        self.parser.take().unwrap_or_else(|| ResponseParser::new(Form::Cgi, 0))
    }

    /// Keeps the memory of a parser for the next request.
    pub fn put_parser(&mut self, parser: ResponseParser) {
        self.parser = Some(parser).filter(|parser| parser.capacity() <= KEPT);
    }

    /// The memory of this thread; new memory while a request that this one is a part of uses it.
    pub fn take() -> Self {
        let mut buffers = SPARE.with(Cell::take).unwrap_or_default();
        buffers.input.resize(RECEIVED, 0);
        buffers
    }

    /// Gives it back to the thread.
    pub fn give_back(mut self) {
        if self.variables.capacity() > KEPT {
            self.variables = Fields::default();
        }
        self.out.clear();
        self.out.shrink_to(KEPT);
        self.pieces.clear();
        SPARE.with(|spare| spare.set(Some(self)));
    }
}
