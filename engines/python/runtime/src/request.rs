// SPDX-License-Identifier: MIT OR Apache-2.0
//! The life of one request in the engine: set up, run, and everything of it gone before the next.

use std::{ffi::c_void, ptr};

use gangway_abi::{
    Level,
    ffi::{GW_ERROR, GW_OK, GW_REQUEST_NO_BODY, gw_request, gw_request_head, gw_status},
    host::{self, log_bytes},
};
use gangway_python_shared::codes::Code;
use pyo3::{ffi, prelude::*, sync::PyOnceLock, types::PyList};

use crate::{
    app::{App, Found},
    cold::Cold,
    errors_stream::{self, log_lines},
    page, release,
    request_objects::RequestObjects,
    respond::Run,
    symbols::symbol,
    threads,
};

/// # Safety
/// `request` and `head` are those of a handle() call that lasts for this one.
pub(crate) unsafe fn handle(app: &App, request: *mut gw_request, head: &gw_request_head) -> gw_status {
    // A host without enter() is one that takes the lock once per request.
    let _entered = Entered(threads::enter());
    Python::attach(|py| {
        let _current = Current::begin(py, request);
        release::drain(py);
        // SAFETY: the caller passes what the host gave it, which lives until handle() returns.
        let status = unsafe { serve(py, app, request, head) };
        release::drain(py);
        status.unwrap_or_else(|error| {
            let text = format!("{} the request could not be prepared: {error}", Code::RequestFailed);
            // SAFETY: the request is alive until handle() returns.
            unsafe { log_bytes(request, Level::Error, text.as_bytes()) };
            GW_ERROR
        })
    })
}

/// Gives the lock up on every way out of handle(), a panic included, if handle() took it itself.
pub(crate) struct Entered(pub(crate) bool);

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0 {
            threads::leave();
        }
    }
}

/// # Safety
/// As for `handle()`.
unsafe fn serve(
    py: Python<'_>,
    app: &App,
    request: *mut gw_request,
    head: &gw_request_head,
) -> PyResult<gw_status> {
    let Some(host) = host::host() else { return Ok(GW_ERROR) };
    let objects = match threads::take_objects() {
        Some(objects) => objects,
        None => RequestObjects::new(py, host)?,
    };
    let no_body = head.flags & GW_REQUEST_NO_BODY != 0;
    objects.exchange.begin(py, request, head.content_length, no_body)?;
    let _open = Open(&objects, py);
    let status = match app.find(py, request)? {
        Found::Ready(callable) => {
            // SAFETY: the head is that of the handle() call that this one is a part of.
            let environ = unsafe { app.environs.wait_mut(py).build(py, head, &objects)? };
            let _context = Context::enter(py);
            Run { py, app, objects: &objects }.run(&callable, environ)
        }
        Found::Failed(cause, lines) => {
            if app.debug {
                let lines = PyList::new(py, lines)?;
                page::debug(py, &objects.exchange, &app.name, &cause, Some(&lines));
            } else {
                page::not_loaded(py, &objects.exchange, &app.name);
            }
            // SAFETY: the request is alive, and finish() is called here alone.
            unsafe { (host.finish)(request, GW_OK) }
        }
    };
    drop(_open);
    if objects.is_alone(py) {
        threads::keep_objects(objects);
    }
    Ok(status)
}

/// Ends the exchange on every way out.
struct Open<'a, 'py>(&'a RequestObjects, Python<'py>);

impl Drop for Open<'_, '_> {
    fn drop(&mut self) {
        self.0.exchange.end(self.1);
    }
}

/// Makes the request the current one of this thread, and leaves nothing of it behind.
struct Current<'py>(Python<'py>);

impl<'py> Current<'py> {
    fn begin(py: Python<'py>, request: *mut gw_request) -> Self {
        threads::set_running(py, request);
        errors_stream::set_current(request);
        Self(py)
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        errors_stream::flush();
        errors_stream::set_current(ptr::null_mut());
        if threads::set_running(self.0, ptr::null_mut()) {
            // It came too late to be raised in this request; it must not be in the next.
            threads::clear_interrupt(self.0);
        }
    }
}

/// A context of its own for the request, so that context variables of one are not seen by the next.
pub(crate) struct Context<'py> {
    context: Bound<'py, PyAny>,
    exit: unsafe extern "C" fn(*mut ffi::PyObject) -> std::ffi::c_int,
}

/// `PyContext_New`, `PyContext_Enter` and `PyContext_Exit`: exported by every version, but not in the stable ABI.
struct ContextCalls {
    new: unsafe extern "C" fn() -> *mut ffi::PyObject,
    enter: unsafe extern "C" fn(*mut ffi::PyObject) -> std::ffi::c_int,
    exit: unsafe extern "C" fn(*mut ffi::PyObject) -> std::ffi::c_int,
}

impl ContextCalls {
    fn find() -> Option<Self> {
        type One = unsafe extern "C" fn(*mut ffi::PyObject) -> std::ffi::c_int;
        // SAFETY: the functions have these types in every version from 3.7 on (PEP 567).
        unsafe {
            Some(Self {
                new: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut ffi::PyObject>(
                    symbol(c"PyContext_New")?,
                ),
                enter: std::mem::transmute::<*mut c_void, One>(symbol(c"PyContext_Enter")?),
                exit: std::mem::transmute::<*mut c_void, One>(symbol(c"PyContext_Exit")?),
            })
        }
    }
}

impl<'py> Context<'py> {
    pub(crate) fn enter(py: Python<'py>) -> Option<Self> {
        static CALLS: PyOnceLock<Option<ContextCalls>> = PyOnceLock::new();
        let calls = CALLS.get_or_init(py, ContextCalls::find).as_ref()?;
        // SAFETY: the interpreter's lock is held; the new context is left again in drop().
        unsafe {
            let context = Bound::from_owned_ptr_or_err(py, (calls.new)()).ok()?;
            if (calls.enter)(context.as_ptr()) != 0 {
                ffi::PyErr_Clear();
                return None;
            }
            Some(Self { context, exit: calls.exit })
        }
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: the context was entered on this thread, whose lock is held. An application that leaves it entered
        // or left makes this fail, which changes nothing but the context.
        unsafe {
            if (self.exit)(self.context.as_ptr()) != 0 {
                ffi::PyErr_Clear();
            }
        }
    }
}

/// The body of interrupt().
pub(crate) fn interrupt(app: &App, request: *mut gw_request) {
    Python::attach(|py| {
        let Some(running) = threads::find(py, request) else { return };
        let cold = Cold::get(py);
        if let Some(stack) = cold.stack(py, running.ident()) {
            log_lines(request, &stack);
        }
        // The stack was made by Python code, which gives the lock up now and then.
        if !running.is(request) {
            return;
        }
        let text = format!(
            "{} application {:?} is interrupted, for its time is over; the lines before are where it was",
            Code::Interrupted,
            app.name
        );
        // SAFETY: the host keeps the request alive for this call.
        unsafe { log_bytes(request, Level::Error, text.as_bytes()) };
        running.interrupt(cold.timeout.bind(py));
    });
}
