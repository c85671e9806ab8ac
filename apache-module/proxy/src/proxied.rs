// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request of mod_proxy's while an attempt carries it.

use std::ops::Range;

use gangway::{
    cgi::ResponseError,
    error::BACKEND_STDERR,
    log::{self, Level},
    protocol::Protocol,
    report_at,
};
use gangway_httpd::transfer::{Carried, Filled, Passed, Then, Wire};

use crate::{
    contest::Contest,
    keep::Key,
    raw::{Output, ProxyGangway, ProxyTarget, Request, RequestBody},
    reply::Reply,
};

/// A request and its response.
pub(crate) struct Proxied<'a, 'r> {
    pub(crate) target: ProxyTarget<'r>,
    /// Where others may keep connections that this request waits for.
    pub(crate) key: Option<&'a Key>,
    pub(crate) body: &'a mut RequestBody<'r>,
    pub(crate) reply: Reply,
    pub(crate) output: Output<'r>,
    pub(crate) stderr_level: Level,
}

impl<'a, 'r> Carried<'r> for Proxied<'a, 'r> {
    type Module = ProxyGangway;
    type Silence = Contest<'a>;

    fn request(&self) -> Request<'r> {
        self.target.request()
    }

    fn body_ended(&self) -> bool {
        self.body.ended()
    }

    fn fill(&mut self, out: &mut Vec<u8>, protocol: &dyn Protocol, wait: bool) -> Filled {
        self.body.fill(out, protocol, wait)
    }

    fn feed(&mut self, output: &[u8], at: usize) -> Result<Range<usize>, ResponseError> {
        self.reply.feed(self.target, output, at)
    }

    fn has_head(&self) -> bool {
        self.reply.has_head()
    }

    fn is_forwarded(&self) -> bool {
        self.reply.is_forwarded()
    }

    fn is_overfull(&self) -> bool {
        self.reply.is_overfull()
    }

    fn is_event_stream(&self) -> bool {
        self.reply.is_event_stream
    }

    fn finish(&self) -> Result<(), ResponseError> {
        self.reply.finish()
    }

    fn missing(&self) -> u64 {
        self.reply.missing()
    }

    fn pass<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>, then: Then) -> Passed {
        self.output.pass(pieces, then)
    }

    fn log_line(&self, line: &[u8]) {
        report_at!(self.request(), self.stderr_level, BACKEND_STDERR, "{}", log::escape(line));
    }

    fn watch(&self, wire: &Wire) -> Contest<'a> {
        Contest::begin(self.key, wire)
    }
}
