// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a forked child leaves the server behind, and how it ends.

use std::ffi::{c_int, c_void};

use pyo3::prelude::*;

use crate::{
    children,
    cold::{Cold, with_traceback},
    errors_stream, forked,
    symbols::symbol,
};

/// In a child that leaves the application: ends it as the main program of Python ends, with the status of `error`.
/// Anywhere else it does nothing.
pub(crate) fn end_child(py: Python<'_>, error: Option<&PyErr>) {
    if forked::is_child() {
        end_now(py, error);
    }
}

#[cold]
fn end_now(py: Python<'_>, error: Option<&PyErr>) -> ! {
    let error = error.map(|error| with_traceback(py, error));
    // It ends by os._exit().
    let _failed = Cold::get(py).process(py, "end_child").and_then(|end| end.call1((error,)));
    // SAFETY: ends this process and runs nothing of the server's.
    unsafe { libc::_exit(1) }
}

/// In a child of os.fork(), before any code of the application: the signals, descriptors and exit handlers of the server
/// are given up. `mask` are the signals that the application wants blocked.
#[pyfunction]
pub(crate) fn leave_server(mask: Vec<c_int>) {
    forked::note();
    errors_stream::forget();
    reset_signals(&mask);
    children::close_servers();
    // Exit handlers run in reverse order: this one, the last, keeps the server's from running in the child, also where
    // C code calls exit(3), as the C library itself does after the last thread.
    type OnExit = unsafe extern "C" fn(extern "C" fn(c_int, *mut c_void), *mut c_void) -> c_int;
    if let Some(on_exit) = symbol(c"on_exit") {
        // SAFETY: the symbol has this type in every C library that has it; the function lives as long as the process.
        unsafe {
            std::mem::transmute::<*mut c_void, OnExit>(on_exit)(exit_at_once, std::ptr::null_mut());
        }
    }
}

extern "C" fn exit_at_once(status: c_int, _: *mut c_void) {
    // SAFETY: what C code has printed is written; then the process ends.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(status)
    }
}

/// Handlers of the server are not the child's. The two signals that Python itself ignores stay ignored, and so do the
/// handlers of faults, which an application may have set (faulthandler).
fn reset_signals(mask: &[c_int]) {
    const KEPT: [c_int; 8] = [
        libc::SIGPIPE,
        libc::SIGXFSZ,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGTRAP,
    ];
    // SAFETY: sets that sigemptyset(3) makes, and numbers; what cannot be changed is refused.
    unsafe {
        for signal in (1..=64).filter(|signal| !KEPT.contains(signal)) {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in mask {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}
