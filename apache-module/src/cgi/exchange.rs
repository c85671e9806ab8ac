// SPDX-License-Identifier: MIT OR Apache-2.0
//! One script's three pipes and httpd's filters. Nothing waits for one of them alone, so no order in which a script reads
//! and writes can make it hang.

use std::{
    ffi::c_int,
    io::{self, Read},
    time::{Duration, Instant},
};

use gangway::{
    cgi::{Form, Location, ResponseParser},
    config::Cgi,
    error::{CGI_FAILED, CGI_HEAD, CGI_SPAWNER, CGI_STDERR, CGI_TIMEOUT, TOO_LONG, TOO_SHORT},
    exchange::{Delivery, End, Piece},
    http::Head,
    log::{Level, escape},
    run::{Habit, Lines},
    sys::spawner::News,
};

use super::client::{Fate, Rest, Running};
use crate::{
    raw::{
        BAD_GATEWAY, FORBIDDEN, GATEWAY_TIME_OUT, INTERNAL_SERVER_ERROR, OK, Request, SERVICE_UNAVAILABLE,
        Session,
    },
    reply::Progress,
};

/// Bytes that are read at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// Bytes that are read until a script has shown that it writes more.
const FIRST_CHUNK: usize = 4096;
/// How long output waits for more. Most scripts end right after their last byte, and then head, body and end leave at
/// once.
pub(super) const GATHER: Duration = Duration::from_millis(2);
/// How long the output of a script that has ended may be silent, when others hold it open.
const QUIET: Duration = Duration::from_secs(1);
/// How long the cause of an empty answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a script's output that a line of the log quotes.
const EXCERPT: usize = 200;

pub(super) fn serve(
    session: Session<'_>,
    cgi: &Cgi,
    habit: &Habit,
    running: Running,
    file: &[u8],
    unsent: Option<Vec<u8>>,
) -> c_int {
    let name = file.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let form = if name.starts_with(b"nph-") { Form::Nph } else { Form::Cgi };
    let begun = Instant::now();
    let mut exchange = Exchange {
        request: session.request(),
        session,
        cgi,
        habit,
        script: escape(file),
        stage: Stage::Head(ResponseParser::new(form, cgi.head_size())),
        progress: Progress::default(),
        held: Vec::new(),
        gather_until: None,
        chunk: unsent.clone().unwrap_or_default(),
        written: 0,
        body_ended: unsent.is_some() || running.stdin.is_none(),
        lines: Lines::default(),
        last_news: begun,
        begun,
        brief_until: habit.is_brief().then(|| begun + Habit::BRIEF),
        is_reset: false,
        judged: false,
        received: 0,
        buffer: vec![0; FIRST_CHUNK],
        running,
    };
    let status = exchange.pump();
    exchange.leave();
    status
}

enum Stage {
    Head(ResponseParser),
    /// The head has not left yet; the bytes of the body that may still follow, if that is known.
    Body(Option<Box<Head>>, Option<u64>),
}

/// What reading the script's output gave.
enum Output {
    Bytes(usize),
    Later,
    End,
}

/// What poll(2) has shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Ready {
    pub(super) stdout: bool,
    /// Nobody can write any more: what the pipe holds is the rest.
    pub(super) hung_up: bool,
    pub(super) stderr: bool,
}

pub(super) struct Exchange<'r, 'c> {
    pub(super) request: Request<'r>,
    pub(super) session: Session<'r>,
    pub(super) cgi: &'c Cgi,
    pub(super) habit: &'c Habit,
    script: String,
    stage: Stage,
    pub(super) progress: Progress,
    /// Body bytes that wait for more.
    held: Vec<u8>,
    pub(super) gather_until: Option<Instant>,
    /// Bytes of the request body, and how many of them the script has.
    pub(super) chunk: Vec<u8>,
    pub(super) written: usize,
    pub(super) body_ended: bool,
    lines: Lines,
    /// When the script last said or took something.
    pub(super) last_news: Instant,
    begun: Instant,
    /// Until then its end alone is waited for.
    pub(super) brief_until: Option<Instant>,
    /// No answer can reach the client any more.
    pub(super) is_reset: bool,
    /// The habit knows of it.
    pub(super) judged: bool,
    /// Bytes of its output.
    received: usize,
    /// Output is read into it.
    buffer: Vec<u8>,
    pub(super) running: Running,
}

