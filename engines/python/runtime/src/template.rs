// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that is forked once its application is loaded: what os.fork() does around a fork, which the server makes, and what
//! is the engine's own in it.

use std::{
    cell::Cell,
    collections::BTreeSet,
    ffi::CStr,
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
};

use gangway_abi::Level;
use gangway_python_shared::{codes::Code, log::log};
use pyo3::{ffi, prelude::*};

use crate::{children, cold::Cold, errors_stream, forked, release, symbols::symbol};

thread_local! {
    /// How this thread had the interpreter's lock before prepare().
    static ENSURED: Cell<Option<ffi::PyGILState_STATE>> = const { Cell::new(None) };
}

/// Whether what is loaded has been put aside.
static FROZEN: AtomicBool = AtomicBool::new(false);

/// The application is loaded. Says what it has begun that processes will not have, or have together.
pub(crate) fn loaded(py: Python<'_>, name: &str) {
    children::note_own();
    let names: Vec<String> = Cold::get(py)
        .function(py, "own_threads")
        .and_then(|threads| threads.call0()?.extract())
        .unwrap_or_default();
    let others = threads().saturating_sub(1 + names.len());
    let cure = "which its processes, forked from this one, do not have; start them when the first request comes, or set preload=off";
    let shown: BTreeSet<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let shown = shown.into_iter().collect::<Vec<_>>().join(", ");
    match (names.len(), others) {
        (0, 0) => {}
        // Those that calculate for numpy know forks and begin anew.
        (0, others) => log(
            Level::Notice,
            Code::NotForked,
            format_args!("libraries of {name:?} have started {others} threads while it was imported, {cure}"),
        ),
        (_, 0) => log(
            Level::Warn,
            Code::NotForked,
            format_args!("{name:?} has started threads while it was imported ({shown}), {cure}"),
        ),
        (_, others) => log(
            Level::Warn,
            Code::NotForked,
            format_args!(
                "{name:?} has started threads while it was imported ({shown}, and {others} of libraries), {cure}"
            ),
        ),
    }
    let connections = children::own_connections();
    if connections > 0 {
        log(
            Level::Warn,
            Code::NotForked,
            format_args!(
                "{name:?} has opened {connections} connections while it was imported, which all its processes would use at the same time; \
                 open them when the first request comes, or set preload=off"
            ),
        );
    }
}

/// Threads of this process.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Before a fork of the server's. The interpreter's lock is held from here to parent() or child().
pub(crate) fn prepare() {
    // SAFETY: the application is loaded, so the interpreter runs.
    ENSURED.set(Some(unsafe { ffi::PyGILState_Ensure() }));
    Python::attach(|py| {
        if !FROZEN.swap(true, Ordering::Relaxed) {
            // What is garbage now would be so in each process, and what the collector looks at is copied: so it never
            // looks at what is there now.
            let frozen = py.import("gc").and_then(|gc| {
                gc.call_method0("collect")?;
                gc.call_method0("freeze")
            });
            let _no_matter = frozen;
        }
    });
    forked::expect(true);
    call(c"PyOS_BeforeFork");
    errors_stream::flush();
}

/// After it, in the process that was forked.
pub(crate) fn parent() {
    call(c"PyOS_AfterFork_Parent");
    forked::expect(false);
    give_up_lock();
}

/// After it, in the new process.
pub(crate) fn child() -> io::Result<()> {
    call(c"PyOS_AfterFork_Child");
    forked::expect(false);
    children::take_servers();
    errors_stream::flush();
    let started = release::start();
    give_up_lock();
    started
}

fn give_up_lock() {
    if let Some(ensured) = ENSURED.take() {
        // SAFETY: the counterpart of prepare(), on its thread.
        unsafe { ffi::PyGILState_Release(ensured) };
    }
}

/// Calls a function of libpython that takes nothing and answers nothing. They are of the stable ABI where there is fork(2).
fn call(name: &CStr) {
    if let Some(function) = symbol(name) {
        // SAFETY: the three have this type in every version from 3.7 on, and the interpreter's lock is held.
        unsafe { std::mem::transmute::<*mut std::ffi::c_void, extern "C" fn()>(function)() };
    }
}

/// In a process of its own an application that crashes says where it was: on standard error, which is kept and logged line by line.
pub(crate) fn tell_faults(py: Python<'_>) {
    let enable = || py.import("faulthandler")?.call_method1("enable", (libc::STDERR_FILENO,));
    // Without the module it ends as it would have.
    let _ = enable();
}
