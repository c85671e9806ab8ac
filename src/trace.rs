// SPDX-License-Identifier: MIT OR Apache-2.0
//! The span of a request in `tracing`, whoever answers it: an application, a backend or a script. Unless the server's log
//! is at debug for the request, or a subscriber observes the process, there is none, and no clock is read.

use std::{sync::Mutex, time::Instant};

use tracing::{Span, field::Empty};

use crate::{
    http::Fields,
    log::{self, RequestLog, escape},
    report,
    sys::lock,
};

/// Where servers and proxies put the number of a request, the server's own first.
const REQUEST_ID: [&[u8]; 3] = [b"UNIQUE_ID", b"REQUEST_ID", b"HTTP_X_REQUEST_ID"];

/// Who is to answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer {
    /// An application in the server's own process.
    Application,
    /// A backend that is reached through a connection.
    Backend,
    /// A CGI program.
    Script,
}

impl Answerer {
    /// The value of the field `kind`, and the field that has the name of the one that answered.
    fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Backend => "backend",
            Self::Script => "script",
        }
    }
}

/// A request that somebody observes, from its arrival to its last reference.
pub struct Trace {
    span: Span,
    answerer: Answerer,
    arrived: Instant,
    notes: Mutex<TraceNotes>,
}

#[derive(Default)]
struct TraceNotes {
    name: Option<String>,
    request_id: Option<String>,
    /// When its turn came, and how long it had waited for it.
    began: Option<(Instant, u64)>,
    /// What it has been answered with, until it is known whether that left.
    status: Option<u16>,
}

impl Trace {
    /// The trace of a request that has arrived, if somebody asks for it; `traced` says whether the server's log does.
    #[inline]
    #[must_use]
    pub fn open(traced: bool, answerer: Answerer) -> Option<Box<Self>> {
        if traced || log::is_observed() { Some(Self::new(answerer)) } else { None }
    }

    #[cold]
    fn new(answerer: Answerer) -> Box<Self> {
        log::subscribe();
        let span = tracing::info_span!(
            target: "gangway", "request", kind = answerer.word(), application = Empty, backend = Empty, script = Empty,
            request_id = Empty, traceparent = Empty, status = Empty, queue_us = Empty, run_us = Empty
        );
        Box::new(Self { span, answerer, arrived: Instant::now(), notes: Mutex::default() })
    }

    /// Who is to answer it.
    #[must_use]
    pub fn answerer(&self) -> Answerer {
        self.answerer
    }

    /// Which request it is, by the variables that its answerer gets.
    pub fn identify(&self, variables: &Fields) {
        let value = |wanted: &[u8]| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| escape(value))
        };
        let request_id = REQUEST_ID.into_iter().find_map(value);
        self.span.record("request_id", request_id.as_deref());
        self.span.record("traceparent", value(b"HTTP_TRACEPARENT"));
        lock(&self.notes).request_id = request_id;
    }

    /// Who it is for. Of several backends that are asked the last one stays.
    pub fn name(&self, name: String) {
        self.span.record(self.answerer.word(), name.as_str());
        lock(&self.notes).name = Some(name);
    }

    /// Its turn has come: what it waits from now on is its answerer's time. It begins once.
    pub fn begin(&self) {
        let mut notes = lock(&self.notes);
        if notes.began.is_none() {
            let queue_us = micros(self.arrived);
            notes.began = Some((Instant::now(), queue_us));
            self.span.record("queue_us", queue_us);
        }
    }

    /// It has been answered with this status.
    pub fn start(&self, status: u16) {
        lock(&self.notes).status = Some(status);
    }

    /// The response has ended, as it was begun or with `instead`, a status of the server's own. Its log has a line of that,
    /// at debug.
    pub fn end(&self, instead: Option<u16>, log: &dyn RequestLog) {
        let line = self.ended(instead);
        self.within(|| report!(*log, Debug, None, "{line}"));
    }

    fn ended(&self, instead: Option<u16>) -> String {
        let notes = lock(&self.notes);
        let status = instead.or(notes.status).unwrap_or(500);
        self.span.record("status", status);
        let mut line = format!("the response has ended: status={status}");
        if let Some(name) = &notes.name {
            line += &format!(" {}={name}", self.answerer.word());
        }
        if let Some((began, queue_us)) = notes.began {
            let run_us = micros(began);
            self.span.record("run_us", run_us);
            line += &format!(" queue_us={queue_us} run_us={run_us}");
        }
        if let Some(id) = &notes.request_id {
            line += &format!(" request_id={id}");
        }
        line
    }

    /// What is done for the request: lines that are written meanwhile are events of its span.
    pub fn within<R>(&self, body: impl FnOnce() -> R) -> R {
        self.span.in_scope(body)
    }
}

/// What is done for a request that may have a trace.
#[inline]
pub fn within<R>(trace: Option<&Trace>, body: impl FnOnce() -> R) -> R {
    match trace {
        Some(trace) => trace.within(body),
        None => body(),
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}
