// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects that an application gets with a request. Making them costs more than filling them again, so a
//! thread keeps its own for the next request, unless the application has kept one of them.

use std::sync::Arc;

use gangway_abi::host::Host;
use pyo3::{ffi, prelude::*};

use crate::{
    exchange::Exchange,
    input::{Disconnected, Input},
    start_response::{StartResponse, Write},
};

#[derive(Debug)]
pub(crate) struct RequestObjects {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) start_response: Py<StartResponse>,
    pub(crate) input: Py<Input>,
    pub(crate) disconnected: Py<Disconnected>,
    write: Py<Write>,
}

impl RequestObjects {
    pub(crate) fn new(py: Python<'_>, host: &'static Host) -> PyResult<Self> {
        let exchange = Arc::new(Exchange::new(host));
        let write = Py::new(py, Write(Arc::clone(&exchange)))?;
        let start_response = StartResponse { exchange: Arc::clone(&exchange), write: write.clone_ref(py) };
        Ok(Self {
            start_response: Py::new(py, start_response)?,
            input: Py::new(py, Input(Arc::clone(&exchange)))?,
            disconnected: Py::new(py, Disconnected(Arc::clone(&exchange)))?,
            exchange,
            write,
        })
    }

    /// Whether no reference but their own is left, so that nothing of one request can reach the next.
    pub(crate) fn is_alone(&self, py: Python<'_>) -> bool {
        count(py, &self.start_response) == 1
            && count(py, &self.input) == 1
            && count(py, &self.disconnected) == 1
            // start_response holds the other one.
            && count(py, &self.write) == 2
    }
}

fn count<T>(_py: Python<'_>, object: &Py<T>) -> ffi::Py_ssize_t {
    // SAFETY: the object is alive and the interpreter's lock is held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}
