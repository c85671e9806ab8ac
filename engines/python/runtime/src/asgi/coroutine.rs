// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coroutines of applications, step by step.

use std::{mem, ptr, sync::OnceLock};

use pyo3::{exceptions::PyStopIteration, ffi, intern, prelude::*, sync::PyOnceLock, types::PyModule};

use crate::symbols::symbol;

/// What a step has come to.
pub(super) enum Stepped<'py> {
    Waits(Bound<'py, PyAny>),
    Ends,
}

/// Waits for whatever can be waited for.
const WAITER: &std::ffi::CStr = c"async def wait(awaitable):\n    return await awaitable\n";

/// The coroutine that waits for what an application has returned: mostly that itself.
pub(super) fn of(awaitable: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    static KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static WAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = awaitable.py();
    let kind =
        KIND.get_or_try_init(py, || py.import("types")?.getattr("CoroutineType").map(Bound::unbind))?;
    if awaitable.get_type().as_ptr() == kind.as_ptr() {
        return Ok(awaitable);
    }
    let wait = WAIT.get_or_try_init(py, || {
        let module = PyModule::from_code(py, WAITER, c"<gangway>", c"_gangway_asgi_wait")?;
        module.getattr("wait").map(Bound::unbind)
    })?;
    wait.bind(py).call1((awaitable,))
}

/// PyIter_Send(), which is there from 3.10 on.
type IterSend =
    unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject, *mut *mut ffi::PyObject) -> libc::c_int;

/// What it answers (PySendResult).
const RETURNS: libc::c_int = 0;
const YIELDS: libc::c_int = 1;

fn iter_send() -> Option<IterSend> {
    static FOUND: OnceLock<Option<IterSend>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let address = symbol(c"PyIter_Send")?;
        // SAFETY: the symbol has this type in every libpython that has it.
        Some(unsafe { mem::transmute::<*mut libc::c_void, IterSend>(address) })
    })
}

/// Goes on with a value.
pub(super) fn send<'py>(coroutine: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Stepped<'py>> {
    let py = coroutine.py();
    let Some(iter_send) = iter_send() else {
        return stepped(py, coroutine.call_method1(intern!(py, "send"), (value,)));
    };
    let mut result = ptr::null_mut();
    // SAFETY: both objects are alive and the interpreter's lock is held; the result is a new reference, or null with an exception.
    unsafe {
        match iter_send(coroutine.as_ptr(), value.as_ptr(), &raw mut result) {
            YIELDS => Ok(Stepped::Waits(Bound::from_owned_ptr(py, result))),
            RETURNS => {
                drop(Bound::from_owned_ptr_or_opt(py, result));
                Ok(Stepped::Ends)
            }
            _ => Err(PyErr::fetch(py)),
        }
    }
}

/// Has it raise, where it waits.
pub(super) fn throw<'py>(coroutine: &Bound<'py, PyAny>, error: PyErr) -> PyResult<Stepped<'py>> {
    let py = coroutine.py();
    stepped(py, coroutine.call_method1(intern!(py, "throw"), (error.into_value(py),)))
}

fn stepped<'py>(py: Python<'py>, answer: PyResult<Bound<'py, PyAny>>) -> PyResult<Stepped<'py>> {
    match answer {
        Ok(awaited) => Ok(Stepped::Waits(awaited)),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => Ok(Stepped::Ends),
        Err(error) => Err(error),
    }
}

/// The mark of a function whose calls are coroutines, for asyncio.iscoroutinefunction().
pub(super) fn asyncio_mark(py: Python<'_>) -> Option<Py<PyAny>> {
    let module = py.import("asyncio.coroutines");
    module.and_then(|module| module.getattr("_is_coroutine")).ok().map(Bound::unbind)
}

/// The same for inspect.iscoroutinefunction(), from 3.12 on, whose first releases had another name for it.
pub(super) fn inspect_mark(py: Python<'_>) -> Option<Py<PyAny>> {
    let module = py.import("inspect").ok()?;
    let mark =
        ["_is_coroutine_mark", "_is_coroutine_marker"].iter().find_map(|name| module.getattr(*name).ok());
    mark.map(Bound::unbind)
}
