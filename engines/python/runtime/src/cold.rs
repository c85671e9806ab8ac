// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every application of the process shares, and the cold paths that are written in Python.

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyList, PyModule},
};

static COLD: PyOnceLock<Cold> = PyOnceLock::new();

/// Objects that every application shares.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) module: Py<PyModule>,
    pub(crate) processes: Py<PyModule>,
    pub(crate) stderr: Py<PyAny>,
    pub(crate) file_wrapper: Py<PyAny>,
    pub(crate) timeout: Py<PyAny>,
}

impl Cold {
    /// Has every application find these objects.
    pub(crate) fn keep(self, py: Python<'_>) -> PyResult<()> {
        COLD.set(py, self).map_err(|_| PyRuntimeError::new_err("prepared twice"))
    }

    /// Whether the interpreter has been prepared.
    pub(crate) fn is_kept(py: Python<'_>) -> bool {
        COLD.get(py).is_some()
    }

    /// The objects of the running interpreter.
    ///
    /// # Panics
    /// Before `start()`, which comes before every application.
    pub(crate) fn get(py: Python<'_>) -> &Self {
        #[expect(
            clippy::expect_used,
            reason = "no application exists before start(); the fence holds a defect here"
        )]
        COLD.get(py).expect("the interpreter is prepared")
    }

    /// A function of bootstrap.py.
    pub(crate) fn function<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.module.bind(py).getattr(name)
    }

    /// A function of processes.py.
    pub(crate) fn process<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.processes.bind(py).getattr(name)
    }

    /// The exception and where it came from, in one line.
    pub(crate) fn one_line(&self, py: Python<'_>, error: &PyErr) -> String {
        let line = self
            .function(py, "one_line")
            .and_then(|function| function.call1((with_traceback(py, error),)))
            .and_then(|line| line.extract::<String>());
        line.unwrap_or_else(|_| error.to_string())
    }

    /// The traceback, line by line.
    pub(crate) fn lines<'py>(&self, py: Python<'py>, error: &PyErr) -> Option<Bound<'py, PyList>> {
        let lines =
            self.function(py, "lines").and_then(|function| function.call1((with_traceback(py, error),)));
        lines.ok()?.cast_into().ok()
    }

    /// The Python stack of a thread.
    pub(crate) fn stack<'py>(&self, py: Python<'py>, ident: u64) -> Option<Bound<'py, PyList>> {
        self.function(py, "stack").and_then(|function| function.call1((ident,))).ok()?.cast_into().ok()
    }

    /// Whether the exception is the one of interrupt().
    pub(crate) fn is_timeout(&self, py: Python<'_>, error: &PyErr) -> bool {
        error.is_instance(py, self.timeout.bind(py))
    }
}

/// The exception object as Python code wants it: before 3.12 its traceback is kept beside it.
pub(crate) fn with_traceback<'py>(py: Python<'py>, error: &PyErr) -> Bound<'py, PyAny> {
    error.clone_ref(py).into_value(py).into_bound(py).into_any()
}
