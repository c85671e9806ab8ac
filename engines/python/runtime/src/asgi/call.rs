// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request, for the Python code of the loop. No call of it waits.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use gangway_abi::{
    Level,
    bytes::lend,
    ffi::{
        GW_AGAIN, GW_ERROR, GW_FLUSH, GW_INVALID, GW_NOWAIT, GW_OK, GW_REQUEST_WEBSOCKET, gw_field,
        gw_request, gw_request_head, gw_status,
    },
    host::{Host, Sockets, log_bytes},
};
use gangway_python_shared::codes::Code;
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyDict, PyList},
};

use super::{
    extras::{EARLY_HINTS, heard, links_of, taken},
    header_list::HeaderList,
    scope::{Kind, scope},
};
use crate::{app::App, cold::Cold, errors_stream::log_lines, forked, page, release};

/// Body bytes of one message.
const PART: usize = 64 * 1024;
/// From this size on the host sends the bytes of the object itself.
const OWNED: usize = 16 * 1024;

/// A request of the host, until it has been finished.
#[pyclass(frozen)]
pub(super) struct Call {
    host: &'static Host,
    app: Arc<App>,
    /// Null when it has been finished. Changed with the interpreter's lock alone.
    request: AtomicPtr<gw_request>,
    head: AtomicPtr<gw_request_head>,
    /// Body bytes that may still come, where their number is known.
    remaining: std::sync::atomic::AtomicI64,
    /// Of a request for a WebSocket.
    sockets: Option<Sockets>,
    #[pyo3(get)]
    pub(super) key: usize,
}

impl Call {
    pub(super) fn new(
        host: &'static Host,
        app: Arc<App>,
        request: *mut gw_request,
        head: *const gw_request_head,
    ) -> Self {
        // SAFETY: the host gives the head with the request, and both live until finish().
        let (length, flags) =
            unsafe { head.as_ref() }.map_or((0, 0), |head| (head.content_length, head.flags));
        Self {
            host,
            app,
            request: AtomicPtr::new(request),
            head: AtomicPtr::new(head.cast_mut()),
            remaining: length.into(),
            sockets: host.sockets.filter(|_| flags & GW_REQUEST_WEBSOCKET != 0),
            key: request.addr(),
        }
    }

    /// The request, or the exception that tells that it has ended.
    pub(super) fn request(&self) -> PyResult<*mut gw_request> {
        if forked::is_child() {
            return Err(forked::refusal());
        }
        let request = self.request.load(Ordering::Relaxed);
        if request.is_null() { Err(PyRuntimeError::new_err("this request has ended")) } else { Ok(request) }
    }

    /// The host's functions for it, if it asks for a WebSocket.
    pub(super) fn sockets(&self) -> Option<Sockets> {
        self.sockets
    }

    /// 500 for an application that is not loaded.
    pub(super) fn not_loaded(&self, _py: Python<'_>, cause: &str, lines: &Bound<'_, PyList>) -> PyResult<()> {
        let page = if self.app.debug {
            page::debug_page(&self.app.name, cause, Some(lines))
        } else {
            page::not_loaded_page(&self.app.name)
        };
        self.answer(&page)
    }

    fn answer(&self, page: &page::Page) -> PyResult<()> {
        let request = self.request()?;
        let sent = page.with_fields(|fields| {
            // SAFETY: the request is alive (request()); everything is borrowed for the calls.
            unsafe {
                let (status, reason) = page.status;
                (self.host.start)(request, status, lend(reason), fields.as_ptr(), fields.len()) == GW_OK
                    && (self.host.write)(request, page.body.as_ptr(), page.body.len(), GW_NOWAIT) == GW_OK
            }
        });
        self.end(if sent { GW_OK } else { GW_ERROR });
        Ok(())
    }

    /// Finishes the request, once.
    fn end(&self, outcome: gw_status) {
        let request = self.request.swap(ptr::null_mut(), Ordering::Relaxed);
        self.head.store(ptr::null_mut(), Ordering::Relaxed);
        if !request.is_null() && !forked::is_child() {
            // SAFETY: it was alive until now: nobody else finishes it.
            let _refused = unsafe { (self.host.finish)(request, outcome) };
        }
    }

    fn is_cancelled(&self, request: *mut gw_request) -> bool {
        // SAFETY: the callers have the request from request().
        unsafe { (self.host.cancelled)(request) != 0 }
    }

