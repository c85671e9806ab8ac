// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an application gets as `receive` for a request: the Http of requests.py does it, which is made when it is asked for something.

use pyo3::{PyTraverseError, PyVisit, intern, prelude::*};

use super::{coroutine, sender::Sender};

/// `receive`, of one request.
#[pyclass(frozen)]
pub(super) struct Receiver(Py<Sender>);

impl Receiver {
    pub(super) fn new(sender: Py<Sender>) -> Self {
        Self(sender)
    }
}

#[pymethods]
impl Receiver {
    /// What asyncio.iscoroutinefunction() looks at.
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Option<Py<PyAny>> {
        coroutine::asyncio_mark(py)
    }

    /// What inspect.iscoroutinefunction() looks at, from 3.12 on.
    #[classattr]
    fn _is_coroutine_marker(py: Python<'_>) -> Option<Py<PyAny>> {
        coroutine::inspect_mark(py)
    }

    fn __call__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.get().http(py)?.call_method0(intern!(py, "receive"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
