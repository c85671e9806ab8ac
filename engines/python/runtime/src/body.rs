// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request body in constant memory: what has been read ahead, and how far it goes.

use std::slice;

use pyo3::{
    exceptions::{PyMemoryError, PyOSError},
    ffi,
    prelude::*,
    types::PyBytes,
};

/// Where the bytes of a body come from.
pub(crate) trait Source {
    /// One read into `out`, which is not empty. No bytes are the end.
    ///
    /// # Errors
    /// When this read is refused; a later one need not be.
    fn receive(&self, py: Python<'_>, out: &mut [u8]) -> PyResult<Received>;
}

/// What a read gave.
pub(crate) enum Received {
    Bytes(usize),
    /// The body does not go on.
    Broken,
    /// Nobody waits for the response any more.
    Left,
}

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

    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// The first `count` bytes of the buffer have been used, of at most [`Body::buffered`].
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
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
    fn receive(&mut self, py: Python<'_>, source: &impl Source, out: &mut [u8]) -> PyResult<usize> {
        if self.broken {
            return Err(broken());
        }
        if self.end || out.is_empty() {
            return Ok(0);
        }
        let length = match source.receive(py, out)? {
            Received::Bytes(length) => length.min(out.len()),
            Received::Broken => {
                self.broken = true;
                return Err(broken());
            }
            Received::Left => {
                self.broken = true;
                return Err(PyOSError::new_err(
                    "the request was cancelled: the client has left or the deadline has passed",
                ));
            }
        };
        self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(length as u64));
        self.end = length == 0 || self.remaining == Some(0);
        Ok(length)
    }

    /// Reads ahead; returns whether there is anything in the buffer.
    pub(crate) fn fill(&mut self, py: Python<'_>, source: &impl Source) -> PyResult<bool> {
        if self.at == self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(BUFFER, 0);
            let received = self.receive(py, source, &mut buffer);
            buffer.truncate(*received.as_ref().unwrap_or(&0));
            self.buffer = buffer;
            self.at = 0;
            received?;
        }
        Ok(self.at < self.buffer.len())
    }

    /// Fills `out` as far as the body goes.
    fn read_into(&mut self, py: Python<'_>, source: &impl Source, out: &mut [u8]) -> PyResult<usize> {
        let mut done = self.take(out);
        while done < out.len() {
            let rest = out.len() - done;
            let count = if rest < BUFFER / 4 {
                // A small read is a reason to read ahead.
                if !self.fill(py, source)? {
                    break;
                }
                self.take(&mut out[done..])
            } else {
                self.receive(py, source, &mut out[done..])?
            };
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    /// A read of at most `wanted` bytes that ends early only at the end of the body.
    pub(crate) fn read<'py>(
        &mut self,
        py: Python<'py>,
        source: &impl Source,
        wanted: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (bound, known) = self.bound(wanted);
        if known || bound <= STEP {
            return new_bytes(py, bound, |out| self.read_into(py, source, out));
        }
        let mut data = Vec::new();
        while data.len() < wanted {
            let from = data.len();
            // Doubling keeps the copying linear; the step bounds the waste of a short body.
            let step = from.clamp(STEP, 64 * STEP).min(wanted - from);
            data.resize(from + step, 0);
            let count = self.read_into(py, source, &mut data[from..])?;
            data.truncate(from + count);
            if count < step {
                break;
            }
        }
        Ok(PyBytes::new(py, &data))
    }

    /// What is there, of at most `wanted` bytes; waits where nothing is. No bytes are the end.
    pub(crate) fn read_some<'py>(
        &mut self,
        py: Python<'py>,
        source: &impl Source,
        wanted: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if wanted == 0 || !self.fill(py, source)? {
            return Ok(PyBytes::new(py, b""));
        }
        let buffered = self.buffered();
        let part = PyBytes::new(py, buffered.get(..wanted).unwrap_or(buffered));
        self.at += part.as_bytes().len();
        Ok(part)
    }

    /// A line with its end, or `limit` bytes of it.
    pub(crate) fn read_line<'py>(
        &mut self,
        py: Python<'py>,
        source: &impl Source,
        limit: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut line = Vec::new();
        while line.len() < limit {
            if !self.fill(py, source)? {
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