    fn log(&self, request: *mut gw_request, level: Level, code: Code, text: &str) {
        let line = format!("{code} application {:?}: {text}", self.app.name);
        // SAFETY: the callers have the request from request(), or none.
        unsafe { log_bytes(request, level, line.as_bytes()) };
    }

    fn raised(&self, py: Python<'_>, request: *mut gw_request, error: &PyErr, started: bool) -> PyResult<()> {
        let cold = Cold::get(py);
        let cause = cold.one_line(py, error);
        if self.is_cancelled(request) {
            if error.get_type(py).name()? != "CancelledError" {
                let text = format!("raised {cause} after its request was over");
                self.log(request, Level::Info, Code::RaisedCancelled, &text);
            }
            self.end(GW_ERROR);
            return Ok(());
        }
        let lines = cold.lines(py, error);
        if let Some(lines) = &lines {
            log_lines(request, lines);
        }
        if started {
            let text = format!("raised {cause} in the middle of its response");
            self.log(request, Level::Error, Code::RaisedAfterHead, &text);
            self.end(GW_ERROR);
            return Ok(());
        }
        self.log(request, Level::Error, Code::RaisedBeforeHead, &format!("raised {cause}"));
        if self.app.debug {
            return self.answer(&page::debug_page(&self.app.name, &cause, lines.as_ref()));
        }
        self.end(GW_ERROR);
        Ok(())
    }
}

