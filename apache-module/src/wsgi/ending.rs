// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that was told to end and waits for its threads: a handler whose client has left does not keep it.
//!
//! httpd's parent ends a child that takes too long for `restart` and `stop`, but after `graceful`, `graceful-stop` or
//! `MaxConnectionsPerChild` a child lives for as long as one of its threads works. That is right for a client that waits, and
//! for ever when a handler hangs that nobody waits for.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use gangway::{
    engine::fence,
    error::{STOP_TIMEOUT, THREADS_FAILED},
    exchange::Exchange,
    log::{self, Level},
    runtime::{Application, Threads},
    sys,
};

use super::applications::applications;
use crate::raw;

/// How often the state of the process is looked at while handlers run.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long such a handler may go on before it is interrupted, so that the log says where it was.
const INTERRUPT_AFTER: Duration = Duration::from_secs(4);
/// How long before it is left alone.
const GRACE: Duration = Duration::from_secs(5);
const STACK: usize = 256 * 1024;

/// Handlers that run on the server's threads.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
/// Whether the watch looks by itself; otherwise the next handler wakes it.
static AWAKE: AtomicBool = AtomicBool::new(false);
static WATCH: OnceLock<Option<Thread>> = OnceLock::new();

/// A handler that runs on one of the server's threads.
pub(super) struct Work(());

/// A handler begins. Costs a wake-up when none has run for a while.
pub(super) fn begin() -> Work {
    ACTIVE.fetch_add(1, SeqCst);
    if !AWAKE.load(SeqCst)
        && !AWAKE.swap(true, SeqCst)
        && let Some(watch) = WATCH.get_or_init(start)
    {
        watch.unpark();
    }
    Work(())
}

impl Drop for Work {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, SeqCst);
    }
}

fn start() -> Option<Thread> {
    let started = sys::spawn("gw-ending", STACK, || {
        fence("the watch of a process that ends", (), watch);
    });
    match started {
        Ok(thread) => Some(thread.thread().clone()),
        Err(error) => {
            let text = format_args!("cannot start a thread that looks after the end of the process: {error}");
            log::coded(Level::Error, THREADS_FAILED, text);
            None
        }
    }
}

fn watch() {
    let mut left: Vec<Left> = Vec::new();
    let mut idle = 0;
    loop {
        thread::sleep(LOOK_EVERY);
        idle = if ACTIVE.load(SeqCst) == 0 { idle + 1 } else { 0 };
        if raw::is_stopping() {
            look(&mut left);
        }
        if idle > 1 {
            AWAKE.store(false, SeqCst);
            // One that has begun meanwhile may have seen that we look by ourselves.
            while ACTIVE.load(SeqCst) == 0 && !AWAKE.load(SeqCst) {
                thread::park();
            }
            AWAKE.store(true, SeqCst);
            idle = 0;
        }
    }
}

/// A request that runs though its client has left, in a process that ends.
struct Left {
    application: Arc<Application>,
    exchange: Arc<Exchange>,
    since: Instant,
    is_interrupted: bool,
}

fn look(left: &mut Vec<Left>) {
    let now = Instant::now();
    let mut running = Vec::new();
    for application in applications() {
        running.extend(application.running().into_iter().map(|exchange| (application, exchange)));
    }
    left.retain(|known| running.iter().any(|(_, exchange)| Arc::ptr_eq(exchange, &known.exchange)));
    for (application, exchange) in running {
        if exchange.is_abandoned() && !left.iter().any(|known| Arc::ptr_eq(&exchange, &known.exchange)) {
            let application = Arc::clone(application);
            left.push(Left { application, exchange, since: now, is_interrupted: false });
        }
    }
    for request in left.iter_mut().filter(|request| !request.is_interrupted) {
        if now.duration_since(request.since) >= INTERRUPT_AFTER {
            request.interrupt();
        }
    }
    let hopeless = left.iter().filter(|request| now.duration_since(request.since) >= GRACE);
    let on_threads = hopeless.clone().filter(|request| request.application.threads() == Threads::Server);
    let (hopeless, on_threads) = (hopeless.collect::<Vec<_>>(), on_threads.count());
    for request in &hopeless {
        // Who waits behind it would wait for ever.
        request.application.send_away();
    }
    if on_threads > 0 && raw::busy_threads() <= on_threads {
        for request in hopeless {
            request.tell("the process ends without it");
        }
        raw::leave();
    }
}

impl Left {
    fn tell(&self, outcome: &str) {
        let (name, label) = (&self.application.config().spec().name, self.exchange.label());
        let seconds = self.since.elapsed().as_secs();
        let text = format_args!(
            "{name}: {label} still runs {seconds}s after this process was told to end, and its client has left; {outcome}"
        );
        log::coded(Level::Warn, STOP_TIMEOUT, text);
    }

    fn interrupt(&mut self) {
        self.is_interrupted = true;
        self.tell("it is interrupted");
        self.application.interrupt(&self.exchange);
    }
}