impl Exchange<'_, '_> {
    /// Answers what httpd's handler answers.
    fn pump(&mut self) -> c_int {
        // A script that has just been started has said nothing yet.
        let mut ready = Ready::default();
        loop {
            let wants_client = match self.feed() {
                Ok(wants_client) => wants_client,
                Err(status) => return self.give_up(status),
            };
            if ready.stderr {
                self.take_errors();
            }
            match self.take_output(ready) {
                Ok(None) => {}
                Ok(Some(status)) | Err(status) => return status,
            }
            if let Some(status) = self.look_at_clock() {
                return status;
            }
            ready = match self.wait(wants_client) {
                Ok(ready) => ready,
                Err(status) => return status,
            };
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.cgi.timeout().and_then(|timeout| self.last_news.checked_add(timeout))
    }

    /// Looks for the end of the script's time, and of a script whose output others hold open.
    fn look_at_clock(&mut self) -> Option<c_int> {
        let now = Instant::now();
        let fate = self.running.state.fate();
        if fate == Some(Fate::Lost) {
            return Some(self.fail());
        }
        if fate.is_some() && now.saturating_duration_since(self.last_news) >= QUIET {
            return Some(self.finish());
        }
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        let seconds = self.cgi.timeout().unwrap_or_default().as_secs_f32();
        let line = format!(
            "{CGI_TIMEOUT} {} gave no output for {seconds}s; it is ended; if it needs longer, raise timeout=",
            self.script
        );
        self.request.log(Level::Error, &line);
        Some(self.give_up(GATEWAY_TIME_OUT))
    }

    pub(super) fn client_left(&self) -> c_int {
        self.running.client.kill(self.running.id);
        OK
    }

    /// Ends the script. The client gets the status, or sees that its response is cut.
    fn give_up(&mut self, status: c_int) -> c_int {
        self.running.client.kill(self.running.id);
        if !self.progress.head_sent() {
            return status;
        }
        self.progress.finish(&mut self.session, Delivery { end: Some(End::Failed), ..Delivery::default() })
    }

    fn take_errors(&mut self) {
        let Some(stderr) = &mut self.running.stderr else { return };
        let (request, script) = (self.request, &self.script);
        let level = self.cgi.stderr_level().unwrap_or(Level::Error);
        let write = |line: &[u8]| request.log(level, &format!("{CGI_STDERR} {script}: {}", escape(line)));
        let mut buffer = [0; 4096];
        // A few times only: a script that floods its standard error must not keep its output from being read.
        for _ in 0..8 {
            match stderr.read(&mut buffer) {
                Ok(0) => {
                    self.lines.finish(write);
                    self.running.stderr = None;
                    return;
                }
                Ok(count) => self.lines.take(buffer.get(..count).unwrap_or_default(), write),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Reads what the script has written and passes on what need not wait. Answers at the end.
    fn take_output(&mut self, ready: Ready) -> Result<Option<c_int>, c_int> {
        let mut more = ready.stdout;
        while more {
            let mut buffer = std::mem::take(&mut self.buffer);
            match self.read_output(&mut buffer) {
                Output::Bytes(count) => {
                    self.last_news = Instant::now();
                    self.received = self.received.saturating_add(count);
                    let bytes = buffer.get(..count).unwrap_or_default();
                    if let Some(status) = self.take(bytes)? {
                        return Ok(Some(status));
                    }
                    // A pipe gives all that it has.
                    more = ready.hung_up || count == buffer.len();
                    if count == buffer.len() && count < CHUNK {
                        buffer = vec![0; CHUNK];
                    }
                }
                Output::Later => more = false,
                Output::End => {
                    if !self.judged {
                        self.habit.ended(self.begun.elapsed(), self.received);
                    }
                    return Ok(Some(self.finish()));
                }
            }
            self.buffer = buffer;
            if self.held.len() >= CHUNK {
                self.send()?;
            }
        }
        let has_output = !self.held.is_empty() || matches!(self.stage, Stage::Body(Some(_), _));
        match self.gather_until {
            None if has_output && self.may_gather() => self.gather_until = Some(Instant::now() + GATHER),
            Some(until) if Instant::now() < until => {}
            _ if has_output => self.send()?,
            _ => {}
        }
        Ok(None)
    }

    /// An event stream waits for nothing.
    fn may_gather(&self) -> bool {
        let Stage::Body(Some(head), _) = &self.stage else { return false };
        !head.fields.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case(b"content-type")
                && value.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
        })
    }

    fn read_output(&mut self, buffer: &mut [u8]) -> Output {
        loop {
            return match self.running.stdout.read(buffer) {
                Ok(0) => Output::End,
                Ok(count) => Output::Bytes(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Output::Later,
                Err(_) => Output::End,
            };
        }
    }

    /// Takes output. Answers when nothing of the script is wanted any more.
    fn take(&mut self, mut bytes: &[u8]) -> Result<Option<c_int>, c_int> {
        while let Stage::Head(parser) = &mut self.stage {
            let known = parser.raw().len();
            let used = match parser.feed(bytes) {
                Ok(None) => return Ok(None),
                Ok(Some(used)) => used,
                Err(error) => {
                    let start = [parser.raw().get(..known).unwrap_or_default(), bytes].concat();
                    return Err(self.refuse_head(&error.to_string(), &start));
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
            if let Some(status) = self.end_head()? {
                return Ok(Some(status));
            }
        }
        let Stage::Body(_, left) = &mut self.stage else { return Ok(None) };
        if let Some(left) = left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            if bytes.len() > most {
                let line = format!(
                    "{TOO_LONG} {} writes more than its Content-Length; the rest is dropped",
                    self.script
                );
                self.request.log(Level::Warn, &line);
                bytes = bytes.get(..most).unwrap_or_default();
            }
            *left -= bytes.len() as u64;
        }
        self.held.extend_from_slice(bytes);
        // Nothing can follow: the client need not wait for the script's end.
        if matches!(self.stage, Stage::Body(_, Some(0))) {
            return Ok(Some(self.finish()));
        }
        Ok(None)
    }

    /// A head is whole: an interim one is sent, a local redirect is followed, another one is kept.
    fn end_head(&mut self) -> Result<Option<c_int>, c_int> {
        let Stage::Head(parser) = &mut self.stage else { return Ok(None) };
        let head = parser.head();
        if head.is_interim() {
            if head.status() != 100 {
                self.request.send_interim(head.status(), head.fields());
            }
            parser.restart();
            return Ok(None);
        }
        if let Some(Location::Local(target)) = head.location() {
            let target = target.to_vec();
            self.running.client.kill(self.running.id);
            self.take_errors();
            return Ok(Some(self.request.redirect_locally(&target)));
        }
        match Head::check(head.status(), head.reason(), head.fields()) {
            Ok(head) => {
                let left = head.content_length.filter(|_| !self.request.is_head() && !head.forbids_body());
                self.stage = Stage::Body(Some(Box::new(head)), left);
                Ok(None)
            }
            Err(error) => {
                let start = parser.raw().to_vec();
                Err(self.refuse_head(&error.to_string(), &start))
            }
        }
    }

    fn refuse_head(&mut self, why: &str, start: &[u8]) -> c_int {
        let start = escape(start.get(..EXCERPT).unwrap_or(start));
        let line = format!("{CGI_HEAD} {}: {why}; it began with \"{start}\"", self.script);
        self.request.log(Level::Error, &line);
        // It may go on: what it says on standard error is often the explanation.
        self.take_errors();
        BAD_GATEWAY
    }

    /// Passes on what is held, now.
    fn send(&mut self) -> Result<(), c_int> {
        let delivery = self.delivery();
        let sent = self.progress.send(&mut self.session, delivery);
        // What the client makes us wait for is not the script's time.
        self.last_news = Instant::now();
        self.gather_until = None;
        if sent.is_err() {
            if self.cgi.abort() {
                return Err(self.client_left());
            }
            return Err(OK);
        }
        Ok(())
    }

    fn delivery(&mut self) -> Delivery {
        let head = match &mut self.stage {
            Stage::Body(head, _) => head.take().map(|head| *head),
            Stage::Head(_) => None,
        };
        let held = std::mem::take(&mut self.held);
        let pieces = if held.is_empty() { Vec::new() } else { vec![Piece::Copied(held)] };
        Delivery { head, pieces, end: None }
    }

    /// The output has ended.
    fn finish(&mut self) -> c_int {
        let left = match &self.stage {
            Stage::Head(_) => return self.fail(),
            Stage::Body(_, left) => left.unwrap_or(0),
        };
        let mut delivery = self.delivery();
        delivery.end = Some(End::Complete);
        if left > 0 {
            let line = format!("{TOO_SHORT} {} ended {left} bytes before its Content-Length", self.script);
            self.request.log(Level::Error, &line);
            delivery.end = Some(End::Failed);
        }
        self.progress.finish(&mut self.session, delivery)
    }

    /// The output has ended without a head: what was the matter?
    fn fail(&mut self) -> c_int {
        let fate = self.running.state.fate_within(PATIENCE);
        self.take_errors();
        let (line, status) = match fate {
            Some(Fate::News(News::Failed(failure))) => {
                let status = match failure {
                    _ if failure.is_refusal() => FORBIDDEN,
                    _ if failure.is_shortage() => SERVICE_UNAVAILABLE,
                    _ => INTERNAL_SERVER_ERROR,
                };
                (format!("{CGI_FAILED} {}: {failure}", self.script), status)
            }
            Some(Fate::Lost) => {
                (format!("{CGI_SPAWNER} {}: its helper process has ended", self.script), BAD_GATEWAY)
            }
            Some(Fate::News(News::Ended(exit))) => (self.headless(&exit.to_string()), BAD_GATEWAY),
            None => (self.headless("it has closed its output and goes on"), BAD_GATEWAY),
        };
        self.request.log(Level::Error, &line);
        if self.progress.head_sent() { self.give_up(status) } else { status }
    }

    fn headless(&self, how: &str) -> String {
        let start = match &self.stage {
            Stage::Head(parser) => parser.raw(),
            Stage::Body(..) => &[],
        };
        let start = start.get(..EXCERPT).unwrap_or(start);
        if start.is_empty() {
            return format!("{CGI_HEAD} {}: it printed nothing; {how}", self.script);
        }
        format!("{CGI_HEAD} {}: its head has no end; {how}; it began with \"{}\"", self.script, escape(start))
    }

    /// Hands on what the script still does.
    fn leave(mut self) {
        self.running.stdin = None;
        self.take_errors();
        let ended = self.running.state.fate().is_some();
        let wants_output = !self.cgi.abort() && !ended;
        if ended && self.running.stderr.is_none() {
            self.lines.finish(|_| ());
            return;
        }
        let Running { client, id, state, stdout, stderr, .. } = self.running;
        client.adopt(Rest {
            id,
            state,
            stdout: wants_output.then_some(stdout),
            stderr,
            lines: self.lines,
            level: self.cgi.stderr_level().unwrap_or(Level::Error),
            label: format!("{} {}", escape(self.request.method()), escape(self.request.original_target())),
            script: self.script,
            deadline: self.cgi.timeout().and_then(|timeout| Instant::now().checked_add(timeout)),
        });
    }
}