#[pymethods]
impl Call {
    pub(super) fn scope<'py>(
        &self,
        py: Python<'py>,
        state: Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.request()?;
        // SAFETY: the head lives as long as the request, which has not been finished.
        let head = unsafe { self.head.load(Ordering::Relaxed).as_ref() };
        let head = head.ok_or_else(|| PyRuntimeError::new_err("this request has no head"))?;
        // SAFETY: the head is that of a request that has not been finished (request()).
        unsafe { scope(py, if self.sockets.is_some() { Kind::Socket } else { Kind::Http }, head, state) }
    }

    /// A part of the body and whether more comes; None when it would wait; False when no more can come.
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let request = self.request()?;
        let known = self.remaining.load(Ordering::Relaxed);
        let part = |bytes: &[u8], more: bool| -> PyResult<Bound<'py, PyAny>> {
            Ok((PyBytes::new(py, bytes), more).into_pyobject(py)?.into_any())
        };
        if known == 0 {
            return part(b"", false);
        }
        let mut buffer = vec![0; usize::try_from(known).unwrap_or(PART).min(PART)];
        let mut have = 0;
        while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
            let mut length = 0;
            // SAFETY: the request is alive, and the buffer is borrowed for the call.
            let status = unsafe {
                (self.host.read_body)(request, rest.as_mut_ptr(), rest.len(), GW_NOWAIT, &raw mut length)
            };
            match status {
                GW_OK if length == 0 => return part(buffer.get(..have).unwrap_or_default(), false),
                GW_OK => have += length,
                GW_AGAIN if have == 0 => return Ok(py.None().into_bound(py)),
                GW_AGAIN => break,
                // What has come is of no use without the rest.
                _ => return Ok(false.into_pyobject(py)?.to_owned().into_any()),
            }
        }
        let left = if known < 0 { known } else { known - i64::try_from(have).unwrap_or(known) };
        self.remaining.store(left, Ordering::Relaxed);
        part(buffer.get(..have).unwrap_or_default(), left != 0)
    }

    /// Gives the head.
    pub(super) fn start(&self, status: u16, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let request = self.request()?;
        let answer = HeaderList::lend(headers, |fields| {
            // SAFETY: the request is alive; everything is borrowed for the call, which keeps the interpreter's lock.
            unsafe { (self.host.start)(request, status, lend(b""), fields.as_ptr(), fields.len()) }
        })?;
        heard(answer)
    }

    /// Sends a part of the body. Answers whether it has been taken; if not, there is no room.
    pub(super) fn write(&self, py: Python<'_>, body: &Bound<'_, PyAny>, flush: bool) -> PyResult<bool> {
        let request = self.request()?;
        let flags = GW_NOWAIT | if flush { GW_FLUSH } else { 0 };
        let copied;
        let bytes = match body.cast::<PyBytes>() {
            Ok(bytes) => bytes,
            Err(_) => {
                copied =
                    py.import("builtins")?.getattr("memoryview")?.call1((body,))?.call_method0("tobytes")?;
                copied.cast::<PyBytes>()?
            }
        };
        let data = bytes.as_bytes();
        let status = if data.len() < OWNED {
            // SAFETY: the request is alive; the bytes are borrowed for the call.
            unsafe { (self.host.write)(request, data.as_ptr(), data.len(), flags) }
        } else {
            let context = release::lend(bytes);
            // SAFETY: the request is alive; the lent reference keeps the bytes until the host releases it.
            let status = unsafe {
                (self.host.write_owned)(
                    request,
                    data.as_ptr(),
                    data.len(),
                    Some(release::release),
                    context,
                    flags,
                )
            };
            if !matches!(status, GW_OK | GW_INVALID) {
                // SAFETY: with every other answer the host has not taken the borrow.
                unsafe { release::reclaim(py, context) };
            }
            status
        };
        taken(status)
    }

    /// Fields will follow the body. Before the head.
    fn expect_trailers(&self) -> PyResult<()> {
        let request = self.request()?;
        if let Some(trailers) = self.host.trailers {
            // SAFETY: the request is alive; there are no fields.
            heard(unsafe { trailers(request, ptr::null(), 0) })?;
        }
        Ok(())
    }

    /// Gives fields that follow the body.
    fn trailers(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let request = self.request()?;
        let Some(trailers) = self.host.trailers else { return Ok(()) };
        let answer = HeaderList::lend(headers, |fields| {
            // SAFETY: the request is alive; everything is borrowed for the call, which keeps the interpreter's lock.
            unsafe { trailers(request, fields.as_ptr(), fields.len()) }
        })?;
        heard(answer)
    }

    /// Tells the client early of what it will need.
    fn early_hint(&self, links: &Bound<'_, PyAny>) -> PyResult<()> {
        let request = self.request()?;
        let links = links_of(links)?;
        let fields: Vec<gw_field> =
            links.iter().map(|link| gw_field { name: lend(b"link"), value: lend(link.as_bytes()) }).collect();
        match self.host.interim {
            // SAFETY: the request is alive; everything is borrowed for the call.
            Some(interim) => heard(unsafe { interim(request, EARLY_HINTS, fields.as_ptr(), fields.len()) }),
            None => Ok(()),
        }
    }

    /// Sends a part of a file. Answers whether it has been taken; if not, there is no room.
    fn send_file(&self, descriptor: i32, offset: u64, count: u64, flush: bool) -> PyResult<bool> {
        let request = self.request()?;
        let flags = GW_NOWAIT | if flush { GW_FLUSH } else { 0 };
        // SAFETY: the request is alive; the host duplicates the descriptor.
        taken(unsafe { (self.host.send_file)(request, descriptor, offset, count, flags) })
    }

    /// Ends the response.
    pub(super) fn finish(&self, complete: bool) {
        self.end(if complete { GW_OK } else { GW_ERROR });
    }

    /// The application has ended without a whole response.
    fn fail(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>, started: bool) -> PyResult<()> {
        let Ok(request) = self.request() else { return Ok(()) };
        if let Some(error) = error {
            return self.raised(py, request, &PyErr::from_value(error), started);
        }
        if !self.is_cancelled(request) {
            let text = if started {
                "returned before its response was complete; the last message must have more_body=False"
            } else {
                "returned without a response"
            };
            self.log(request, Level::Error, Code::Incomplete, text);
        }
        self.end(GW_ERROR);
        Ok(())
    }

    /// It still runs so many seconds after its client has left.
    fn give_up(&self, seconds: f64) {
        let Ok(request) = self.request() else { return };
        let text = format!(
            "still ran {seconds}s after its client had left, and is cancelled; disconnect_timeout= says when"
        );
        self.log(request, Level::Notice, Code::LeftAlone, &text);
    }

    /// The application has raised when its response was complete: what it does then is its own work.
    fn raised_late(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        let (cold, error) = (Cold::get(py), PyErr::from_value(error));
        if let Some(lines) = cold.lines(py, &error) {
            log_lines(ptr::null_mut(), &lines);
        }
        let text = format!("raised {} after its response was complete", cold.one_line(py, &error));
        self.log(ptr::null_mut(), Level::Error, Code::RaisedAfterHead, &text);
    }
}
