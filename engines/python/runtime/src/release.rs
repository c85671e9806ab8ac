// SPDX-License-Identifier: MIT OR Apache-2.0
//! References to bytes that the host still sends. It gives them back on any thread, where no Python object may
//! be touched: they wait in a list for the next thread with the interpreter's lock.

use std::{
    ffi::c_void,
    mem,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
};

use gangway_python_shared::fence::fence;
use pyo3::{prelude::*, types::PyBytes};

/// With more than this in the list, a thread is woken that frees it: an idle process must not hold the last
/// large response until its next request.
const LINGER: usize = 256 * 1024;

/// A borrow of the host.
struct Lent {
    data: Py<PyBytes>,
    length: usize,
}

/// What came back.
struct Returned {
    lent: Vec<Lent>,
    length: usize,
    /// The freeing thread should end.
    end: bool,
}

static RETURNED: Mutex<Returned> = Mutex::new(Returned { lent: Vec::new(), length: 0, end: false });
static WAKE: Condvar = Condvar::new();
/// Whether the list may hold something; spares the lock on most requests.
static PENDING: AtomicBool = AtomicBool::new(false);
static THREAD: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// The context of a write_owned() of `data`; to be taken back with `reclaim()` if the host refuses the borrow.
pub(crate) fn lend(data: &Bound<'_, PyBytes>) -> *mut c_void {
    let length = data.as_bytes().len();
    Box::into_raw(Box::new(Lent { data: data.clone().unbind(), length })).cast()
}

/// Takes back a borrow that the host did not accept.
///
/// # Safety
/// `context` is from `lend()`, and the host has not taken and will not take the borrow.
pub(crate) unsafe fn reclaim(py: Python<'_>, context: *mut c_void) {
    // SAFETY: the caller guarantees that nobody else has this pointer.
    unsafe { Box::from_raw(context.cast::<Lent>()) }.data.drop_ref(py);
}

/// `gw_release_fn`. Called on any thread, perhaps one that holds the interpreter's lock inside a call of ours.
pub(crate) unsafe extern "C" fn release(context: *mut c_void) {
    fence("release", (), || {
        // SAFETY: the host calls this once per accepted borrow, whose context is from `lend()`.
        let lent = *unsafe { Box::from_raw(context.cast::<Lent>()) };
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        let before = returned.length;
        returned.length += lent.length;
        returned.lent.push(lent);
        PENDING.store(true, Ordering::Release);
        if before <= LINGER && returned.length > LINGER {
            WAKE.notify_one();
        }
    });
}

/// Frees what came back.
pub(crate) fn drain(py: Python<'_>) {
    if PENDING.load(Ordering::Acquire) {
        drain_slow(py);
    }
}

#[cold]
fn drain_slow(py: Python<'_>) {
    let lent = {
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        PENDING.store(false, Ordering::Release);
        returned.length = 0;
        mem::take(&mut returned.lent)
    };
    // Outside of the lock: freeing an object may run code of the application.
    for lent in lent {
        lent.data.drop_ref(py);
    }
}

/// Starts the thread that frees large returns while no request comes.
pub(crate) fn start() -> std::io::Result<()> {
    let thread = Builder::new().name("gangway-free".to_owned()).spawn(run)?;
    *THREAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    Ok(())
}

fn run() {
    loop {
        {
            let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
            while !returned.end && returned.length <= LINGER {
                returned = WAKE.wait(returned).unwrap_or_else(PoisonError::into_inner);
            }
            if returned.end {
                return;
            }
        }
        fence("free", (), || Python::attach(drain));
    }
}

/// Ends that thread. Called without the interpreter's lock.
pub(crate) fn stop() {
    RETURNED.lock().unwrap_or_else(PoisonError::into_inner).end = true;
    WAKE.notify_all();
    let thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(thread) = thread {
        let _panicked = thread.join();
    }
}
