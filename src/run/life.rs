// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of one script, from its place in the queue to the end of the last that others hold open: time limits, quiet
//! ends, lines of the log, and what its client gets when it gives no response.
//!
//! Servers push in what happens with `begin`, `handle_*` and `leave`, then do what [`ScriptLife::poll`] says until it says how
//! long nothing needs to be done. Nothing here reads a clock or a descriptor.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Lines;
use crate::{
    config::Cgi,
    error::{CGI_FAILED, CGI_HEAD, CGI_SPAWNER, CGI_STDERR, CGI_TIMEOUT},
    log::{Level, Line, escape},
    sys::spawner::{Exit, Failure},
};

/// How long the output or the standard error of a script that has ended may be silent, when others hold it open.
const QUIET: Duration = Duration::from_secs(1);
/// How long the cause of an empty answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a script's output that a line of the log quotes.
const EXCERPT: usize = 200;

const FORBIDDEN: u16 = 403;
const INTERNAL_SERVER_ERROR: u16 = 500;
const BAD_GATEWAY: u16 = 502;
const SERVICE_UNAVAILABLE: u16 = 503;
const GATEWAY_TIME_OUT: u16 = 504;

/// What has become of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// It has ended.
    Exited(Exit),
    /// It did not begin.
    NotStarted(Failure),
    /// The helper has ended, and with it its scripts.
    HelperLost,
}

impl From<Result<Exit, Failure>> for ScriptEnd {
    fn from(outcome: Result<Exit, Failure>) -> Self {
        outcome.map_or_else(Self::NotStarted, Self::Exited)
    }
}

/// How much of a response the server has taken when it leaves the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Its head, and nobody wants its body.
    Head,
    /// A part: the client has left, or the server has given up.
    Part,
}

/// What the server is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ScriptAction {
    /// Write a line: of the request as long as there is one, then of the process.
    Log(Line),
    /// End the script and its group: TERM, and KILL after [`ScriptLife::GRACE`].
    Kill,
    /// Answer with this status. A response that has begun is cut.
    Answer(u16),
    /// Take the output for ended although others hold it open, and say so with [`ScriptLife::handle_output_end`].
    EndOutput,
    /// Read the output and drop it: the script may go on.
    Drain,
    /// Nothing is to be done before this time, or before something happens: call [`ScriptLife::handle_time`] then.
    WaitUntil(Option<Instant>),
    /// Close what is still open: nothing more comes of this script.
    Forget,
}

/// ```text
/// Queued --begin--> Head --head--> Body ---------output ends--------\
///                    |  \--output ends--> Headless --cause or time--> Answered
///                    \--refused, silent, not started-------------------/
/// any of them --leave--> Alone --ended, and standard error too--> Over
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
enum ScriptStage {
    /// It waits for a place, or for its server to start it.
    Queued,
    /// Its response head is read.
    Head,
    /// Its output has ended before its head: until when the cause is waited for, and what it printed.
    Headless { until: Instant, start: Vec<u8> },
    /// Its head is whole.
    Body,
    /// Its request needs nothing more of it.
    Answered,
    /// Its request has left.
    Alone,
    /// Nothing more comes of it.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// The server has been told to take it for ended.
    Quiet,
    Ended,
}

/// See the module.
#[derive(Debug)]
pub struct ScriptLife {
    /// The script's file, escaped.
    script: String,
    /// The request in words, for lines that come after it.
    label: String,
    timeout: Option<Duration>,
    /// Whether a client that leaves ends the script.
    abort: bool,
    /// Of the lines of standard error; `None`: nobody reads it.
    stderr_level: Option<Level>,
    /// Whether the time of silence is watched here, not by the server.
    watches_silence: bool,
    stage: ScriptStage,
    output: Output,
    stderr_open: bool,
    end: Option<ScriptEnd>,
    killed: bool,
    /// Since when time counts: the last output or input, the script's end, the request's leave.
    since: Instant,
    lines: Lines,
    actions: VecDeque<ScriptAction>,
}

impl ScriptLife {
    /// How long a script that was told to end may take, before it is killed.
    pub const GRACE: Duration = Duration::from_secs(5);

    /// A script that is to run, for a request with these words.
    #[must_use]
    pub fn new(cgi: &Cgi, file: &[u8], label: String, now: Instant) -> Self {
        Self {
            script: escape(file),
            label,
            timeout: cgi.timeout(),
            abort: cgi.abort(),
            stderr_level: cgi.stderr_level(),
            watches_silence: false,
            stage: ScriptStage::Queued,
            output: Output::Open,
            stderr_open: false,
            end: None,
            killed: false,
            since: now,
            lines: Lines::default(),
            actions: VecDeque::new(),
        }
    }

    /// For a server without timers of its own: it asks for [`ScriptLife::handle_silence`] itself.
    #[must_use]
    pub(super) fn watching_silence(mut self) -> Self {
        self.watches_silence = true;
        self
    }

    /// The script's file, escaped.
    #[must_use]
    pub fn script(&self) -> &str {
        &self.script
    }

