// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of a script whose output is read as a response here, for a server that does not read heads itself and has no
//! timers.

use std::{collections::VecDeque, time::Instant};

use super::{
    BriefRuns, Extent, ScriptAction, ScriptEnd, ScriptLife,
    brief::BriefWatch,
    document::{Document, Part},
};
use crate::{
    cgi::Form,
    config::Cgi,
    error::{TOO_LONG, TOO_SHORT},
    exchange::{Delivery, End},
    http::Fields,
    log::{Level, Line},
};

/// What the server is to do.
pub enum RelayStep {
    /// Write a line of the request.
    Log(Line),
    /// End the script and its group: TERM, and KILL after [`ScriptLife::GRACE`].
    Kill,
    /// Send an interim head.
    Interim(u16, Fields),
    /// Send a part of the response, then say so with [`Relay::handle_sent`].
    Send(Delivery),
    /// Send the last part of the response: nothing follows.
    Finish(Delivery),
    /// Answer with this status, nothing has been sent: nothing follows.
    Answer(u16),
    /// Answer with another document (RFC 3875 §6.2.2): nothing follows.
    Redirect(Vec<u8>),
    /// Nothing is to be done before this time, or before something happens: call [`Relay::handle_time`] then.
    WaitUntil(Option<Instant>),
}

/// See the module.
#[derive(Debug)]
pub struct Relay<'r> {
    life: ScriptLife,
    document: Document,
    brief: BriefWatch<'r>,
    steps: Steps,
}

#[derive(Default)]
struct Steps {
    queue: VecDeque<RelayStep>,
    /// The client has its answer, and the server is to leave.
    answered: bool,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("len", &self.queue.len()).field("answered", &self.answered).finish()
    }
}

impl Steps {
    fn push(&mut self, step: RelayStep) {
        self.queue.push_back(step);
    }

    fn answer(&mut self, step: RelayStep) {
        if !std::mem::replace(&mut self.answered, true) {
            self.queue.push_back(step);
        }
    }
}

impl<'r> Relay<'r> {
    /// A script that has just been sent to the helper, for a request with these words. `is_head`: it is HEAD.
    #[must_use]
    pub fn new(
        cgi: &Cgi,
        runs: &'r BriefRuns,
        file: &[u8],
        label: String,
        is_head: bool,
        now: Instant,
    ) -> Self {
        let mut life = ScriptLife::new(cgi, file, label, now).watching_silence();
        life.begin(now);
        Self {
            life,
            document: Document::new(Form::of(file), cgi.head_size(), is_head),
            brief: BriefWatch::new(runs, now),
            steps: Steps::default(),
        }
    }

    /// Whether the head has been given to the server.
    #[must_use]
    pub fn has_sent_head(&self) -> bool {
        self.document.has_left()
    }

    /// Whether the output may wait for its end, so that reading it now would only cost time.
    #[must_use]
    pub fn waits_for_end_alone(&self) -> bool {
        self.brief.until().is_some()
    }

    /// Whether the output has ended without a head and nothing is wanted but the cause.
    #[must_use]
    pub fn awaits_cause(&self) -> bool {
        self.life.awaits_cause()
    }

    /// The script has given output.
    pub fn handle_output(&mut self, mut bytes: &[u8], now: Instant) {
        if self.life.has_output_ended() {
            return;
        }
        self.life.handle_progress(now);
        self.brief.received(bytes.len());
        while !self.steps.answered {
            match self.document.take(&mut bytes, now) {
                Part::More => break,
                Part::Interim(status, fields) => self.steps.push(RelayStep::Interim(status, fields)),
                Part::Head => self.life.handle_head(),
                Part::Excess => {
                    let script = self.life.script();
                    let text = format!("{script} writes more than its Content-Length; the rest is dropped");
                    self.steps.push(RelayStep::Log(Line { level: Level::Warn, code: TOO_LONG, text }));
                }
                // The client need not wait for the script's end.
                Part::Whole => self.finish(),
                Part::Redirect(target) => {
                    // What ends now is no output without a head.
                    self.life.handle_head();
                    self.life.kill();
                    self.take_actions();
                    self.steps.answer(RelayStep::Redirect(target));
                }
                Part::Refused(why, start) => {
                    self.life.handle_refused_head(&why, &start);
                    self.take_actions();
                    break;
                }
            }
        }
    }

