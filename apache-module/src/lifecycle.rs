// SPDX-License-Identifier: MIT OR Apache-2.0
//! A child process: its applications, from child_init to its end.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, OnceLock},
    time::Duration,
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
    pool::Refusal,
    runtime::{Application, Runtime, Threads},
};

use crate::{config, raw};

/// How long the end of a child waits for its applications. httpd's parent kills a child nine seconds after it
/// was told to stop.
const GRACE: Duration = Duration::from_secs(5);

struct Process {
    id: u32,
    runtime: Runtime,
    /// By the numbers that the configuration uses.
    applications: Vec<Arc<Application>>,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// The application of this number in this process.
pub(crate) fn application(number: usize) -> Option<&'static Arc<Application>> {
    PROCESS.get()?.applications.get(number)
}

/// A child begins: its applications begin to load; requests wait for them.
pub(crate) fn start(pool: raw::ChildPool) {
    let (configs, engine_dir) = config::result();
    if configs.is_empty() || PROCESS.get().is_some() {
        return;
    }
    let runtime = match Runtime::start(engine_dir.as_ref()) {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format_args!(
                "cannot start a thread: {error}; raise the limit of processes of the server's user"
            );
            log::coded(Level::Error, SERVER_FAILED, text);
            return;
        }
    };
    let (multiprocess, threads) = (!raw::has_one_process(), raw::threads_per_process());
    let load = |mut config: gangway::config::Application| {
        config.set_multiprocess(multiprocess);
        config.limit_threads(threads);
        let runs_on = if config.timeout().is_some() { Threads::Own } else { Threads::Server };
        runtime.application(&config, runs_on)
    };
    let applications = configs.into_iter().map(load).collect();
    // Nobody else sets it: httpd calls child_init once, on one thread.
    let _ = PROCESS.set(Process { id: raw::process_id(), runtime, applications });
    raw::on_exit(pool, stop);
}

/// The child ends.
fn stop() {
    let Some(process) = PROCESS.get() else { return };
    // A signal may end a prefork child in the middle of a request: then this thread is inside of the application,
    // holds its locks, and nothing of it can run any more. A process that an application has forked has nothing
    // to end either.
    if INSIDE.get() || !raw::is_same_process(process.id) {
        return;
    }
    process.runtime.stop(GRACE);
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static SEATS: Seats = const { Seats(RefCell::new(Vec::new())) };
}

/// The applications that a thread of the server has run, which want to know when it ends.
struct Seats(RefCell<Vec<Arc<Application>>>);

impl Drop for Seats {
    fn drop(&mut self) {
        for application in self.0.take() {
            gangway::engine::fence("the end of a thread", (), || application.thread_end());
        }
    }
}

/// Runs a handler on the calling thread, which ends later than that.
pub(crate) fn inside(
    application: &Arc<Application>,
    body: impl FnOnce() -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    SEATS.with(|seats| {
        let mut seats = seats.0.borrow_mut();
        if !seats.iter().any(|known| Arc::ptr_eq(known, application)) {
            seats.push(Arc::clone(application));
        }
    });
    let outer = INSIDE.replace(true);
    let result = body();
    INSIDE.set(outer);
    result
}