    /// Whether the script has been sent to the helper, so that its time counts and its place is taken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.stage != ScriptStage::Queued
    }

    /// Whether it is not known yet what has become of it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.has_begun() && self.end.is_none()
    }

    /// Whether the output has ended without a head and nothing is wanted but the cause.
    #[must_use]
    pub fn awaits_cause(&self) -> bool {
        matches!(self.stage, ScriptStage::Headless { .. })
    }

    pub(super) fn has_output_ended(&self) -> bool {
        self.output == Output::Ended
    }

    /// The script has been sent to the helper.
    pub fn begin(&mut self, now: Instant) {
        if self.stage == ScriptStage::Queued {
            (self.stage, self.stderr_open, self.since) =
                (ScriptStage::Head, self.stderr_level.is_some(), now);
        }
    }

    /// The script has given output or taken input, or what its client took is not its time.
    pub fn handle_progress(&mut self, now: Instant) {
        // What others write after its end does not make it last.
        if self.stage != ScriptStage::Alone || self.end.is_none() {
            self.since = now;
        }
    }

    /// The head of its response is whole and good.
    pub fn handle_head(&mut self) {
        if self.stage == ScriptStage::Head {
            self.stage = ScriptStage::Body;
        }
    }

    /// Its head is refused; it began like this. The script may go on: what it says on standard error is often the explanation.
    pub fn handle_refused_head(&mut self, why: &str, start: &[u8]) {
        if matches!(self.stage, ScriptStage::Head | ScriptStage::Body) {
            let (script, start) = (&self.script, escape(excerpt(start)));
            let text = format!("{script}: {why}; it began with \"{start}\"");
            self.actions.push_back(ScriptAction::Log(Line::error(CGI_HEAD, text)));
            self.answer(BAD_GATEWAY);
        }
    }

    /// Its output has ended. `start` is what it has printed of a head that is not whole.
    pub fn handle_output_end(&mut self, start: &[u8], now: Instant) {
        if self.output == Output::Ended || !self.has_begun() {
            return;
        }
        self.output = Output::Ended;
        match (&self.stage, self.end) {
            // An answer of nothing has a cause, which the helper is about to tell.
            (ScriptStage::Head, None) => {
                self.stage = ScriptStage::Headless { until: now + PATIENCE, start: excerpt(start).to_vec() };
            }
            (ScriptStage::Head, Some(_)) => self.conclude(excerpt(start)),
            (ScriptStage::Body, Some(ScriptEnd::HelperLost)) => self.conclude(&[]),
            (ScriptStage::Body, _) => self.stage = ScriptStage::Answered,
            _ => {}
        }
    }

    /// It has written to its standard error.
    pub fn handle_stderr(&mut self, bytes: &[u8]) {
        if self.stderr_open {
            self.take_lines(|lines, write| lines.take(bytes, write));
        }
    }

    /// Its standard error has ended.
    pub fn handle_stderr_end(&mut self) {
        if self.stderr_open {
            self.take_lines(|lines, write| lines.finish(write));
            self.stderr_open = false;
            self.forget_if_over();
        }
    }

    fn take_lines(&mut self, take: impl FnOnce(&mut Lines, &mut dyn FnMut(&[u8]))) {
        let (script, level) = (&self.script, self.stderr_level.unwrap_or(Level::Error));
        let label = (self.stage == ScriptStage::Alone).then_some(&self.label);
        let actions = &mut self.actions;
        take(&mut self.lines, &mut |line| {
            let mut text = format!("{script}: {}", escape(line));
            if let Some(label) = label {
                text.extend([" [", label, "]"]);
            }
            actions.push_back(ScriptAction::Log(Line { level, code: CGI_STDERR, text }));
        });
    }

    /// It is known what has become of it. Whatever there is of its standard error has been read.
    pub fn handle_end(&mut self, end: ScriptEnd, now: Instant) {
        if !self.is_running() {
            return;
        }
        self.end = Some(end);
        match std::mem::replace(&mut self.stage, ScriptStage::Answered) {
            ScriptStage::Headless { start, .. } => self.conclude(&start),
            ScriptStage::Head if matches!(end, ScriptEnd::NotStarted(_)) => self.conclude(&[]),
            stage => (self.stage, self.since) = (stage, now),
        }
        self.forget_if_over();
    }

    /// The server's own timer says that the script has given no output for its timeout.
    pub fn handle_silence(&mut self) {
        if matches!(self.stage, ScriptStage::Head | ScriptStage::Headless { .. } | ScriptStage::Body) {
            let (script, seconds) = (&self.script, self.timeout.unwrap_or_default().as_secs_f32());
            let text = format!(
                "{script} gave no output for {seconds}s; it is ended; if it needs longer, raise timeout="
            );
            self.actions.push_back(ScriptAction::Log(Line::error(CGI_TIMEOUT, text)));
            self.kill();
            self.answer(GATEWAY_TIME_OUT);
        }
    }

    /// A time that [`ScriptAction::WaitUntil`] named may have come.
    pub fn handle_time(&mut self, now: Instant) {
        if self.deadline().is_none_or(|at| now < at) {
            return;
        }
        match (&mut self.stage, self.end) {
            (ScriptStage::Headless { start, .. }, _) => {
                let start = std::mem::take(start);
                self.conclude(&start);
            }
            (ScriptStage::Alone, Some(_)) => self.handle_stderr_end(),
            (ScriptStage::Alone, None) => {
                let text = format!(
                    "{} goes on after its output has ended, for longer than timeout=; it is ended",
                    self.script
                );
                self.actions.push_back(ScriptAction::Log(Line::error(CGI_TIMEOUT, text)));
                self.kill();
            }
            (_, Some(_)) => {
                self.output = Output::Quiet;
                self.actions.push_back(ScriptAction::EndOutput);
            }
            (_, None) => self.handle_silence(),
        }
    }

    /// Ends the script, for a cause that its server knows.
    pub fn kill(&mut self) {
        if self.is_running() && !self.killed {
            self.killed = true;
            self.actions.push_back(ScriptAction::Kill);
        }
    }

    /// Its request leaves it.
    pub fn leave(&mut self, extent: Extent, now: Instant) {
        if matches!(self.stage, ScriptStage::Alone | ScriptStage::Over) {
            return;
        }
        if !self.has_begun() {
            self.stage = ScriptStage::Over;
            return;
        }
        self.actions.retain(|action| !matches!(action, ScriptAction::Answer(_) | ScriptAction::EndOutput));
        let goes_on = self.is_running() && !self.killed && self.output == Output::Open;
        match (&self.stage, extent) {
            _ if !goes_on => {}
            (ScriptStage::Head, _) => self.kill(),
            (ScriptStage::Body, Extent::Part) if self.abort => self.kill(),
            // Without a reader it would be ended by its next write.
            (_, Extent::Head) => self.actions.push_back(ScriptAction::Drain),
            _ if !self.abort => self.actions.push_back(ScriptAction::Drain),
            _ => {}
        }
        (self.stage, self.since) = (ScriptStage::Alone, now);
        self.forget_if_over();
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> ScriptAction {
        match self.next_action() {
            Some(action) => action,
            None if self.stage == ScriptStage::Over => ScriptAction::Forget,
            None => ScriptAction::WaitUntil(self.deadline()),
        }
    }

    /// Puts actions first that were taken and not done.
    pub(super) fn resume(&mut self, actions: impl DoubleEndedIterator<Item = ScriptAction>) {
        actions.rev().for_each(|action| self.actions.push_front(action));
    }

    pub(super) fn next_action(&mut self) -> Option<ScriptAction> {
        self.actions.pop_front()
    }

    /// The next time at which something must be decided without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let silence = || self.timeout.and_then(|timeout| self.since.checked_add(timeout));
        match &self.stage {
            ScriptStage::Queued | ScriptStage::Answered | ScriptStage::Over => None,
            ScriptStage::Headless { until, .. } => Some(*until),
            ScriptStage::Head | ScriptStage::Body => match self.end {
                Some(_) => (self.output == Output::Open).then(|| self.since + QUIET),
                None => silence().filter(|_| self.watches_silence),
            },
            ScriptStage::Alone => match self.end {
                Some(_) => Some(self.since + QUIET),
                None => silence().filter(|_| !self.killed),
            },
        }
    }

    fn answer(&mut self, status: u16) {
        self.stage = ScriptStage::Answered;
        self.actions.push_back(ScriptAction::Answer(status));
    }

    /// There is no whole response: what was the matter?
    fn conclude(&mut self, start: &[u8]) {
        let script = &self.script;
        let headless = |how: &str| {
            if start.is_empty() {
                return format!("it printed nothing; {how}");
            }
            format!("its head has no end; {how}; it began with \"{}\"", escape(start))
        };
        let (code, what, status) = match self.end {
            Some(ScriptEnd::NotStarted(failure)) => (CGI_FAILED, failure.to_string(), status_of(&failure)),
            Some(ScriptEnd::HelperLost) => {
                (CGI_SPAWNER, "its helper process has ended".to_owned(), BAD_GATEWAY)
            }
            Some(ScriptEnd::Exited(exit)) => (CGI_HEAD, headless(&exit.to_string()), BAD_GATEWAY),
            None => (CGI_HEAD, headless("it has closed its output and goes on"), BAD_GATEWAY),
        };
        self.actions.push_back(ScriptAction::Log(Line::error(code, format!("{script}: {what}"))));
        self.answer(status);
    }

    fn forget_if_over(&mut self) {
        if self.stage == ScriptStage::Alone && self.end.is_some() && !self.stderr_open {
            self.stage = ScriptStage::Over;
        }
    }
}

fn status_of(failure: &Failure) -> u16 {
    match failure {
        _ if failure.is_refusal() => FORBIDDEN,
        _ if failure.is_shortage() => SERVICE_UNAVAILABLE,
        _ => INTERNAL_SERVER_ERROR,
    }
}

fn excerpt(start: &[u8]) -> &[u8] {
    start.get(..EXCERPT).unwrap_or(start)
}

#[cfg(test)]
mod tests;
