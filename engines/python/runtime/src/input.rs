// SPDX-License-Identifier: MIT OR Apache-2.0
//! `wsgi.input`: the request body as a file, in constant memory.

use std::{cell::RefMut, slice, sync::Arc};

use gangway_python_abi::ffi::{GW_ERROR, GW_MISUSE, GW_OK};
use pyo3::{
    exceptions::{PyMemoryError, PyOSError, PyRuntimeError},
    ffi,
    prelude::*,
    types::{PyBytes, PyList, PyMemoryView, PySlice},
};

use crate::exchange::Exchange;

/// What is read ahead for lines and for small reads.
const BUFFER: usize = 16 * 1024;

/// A read of an unknown amount grows in steps, so that a large number in read(n) costs nothing by itself.
const STEP: usize = 64 * 1024;

/// How far the body has been read.
#[derive(Debug, Default)]
pub(crate) struct Body {
    buffer: Vec<u8>,
    /// The unread part of the buffer begins here.
    at: usize,
    /// What the host still has, where the client told it.
    remaining: Option<u64>,
    end: bool,
    broken: bool,
}

impl Body {
    pub(crate) fn begin(&mut self, length: Option<u64>) {
        self.buffer.clear();
        self.at = 0;
        self.remaining = length;
        self.end = length == Some(0);
        self.broken = false;
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Takes at most `out.len()` bytes from the buffer.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.buffered().len());
        out[..count].copy_from_slice(&self.buffered()[..count]);
        self.at += count;
        count
    }

    /// How many bytes a read of `wanted` can give at most, and whether that is known to be so.
    fn bound(&self, wanted: usize) -> (usize, bool) {
        match self.remaining {
            Some(remaining) => {
                let left =
                    usize::try_from(remaining).unwrap_or(usize::MAX).saturating_add(self.buffered().len());
                (wanted.min(left), true)
            }
            None => (wanted, false),
        }
    }

    /// One read of the host into `out`, which is not empty; 0 is the end.
    fn receive(&mut self, py: Python<'_>, exchange: &Exchange, out: &mut [u8]) -> PyResult<usize> {
        if self.broken {
            return Err(broken());
        }
        if self.end || out.is_empty() {
            return Ok(0);
        }
        let (address, capacity) = (out.as_mut_ptr() as usize, out.len());
        let mut length = 0usize;
        let length_address = &raw mut length as usize;
        let status = exchange.call(py, |host, request, flags| {
            // SAFETY: `out` and `length` are borrowed mutably for this whole function, which waits for the call; the
            // request is alive, and this is the one thread that is inside the host for it.
            unsafe {
                (host.read_body)(request, address as *mut u8, capacity, flags, length_address as *mut usize)
            }
        })?;
        if status == GW_MISUSE {
            return Err(PyRuntimeError::new_err(
                "this server lets only the thread of the request read the request body; read it there first",
            ));
        }
        if status != GW_OK {
            self.broken = true;
            return Err(if status == GW_ERROR { broken() } else { left() });
        }
        let length = length.min(capacity);
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(length as u64));
        self.end = length == 0 || self.remaining == Some(0);
        Ok(length)
    }

    /// Reads ahead; returns whether there is anything in the buffer.
    fn fill(&mut self, py: Python<'_>, exchange: &Exchange) -> PyResult<bool> {
        if self.at == self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER, 0);
            let received = self.receive(py, exchange, &mut buffer);
            buffer.truncate(*received.as_ref().unwrap_or(&0));
            self.buffer = buffer;
            self.at = 0;
            received?;
        }
        Ok(self.at < self.buffer.len())
    }

    /// Fills `out` as far as the body goes.
    fn read_into(&mut self, py: Python<'_>, exchange: &Exchange, out: &mut [u8]) -> PyResult<usize> {
        let mut done = self.take(out);
        while done < out.len() {
            let rest = out.len() - done;
            let count = if rest < BUFFER / 4 {
                // A small read is a reason to read ahead.
                if !self.fill(py, exchange)? {
                    break;
                }
                self.take(&mut out[done..])
            } else {
                self.receive(py, exchange, &mut out[done..])?
            };
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    /// A read of at most `wanted` bytes that ends early only at the end of the body.
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        exchange: &Exchange,
        wanted: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (bound, known) = self.bound(wanted);
        if known || bound <= STEP {
            return new_bytes(py, bound, |out| self.read_into(py, exchange, out));
        }
        let mut data = Vec::new();
        while data.len() < wanted {
            let from = data.len();
            // Doubling keeps the copying linear; the step bounds the waste of a short body.
            let step = from.clamp(STEP, 64 * STEP).min(wanted - from);
            data.resize(from + step, 0);
            let count = self.read_into(py, exchange, &mut data[from..])?;
            data.truncate(from + count);
            if count < step {
                break;
            }
        }
        Ok(PyBytes::new(py, &data))
    }

    /// A line with its end, or `limit` bytes of it.
    fn read_line<'py>(
        &mut self,
        py: Python<'py>,
        exchange: &Exchange,
        limit: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut line = Vec::new();
        while line.len() < limit {
            if !self.fill(py, exchange)? {
                break;
            }
            let rest = limit - line.len();
            let buffered = self.buffered();
            let part = &buffered[..rest.min(buffered.len())];
            let (count, complete) = match part.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (part.len(), part.len() == rest),
            };
            if line.is_empty() && complete {
                let whole = PyBytes::new(py, &part[..count]);
                self.at += count;
                return Ok(whole);
            }
            line.extend_from_slice(&part[..count]);
            self.at += count;
            if complete {
                break;
            }
        }
        Ok(PyBytes::new(py, &line))
    }
}

