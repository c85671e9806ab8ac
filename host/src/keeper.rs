// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first thread of the process: it waits for signals, looks at the clock while requests run, and takes requests into the
//! queue while every other thread runs one. When nothing runs it sleeps.

use std::{
    io::Write,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::{Duration, Instant},
};

use gangway::{
    engine::App,
    error::{RETIRED, STOP_TIMEOUT, STUCK},
    exchange::Cause,
    log::{self, Level},
    pool::Refusal,
    runtime::{Overdue, Runtime},
    supervise::LOST,
};

use crate::{
    notify,
    outgoing::Page,
    server::{Job, READ, Server},
    shown::{Doing, Shown},
    sys::Signals,
};

/// How often it looks while requests run.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an interrupted handler may take before its request is answered without it. Until then the lines that say where it
/// was go to the web server with the request.
const ANSWER_AFTER: Duration = Duration::from_millis(500);
/// How long before its thread counts as lost.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// How long requests that have not wholly come may take to do so when the process ends and nothing else is left to do.
const UNFINISHED: Duration = Duration::from_secs(1);
/// How long the application may take to end when there is no time left.
const HURRY: Duration = Duration::from_secs(1);
/// How long a process has that a server of ours looks after: it is killed five seconds after it was told to end.
const MANAGED_DRAIN: Duration = Duration::from_millis(4500);
/// What is left of the time for the end when handlers that still run are interrupted.
const LAST_PART: Duration = Duration::from_secs(5);

/// A request whose time is over.
struct Expired {
    job: Job,
    since: Instant,
    is_answered: bool,
    is_stuck: bool,
}

pub(crate) struct Keeper {
    pub(crate) server: Arc<Server>,
    pub(crate) runtime: Runtime,
    pub(crate) signals: Signals,
    /// How long requests may run on after the signal to end.
    pub(crate) drain: Duration,
    /// The socket is somebody else's, who starts another process when this one ends.
    pub(crate) is_replaced: bool,
    /// A server of ours looks after this process.
    pub(crate) is_managed: bool,
}

impl Keeper {
    /// Keeps the process until it is to end, and ends it. Answers whether all has ended well.
    pub(crate) fn keep(&self) -> bool {
        let mut buffer = vec![0; READ];
        let (mut expired, mut has_reported) = (Vec::new(), false);
        let config = self.server.application.config();
        let mut shown = self.is_managed.then(|| Shown::new(&config.spec().name, self.server.threads()));
        let cause = loop {
            if let Some(signal) = self.signals.take() {
                break format!("SIG{signal}");
            }
            if self.server.has_failed() {
                return false;
            }
            self.look(&mut expired, &mut buffer);
            if self.is_managed {
                self.report_loss(&expired, &mut has_reported);
            } else if self.is_replaced && expired.iter().any(|request: &Expired| request.is_stuck) {
                let what = self.server.application.loss().what;
                let name = &self.server.application.config().spec().name;
                let line = format_args!("{what} of {name} is lost: this process ends and is to be replaced");
                log::coded(Level::Error, RETIRED, line);
                break "a lost thread".to_owned();
            }
            let may_sleep = expired.is_empty() && self.server.keeper_may_sleep();
            if let Some(shown) = &mut shown {
                shown.show(self.server.doing());
            }
            self.wait(if may_sleep { None } else { Some(LOOK_EVERY) }, &mut buffer);
        };
        if let Some(shown) = &mut shown {
            shown.show(Doing::Ending);
        }
        notify::stopping();
        log::process(Level::Notice, &format!("gangway-host ends ({cause}): it finishes its requests"));
        self.end(&mut expired, &mut buffer)
    }

    /// Who looks after this process lets its other requests end, while another one takes its place.
    fn report_loss(&self, expired: &[Expired], has_reported: &mut bool) {
        if !*has_reported && expired.iter().any(|request| request.is_stuck) {
            *has_reported = true;
            // Without it the thread is missing, and nothing else.
            let _ = std::io::stderr().write_all(&[LOST, b"\n"].concat());
        }
    }

    /// Waits for a signal or the alarm; while every thread runs a handler also for events, which it takes into the queue.
    fn wait(&self, time: Option<Duration>, buffer: &mut [u8]) {
        let server = &self.server;
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let events = if server.is_saturated() { server.epoll().as_fd().as_raw_fd() } else { -1 };
        let mut entries = [entry(self.signals.as_raw_fd()), entry(server.alarm.as_raw_fd()), entry(events)];
        gangway::sys::poll(&mut entries, time);
        if entries[1].revents != 0 {
            server.alarm.take();
        }
        // An error is met by the other threads as well, who tell it.
        while entries[2].revents != 0
            && server.is_saturated()
            && let Ok(Some(woken)) = server.epoll().wait(Some(Duration::ZERO))
        {
            server.serve_meanwhile(woken, buffer);
        }
    }

