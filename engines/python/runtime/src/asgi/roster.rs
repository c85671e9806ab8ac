// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all requests of a loop have together.

use std::sync::atomic::{AtomicBool, Ordering};

use gangway_abi::host;
use pyo3::{exceptions::PyKeyError, prelude::*, types::PyDict};

/// The requests of a loop, and whether the server is told later of what they send.
pub(super) struct Roster {
    /// The objects of requests.py, by the keys of their calls.
    requests: Py<PyDict>,
    gathers: AtomicBool,
}

impl Roster {
    pub(super) fn new(py: Python<'_>) -> Self {
        Self { requests: PyDict::new(py).unbind(), gathers: AtomicBool::new(false) }
    }

    pub(super) fn requests<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.requests.bind(py).clone()
    }

    /// The server has no more of a request.
    pub(super) fn forget(&self, py: Python<'_>, key: usize) -> PyResult<()> {
        match self.requests.bind(py).del_item(key) {
            // Few have been forgotten before.
            Err(error) if error.is_instance_of::<PyKeyError>(py) => Ok(()),
            deleted => deleted,
        }
    }

    /// Whether the server is told later of what is sent now.
    pub(super) fn gathers(&self) -> bool {
        self.gathers.load(Ordering::Relaxed)
    }

    /// From now on what requests send is told to the server later; or it is told what it has not been told. LOOP.
    pub(super) fn gather(&self, is_on: bool) {
        self.gathers.store(is_on, Ordering::Relaxed);
        if let Some(gather) = host::host().and_then(|host| host.gather) {
            // SAFETY: gangway.h: any thread may call it.
            unsafe { gather(is_on.into()) };
        }
    }
}
