// SPDX-License-Identifier: MIT OR Apache-2.0
//! One WebSocket, for the Python code of the loop. No call of it waits.

use std::ffi::c_void;

use gangway_abi::{
    bytes::{borrow, lend},
    ffi::{
        GW_AGAIN, GW_CANCELLED, GW_MESSAGE_BINARY, GW_MESSAGE_CLOSED, GW_MESSAGE_TEXT, GW_NOWAIT, GW_OK,
        gw_bytes,
    },
    host::Sockets,
};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyBytes,
};

use super::{call::Call, extras::gone, header_list::HeaderList, is_loop};
use crate::text::text;

/// Messages from this size on are made into frames without the interpreter's lock.
const LARGE: usize = 16 * 1024;

/// A request for a WebSocket.
#[pyclass(frozen)]
pub(super) struct Socket {
    call: Py<Call>,
    sockets: Sockets,
}

impl Socket {
    pub(super) fn new(call: Py<Call>, sockets: Sockets) -> Self {
        Self { call, sockets }
    }
}

/// A message on its way from the host to a Python object.
struct Inbox<'py> {
    py: Python<'py>,
    message: Option<PyResult<Bound<'py, PyAny>>>,
}

/// What [`Socket::receive`] answers for a message: its kind, the text or the bytes, and the number of a close.
unsafe extern "C" fn keep(context: *mut c_void, kind: u32, code: u16, payload: gw_bytes) {
    // SAFETY: receive() passes an inbox of its own, which nobody else has until the call of the host returns.
    let inbox = unsafe { &mut *context.cast::<Inbox<'_>>() };
    // SAFETY: gangway.h: the message is borrowed for the call.
    let bytes = unsafe { borrow(payload) };
    let py = inbox.py;
    inbox.message = Some(if kind == GW_MESSAGE_BINARY {
        (kind, PyBytes::new(py, bytes), code).into_pyobject(py).map(Bound::into_any)
    } else {
        // gangway.h: text, and the reason of a close, is UTF-8.
        text(py, bytes).and_then(|text| (kind, text, code).into_pyobject(py)).map(Bound::into_any)
    });
}

#[pymethods]
impl Socket {
    #[classattr]
    const TEXT: u32 = GW_MESSAGE_TEXT;
    #[classattr]
    const CLOSED: u32 = GW_MESSAGE_CLOSED;

    /// Accepts it. Answers whether there is a client.
    fn accept(
        &self,
        py: Python<'_>,
        subprotocol: Option<&str>,
        headers: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let request = self.call.bind(py).get().request()?;
        let subprotocol = subprotocol.unwrap_or_default();
        let answer = HeaderList::lend(headers, |fields| {
            let subprotocol = lend(subprotocol.as_bytes());
            // SAFETY: the request is alive; everything is borrowed for the call, which keeps the interpreter's lock.
            unsafe { (self.sockets.accept)(request, subprotocol, fields.as_ptr(), fields.len()) }
        })?;
        match answer {
            GW_OK => Ok(true),
            GW_CANCELLED => Ok(false),
            _ => Err(PyValueError::new_err(
                "the server refused to accept the WebSocket so; its error log says why",
            )),
        }
    }

    /// The next message; None when there is none yet, False when it has been closed and that has been told.
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let request = self.call.bind(py).get().request()?;
        let mut inbox = Inbox { py, message: None };
        // SAFETY: the request is alive; the inbox outlives the call.
        let answer =
            unsafe { (self.sockets.receive)(request, GW_NOWAIT, Some(keep), (&raw mut inbox).cast()) };
        match (answer, inbox.message) {
            (GW_OK, Some(message)) => message,
            (GW_AGAIN, _) => Ok(py.None().into_bound(py)),
            (GW_CANCELLED, _) => Ok(false.into_pyobject(py)?.to_owned().into_any()),
            _ => Err(PyRuntimeError::new_err("the server has failed; its error log says why")),
        }
    }

    /// Sends text.
    fn send_text(&self, py: Python<'_>, text: &str) -> PyResult<bool> {
        self.send(py, GW_MESSAGE_TEXT, text.as_bytes())
    }

    /// Sends bytes.
    fn send_bytes(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let copied;
        let bytes = match message.cast::<PyBytes>() {
            Ok(bytes) => bytes,
            Err(_) => {
                copied = py
                    .import("builtins")?
                    .getattr("memoryview")?
                    .call1((message,))?
                    .call_method0("tobytes")?;
                copied.cast::<PyBytes>()?
            }
        };
        self.send(py, GW_MESSAGE_BINARY, bytes.as_bytes())
    }

    /// Closes it.
    fn close(&self, py: Python<'_>, code: u16, reason: &str) -> PyResult<()> {
        let request = self.call.bind(py).get().request()?;
        // SAFETY: the request is alive; the reason is borrowed for the call.
        match unsafe { (self.sockets.close)(request, code, lend(reason.as_bytes())) } {
            GW_OK | GW_CANCELLED => Ok(()),
            _ => Err(PyValueError::new_err(format!("{code} is not a close code that may be sent"))),
        }
    }
}

impl Socket {
    /// Answers whether it has been taken; if not, there is no room.
    fn send(&self, py: Python<'_>, kind: u32, message: &[u8]) -> PyResult<bool> {
        let request = self.call.bind(py).get().request()?.expose_provenance();
        let send = self.sockets.send;
        let act = move || {
            let request = std::ptr::with_exposed_provenance_mut(request);
            // SAFETY: the request is alive, since the loop's thread ends it: that is here, or waits for the interpreter's lock; the
            // message is borrowed.
            unsafe { send(request, kind, message.as_ptr(), message.len(), GW_NOWAIT) }
        };
        match if message.len() >= LARGE && is_loop() { py.detach(act) } else { act() } {
            GW_OK => Ok(true),
            GW_AGAIN => Ok(false),
            GW_CANCELLED => Err(gone()),
            _ => Err(PyRuntimeError::new_err("the server refused a message; its error log says why")),
        }
    }
}
