// SPDX-License-Identifier: MIT OR Apache-2.0
//! One handler whose place is known, called without the package's help: what most requests are. What its `_dispatch.run` does for
//! all others is done here for these.

use std::cell::RefCell;

use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyInt, PyTuple, PyType},
};

use super::{places::Place, transaction::Transaction};

thread_local! {
    static CURRENT: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
}

/// The request whose handlers the calling thread runs; None outside of them.
#[pyfunction]
pub(super) fn current(py: Python<'_>) -> Option<Py<PyAny>> {
    CURRENT.with_borrow(|current| current.as_ref().map(|current| current.clone_ref(py)))
}

/// Another one in its place; None for none. Answers the one before.
#[pyfunction]
#[pyo3(signature = (request, /))]
pub(super) fn replace_current(request: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    CURRENT.replace(request)
}

/// Has the thread be at the request of before again.
struct AtRequest<'py>(Python<'py>, Option<Py<PyAny>>);

impl Drop for AtRequest<'_> {
    fn drop(&mut self) {
        if let Some(request) = CURRENT.replace(self.1.take()) {
            request.drop_ref(self.0);
        }
    }
}

/// What of the package is called.
#[derive(Debug)]
pub(super) struct Dispatch {
    /// The class of requests.
    request: Py<PyType>,
    run: Py<PyAny>,
    go_on: Py<PyAny>,
    caught: Py<PyAny>,
    answered: Py<PyAny>,
    end: Py<PyAny>,
}

const OK: i32 = 0;
const DECLINED: i32 = -1;

impl Dispatch {
    pub(super) fn find(py: Python<'_>) -> PyResult<Self> {
        let module = py.import("mod_python._dispatch")?;
        let named = |name: &str| -> PyResult<Py<PyAny>> { Ok(module.getattr(name)?.unbind()) };
        let request = py.import("mod_python._request")?.getattr("Request")?;
        Ok(Self {
            request: request.cast_into::<PyType>()?.unbind(),
            run: named("run")?,
            go_on: named("go_on")?,
            caught: named("caught")?,
            answered: named("answered")?,
            end: named("end")?,
        })
    }

    /// The package's object for a request.
    pub(super) fn make(&self, py: Python<'_>, transaction: &Py<Transaction>) -> PyResult<Py<PyAny>> {
        let (class, nothing) = (self.request.bind(py), PyTuple::empty(py));
        // SAFETY: the class is one of the package's, with Python's `object` below it alone, and what this calls is what that does for it.
        let made = unsafe {
            let made = ffi::PyType_GenericNew(class.as_type_ptr(), nothing.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, made)?
        };
        // All that its __init__ does.
        made.setattr(intern!(py, "_transaction"), transaction)?;
        Ok(made.unbind())
    }

    /// Runs the handlers of a place. `is_new`: they are the first of this request.
    pub(super) fn run(&self, request: &Bound<'_, PyAny>, place: &Place, is_new: bool) -> PyResult<i32> {
        let py = request.py();
        if let Some(handler) = place.single(py)? {
            return self.run_single(request, place, &handler, is_new);
        }
        let answer = self.run.bind(py).call1((request, &place.object))?.extract()?;
        place.learn(py)?;
        Ok(answer)
    }

    fn run_single(
        &self,
        request: &Bound<'_, PyAny>,
        place: &Place,
        handler: &Bound<'_, PyAny>,
        is_new: bool,
    ) -> PyResult<i32> {
        let py = request.py();
        request.setattr(intern!(py, "_place"), &place.object)?;
        if !is_new {
            // Of the phase before.
            for name in [intern!(py, "_running"), intern!(py, "_relatives")] {
                if !request.getattr(name)?.is_none() {
                    request.setattr(name, py.None())?;
                }
            }
        }
        let current = AtRequest(py, CURRENT.replace(Some(request.clone().unbind())));
        let mut answer = match handler.call1((request,)) {
            Ok(answer) if answer.is_exact_instance_of::<PyInt>() => answer.extract()?,
            Ok(answer) => self.answered.bind(py).call1((request, &place.word, answer))?.extract()?,
            Err(error) => {
                let error = error.into_value(py);
                self.caught.bind(py).call1((request, &place.word, error))?.extract()?
            }
        };
        let goes_on = match answer {
            OK => place.goes_on.0,
            DECLINED => place.goes_on.1,
            _ => false,
        };
        // Others that it has added.
        if goes_on && !request.getattr(intern!(py, "_running"))?.is_none() {
            answer = self.go_on.bind(py).call1((request, &place.object, 1, answer))?.extract()?;
        }
        drop(current);
        if (place.is_last || !matches!(answer, OK | DECLINED))
            && !request.getattr(intern!(py, "_at_end"))?.is_none()
        {
            self.end.bind(py).call1((request,))?;
        }
        Ok(answer)
    }
}