    /// Looks at the requests that wait and run.
    fn look(&self, expired: &mut Vec<Expired>, buffer: &mut [u8]) {
        let server = &self.server;
        server.accept_again();
        server.close_lingering(Instant::now());
        let timeout = server.application.config().timeout();
        let now = Instant::now();
        let late =
            |job: &Job| timeout.is_some_and(|timeout| now.duration_since(job.port.clock().base()) >= timeout);
        for job in server.take_waiting(|job| job.exchange.cancelled().is_some() || late(job)) {
            if job.exchange.cancelled().is_none()
                && let Some(line) = server.application.refusal_line(Refusal::Deadline)
            {
                job.exchange.tell(&line);
            }
            job.exchange.cancel(Cause::Deadline);
            if let Some(next) = server.refuse(&job, Page::GatewayTimeout, buffer) {
                server.queue(next, buffer);
            }
        }
        let running = server.running();
        expired.retain(|old| running.iter().any(|job| Arc::ptr_eq(&job.exchange, &old.job.exchange)));
        if let Some(timeout) = timeout {
            for job in running {
                let is_silent =
                    job.port.clock().silent_since().is_some_and(|since| now.duration_since(since) >= timeout);
                if is_silent && job.exchange.cancelled().is_none() {
                    self.expire(job, now, expired);
                }
            }
        }
        for request in expired {
            self.press(request, now);
        }
    }

    /// A handler has given nothing for its time.
    fn expire(&self, job: Job, now: Instant, expired: &mut Vec<Expired>) {
        let application = &self.server.application;
        let age = now.duration_since(job.port.clock().base());
        if let Overdue::Silent(line) = application.overdue(&job.exchange, age) {
            job.exchange.tell(&line);
            job.exchange.cancel(Cause::Deadline);
            application.interrupt(&job.exchange);
            expired.push(Expired { job, since: now, is_answered: false, is_stuck: false });
        }
    }

    /// What becomes of a handler that was interrupted and still runs.
    fn press(&self, request: &mut Expired, now: Instant) {
        let ran = now.duration_since(request.since);
        if !request.is_answered && ran >= ANSWER_AFTER {
            request.is_answered = true;
            request.job.port.answer_instead(Page::GatewayTimeout);
        }
        if !request.is_stuck && ran >= STUCK_AFTER && App::is_running(&request.job.exchange) {
            request.is_stuck = true;
            let name = &self.server.application.config().spec().name;
            let (label, seconds) = (request.job.exchange.label(), STUCK_AFTER.as_secs());
            let text = format_args!(
                "{name} still runs {label} {seconds}s after {} until it ends",
                self.server.application.loss().how
            );
            log::coded(Level::Error, STUCK, text);
        }
    }

    /// Takes nothing more, finishes what has begun, and ends the application.
    fn end(&self, expired: &mut Vec<Expired>, buffer: &mut [u8]) -> bool {
        let drain = if self.is_managed { self.drain.min(MANAGED_DRAIN) } else { self.drain };
        let mut deadline = Instant::now() + drain;
        let server = &self.server;
        server.end();
        let mut quiet_since = Instant::now();
        while Instant::now() + LAST_PART.min(drain / 2) < deadline {
            let now = Instant::now();
            if !server.is_quiet() {
                quiet_since = now;
            } else if server.is_empty() || now.duration_since(quiet_since) >= UNFINISHED {
                break;
            }
            if self.signals.take().is_some() {
                log::process(Level::Notice, "a second signal: what still runs is interrupted");
                deadline = deadline.min(Instant::now() + HURRY);
                break;
            }
            self.look(expired, buffer);
            self.wait(Some(LOOK_EVERY / 10), buffer);
        }
        let left = server.running();
        if !left.is_empty() {
            let text = format_args!(
                "{} requests still run at the end of gangway-host; they are interrupted",
                left.len()
            );
            log::coded(Level::Warn, STOP_TIMEOUT, text);
        }
        for mut job in server.take_waiting(|_| true) {
            job.exchange.cancel(Cause::Shutdown);
            while let Some(next) = server.refuse(&job, Page::Unavailable, buffer) {
                job = next;
            }
        }
        // Handlers that wait for their web server come back.
        server.cancel_all(Cause::Shutdown);
        server.leave();
        self.runtime.stop(deadline.saturating_duration_since(Instant::now()).max(HURRY))
    }
}
