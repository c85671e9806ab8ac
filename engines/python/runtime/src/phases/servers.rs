// SPDX-License-Identifier: MIT OR Apache-2.0
//! The servers of the configuration, for the package: with a request or without one, on any thread.

use std::ptr;

use gangway_abi::host;
use pyo3::prelude::*;

use super::transaction::{Transaction, outcome, too_old};

/// The server behind that of a transaction, or the main one for None; None behind the last one. Raises ValueError where the server does not tell.
#[pyfunction]
#[pyo3(signature = (transaction, /))]
pub(super) fn next_server(
    py: Python<'_>,
    transaction: Option<&Bound<'_, Transaction>>,
) -> PyResult<Option<Transaction>> {
    let missing = || too_old("servers beside that of a request");
    let calls = host::host().and_then(|host| host.transactions).ok_or_else(missing)?;
    let ask = calls.next_server.ok_or_else(missing)?;
    let from = transaction.map_or(Ok(ptr::null_mut()), |transaction| transaction.get().lent(py))?;
    let mut found = ptr::null_mut();
    // SAFETY: NULL, or a transaction that is live while a phase of it runs, or a server; the place outlives the call.
    outcome(unsafe { ask(from, &raw mut found) }, "this server")?;
    if found.is_null() { Ok(None) } else { Transaction::of_server(found).ok_or_else(missing).map(Some) }
}
