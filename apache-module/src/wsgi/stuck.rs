// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests whose handler was interrupted and does not end: their thread is lost, which somebody must get to know.

use std::{
    sync::{
        Arc, OnceLock,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use gangway::{
    engine::{App, fence},
    error::{RETIRED, STUCK, THREADS_FAILED},
    exchange::Exchange,
    log::{self, Level},
    runtime::Application,
    sys,
};

use crate::raw;

/// How long an interrupted handler may take to end.
const GRACE: Duration = Duration::from_secs(5);
const STACK: usize = 256 * 1024;

struct Stuck {
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    label: String,
    until: Instant,
}

/// Looks after a request that has just been interrupted.
pub(super) fn watch(application: &Arc<Application>, exchange: &Arc<Exchange>, label: String) {
    static WATCHER: OnceLock<Option<Sender<Stuck>>> = OnceLock::new();
    let watcher = WATCHER.get_or_init(|| {
        let (sender, inbox) = mpsc::channel::<Stuck>();
        let body = move || {
            for stuck in inbox {
                fence("the watch of stuck requests", (), || look(&stuck));
            }
        };
        let started = sys::spawn("gw-watch", STACK, body);
        if let Err(error) = &started {
            let text = format_args!("cannot start a thread to watch stuck requests: {error}");
            log::coded(Level::Error, THREADS_FAILED, text);
        }
        started.is_ok().then_some(sender)
    });
    if let Some(sender) = watcher {
        let (application, exchange) = (Arc::clone(application), Arc::clone(exchange));
        // The watcher ends with the process only.
        let _ = sender.send(Stuck { application, exchange, label, until: Instant::now() + GRACE });
    }
}

fn look(stuck: &Stuck) {
    std::thread::sleep(stuck.until.saturating_duration_since(Instant::now()));
    if !App::is_running(&stuck.exchange) {
        return;
    }
    let (name, seconds, label) = (&stuck.application.config().spec().name, GRACE.as_secs(), &stuck.label);
    let loss = stuck.application.loss();
    let lost = format!("{name} still runs {label} {seconds}s after {}", loss.how);
    if raw::retire_process() {
        log::coded(Level::Error, STUCK, format_args!("{lost}"));
        let line =
            format_args!("{} of {name} is lost: this process ends gracefully and is replaced", loss.what);
        log::coded(Level::Error, RETIRED, line);
    } else {
        // No MPM with threads lets a module end a process without cutting its other connections.
        let line = format_args!("{lost} until the request ends: apachectl graceful replaces the process");
        log::coded(Level::Error, STUCK, line);
    }
}
