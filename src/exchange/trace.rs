// SPDX-License-Identifier: MIT OR Apache-2.0
//! The span of a request in `tracing`. Unless the server's log is at debug for the request, or a subscriber observes the
//! process, there is none, and no clock is read.

use std::{
    sync::{Mutex, OnceLock},
    time::Instant,
};

use tracing::{Span, field::Empty};

use super::RequestHead;
use crate::{
    log::{self, escape},
    sys::lock,
};

/// Where servers and proxies put the number of a request, the server's own first.
const REQUEST_ID: [&[u8]; 3] = [b"UNIQUE_ID", b"REQUEST_ID", b"HTTP_X_REQUEST_ID"];

/// A request that somebody observes, from its arrival to its last reference.
pub(super) struct Trace {
    span: Span,
    request_id: Option<String>,
    arrived: Instant,
    began: OnceLock<Began>,
    /// What the handler has given, until it is known whether it left.
    status: Mutex<Option<u16>>,
}

struct Began {
    application: String,
    queue_us: u64,
    at: Instant,
}

impl Trace {
    /// The trace of a request that has arrived, if somebody asks for it.
    pub(super) fn open(head: &RequestHead) -> Option<Box<Self>> {
        if head.traced || log::is_observed() { Self::new(head) } else { None }
    }

    #[cold]
    fn new(head: &RequestHead) -> Option<Box<Self>> {
        log::subscribe();
        let span = tracing::info_span!(
            target: "gangway", "request", application = Empty, request_id = Empty, traceparent = Empty,
            status = Empty, queue_us = Empty, run_us = Empty
        );
        let value = |wanted: &[u8]| {
            let found = head.variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| escape(value))
        };
        let request_id = REQUEST_ID.into_iter().find_map(value);
        span.record("request_id", request_id.as_deref());
        span.record("traceparent", value(b"HTTP_TRACEPARENT"));
        let (arrived, began, status) = (Instant::now(), OnceLock::new(), Mutex::default());
        Some(Box::new(Self { span, request_id, arrived, began, status }))
    }

    /// The application takes it now.
    pub(super) fn begin(&self, application: &str) {
        let began =
            Began { application: application.to_owned(), queue_us: micros(self.arrived), at: Instant::now() };
        self.span.record("application", application);
        self.span.record("queue_us", began.queue_us);
        // It begins once.
        let _ = self.began.set(began);
    }

    pub(super) fn start(&self, status: u16) {
        *lock(&self.status) = Some(status);
    }

    /// The response has ended; `replaced` by an error answer of the server, or as it was. Answers that in words.
    pub(super) fn finish(&self, replaced: bool) -> String {
        let status = lock(&self.status).filter(|_| !replaced).unwrap_or(500);
        self.span.record("status", status);
        let mut line = format!("the response has ended: status={status}");
        if let Some(began) = self.began.get() {
            let run_us = micros(began.at);
            self.span.record("run_us", run_us);
            let (application, queue_us) = (&began.application, began.queue_us);
            line += &format!(" application={application} queue_us={queue_us} run_us={run_us}");
        }
        if let Some(id) = &self.request_id {
            line += &format!(" request_id={id}");
        }
        line
    }

    /// A line of this request.
    pub(super) fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        self.span.in_scope(body)
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
