// SPDX-License-Identifier: MIT OR Apache-2.0
//! What all requests of a loop have together.

use std::sync::atomic::{AtomicBool, Ordering};

use gangway_abi::host;
use pyo3::{
    exceptions::{PyKeyError, PyRuntimeError},
    prelude::*,
    sync::PyOnceLock,
    types::PyDict,
};

use super::call::Call;

/// The requests of a loop, and whether the server is told later of what they send.
pub(super) struct Roster {
    /// The objects of requests by the keys of their calls: of requests.py, or the Sender of a request that has none.
    requests: Py<PyDict>,
    gathers: AtomicBool,
    /// The Server of asgi.py, and the Http of requests.py.
    server: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
}

impl Roster {
    pub(super) fn new(py: Python<'_>) -> Self {
        Self {
            requests: PyDict::new(py).unbind(),
            gathers: AtomicBool::new(false),
            server: PyOnceLock::new(),
        }
    }

    /// Whom the loop belongs to.
    pub(super) fn attach(&self, server: &Bound<'_, PyAny>) -> PyResult<()> {
        let http = server.getattr("kinds")?.getattr("Http")?;
        // The error is that it knows that already.
        let _known = self.server.set(server.py(), (server.clone().unbind(), http.unbind()));
        Ok(())
    }

    fn attached(&self, py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
        self.server.get(py).ok_or_else(|| PyRuntimeError::new_err("the loop has not begun"))
    }

    /// The Server of asgi.py.
    pub(super) fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.attached(py)?.0.bind(py).clone())
    }

    /// A new Http of requests.py.
    pub(super) fn http<'py>(&self, py: Python<'py>, call: &Py<Call>) -> PyResult<Bound<'py, PyAny>> {
        let (server, http) = self.attached(py)?;
        http.bind(py).call1((server, call))
    }

    pub(super) fn requests<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.requests.bind(py).clone()
    }

    /// Who is told of what happens to a request, from now on.
    pub(super) fn know(&self, py: Python<'_>, key: usize, request: &Bound<'_, PyAny>) -> PyResult<()> {
        self.requests.bind(py).set_item(key, request)
    }

    /// Who is told of what happens to a request.
    pub(super) fn find<'py>(&self, py: Python<'py>, key: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.requests.bind(py).get_item(key)
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
