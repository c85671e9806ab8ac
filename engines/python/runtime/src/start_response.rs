// SPDX-License-Identifier: MIT OR Apache-2.0
//! `start_response` and the `write` callable that it returns (PEP 3333, "The start_response() Callable").

use std::sync::Arc;

use gangway_python_shared::head::Rule;
use pyo3::{
    exceptions::{PyConnectionAbortedError, PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};

use crate::{
    errors_stream,
    exchange::Exchange,
    forked,
    send::{SendFailure, send_block},
    text::{type_name, with_latin1},
};

#[pyclass(frozen, module = "gangway", name = "StartResponse")]
#[derive(Debug)]
pub(crate) struct StartResponse {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) write: Py<Write>,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, response_headers, exc_info = None))]
    fn __call__(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        response_headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Write>> {
        // What a forked child says of a response is thrown away, with its response.
        if !forked::is_child() {
            self.exchange.request(py)?;
        }
        let mut response = self.exchange.response.get_mut(py)?;
        match exc_info {
            // "If exc_info is provided, and the HTTP headers have already been sent, start_response must raise an
            // error, and should re-raise using the exc_info tuple."
            Some(exc_info) if response.head_sent => return Err(reraise(exc_info)?),
            // "it is a fatal error to call start_response without the exc_info argument if start_response has already
            // been called within the current invocation of the application."
            None if response.started => {
                return Err(PyRuntimeError::new_err(
                    "start_response was called a second time without exc_info (PEP 3333)",
                ));
            }
            _ => {}
        }
        response.started = false;
        let head = &mut response.head;
        with_latin1(status, "the status", |status| head.begin(status).map_err(rule))?;
        let Ok(headers) = response_headers.cast::<PyList>() else {
            let kind = type_name(response_headers);
            return Err(PyTypeError::new_err(format!("the headers must be a list of tuples, not {kind}")));
        };
        for header in headers {
            let Some((name, value)) = pair(&header) else {
                let shown = header.repr()?;
                return Err(PyTypeError::new_err(format!(
                    "a header must be a tuple (name, value), not {shown}"
                )));
            };
            with_latin1(&name, "a header name", |name| {
                with_latin1(&value, "a header value", |value| head.push(name, value).map_err(rule))
            })?;
        }
        response.started = true;
        Ok(self.write.clone_ref(py))
    }
}

fn pair<'py>(header: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let header = header.cast::<PyTuple>().ok().filter(|header| header.len() == 2)?;
    Some((header.get_item(0).ok()?, header.get_item(1).ok()?))
}

fn rule(rule: Rule) -> PyErr {
    PyValueError::new_err(rule.to_string())
}

/// The exception of an exc_info tuple, with its traceback.
fn reraise(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let error = exc_info.get_item(1)?;
    let error = error.call_method1("with_traceback", (exc_info.get_item(2)?,))?;
    Ok(PyErr::from_value(error))
}

#[pyclass(frozen, module = "gangway", name = "Write")]
#[derive(Debug)]
pub(crate) struct Write(pub(crate) Arc<Exchange>);

#[pymethods]
impl Write {
    #[pyo3(signature = (data, /))]
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.0.request(py)? != errors_stream::current() {
            return Err(PyRuntimeError::new_err("write() is for the thread of the request alone"));
        }
        let Ok(data) = data.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(format!("write() takes bytes, not {}", type_name(data))));
        };
        match send_block(py, &self.0, data, true) {
            Ok(()) => Ok(()),
            Err(SendFailure::Raised(error)) => Err(error),
            Err(SendFailure::Fault(_, text)) => Err(PyRuntimeError::new_err(text)),
            // More than Content-Length is dropped; the response itself is complete.
            Err(SendFailure::Full) => Ok(()),
            Err(SendFailure::Gone | SendFailure::Refused) => {
                Err(PyConnectionAbortedError::new_err("the response cannot be sent: the client has left"))
            }
        }
    }
}
