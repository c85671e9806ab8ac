// SPDX-License-Identifier: MIT OR Apache-2.0
//! `wsgi.input`: the request body as a file.

use std::{cell::RefMut, sync::Arc};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyList, PyMemoryView, PySlice},
};

use crate::{body::Body, exchange::Exchange};

/// `wsgi.input`.
#[pyclass(frozen, module = "gangway", name = "Input")]
#[derive(Debug)]
pub(crate) struct Input(pub(crate) Arc<Exchange>);

/// `size` of the file methods: absent, None and negative are all.
fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

impl Input {
    /// The body; refused once the request is over, even where nothing would have to be read.
    fn body<'a>(&'a self, py: Python<'a>) -> PyResult<RefMut<'a, Body>> {
        self.0.request(py)?;
        self.0.body.get_mut(py)
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.body(py)?.read(py, &*self.0, limit(size))
    }

    /// Whatever is there, at least a byte.
    #[pyo3(signature = (size = None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let mut body = self.body(py)?;
        body.fill(py, &*self.0)?;
        let count = limit(size).min(body.buffered().len());
        let data = PyBytes::new(py, &body.buffered()[..count]);
        body.skip(count);
        Ok(data)
    }

    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let view = PyMemoryView::from(buffer)?.call_method1("cast", ("B",))?;
        let data = self.body(py)?.read(py, &*self.0, view.len()?)?;
        let count = data.as_bytes().len();
        view.set_item(PySlice::new(py, 0, count as isize, 1), data)?;
        Ok(count)
    }

    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.body(py)?.read_line(py, &*self.0, limit(size))
    }

    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        // As io.IOBase.readlines: 0 is no limit either.
        let enough = hint.filter(|hint| *hint > 0).map_or(usize::MAX, |hint| limit(Some(hint)));
        let mut total = 0;
        while total < enough {
            let line = self.body(py)?.read_line(py, &*self.0, usize::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    const fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.body(py)?.read_line(py, &*self.0, usize::MAX)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.0.request(py).is_err()
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn readable(&self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn writable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn seekable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn flush(&self) {}

    /// The server owns the body; io.TextIOWrapper and its like call this when they are collected.
    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn close(&self) {}
}

/// `environ['gangway.disconnected']`.
#[pyclass(frozen, module = "gangway", name = "Disconnected")]
#[derive(Debug)]
pub(crate) struct Disconnected(pub(crate) Arc<Exchange>);

#[pymethods]
impl Disconnected {
    /// Whether the client has left or the deadline has passed. After the request: True, for nobody waits any more.
    fn __call__(&self, py: Python<'_>) -> bool {
        self.0.request(py).is_err() || self.0.cancelled(py)
    }
}
