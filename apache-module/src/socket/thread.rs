// SPDX-License-Identifier: MIT OR Apache-2.0
//! A WebSocket that a thread of httpd serves until its end.

use std::{
    ffi::c_int,
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use gangway::{
    error::SERVER_FAILED,
    exchange::{Cause, Exchange, PumpWait, SocketEnd},
    report,
    sys::{EventFd, explain, lock, poll},
};

use super::{accepted::AcceptedSocket, notices::Wake};
use crate::raw::{self, OK, Upgraded};

/// How often it is looked whether the process ends.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The one WebSocket of a process that serves one connection, and whether its thread does nothing but wait.
static ALONE: Mutex<Option<Arc<Exchange>>> = Mutex::new(None);
static WAITING: AtomicBool = AtomicBool::new(false);

/// The process ends by a signal, in which this is called, so what it has interrupted does not go on: a handler that waits for its
/// client is told.
pub(crate) fn end_alone() {
    // Elsewhere the thread may hold a lock.
    if WAITING.load(SeqCst)
        && let Some(exchange) = lock(&ALONE).take()
    {
        exchange.cancel(Cause::Shutdown);
    }
}

/// Serves it.
pub(super) fn run(mut accepted: AcceptedSocket, mut upgraded: Upgraded<'_>) -> c_int {
    let end = match EventFd::new() {
        Ok(wakeup) => serve(&mut accepted, &mut upgraded, Arc::new(wakeup)),
        Err(error) => {
            let why = explain(&error);
            report!(upgraded.request(), Error, SERVER_FAILED, "the WebSocket is ended: {why}");
            SocketEnd::Broken
        }
    };
    *lock(&ALONE) = None;
    accepted.end(upgraded.request(), end);
    if end == SocketEnd::Broken {
        upgraded.forget_client();
    }
    OK
}

fn serve(accepted: &mut AcceptedSocket, upgraded: &mut Upgraded<'_>, wakeup: Arc<EventFd>) -> SocketEnd {
    accepted.notices.wake_too(Wake::Thread(Arc::clone(&wakeup)));
    if !raw::is_threaded() {
        *lock(&ALONE) = Some(accepted.exchange());
    }
    let client = upgraded.descriptor().unwrap_or(-1);
    loop {
        if raw::is_stopping() {
            accepted.drain();
        }
        let wait = match accepted.go_on(upgraded) {
            Ok(wait) => wait,
            Err(end) => return end,
        };
        let mut entries = [entry(client, interest(wait)), entry(wakeup.as_raw_fd(), libc::POLLIN)];
        WAITING.store(true, SeqCst);
        poll(&mut entries, Some(time(wait)));
        WAITING.store(false, SeqCst);
        let [client, told] = entries;
        if told.revents != 0 {
            wakeup.take();
        }
        // Nobody reads what is written, and what may still be read is not wanted.
        if client.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 && !wait.reads {
            accepted.give_up();
            return SocketEnd::Broken;
        }
    }
}

fn entry(fd: c_int, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

fn interest(wait: PumpWait) -> libc::c_short {
    let reads = if wait.reads { libc::POLLIN } else { 0 };
    reads | if wait.is_stalled { libc::POLLOUT } else { 0 }
}

fn time(wait: PumpWait) -> Duration {
    if wait.reads_on {
        return Duration::ZERO;
    }
    let left = wait.look_at.map(|at| at.saturating_duration_since(Instant::now()));
    left.map_or(LOOK_EVERY, |left| left.min(LOOK_EVERY))
}
