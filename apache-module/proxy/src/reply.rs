// SPDX-License-Identifier: MIT OR Apache-2.0
//! A response as the client gets it: the head, and how much of the body.

use std::ops::Range;

use gangway::{
    cgi::{Form, ResponseError, ResponseParser},
    http::is_event_stream,
};
use gangway_httpd::transfer::BodyQuota;

use crate::{
    raw::{
        ProxyTarget, asks_for_another,
        response::{send_interim, set_head},
    },
    scheme::Kind,
};

/// The reply to one request.
pub(crate) struct Reply {
    kind: Kind,
    parser: ResponseParser,
    head_done: bool,
    quota: BodyQuota,
    /// `text/event-stream`: each event leaves at once.
    pub(crate) is_event_stream: bool,
    /// The page of this status takes the place of the response (ProxyErrorOverride).
    pub(crate) page: Option<u16>,
    /// The response asks for a file or another path.
    pub(crate) is_redirected: bool,
}

impl Reply {
    /// `parser` is one of an earlier reply, for its memory.
    pub(crate) fn new(kind: Kind, mut parser: ResponseParser, limit: usize) -> Self {
        parser.reset(Form::Cgi, limit);
        Self {
            kind,
            parser,
            head_done: false,
            quota: BodyQuota::default(),
            is_event_stream: false,
            page: None,
            is_redirected: false,
        }
    }

    pub(crate) fn into_parser(self) -> ResponseParser {
        self.parser
    }

    /// Whether the head has been given to httpd.
    pub(crate) fn has_head(&self) -> bool {
        self.head_done
    }

    /// Whether the client gets bytes of this response, and not something in its place.
    pub(crate) fn is_forwarded(&self) -> bool {
        self.head_done && self.page.is_none() && !self.is_redirected
    }

    /// Whether everything that the client gets is there, whatever the backend has to say yet.
    pub(crate) fn is_overfull(&self) -> bool {
        self.quota.is_exceeded()
    }

    /// Bytes that Content-Length promised and that are missing at the end.
    pub(crate) fn missing(&self) -> u64 {
        self.quota.missing()
    }

    /// The response has ended: was there a head?
    pub(crate) fn finish(&self) -> Result<(), ResponseError> {
        self.parser.finish()
    }

    /// Takes output of the backend that stands at `at` of the caller's buffer; answers what of it is body for the
    /// client.
    pub(crate) fn feed(
        &mut self,
        target: ProxyTarget<'_>,
        output: &[u8],
        at: usize,
    ) -> Result<Range<usize>, ResponseError> {
        let (mut rest, mut begin) = (output, at);
        while !self.head_done {
            let Some(count) = self.parser.feed(rest)? else { return Ok(begin..begin) };
            rest = rest.get(count..).unwrap_or_default();
            begin += count;
            let head = self.parser.head();
            if head.is_interim() {
                send_interim(target.request(), &head);
                self.parser.restart();
            } else {
                self.begin(target);
            }
        }
        let admitted = self.quota.admit(target.request(), rest.len(), "the backend");
        Ok(begin..begin + admitted)
    }

    /// Gives the head to httpd.
    fn begin(&mut self, target: ProxyTarget<'_>) {
        let (request, head) = (target.request(), self.parser.head());
        self.head_done = true;
        let (status, is_changed) = set_head(request, &head);
        let content_length = head.content_length();
        self.is_event_stream = head.get(b"content-type").is_some_and(is_event_stream);
        if self.kind == Kind::Scgi && asks_for_another(request, head.names_status(), status) {
            self.is_redirected = true;
        } else if is_changed && status == 412 && self.kind == Kind::Scgi {
            // mod_proxy_scgi has a page for it, mod_proxy_fcgi has none.
            self.page = Some(status);
        } else if target.overrides(status) && request.is_initial() {
            self.page = Some(status);
        }
        let is_dropped =
            !self.is_forwarded() || request.is_head() || matches!(status, 204 | 304) || is_changed;
        self.quota = BodyQuota::new(content_length, is_dropped);
    }
}
