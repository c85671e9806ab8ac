// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a request while an attempt carries it: its body on the way out, its response on the way in, which leaves as that of
//! an application in this process does.

use std::{
    cell::{Cell, RefCell},
    ffi::c_int,
    fs::File,
    io::{self, Write},
    mem,
    ops::Range,
    time::{Duration, Instant},
};

use gangway::{
    cgi::{Form, ResponseError, ResponseParser},
    error::{BACKEND_STDERR, DEADLINE, SERVER_FAILED},
    exchange::{Delivery, End, FileSlice, Piece},
    http::{Fields, Head, is_connection_field, is_event_stream},
    log::{self, Level},
    protocol::{EndStatus, Protocol},
    report, report_at,
    supervise::HEAD_MOST,
    sys::explain,
};
use gangway_httpd::transfer::{AT_A_TIME, BodyQuota, Carried, Filled, Passed, Record, Then, Wire};

use crate::{
    raw::{self, BodyRead, Gangway, OK, Request, ScriptRequest, Session},
    reply::Progress,
};

/// How long the head of a program's response may be.
const HEAD_MAX: usize = 64 * 1024;

fn head_max(is_hosted: bool) -> usize {
    if is_hosted { HEAD_MOST } else { HEAD_MAX }
}
/// Bytes of a body that are read from httpd at a time.
const CHUNK: usize = 16 * 1024;
/// How much is kept of what an application says of a request.
const SAID: usize = 8 * 1024;

/// A request and its response.
pub(super) struct ManagedRequest<'r> {
    session: Session<'r>,
    /// All of the body has been taken.
    body_ended: bool,
    /// Bytes of the body have been taken that stand in no first part any more.
    chunk: Vec<u8>,
    parser: ResponseParser,
    /// The head, until it leaves.
    head: Option<Head>,
    has_head: bool,
    /// Something has been sent to the client already.
    pub(super) has_interim: bool,
    quota: BodyQuota,
    is_event_stream: bool,
    progress: Progress,
    /// The body of a response of which the client wants ranges: httpd's filter makes them of a whole one alone.
    spool: Option<Spool>,
    /// What the application, or its host, has said of this request in the log: the beginning.
    said: RefCell<Vec<u8>>,
    /// The level of its last line.
    level: Cell<Level>,
    /// The status of the response, 0 before.
    status: u16,
    is_hosted: bool,
    /// How long it may go on in a process of httpd that ends, and since when this one is known to.
    drains_within: Option<Duration>,
    ends_since: Cell<Option<Instant>>,
    /// The end of the response. It leaves when the process has been given back: a client that reads slowly, or asks at once for
    /// more, does not find it taken.
    last: Option<Delivery>,
}

impl<'r> ManagedRequest<'r> {
    /// One whose body is read from the session, unless it has `ended`.
    pub(super) fn new(
        session: Session<'r>,
        body_ended: bool,
        is_hosted: bool,
        drains_within: Option<Duration>,
    ) -> Self {
        Self {
            session,
            body_ended,
            chunk: Vec::new(),
            parser: ResponseParser::new(Form::Cgi, head_max(is_hosted)),
            head: None,
            has_head: false,
            has_interim: false,
            quota: BodyQuota::default(),
            is_event_stream: false,
            progress: Progress::default(),
            spool: None,
            said: RefCell::default(),
            level: Cell::new(Level::Error),
            status: 0,
            is_hosted,
            drains_within,
            ends_since: Cell::new(None),
            last: None,
        }
    }

    /// Whether nothing has come of a response that another process could not give instead.
    pub(super) fn is_untouched(&self) -> bool {
        !self.has_head && !self.has_interim
    }

    /// Whether a line of the application, or of its host, says already why its response is not whole.
    pub(super) fn is_explained(&self) -> bool {
        self.is_hosted && !self.said.borrow().is_empty()
    }

    /// The status of the response, 0 without one.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// What the host has said of a request that it has answered in the place of an application that took too long.
    pub(super) fn late_lines(&self) -> Option<Vec<u8>> {
        let said = self.said.borrow();
        let code = DEADLINE.to_string();
        let is_late = self.status == 504
            && self.is_hosted
            && said.windows(code.len()).any(|window| window == code.as_bytes());
        is_late.then(|| said.clone())
    }

