// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's threads and their Python thread states, and the way into a thread that is stuck.

use std::{
    cell::RefCell,
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    },
};

use gangway_abi::ffi::gw_request;
use pyo3::{ffi, prelude::*};

use crate::request_objects::RequestObjects;

thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
}

/// Every thread that runs requests.
static RUNNING: Mutex<Vec<Arc<Running>>> = Mutex::new(Vec::new());

/// A thread of the host. It keeps one Python thread state from its first enter() to thread_end(): to make one per
/// request costs more than a request.
struct Thread {
    ensured: ffi::PyGILState_STATE,
    /// The thread state while the interpreter's lock is not held; null while it is.
    saved: *mut ffi::PyThreadState,
    running: Arc<Running>,
    /// The objects of the last request, if nobody has kept one.
    objects: Option<RequestObjects>,
}

/// What a thread is at. Changed with the interpreter's lock alone, so that an interrupt hits the request that it
/// was meant for or none.
#[derive(Debug, Default)]
pub(crate) struct Running {
    request: AtomicPtr<gw_request>,
    ident: AtomicU64,
    interrupted: AtomicBool,
}

/// Takes the interpreter's lock for this thread; `false` if it has it already.
pub(crate) fn enter() -> bool {
    THREAD.with_borrow_mut(|thread| match thread {
        Some(thread) if thread.saved.is_null() => false,
        Some(thread) => {
            // SAFETY: the thread state is this thread's own, given up in leave().
            unsafe { ffi::PyEval_RestoreThread(thread.saved) };
            thread.saved = ptr::null_mut();
            true
        }
        None => {
            // SAFETY: applications are loaded, so the interpreter runs. The reference to the thread state that this
            // makes is kept until thread_end().
            let ensured = unsafe { ffi::PyGILState_Ensure() };
            let running = Arc::new(Running::default());
            // SAFETY: the interpreter's lock is held.
            running.ident.store(unsafe { ffi::PyThread_get_thread_ident() }, Ordering::Relaxed);
            RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&running));
            *thread = Some(Thread { ensured, saved: ptr::null_mut(), running, objects: None });
            true
        }
    })
}

/// Gives the interpreter's lock up again.
pub(crate) fn leave() {
    THREAD.with_borrow_mut(|thread| {
        if let Some(thread) = thread.as_mut().filter(|thread| thread.saved.is_null()) {
            // SAFETY: this thread holds the lock, with the thread state of its enter().
            thread.saved = unsafe { ffi::PyEval_SaveThread() };
        }
    });
}

/// Frees the thread state.
pub(crate) fn end() {
    enter_known();
    let Some(mut thread) = THREAD.take() else { return };
    RUNNING
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|running| !Arc::ptr_eq(running, &thread.running));
    Python::attach(|_| drop(thread.objects.take()));
    // SAFETY: the lock is held (enter_known), and this is the counterpart of the PyGILState_Ensure in enter().
    unsafe { ffi::PyGILState_Release(thread.ensured) };
}

/// Takes the lock if this thread has a thread state; does not make one.
fn enter_known() {
    if THREAD.with_borrow(Option::is_some) {
        enter();
    }
}

/// Notes that this thread now runs `request`; null for none. Returns whether the request was interrupted.
pub(crate) fn set_running(_py: Python<'_>, request: *mut gw_request) -> bool {
    THREAD.with_borrow(|thread| {
        thread.as_ref().is_some_and(|thread| {
            thread.running.request.store(request, Ordering::Relaxed);
            // Read first: a swap would be a locked instruction on every request.
            thread.running.interrupted.load(Ordering::Relaxed)
                && thread.running.interrupted.swap(false, Ordering::Relaxed)
        })
    })
}

/// The objects that the last request of this thread left.
pub(crate) fn take_objects() -> Option<RequestObjects> {
    THREAD.with_borrow_mut(|thread| thread.as_mut()?.objects.take())
}

/// Keeps objects for the next request of this thread.
pub(crate) fn keep_objects(objects: RequestObjects) {
    THREAD.with_borrow_mut(|thread| {
        if let Some(thread) = thread {
            thread.objects = Some(objects);
        }
    });
}

/// The thread that runs `request`.
pub(crate) fn find(_py: Python<'_>, request: *mut gw_request) -> Option<Arc<Running>> {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.iter().find(|running| running.request.load(Ordering::Relaxed) == request).cloned()
}

impl Running {
    /// As `threading.get_ident()` has it.
    pub(crate) fn ident(&self) -> u64 {
        self.ident.load(Ordering::Relaxed)
    }

    /// Raises `exception` in the thread as soon as it runs Python code again.
    pub(crate) fn interrupt(&self, exception: &Bound<'_, PyAny>) {
        self.interrupted.store(true, Ordering::Relaxed);
        set_async(self.ident(), exception.as_ptr());
    }

    pub(crate) fn is(&self, request: *mut gw_request) -> bool {
        self.request.load(Ordering::Relaxed) == request
    }
}

/// Takes back an interrupt of this thread that has not been raised yet.
pub(crate) fn clear_interrupt(_py: Python<'_>) {
    // SAFETY: the interpreter's lock is held.
    set_async(unsafe { ffi::PyThread_get_thread_ident() }, ptr::null_mut());
}

fn set_async(ident: u64, exception: *mut ffi::PyObject) {
    // SAFETY: the interpreter's lock is held by the callers; the function takes a reference of its own, and null
    // clears what is pending. The identifier is the same bits as a signed number.
    unsafe { ffi::PyThreadState_SetAsyncExc(ident.cast_signed() as std::ffi::c_long, exception) };
}
