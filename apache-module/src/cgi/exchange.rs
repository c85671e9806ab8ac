// SPDX-License-Identifier: MIT OR Apache-2.0
//! One script's three pipes and httpd's filters. Nothing waits for one of them alone, so no order in which a script reads
//! and writes can make it hang. What is to be done with what they give, [`Relay`] knows.

use std::{ffi::c_int, time::Instant};

use gangway::{
    config::Cgi,
    exchange::End,
    log::escape,
    run::{BriefRuns, Extent, Relay, RelayStep, ScriptAction},
    sys::{
        pipe::{Got, drain, read_now},
        spawner::Pipes,
    },
};

use super::{client::Running, feed::Feed};
use crate::{
    raw::{OK, Request, ScriptRequest, Session},
    reply::Progress,
};

/// Bytes that are read at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// Bytes that are read until a script has shown that it writes more.
const FIRST_CHUNK: usize = 4096;
/// A script that floods its standard error must not keep its output from being read.
const READS: usize = 8;

pub(super) fn serve(
    session: Session<'_>,
    cgi: &Cgi,
    runs: &BriefRuns,
    (running, mut pipes): (Running, Pipes),
    file: &[u8],
) -> c_int {
    let request = session.request();
    let label = format!("{} {}", escape(request.method()), escape(request.original_target()));
    let mut exchange = ScriptExchange {
        request,
        session,
        abort: cgi.abort(),
        relay: Relay::new(cgi, runs, file, label, request.is_head(), Instant::now()),
        progress: Progress::default(),
        feed: Feed::new(pipes.stdin.take()),
        is_reset: false,
        buffer: vec![0; FIRST_CHUNK],
        running,
        pipes,
    };
    let answer = exchange.pump();
    exchange.leave(answer.extent);
    answer.status
}

/// What poll(2) has shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Ready {
    pub(super) stdout: bool,
    /// Nobody can write any more: what the pipe holds is the rest.
    pub(super) hung_up: bool,
    pub(super) stderr: bool,
}

/// What httpd's handler answers, and how much of the script's response has been sent.
pub(super) struct Answer {
    pub(super) status: c_int,
    pub(super) extent: Extent,
}

pub(super) struct ScriptExchange<'r, 'c> {
    pub(super) request: Request<'r>,
    session: Session<'r>,
    /// Whether a client that leaves ends the script.
    pub(super) abort: bool,
    pub(super) relay: Relay<'c>,
    progress: Progress,
    pub(super) feed: Feed,
    /// No answer can reach the client any more.
    pub(super) is_reset: bool,
    /// Output is read into it.
    buffer: Vec<u8>,
    pub(super) running: Running,
    pub(super) pipes: Pipes,
}

impl ScriptExchange<'_, '_> {
    fn pump(&mut self) -> Answer {
        // A script that has just been started has said nothing yet.
        let mut ready = Ready::default();
        loop {
            match self.turn(ready) {
                Ok(next) => ready = next,
                Err(answer) => return answer,
            }
        }
    }

    /// Does all that can be done now, and sleeps until there is more. The end of it is an error.
    fn turn(&mut self, ready: Ready) -> Result<Ready, Answer> {
        let wants_client = self.feed.go_on(&mut self.session, &mut self.relay);
        if ready.stderr {
            self.take_errors();
        }
        if ready.stdout {
            self.take_output(ready.hung_up)?;
        }
        if let Some(end) = self.running.end.get() {
            self.take_errors();
            self.relay.handle_end(end, Instant::now());
        }
        let until = self.act()?;
        self.wait(wants_client, until)
    }

    /// Does what the script's life asks for. Answers until when nothing is to be done.
    fn act(&mut self) -> Result<Option<Instant>, Answer> {
        self.relay.handle_time(Instant::now());
        loop {
            match self.relay.poll() {
                RelayStep::Log(line) => line.tell(&self.request),
                RelayStep::Kill => self.running.kill(),
                // The server invites the body itself, for who expects that.
                RelayStep::Interim(100, _) => {}
                RelayStep::Interim(status, fields) => self.request.answer_meanwhile(status, fields.iter()),
                RelayStep::Send(delivery) => {
                    let sent = self.progress.send(&mut self.session, delivery);
                    self.relay.handle_sent(Instant::now());
                    if sent.is_err() {
                        return Err(Answer { status: OK, extent: Extent::Part });
                    }
                }
                RelayStep::Finish(delivery) => {
                    let is_whole = delivery.end == Some(End::Complete);
                    let status = self.progress.finish(&mut self.session, delivery);
                    let extent = if is_whole { Extent::Whole } else { Extent::Part };
                    return Err(Answer { status, extent });
                }
                RelayStep::Answer(status) => {
                    let status = self.feed.failure.unwrap_or_else(|| c_int::from(status));
                    return Err(Answer { status, extent: Extent::Part });
                }
                RelayStep::Redirect(target) => {
                    self.take_errors();
                    let status = self.request.redirect_locally(&target);
                    return Err(Answer { status, extent: Extent::Part });
                }
                RelayStep::WaitUntil(until) => return Ok(until),
            }
        }
    }

    fn take_errors(&mut self) {
        let Some(stderr) = &self.pipes.stderr else { return };
        if !drain(stderr, READS, |bytes| self.relay.handle_stderr(bytes)) {
            self.relay.handle_stderr_end();
            self.pipes.stderr = None;
        }
    }

    /// Reads what the script has written; what is much leaves at once.
    fn take_output(&mut self, hung_up: bool) -> Result<(), Answer> {
        loop {
            match read_now(&self.pipes.stdout, &mut self.buffer) {
                Got::Bytes(count) => {
                    let bytes = self.buffer.get(..count).unwrap_or_default();
                    self.relay.handle_output(bytes, Instant::now());
                    let is_full = count == self.buffer.len();
                    // A pipe gives all that it has.
                    if !is_full && !hung_up {
                        return Ok(());
                    }
                    if is_full {
                        self.buffer.resize(CHUNK, 0);
                        self.act()?;
                    }
                }
                Got::Later => return Ok(()),
                Got::End => {
                    self.relay.handle_output_end(Instant::now());
                    return Ok(());
                }
            }
        }
    }

    /// Hands on what the script still does.
    fn leave(mut self, extent: Extent) {
        self.feed.end();
        self.take_errors();
        let now = Instant::now();
        if let Some(end) = self.running.end.get() {
            self.relay.handle_end(end, now);
        }
        let mut life = self.relay.leave(extent, now);
        let mut drains = false;
        loop {
            match life.poll() {
                ScriptAction::Log(line) => line.tell(&self.request),
                ScriptAction::Kill => self.running.kill(),
                ScriptAction::Drain => drains = true,
                ScriptAction::Forget => return,
                ScriptAction::WaitUntil(_) => break,
                // The request has its answer.
                ScriptAction::Answer(_) | ScriptAction::EndOutput => {}
            }
        }
        let Pipes { stdout, stderr, .. } = self.pipes;
        self.running.client.adopt(&self.running, life, drains.then_some(stdout), stderr);
    }
}
