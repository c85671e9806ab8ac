// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the messages of a response to the host's calls, and what the host answers.

use gangway_abi::ffi::{GW_AGAIN, GW_CANCELLED, GW_INVALID, GW_OK, gw_status};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::PyBytes,
};

use crate::text::type_name;

/// RFC 8297.
pub(super) const EARLY_HINTS: u16 = 103;

/// The `links` of a hint, kept while the host reads them.
pub(super) fn links_of<'py>(links: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    links.try_iter()?.map(|link| bytes(link?)).collect()
}

fn bytes(item: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    item.cast_into().map_err(|error| {
        let kind = type_name(&error.into_inner());
        PyTypeError::new_err(format!("links must be bytes, not {kind}"))
    })
}

/// What the host answers to fields.
pub(super) fn heard(answer: gw_status) -> PyResult<()> {
    match answer {
        GW_OK => Ok(()),
        GW_CANCELLED => Err(gone()),
        _ => Err(PyValueError::new_err("the server refused the response head; its error log says why")),
    }
}

/// What the host answers to a part of the body: whether it has been taken.
pub(super) fn taken(status: gw_status) -> PyResult<bool> {
    match status {
        // More than Content-Length allows: the host has said so, and the rest is dropped.
        GW_OK | GW_INVALID => Ok(true),
        GW_AGAIN => Ok(false),
        GW_CANCELLED => Err(gone()),
        _ => {
            Err(PyRuntimeError::new_err("the server refused a part of the response; its error log says why"))
        }
    }
}

/// What a write raises when nobody waits for the response (ASGI HTTP 2.4).
pub(super) fn gone() -> PyErr {
    PyOSError::new_err("the client has left, or the time for the request is over")
}
