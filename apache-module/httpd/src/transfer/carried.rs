// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a module knows of the request that an attempt carries.

use std::{ops::Range, time::Duration};

use gangway::{
    cgi::ResponseError,
    protocol::{EndStatus, Protocol},
};

use super::wire::Wire;
use crate::{
    module::Module,
    request::{BodyError, Request},
};

/// What filling in a part of the request's body did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There are bytes to send.
    Some,
    /// The client has not sent more yet.
    Nothing,
    /// The body cannot be read.
    Failed(BodyError),
}

/// What follows the bytes of one `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More, soon: httpd sends when it likes.
    More,
    /// More, some time: httpd sends now.
    Flush,
    /// Nothing: the response is whole.
    End,
    /// Nothing, and the client must see that this is not all.
    Cut,
}

/// What became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// They are on their way.
    Taken,
    /// A filter has answered the request in its own words, as with a range that cannot be satisfied.
    Answered,
    /// The client has left.
    Gone,
}

/// A request as the module has it: where its body comes from, and where its response goes.
pub trait Carried<'r> {
    /// The module.
    type Module: Module;
    /// What is done while the backend is silent.
    type Silence: SilenceWatch;

    /// The request.
    fn request(&self) -> Request<'r, Self::Module>;

    /// Whether this server may give it up by itself, which is then looked at now and then.
    fn may_be_left(&self) -> bool {
        false
    }

    /// Whether it has.
    fn is_left(&self) -> bool {
        false
    }

    /// Whether the last byte of the body has been taken.
    fn body_ended(&self) -> bool;

    /// Appends the next part of the body with its framing, and what follows the body at its end.
    fn fill(&mut self, out: &mut Vec<u8>, protocol: &dyn Protocol, wait: bool) -> Filled;

    /// Takes output of the backend that stands at `at` of the caller's buffer; answers what of it is body for the client.
    ///
    /// # Errors
    /// The head is not one.
    fn feed(&mut self, output: &[u8], at: usize) -> Result<Range<usize>, ResponseError>;

    /// Whether the head has been given to httpd.
    fn has_head(&self) -> bool;

    /// Whether the client gets bytes of this response, and not something in its place.
    fn is_forwarded(&self) -> bool;

    /// Whether everything that the client gets is there, whatever the backend has to say yet.
    fn is_overfull(&self) -> bool;

    /// Whether each part of the response leaves at once.
    fn is_event_stream(&self) -> bool;

    /// Whether a response that ends so is whole.
    fn ends_well(&self, _status: EndStatus) -> bool {
        true
    }

    /// The response has ended: was there a head?
    ///
    /// # Errors
    /// There was none.
    fn finish(&self) -> Result<(), ResponseError>;

    /// Bytes that Content-Length promised and that are missing at the end.
    fn missing(&self) -> u64;

    /// Gives bytes of the body to the output filters; they may change as soon as this returns.
    fn pass<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>, then: Then) -> Passed;

    /// Logs a line of the backend's standard error.
    fn log_line(&self, line: &[u8]);

    /// The backend is silent, and has not begun to answer.
    fn watch(&self, wire: &Wire) -> Self::Silence;
}

/// Looks at a backend that is silent, until it is dropped.
pub trait SilenceWatch {
    /// How long the next wait may be of a silence that lasts so long already, after so many bytes of the request.
    fn limit(&mut self, wire: &Wire, elapsed: Duration, sent: u64) -> Option<Duration>;

    /// A wait has ended without anything from the backend. Answers whether the request goes elsewhere, which it can only if it
    /// `may_leave`.
    fn leaves(&mut self, wire: &Wire, elapsed: Duration, sent: u64, may_leave: bool) -> bool;
}

/// Nothing is done.
impl SilenceWatch for () {
    fn limit(&mut self, _: &Wire, _: Duration, _: u64) -> Option<Duration> {
        None
    }

    fn leaves(&mut self, _: &Wire, _: Duration, _: u64, _: bool) -> bool {
        false
    }
}
