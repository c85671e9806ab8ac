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
    runtime::{Application, Runtime, Threads},
};

use crate::{
    config, ending,
    raw::{self, Request},
};

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

/// All of them.
pub(crate) fn applications() -> &'static [Arc<Application>] {
    PROCESS.get().map_or(&[], |process| &process.applications)
}

/// A child begins: its applications begin to load; requests wait for them.
pub(crate) fn start(pool: raw::ChildPool) {
    let (configs, engine_dir) = config::result();
    if configs.is_empty() || PROCESS.get().is_some() {
        return;
    }
    let runtime = match Runtime::start(engine_dir.as_ref(), Threads::Server) {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format_args!(
                "cannot start a thread: {error}; raise the limit of processes of the server's user"
            );
            log::coded(Level::Error, SERVER_FAILED, text);
            return;
        }
    };
    let (multiprocess, threads) = (!raw::is_single_process(), raw::threads_per_process());
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
    if !process.runtime.stop(GRACE) {
        // A thread still runs an application: the destructors of exit(3) would pull the ground from under it.
        gangway::sys::exit_without_destructors();
    }
}

thread_local! {
    /// Whether this thread runs a handler.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The applications that this thread has run, by their addresses.
    static SERVED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Runs a handler on the calling thread of the server, which will say when it ends.
pub(crate) fn inside<R>(request: Request<'_>, number: usize, body: impl FnOnce() -> R) -> R {
    if let Some(application) = application(number) {
        let address = Arc::as_ptr(application).addr();
        SERVED.with_borrow_mut(|served| {
            if !served.contains(&address) {
                served.push(address);
                raw::on_thread_end(request, number);
            }
        });
    }
    let outer = INSIDE.replace(true);
    let work = ending::begin();
    let result = body();
    drop(work);
    INSIDE.set(outer);
    result
}

/// The calling thread of the server ends, which has run this application.
pub(crate) fn thread_ends(number: usize) {
    if let Some(application) = application(number)
        && !INSIDE.get()
    {
        application.thread_end();
    }
}
