// SPDX-License-Identifier: MIT OR Apache-2.0
//! A child process: its applications, from child_init to its end.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use gangway::{
    error::SERVER_FAILED,
    log::{self, Level},
    runtime::{self, Runtime, Threads},
};

use super::{
    applications::{self, Process, application},
    ending,
};
use crate::{
    raw::{self, Request},
    socket,
};

/// How long the end of a child waits for its applications. httpd's parent kills a child nine seconds after it
/// was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// In the parent, before it makes children.
pub(crate) fn prepare() {
    if applications::configured().iter().any(|config| config.sockets().is_some()) {
        socket::prepare();
    }
}

/// A child begins: its applications begin to load; requests wait for them.
pub(crate) fn start(pool: &raw::ChildPool) {
    let configs = applications::configured();
    if configs.is_empty() || applications::process().is_some() {
        return;
    }
    let process = match Runtime::start(Threads::Server) {
        Ok(process) => process,
        Err(error) => {
            let text = format_args!(
                "cannot start a thread: {error}; raise the limit of processes of the server's user"
            );
            log::coded(Level::Error, SERVER_FAILED, text);
            return;
        }
    };
    if configs.iter().any(|config| config.sockets().is_some()) {
        socket::start();
    }
    let (multiprocess, threads) = (!raw::is_single_process(), raw::threads_per_process());
    let load = |mut config: gangway::config::ApplicationConf| {
        config.set_multiprocess(multiprocess);
        config.limit_threads(threads);
        // The server's thread has the connection of a WebSocket, while its handler waits for messages.
        let is_relayed =
            config.timeout().is_some() || config.sockets().is_some() || runtime::is_async(&config);
        let runs_on = if is_relayed { Threads::Own } else { Threads::Server };
        process.application(&config, runs_on)
    };
    if let Some(first) = applications::first().and_then(|first| configs.get(first)) {
        load(first.clone());
    }
    let applications = configs.into_iter().map(load).collect();
    applications::keep(Process { id: raw::process_id(), runtime: process, applications });
    raw::on_exit(pool, stop);
}

/// The child ends.
fn stop() {
    let Some(process) = applications::process() else { return };
    // A signal may end a prefork child in the middle of a request: then this thread is inside of the application,
    // holds its locks, and nothing of it can run any more. A process that an application has forked has nothing
    // to end either.
    if INSIDE.get() || !raw::is_same_process(process.id) {
        return;
    }
    socket::end_alone();
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

/// Whether the calling thread runs a handler, which waits for what it does meanwhile.
pub(crate) fn is_inside() -> bool {
    INSIDE.get()
}

/// Runs a handler on the calling thread of the server, which will say when it ends.
pub(crate) fn inside<R>(request: Request<'_>, number: usize, body: impl FnOnce() -> R) -> R {
    if let Some(application) = application(number) {
        let address = Arc::as_ptr(application).addr();
        SERVED.with_borrow_mut(|served| {
            if !served.contains(&address) {
                served.push(address);
                raw::on_thread_end::<Served>(request, number);
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

/// A thread of the server that has run an application.
struct Served;

impl raw::ThreadEnd for Served {
    fn ends(number: usize) {
        if let Some(application) = application(number)
            && !INSIDE.get()
        {
            application.thread_end();
        }
    }
}