    /// Forgets what an attempt has left: the response of another process comes.
    pub(super) fn begin_again(&mut self) {
        self.parser.reset(Form::Cgi, head_max(self.is_hosted));
    }

    /// Sends the end of a response that is whole. Answers what httpd's handler answers.
    pub(super) fn send_last(&mut self) -> c_int {
        let Some(mut last) = self.last.take() else { return OK };
        let is_unsized = last.head.as_ref().is_some_and(|head| head.content_length.is_none());
        if self.is_hosted && is_unsized && !last.pieces.is_empty() {
            // httpd finds out the length of what comes with its end. An application that names none has none, as in this process.
            let begun = Delivery {
                head: last.head.take(),
                pieces: mem::take(&mut last.pieces),
                ..Delivery::default()
            };
            if self.progress.pass_on(&mut self.session, begun).is_err() {
                return OK;
            }
        }
        self.progress.finish(&mut self.session, last)
    }

    /// Ends a response that is not whole so that the client sees it.
    pub(super) fn cut(&mut self) -> c_int {
        let cut = Delivery { end: Some(End::Failed), ..Delivery::default() };
        self.progress.finish(&mut self.session, cut)
    }

    fn end_head(&mut self) {
        let request = self.session.request();
        let found = self.parser.head();
        let mut fields = Fields::default();
        let is_own = |name: &[u8]| is_connection_field(name) || name.eq_ignore_ascii_case(b"content-length");
        for (name, value) in found.fields().filter(|(name, _)| !is_own(name)) {
            fields.push(name, value);
        }
        let (status, content_length) = (found.status(), found.content_length());
        self.quota = BodyQuota::new(content_length, request.is_head() || matches!(status, 204 | 304));
        self.is_event_stream = found.get(b"content-type").is_some_and(is_event_stream);
        let content_length = content_length.filter(|_| !matches!(status, 204 | 304));
        let wants_ranges = status == 200 && request.is_get() && request.header(c"Range").is_some();
        self.spool = (wants_ranges && self.quota.is_limited()).then(Spool::default);
        self.status = status;
        self.head = Some(Head { status, reason: found.reason().to_vec(), fields, content_length });
        self.has_head = true;
    }

    fn send_interim(&mut self) {
        let request = self.session.request();
        let found = self.parser.head();
        // The server invites the body itself, for who expects that.
        if found.status() != 100 && request.has_interim_responses() && !request.is_subrequest() {
            request.answer_meanwhile(found.status(), found.fields());
            self.has_interim = true;
        }
        self.parser.restart();
    }
}

