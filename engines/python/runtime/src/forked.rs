// SPDX-License-Identifier: MIT OR Apache-2.0
//! A child that an application makes with fork(2): a copy of the server process with one thread, which stands
//! somewhere in the application, above the server's own code. It must never get back there: it would answer the
//! parent's client, or wait for ever in the server's pool. So it ends where it leaves the application.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

/// Whether this process is such a child.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether the next fork is the server's own: its child answers requests as its parent would.
static EXPECTED: AtomicBool = AtomicBool::new(false);

/// Says whether the server is about to fork.
pub(crate) fn expect(expected: bool) {
    EXPECTED.store(expected, Ordering::Relaxed);
}

/// The same for Python.
#[pyfunction]
pub(crate) fn is_expected() -> bool {
    EXPECTED.load(Ordering::Relaxed)
}

/// This process is one, unless the server has made it.
pub(crate) extern "C" fn note() {
    if !EXPECTED.load(Ordering::Relaxed) {
        FORKED.store(true, Ordering::Relaxed);
    }
}

/// Has every fork of this process noted, by whatever code it is made.
pub(crate) fn watch() {
    // SAFETY: the function lives as long as the process, for this object is never unloaded.
    unsafe { libc::pthread_atfork(None, None, Some(note)) };
}

pub(crate) fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// What a use of the request raises in a child.
pub(crate) fn refusal() -> PyErr {
    PyRuntimeError::new_err("this is a forked child; the request is answered by its parent process")
}

/// At the end of every function that the host calls: no child gets back to it, whatever way it came here.
pub(crate) fn stop_child() {
    if is_child() {
        // SAFETY: ends this process and runs nothing of the server's.
        unsafe { libc::_exit(1) }
    }
}
