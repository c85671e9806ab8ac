// SPDX-License-Identifier: MIT OR Apache-2.0
//! The span of a request in `tracing`. Without a subscriber that asks for it there is none, and no clock is read.

use std::{
    sync::{Mutex, OnceLock},
    time::Instant,
};

use tracing::{Span, field::Empty};

use super::RequestHead;
use crate::{log::escape, sys::lock};

/// Where servers and proxies put the number of a request, the server's own first.
const REQUEST_ID: [&[u8]; 3] = [b"UNIQUE_ID", b"REQUEST_ID", b"HTTP_X_REQUEST_ID"];

/// A request that somebody observes, from its arrival to its last reference.
pub(super) struct Trace {
    span: Span,
    arrived: Instant,
    began: OnceLock<Instant>,
    /// What the handler has given, until it is known whether it left.
    status: Mutex<Option<u16>>,
}

impl Trace {
    /// The trace of a request that has arrived, if somebody asks for it.
    pub(super) fn open(head: &RequestHead) -> Option<Box<Self>> {
        let span = tracing::info_span!(
            target: "gangway", "request", application = Empty, request_id = Empty, traceparent = Empty,
            status = Empty, queue_us = Empty, run_us = Empty
        );
        (!span.is_disabled()).then(|| {
            let value = |wanted: &[u8]| {
                let found = head.variables.iter().find(|(name, _)| *name == wanted);
                found.map(|(_, value)| escape(value))
            };
            span.record("request_id", REQUEST_ID.into_iter().find_map(value));
            span.record("traceparent", value(b"HTTP_TRACEPARENT"));
            let (arrived, began, status) = (Instant::now(), OnceLock::new(), Mutex::default());
            Box::new(Self { span, arrived, began, status })
        })
    }

    /// The application takes it now.
    pub(super) fn begin(&self, application: &str) {
        // It begins once.
        if self.began.set(Instant::now()).is_ok() {
            self.span.record("application", application);
            self.span.record("queue_us", micros(self.arrived));
        }
    }

    pub(super) fn start(&self, status: u16) {
        *lock(&self.status) = Some(status);
    }

    /// The response has ended; `replaced` by an error answer of the server, or as it was.
    pub(super) fn finish(&self, replaced: bool) {
        let given = lock(&self.status).filter(|_| !replaced);
        self.span.record("status", given.unwrap_or(500));
        self.span.record("run_us", self.began.get().map(|began| micros(*began)));
    }

    /// A line of this request.
    pub(super) fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        self.span.in_scope(body)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