/// Makes bytes of at most `length`, written by `fill`, without a copy.
fn new_bytes<'py>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> PyResult<usize>,
) -> PyResult<Bound<'py, PyBytes>> {
    if length == 0 {
        fill(&mut [])?;
        return Ok(PyBytes::new(py, b""));
    }
    let size = ffi::Py_ssize_t::try_from(length).map_err(|_| PyMemoryError::new_err("body too large"))?;
    // SAFETY: the interpreter's lock is held; null data asks for uninitialized content, null is the exception.
    let object =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))? };
    // SAFETY: the object is new, so nobody else sees its `length` bytes change. They are only written to: by the
    // host or by a copy, which never read them before.
    let out =
        unsafe { slice::from_raw_parts_mut(ffi::PyBytes_AsString(object.as_ptr()).cast::<u8>(), length) };
    let filled = fill(out)?;
    if filled == length {
        return Ok(object.cast_into::<PyBytes>()?);
    }
    // Shorter than asked for: only where the length was not known, and then the object is small.
    Ok(PyBytes::new(py, &out[..filled]))
}

fn broken() -> PyErr {
    PyOSError::new_err("the request body ended early: the client broke it off or was too slow")
}

fn left() -> PyErr {
    PyOSError::new_err("the request was cancelled: the client has left or the deadline has passed")
}

/// `wsgi.input`.
#[pyclass(frozen, module = "gangway", name = "Input")]
#[derive(Debug)]
pub(crate) struct Input(pub(crate) Arc<Exchange>);

/// `size` of the file methods: absent, None and negative are all.
fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

impl Input {
    /// The body; refused once the request is over, even where nothing would have to be read.
    fn body<'a>(&'a self, py: Python<'a>) -> PyResult<RefMut<'a, Body>> {
        self.0.request(py)?;
        self.0.body.get_mut(py)
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.body(py)?.read(py, &self.0, limit(size))
    }

    /// Whatever is there, at least a byte.
    #[pyo3(signature = (size = None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let mut body = self.body(py)?;
        body.fill(py, &self.0)?;
        let count = limit(size).min(body.buffered().len());
        let data = PyBytes::new(py, &body.buffered()[..count]);
        body.at += count;
        Ok(data)
    }

    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let view = PyMemoryView::from(buffer)?.call_method1("cast", ("B",))?;
        let data = self.body(py)?.read(py, &self.0, view.len()?)?;
        let count = data.as_bytes().len();
        view.set_item(PySlice::new(py, 0, count as isize, 1), data)?;
        Ok(count)
    }

    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.body(py)?.read_line(py, &self.0, limit(size))
    }

    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let lines = PyList::empty(py);
        // As io.IOBase.readlines: 0 is no limit either.
        let enough = hint.filter(|hint| *hint > 0).map_or(usize::MAX, |hint| limit(Some(hint)));
        let mut total = 0;
        while total < enough {
            let line = self.body(py)?.read_line(py, &self.0, usize::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    const fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.body(py)?.read_line(py, &self.0, usize::MAX)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.0.request(py).is_err()
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn readable(&self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn writable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn seekable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn flush(&self) {}

    /// The server owns the body; io.TextIOWrapper and its like call this when they are collected.
    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn close(&self) {}
}

/// `environ['gangway.disconnected']`.
#[pyclass(frozen, module = "gangway", name = "Disconnected")]
#[derive(Debug)]
pub(crate) struct Disconnected(pub(crate) Arc<Exchange>);

#[pymethods]
impl Disconnected {
    /// Whether the client has left or the deadline has passed. After the request: True, for nobody waits any more.
    fn __call__(&self, py: Python<'_>) -> bool {
        self.0.request(py).is_err() || self.0.cancelled(py)
    }
}