    /// Its output has ended.
    pub fn handle_output_end(&mut self, now: Instant) {
        self.brief.ended(now);
        self.life.handle_output_end(self.document.head_start(), now);
        self.take_actions();
        if self.document.has_head() && !self.steps.answered {
            self.finish();
        }
    }

    /// It has taken a part of the request body.
    pub fn handle_input(&mut self, now: Instant) {
        self.life.handle_progress(now);
    }

    /// The body cannot be read, and this is the status for it.
    pub fn handle_body_failed(&mut self, status: u16) {
        self.life.kill();
        self.take_actions();
        self.answer(status);
    }

    /// It has written to its standard error.
    pub fn handle_stderr(&mut self, bytes: &[u8]) {
        self.life.handle_stderr(bytes);
    }

    /// Its standard error has ended.
    pub fn handle_stderr_end(&mut self) {
        self.life.handle_stderr_end();
    }

    /// It is known what has become of it. Whatever there is of its standard error has been read.
    pub fn handle_end(&mut self, end: ScriptEnd, now: Instant) {
        self.life.handle_end(end, now);
    }

    /// The client has taken a part: what it makes us wait for is not the script's time.
    pub fn handle_sent(&mut self, now: Instant) {
        self.life.handle_progress(now);
    }

    /// All that has happened is said, and this is the time.
    pub fn handle_time(&mut self, now: Instant) {
        if self.steps.answered {
            return;
        }
        self.brief.handle_time(now);
        self.life.handle_time(now);
        if self.take_actions() {
            self.handle_output_end(now);
        }
        if !self.steps.answered
            && let Some(delivery) = self.document.take_due(now)
        {
            self.steps.push(RelayStep::Send(delivery));
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> RelayStep {
        self.take_actions();
        self.steps.queue.pop_front().unwrap_or_else(|| {
            let times = [self.life.deadline(), self.document.due(), self.brief.until()];
            RelayStep::WaitUntil(times.into_iter().flatten().min())
        })
    }

    /// The request leaves the script, which goes on with its standard error and perhaps its output.
    #[must_use]
    pub fn leave(mut self, extent: Extent, now: Instant) -> ScriptLife {
        self.take_actions();
        let actions = self.steps.queue.into_iter().filter_map(|step| match step {
            RelayStep::Log(line) => Some(ScriptAction::Log(line)),
            RelayStep::Kill => Some(ScriptAction::Kill),
            _ => None,
        });
        self.life.resume(actions);
        self.life.leave(extent, now);
        self.life
    }

    /// Answers whether the output is to end.
    fn take_actions(&mut self) -> bool {
        let mut ends = false;
        while let Some(action) = self.life.next_action() {
            match action {
                ScriptAction::Log(line) => self.steps.push(RelayStep::Log(line)),
                ScriptAction::Kill => self.steps.push(RelayStep::Kill),
                ScriptAction::Answer(status) => self.answer(status),
                ScriptAction::EndOutput => ends = true,
                // Those follow on the request's leave.
                ScriptAction::Drain | ScriptAction::WaitUntil(_) | ScriptAction::Forget => {}
            }
        }
        ends
    }

    fn answer(&mut self, status: u16) {
        self.steps.answer(if self.document.has_left() {
            RelayStep::Finish(Delivery { end: Some(End::Failed), ..Delivery::default() })
        } else {
            RelayStep::Answer(status)
        });
    }

    fn finish(&mut self) {
        let (missing, script) = (self.document.missing(), self.life.script());
        let mut end = End::Complete;
        if missing > 0 {
            let text = format!("{script} ended {missing} bytes before its Content-Length");
            self.steps.push(RelayStep::Log(Line::error(TOO_SHORT, text)));
            end = End::Failed;
        }
        self.steps.answer(RelayStep::Finish(self.document.take_all(Some(end))));
    }
}

#[cfg(test)]
mod tests;
