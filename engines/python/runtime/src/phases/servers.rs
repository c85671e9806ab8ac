// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of the configuration, for the package: with a request or without one, on any thread.

use std::ptr;

use gangway_abi::{ffi::GW_INVALID, host};
use pyo3::{exceptions::PyNotImplementedError, prelude::*};

use super::transaction::{Transaction, outcome};

/// The server behind that of a transaction, or the main one for None; None behind the last one. Raises NotImplementedError where the server does not tell.
#[pyfunction]
#[pyo3(signature = (transaction, /))]
pub(super) fn next_server(
    py: Python<'_>,
    transaction: Option<&Bound<'_, Transaction>>,
) -> PyResult<Option<Transaction>> {
    let missing = || PyNotImplementedError::new_err("the server does not tell of servers");
    let calls = host::host().and_then(|host| host.transactions).ok_or_else(missing)?;
    let ask = calls.next_server.ok_or_else(missing)?;
    let from = transaction.map_or(Ok(ptr::null_mut()), |transaction| transaction.get().lent(py))?;
    let mut found = ptr::null_mut();
    // SAFETY: NULL, or a transaction that is live while a phase of it runs, or a server; the place outlives the call.
    match unsafe { ask(from, &raw mut found) } {
        GW_INVALID => return Err(missing()),
        status => outcome(status, "asking for another server")?,
    }
    if found.is_null() { Ok(None) } else { Transaction::of_server(found).ok_or_else(missing).map(Some) }
}
