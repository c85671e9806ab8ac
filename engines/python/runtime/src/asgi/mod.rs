// SPDX-License-Identifier: MIT OR Apache-2.0
//! ASGI: applications on an event loop, each on a thread of its own.
//!
//! ```text
//! queue       events from the server's threads to the loop
//! port        what the loop's thread has: the queue, and the application to load
//! call        one request, for Python; socket: one that asks for a WebSocket; header_list: what both get of headers
//! sender      what an application sends its response with, receiver: what it reads with; roster: what all requests have together
//! serving     the coroutine that calls the application; coroutine: steps of such; tasks: the Tasks that they run in
//! scope       what a request is, as the application sees it; seen_fields: what many have in common
//! tls         what the server knows of its TLS
//! extras      what a response can be more than head and body
//! watch       who tells of a loop that does not go on
//! asgi.py     the loop; lifespan.py: the lifespan; requests.py: the messages of a request
//! ```
//! Threads of the server only put events into the queue, without the interpreter's lock. Everything else is done by the loop's
//! thread: it imports the application, runs its lifespan and answers requests, with calls of the host that do not wait.

mod call;
mod coroutine;
mod extras;
mod header_list;
mod port;
mod queue;
mod receiver;
mod roster;
mod scope;
mod seen_fields;
mod sender;
mod serving;
mod socket;
mod tasks;
mod tls;
mod watch;

use std::{
    cell::Cell,
    ffi::CStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use gangway_abi::{
    Level,
    ffi::{GW_AGAIN, GW_ERROR, gw_request, gw_request_head, gw_status},
};
use gangway_python_shared::{codes::Code, fence::fence, log::log};
use pyo3::{ffi, prelude::*, types::PyModule};

use crate::{
    app::Spec,
    asgi_options::LoopOptions,
    cold::Cold,
    errors_stream::{self, log_lines},
    forked, release,
};
use port::{LoopPort, Report};
use queue::{LoopEvent, LoopQueue};
use watch::{BLOCKED, Watched};

/// Python code beside this file, and a NUL.
macro_rules! code {
    ($file:literal) => {
        match CStr::from_bytes_with_nul(concat!(include_str!($file), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("Python code holds a NUL"),
        }
    };
}

const CODE: &CStr = code!("asgi.py");
const REQUESTS: &CStr = code!("requests.py");
const LIFESPAN: &CStr = code!("lifespan.py");

/// As the host's pool threads have it: interpreters recurse deeply.
const STACK: usize = 8 * 1024 * 1024;

/// How long other applications wait for this one to be loaded. Then its requests wait alone.
const LOADING: Duration = Duration::from_secs(2);

/// One application and its loop.
pub(crate) struct AsgiApp {
    watched: Arc<Watched>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held by an interrupt() that waits for the loop.
    looking: Mutex<()>,
}

impl AsgiApp {
    /// Starts the loop's thread, and waits until it has tried to load the application, but not for long: its requests wait in
    /// its queue.
    pub(crate) fn load(spec: Spec, options: LoopOptions) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start an event loop: {error}");
        let queue = Arc::new(LoopQueue::new().map_err(failed)?);
        let watched = Arc::new(Watched::new(spec.name.clone(), queue));
        let (report, loaded) = mpsc::channel();
        let thread = {
            let watched = Arc::clone(&watched);
            let body = move || {
                fence("the thread of an event loop", (), || run(spec, &options, &watched, report));
                watched.queue.refuse_rest();
            };
            Builder::new().name("gw-loop".to_owned()).stack_size(STACK).spawn(body).map_err(failed)?
        };
        match loaded.recv_timeout(LOADING) {
            Ok(Ok(())) | Err(RecvTimeoutError::Timeout) => {
                watched.begin().map_err(failed)?;
                Ok(Self { watched, thread: Mutex::new(Some(thread)), looking: Mutex::default() })
            }
            Ok(Err(reason)) => {
                let _panicked = thread.join();
                Err(reason)
            }
            Err(RecvTimeoutError::Disconnected) => {
                let _panicked = thread.join();
                Err("the event loop has ended; an earlier line says why".to_owned())
            }
        }
    }

    /// The body of handle(): the loop takes the request.
    pub(crate) fn handle(&self, request: *mut gw_request, head: *const gw_request_head) -> gw_status {
        if self.watched.queue.push(LoopEvent::New { request, head }) { GW_AGAIN } else { GW_ERROR }
    }

    /// The body of ready().
    pub(crate) fn ready(&self, request: *mut gw_request, what: u32) {
        self.watched.queue.push(LoopEvent::Ready { request, what });
    }

    /// The body of interrupt(): the request's task is cancelled, and a loop that does not get to that is named.
    pub(crate) fn interrupt(&self, request: *mut gw_request) {
        let queue = &self.watched.queue;
        let before = queue.passes();
        if !queue.push(LoopEvent::Cancel { request }) {
            return;
        }
        // Of many that are to end at once one waits for the loop.
        if let Ok(_one) = self.looking.try_lock()
            && !self.watched.is_named()
            && !queue.has_passed(before, BLOCKED)
        {
            self.watched.name();
        }
    }

    /// Ends the loop: requests may end, then its lifespan does.
    pub(crate) fn unload(self) {
        self.watched.queue.push(LoopEvent::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _panicked = thread.join();
        }
    }
}

thread_local! {
    static IS_LOOP: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is the thread of a loop. An application may have other threads call what is for that alone.
fn is_loop() -> bool {
    IS_LOOP.get()
}

/// Lets this thread have SIGCHLD, by which uvloop knows that a child has ended: all threads of a server may block it.
fn hear_of_children() {
    // SAFETY: a set that sigemptyset(3) makes; the mask is this thread's.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// The life of the loop's thread.
fn run(spec: Spec, options: &LoopOptions, watched: &Watched, report: Report) {
    let queue = &watched.queue;
    IS_LOOP.set(true);
    hear_of_children();
    Python::attach(|py| {
        // SAFETY: the interpreter's lock is held.
        watched.ident.store(unsafe { ffi::PyThread_get_thread_ident() }, Ordering::Relaxed);
        // SAFETY: it asks for the number of this thread.
        watched.thread.store(unsafe { libc::gettid() }, Ordering::Relaxed);
        let name = spec.name.clone();
        let threads = spec.threads;
        let ran = Bound::new(py, LoopPort::new(py, Arc::clone(queue), spec, report)).and_then(|port| {
            let requests = PyModule::from_code(py, REQUESTS, c"<gangway>", c"_gangway_asgi_requests")?;
            let lifespan = PyModule::from_code(py, LIFESPAN, c"<gangway>", c"_gangway_asgi_lifespan")?;
            let module = PyModule::from_code(py, CODE, c"<gangway>", c"_gangway_asgi")?;
            let times = (options.startup_timeout, options.disconnect_timeout);
            let ran = module.call_method1(
                "run",
                (&port, (requests, lifespan), &options.kind, &options.lifespan, times, threads),
            );
            forked::stop_child();
            // Requests that the loop has not answered.
            port.get().close(py);
            ran
        });
        if let Err(error) = ran {
            let cold = Cold::get(py);
            if let Some(lines) = cold.lines(py, &error) {
                log_lines(std::ptr::null_mut(), &lines);
            }
            let text = format_args!(
                "the event loop of application {name:?} has ended: {}",
                cold.one_line(py, &error)
            );
            log(Level::Error, Code::LoopBlocked, text);
        }
        release::drain(py);
    });
    errors_stream::flush();
}
