// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request as the objects that the application gets share it.

use std::{
    ptr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
};

use gangway_abi::{
    ffi::{GW_AGAIN, GW_ERROR, GW_MISUSE, GW_NOWAIT, GW_OK, gw_request, gw_status},
    host::Host,
};
use gangway_python_shared::head::Head;
use pyo3::{
    PyErr, PyResult, Python,
    exceptions::{PyRuntimeError, PyValueError},
};

use crate::{
    body::{Body, Received, Source},
    forked,
    gil::{Guarded, in_use},
};

/// A request and its response. The application may keep its objects for longer than the request: every use of
/// the host goes through `call()`, which then refuses.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) host: &'static Host,
    /// Null outside of a request. Changed and read with the interpreter's lock alone.
    request: AtomicPtr<gw_request>,
    calls: Mutex<Calls>,
    idle: Condvar,
    pub(crate) response: Guarded<Response>,
    pub(crate) body: Guarded<Body>,
}

/// Calls of the host without the interpreter's lock.
#[derive(Debug, Default)]
struct Calls {
    /// A thread waits inside one.
    inside: bool,
    /// Threads that wait for its end: without any, nobody needs to be woken, which is a system call for each block.
    watchers: usize,
}

/// What is known of the response so far.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) head: Head,
    /// start_response was called.
    pub(crate) started: bool,
    /// The host has the head, which cannot be changed any more.
    pub(crate) head_sent: bool,
    /// The answer carries no body (HEAD).
    pub(crate) no_body: bool,
}

/// A raw pointer on its way into a call without the interpreter's lock.
#[derive(Clone, Copy)]
struct Waiting(*mut gw_request);

// SAFETY: the pointer is only handed to the host, on the same thread.
unsafe impl Send for Waiting {}

// SAFETY: the pointer is only copied out of it; the reference that the call captures stays on its thread.
unsafe impl Sync for Waiting {}

impl Waiting {
    const fn request(self) -> *mut gw_request {
        self.0
    }
}

impl Exchange {
    pub(crate) fn new(host: &'static Host) -> Self {
        Self {
            host,
            request: AtomicPtr::new(ptr::null_mut()),
            calls: Mutex::default(),
            idle: Condvar::new(),
            response: Guarded::default(),
            body: Guarded::default(),
        }
    }

    /// Begins a request. `content_length` as in `gw_request_head`.
    pub(crate) fn begin(
        &self,
        py: Python<'_>,
        request: *mut gw_request,
        content_length: i64,
        no_body: bool,
    ) -> PyResult<()> {
        let mut response = self.response.get_mut(py)?;
        response.started = false;
        response.head_sent = false;
        response.no_body = no_body;
        self.body.get_mut(py)?.begin(u64::try_from(content_length).ok());
        self.request.store(request, Ordering::Relaxed);
        Ok(())
    }

    /// Ends it: from here on every use by the application is refused.
    pub(crate) fn end(&self, py: Python<'_>) {
        self.request.store(ptr::null_mut(), Ordering::Relaxed);
        self.wait_idle(py);
    }

    /// The request, or the exception that tells that it has ended.
    pub(crate) fn request(&self, _py: Python<'_>) -> PyResult<*mut gw_request> {
        if forked::is_child() {
            return Err(forked::refusal());
        }
        let request = self.request.load(Ordering::Relaxed);
        if request.is_null() { Err(ended()) } else { Ok(request) }
    }

    /// Calls the host: first so that it does not wait, and where it would, again without the interpreter's lock,
    /// so that other requests go on meanwhile.
    ///
    /// One thread at a time. It is the request's own thread, or one that reads the body for it: an asynchronous view
    /// runs on another thread than the one that waits for it.
    pub(crate) fn call(
        &self,
        py: Python<'_>,
        call: impl Fn(&Host, *mut gw_request, u32) -> gw_status + Send + Sync,
    ) -> PyResult<gw_status> {
        let request = self.request(py)?;
        if self.calls().inside {
            return Err(in_use());
        }
        let status = call(self.host, request, GW_NOWAIT);
        if status != GW_AGAIN {
            return Ok(status);
        }
        self.calls().inside = true;
        let request = Waiting(request);
        let status = py.detach(|| {
            let status = call(self.host, request.request(), 0);
            let mut calls = self.calls();
            calls.inside = false;
            if calls.watchers > 0 {
                self.idle.notify_all();
            }
            drop(calls);
            status
        });
        Ok(status)
    }

    /// Waits until no other thread of the application is inside the host.
    pub(crate) fn wait_idle(&self, py: Python<'_>) {
        if !self.calls().inside {
            return;
        }
        py.detach(|| {
            let mut calls = self.calls();
            calls.watchers += 1;
            while calls.inside {
                calls = self.idle.wait(calls).unwrap_or_else(PoisonError::into_inner);
            }
            calls.watchers -= 1;
        });
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has left or the deadline has passed.
    pub(crate) fn cancelled(&self, py: Python<'_>) -> bool {
        self.request(py).is_ok_and(|request| {
            // SAFETY: the request is alive, for it ends with the interpreter's lock held; cancelled() may be called
            // on any thread and does not wait.
            unsafe { (self.host.cancelled)(request) != 0 }
        })
    }
}

fn ended() -> PyErr {
    PyValueError::new_err("this object belongs to a request that has ended")
}

impl Source for Exchange {
    fn receive(&self, py: Python<'_>, out: &mut [u8]) -> PyResult<Received> {
        let (address, capacity) = (out.as_mut_ptr() as usize, out.len());
        let mut length = 0usize;
        let length_address = &raw mut length as usize;
        let status = self.call(py, |host, request, flags| {
            // SAFETY: `out` and `length` are borrowed mutably for this whole function, which waits for the call; the
            // request is alive, and this is the one thread that is inside the host for it.
            unsafe {
                (host.read_body)(request, address as *mut u8, capacity, flags, length_address as *mut usize)
            }
        })?;
        match status {
            GW_OK => Ok(Received::Bytes(length)),
            GW_MISUSE => Err(PyRuntimeError::new_err(
                "this server lets only the thread of the request read the request body; read it there first",
            )),
            GW_ERROR => Ok(Received::Broken),
            _ => Ok(Received::Left),
        }
    }
}