impl<'r> Carried<'r> for ManagedRequest<'r> {
    type Module = Gangway;
    type Silence = ();

    fn request(&self) -> Request<'r> {
        self.session.request()
    }

    fn may_be_left(&self) -> bool {
        self.drains_within.is_some()
    }

    fn is_left(&self) -> bool {
        let Some(most) = self.drains_within.filter(|_| raw::is_stopping()) else { return false };
        let since = self.ends_since.get().unwrap_or_else(Instant::now);
        self.ends_since.set(Some(since));
        since.elapsed() >= most
    }

    fn body_ended(&self) -> bool {
        self.body_ended
    }

    fn fill(&mut self, out: &mut Vec<u8>, protocol: &dyn Protocol, wait: bool) -> Filled {
        let before = out.len();
        let mut record = Record::begin(out, protocol);
        let mut failure = None;
        self.chunk.resize(CHUNK, 0);
        while !self.body_ended && record.room() > 0 {
            let most = record.room().min(AT_A_TIME).min(CHUNK);
            let part = self.chunk.get_mut(..most).unwrap_or_default();
            let read = if wait && record.is_empty() {
                self.session.read(part).map(|count| match count {
                    0 => BodyRead::End,
                    count => BodyRead::Bytes(count),
                })
            } else {
                self.session.read_now(part)
            };
            match read {
                Ok(BodyRead::Bytes(count)) => record.extend(part.get(..count).unwrap_or_default()),
                Ok(BodyRead::End) => self.body_ended = true,
                Ok(BodyRead::Later) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        record.end();
        if let Some(error) = failure {
            return Filled::Failed(error);
        }
        if self.body_ended {
            out.extend_from_slice(protocol.body_end());
        }
        if out.len() == before && !self.body_ended { Filled::Nothing } else { Filled::Some }
    }

    fn feed(&mut self, output: &[u8], at: usize) -> Result<Range<usize>, ResponseError> {
        let (mut rest, mut begin) = (output, at);
        while !self.has_head {
            let Some(count) = self.parser.feed(rest)? else { return Ok(begin..begin) };
            rest = rest.get(count..).unwrap_or_default();
            begin += count;
            if self.parser.head().is_interim() {
                self.send_interim();
            } else {
                self.end_head();
            }
        }
        let admitted = self.quota.admit(self.session.request(), rest.len(), "the application");
        Ok(begin..begin + admitted)
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn is_forwarded(&self) -> bool {
        self.has_head
    }

    fn is_overfull(&self) -> bool {
        self.quota.is_exceeded()
    }

    fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    fn ends_well(&self, status: EndStatus) -> bool {
        !(self.is_hosted && status.is_broken())
    }

    fn finish(&self) -> Result<(), ResponseError> {
        self.parser.finish()
    }

    fn missing(&self) -> u64 {
        self.quota.missing()
    }

    fn pass<'p>(&mut self, pieces: impl Iterator<Item = &'p [u8]>, then: Then) -> Passed {
        let bytes = pieces.collect::<Vec<_>>().concat();
        if let Some(spool) = &mut self.spool {
            if let Err(error) = spool.add(self.session.request(), &bytes) {
                let why = explain(&error);
                report!(self.session.request(), Error, SERVER_FAILED, "a response cannot be kept: {why}");
                return Passed::Gone;
            }
            if then != Then::End {
                return Passed::Taken;
            }
        }
        let pieces = if let Some(spool) = self.spool.take() {
            spool.into_pieces()
        } else if bytes.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Copied(bytes)]
        };
        let delivery = Delivery { head: self.head.take(), pieces, ..Delivery::default() };
        let sent = match then {
            Then::End => {
                self.last = Some(Delivery { end: Some(End::Complete), ..delivery });
                return Passed::Taken;
            }
            // The caller does it: `cut`.
            Then::Cut => return Passed::Taken,
            Then::Flush => self.progress.send(&mut self.session, delivery),
            Then::More => self.progress.pass_on(&mut self.session, delivery),
        };
        match sent {
            Ok(()) => Passed::Taken,
            Err(_) if self.session.request().is_aborted() => Passed::Gone,
            Err(_) => Passed::Answered,
        }
    }

    fn log_line(&self, line: &[u8]) {
        let request = self.session.request();
        // The rest of a line that comes in parts has the level of its beginning.
        let (level, line) = if self.is_hosted { log::leveled(line) } else { (None, line) };
        let line = log::escape(line);
        let mut said = self.said.borrow_mut();
        if said.len() + line.len() < SAID {
            said.extend_from_slice(line.as_bytes());
            said.push(b'\n');
        }
        drop(said);
        if self.is_hosted {
            // Written as that of an application in this process.
            let level = level.unwrap_or_else(|| self.level.get());
            self.level.set(level);
            report_at!(request, level, None, "{line}");
        } else {
            report!(request, Error, BACKEND_STDERR, "{line}");
        }
    }

    fn watch(&self, _: &Wire) {}
}

/// A body that is kept until it is whole.
#[derive(Default)]
struct Spool {
    memory: Vec<u8>,
    file: Option<(File, u64)>,
}

impl Spool {
    /// What is more goes into a file.
    const IN_MEMORY: usize = 64 * 1024;

    fn add(&mut self, request: Request<'_>, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() <= Self::IN_MEMORY {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let (file, length) = match &mut self.file {
            Some(file) => file,
            None => {
                let begun = mem::take(&mut self.memory);
                let mut file = request.temporary_file()?;
                file.write_all(&begun)?;
                self.file.insert((file, begun.len() as u64))
            }
        };
        *length += bytes.len() as u64;
        file.write_all(bytes)
    }

    fn into_pieces(self) -> Vec<Piece> {
        match self.file {
            Some((file, len)) => vec![Piece::File(FileSlice { fd: file.into(), offset: 0, len })],
            None if self.memory.is_empty() => Vec::new(),
            None => vec![Piece::Copied(self.memory)],
        }
    }
}
