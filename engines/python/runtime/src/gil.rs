// SPDX-License-Identifier: MIT OR Apache-2.0
//! State that the interpreter's lock protects.

use std::cell::{Ref, RefCell, RefMut};

use pyo3::{PyErr, PyResult, Python, exceptions::PyRuntimeError};

/// A value that only the holder of the interpreter's lock touches.
///
/// A borrow may be kept while the lock is given up; another thread that then asks for it gets an exception
/// instead of a wait, which could last as long as a slow client.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(RefCell<T>);

// SAFETY: every access takes Python<'_>, which only the thread with the lock has. The stable ABI that this crate
// is built for exists only with that lock, so the borrow flag is never touched by two threads at once.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }

    pub(crate) fn get<'a>(&'a self, _py: Python<'a>) -> PyResult<Ref<'a, T>> {
        self.0.try_borrow().map_err(|_| in_use())
    }

    /// For a value that nobody keeps while waiting for a client: its user gives up the lock for moments only, as
    /// making an object can, and the others wait for that.
    pub(crate) fn wait_mut<'a>(&'a self, py: Python<'a>) -> RefMut<'a, T> {
        loop {
            match self.0.try_borrow_mut() {
                Ok(value) => return value,
                Err(_) => py.detach(std::thread::yield_now),
            }
        }
    }

    pub(crate) fn get_mut<'a>(&'a self, _py: Python<'a>) -> PyResult<RefMut<'a, T>> {
        self.0.try_borrow_mut().map_err(|_| in_use())
    }
}

pub(crate) fn in_use() -> PyErr {
    PyRuntimeError::new_err("another thread is using this object of the request")
}
