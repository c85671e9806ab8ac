// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sys.stdout`, `sys.stderr` and `wsgi.errors`: text for the server's error log, line by line.

use std::{
    cell::{Cell, RefCell},
    ptr,
};

use gangway_abi::{
    Level,
    ffi::{gw_request, gw_transaction},
    host::{host, log_bytes},
};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyList, PyString},
};

use crate::{forked, text};

/// A line without end is cut into pieces of this size.
const LONGEST: usize = 8 * 1024;

thread_local! {
    /// The request that this thread runs; null outside of handle().
    static CURRENT: Cell<*mut gw_request> = const { Cell::new(ptr::null_mut()) };
    /// The transaction whose handlers this thread runs, where it runs no request; null outside of run_phase().
    static TRANSACTION: Cell<*mut gw_transaction> = const { Cell::new(ptr::null_mut()) };
    static PARTIAL: RefCell<Partial> = const { RefCell::new(Partial([const { Vec::new() }; STREAMS])) };
}

const STREAMS: usize = 2;

/// The descriptor of all streams: a server's standard error is its error log, and stays so when the log is opened anew.
const STDERR: i32 = libc::STDERR_FILENO;

/// Lines that have no end yet, by stream. One thread's text never mixes with another's.
struct Partial([Vec<u8>; STREAMS]);

impl Drop for Partial {
    fn drop(&mut self) {
        // The last words of a thread of the application, which is in no request.
        self.flush(ptr::null_mut());
    }
}

impl Partial {
    fn flush(&mut self, request: *mut gw_request) {
        for line in &mut self.0 {
            if !line.is_empty() {
                emit(request, line, true);
                line.clear();
                // A thread lives for as long as the process; one long line must not stay with it.
                line.shrink_to(LONGEST);
            }
        }
    }
}

/// Tells the streams, and the log lines of the engine, which request this thread runs.
pub(crate) fn set_current(request: *mut gw_request) {
    CURRENT.set(request);
}

/// The request that this thread runs, or null.
pub(crate) fn current() -> *mut gw_request {
    CURRENT.try_with(Cell::get).unwrap_or(ptr::null_mut())
}

/// What a thread was at before [`begin_transaction`].
#[derive(Clone, Copy)]
pub(crate) struct Before(*mut gw_request, *mut gw_transaction);

/// Tells the streams that this thread runs the handlers of a transaction, which can happen inside of another one or of a request.
pub(crate) fn begin_transaction(transaction: *mut gw_transaction) -> Before {
    flush();
    Before(CURRENT.replace(ptr::null_mut()), TRANSACTION.replace(transaction))
}

/// Tells them that it has run them.
pub(crate) fn end_transaction(before: Before) {
    flush();
    CURRENT.set(before.0);
    TRANSACTION.set(before.1);
}

/// A line in the context of what this thread is at.
pub(crate) fn log_here(request: *mut gw_request, level: Level, line: &[u8]) {
    let transaction = TRANSACTION.try_with(Cell::get).unwrap_or(ptr::null_mut());
    let calls = host().and_then(|host| host.transactions);
    if request.is_null()
        && !transaction.is_null()
        && let Some(calls) = calls
    {
        // SAFETY: the transaction is the one whose run_phase() this thread is in; the bytes are borrowed for the call.
        unsafe { (calls.log)(transaction, level as u32, line.as_ptr(), line.len()) };
        return;
    }
    // SAFETY: the request is null or the one that this thread is inside handle() for.
    unsafe { log_bytes(request, level, line) };
}

/// Logs what the current request has written without a line end.
pub(crate) fn flush() {
    let _gone = PARTIAL.try_with(|partial| partial.borrow_mut().flush(current()));
}

/// Drops the parts of lines of this thread: in a forked child they are the parent's to log.
pub(crate) fn forget() {
    let _gone = PARTIAL.try_with(|partial| partial.borrow_mut().0.iter_mut().for_each(Vec::clear));
}

fn emit(request: *mut gw_request, line: &[u8], is_first: bool) {
    if forked::is_child() {
        // Nobody in a child takes lines for the server's log; its standard error leads there too.
        let line = [line, b"\n"].concat();
        // SAFETY: readable bytes.
        unsafe { libc::write(STDERR, line.as_ptr().cast(), line.len()) };
        return;
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // A traceback is often written line by line; what is indented in it belongs to what stands above.
    let is_further = !is_first || line.starts_with(b" ") || line.starts_with(b"\t");
    let level = if is_further { Level::Further } else { Level::Error };
    log_here(request, level, line);
}

fn append(stream: usize, text: &[u8]) {
    let request = current();
    let written = PARTIAL.try_with(|partial| {
        let mut partial = partial.borrow_mut();
        let line = &mut partial.0[stream];
        let mut rest = text;
        // The further lines of one call, such as a record of logging with its traceback, are one piece.
        let mut is_first = true;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            // The usual print() is one whole line and needs no copy.
            if line.is_empty() {
                pieces(&rest[..end], |piece| emit(request, piece, is_first));
            } else {
                line.extend_from_slice(&rest[..end]);
                emit(request, line, is_first);
                line.clear();
            }
            is_first = false;
            rest = &rest[end + 1..];
        }
        line.extend_from_slice(rest);
        while line.len() > LONGEST {
            emit(request, &line[..LONGEST], true);
            line.drain(..LONGEST);
        }
    });
    if written.is_err() {
        // The thread is ending; its buffer is gone.
        emit(request, text.trim_ascii_end(), true);
    }
}

fn pieces(line: &[u8], mut each: impl FnMut(&[u8])) {
    if line.len() <= LONGEST {
        return each(line);
    }
    line.chunks(LONGEST).for_each(each);
}

/// A text stream to the error log.
#[pyclass(frozen, module = "gangway", name = "LogStream")]
#[derive(Debug)]
pub(crate) struct LogStream {
    name: &'static str,
    stream: usize,
}

impl LogStream {
    pub(crate) const fn stdout() -> Self {
        Self { name: "<stdout>", stream: 0 }
    }

    /// Also `wsgi.errors`.
    pub(crate) const fn stderr() -> Self {
        Self { name: "<stderr>", stream: 1 }
    }

    fn put(&self, text: &Bound<'_, PyAny>) -> PyResult<()> {
        let text = text.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("write() argument must be str, not {}", text::type_name(text)))
        })?;
        text::with_utf8(text, |bytes| append(self.stream, bytes))
    }
}

#[pymethods]
impl LogStream {
    #[pyo3(signature = (text, /))]
    fn write(&self, text: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.put(text)?;
        text.len()
    }

    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        lines.try_iter()?.try_for_each(|line| self.put(&line?))
    }

    /// Whole lines are in the log already; part of a line waits for the rest of it.
    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn flush(&self) {}

    /// Nobody may close what every application of the process shares.
    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn close(&self) {}

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn isatty(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn readable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn writable(&self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn seekable(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn fileno(&self) -> i32 {
        STDERR
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    #[pyo3(signature = (*_arguments, **_keywords))]
    const fn reconfigure(&self, _arguments: &Bound<'_, PyAny>, _keywords: Option<&Bound<'_, PyAny>>) {}

    #[getter]
    const fn name(&self) -> &'static str {
        self.name
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn mode(&self) -> &'static str {
        "w"
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn encoding(&self) -> &'static str {
        "utf-8"
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn errors(&self) -> &'static str {
        "backslashreplace"
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn newlines(&self) -> Option<&'static str> {
        None
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn closed(&self) -> bool {
        false
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn line_buffering(&self) -> bool {
        true
    }

    #[getter]
    #[expect(clippy::unused_self, reason = "an attribute of Python's file protocol")]
    const fn write_through(&self) -> bool {
        true
    }

    #[getter]
    const fn buffer(&self) -> LogBytes {
        LogBytes(self.stream)
    }
}

/// `sys.stdout.buffer`: bytes to the same log.
#[pyclass(frozen, module = "gangway", name = "LogBytes")]
#[derive(Debug)]
pub(crate) struct LogBytes(usize);

#[pymethods]
impl LogBytes {
    #[pyo3(signature = (data, /))]
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = data.py();
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.clone(),
            Err(_) => py
                .import("builtins")?
                .call_method1("bytes", (pyo3::types::PyMemoryView::from(data)?,))?
                .cast_into()?,
        };
        append(self.0, bytes.as_bytes());
        Ok(bytes.as_bytes().len())
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn flush(&self) {}

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn writable(&self) -> bool {
        true
    }

    #[expect(clippy::unused_self, reason = "a method of Python's file protocol")]
    const fn fileno(&self) -> i32 {
        STDERR
    }
}

/// Logs lines that the engine has to say about the current request. The first one has its context.
pub(crate) fn log_lines(request: *mut gw_request, lines: &Bound<'_, PyList>) {
    for (index, line) in lines.iter().enumerate() {
        let level = if index == 0 { Level::Error } else { Level::Further };
        if let Ok(line) = line.cast::<PyString>() {
            // SAFETY: the callers pass null or the request that this thread is inside handle() or interrupt() for.
            let _logged = text::with_utf8(line, |bytes| unsafe { log_bytes(request, level, bytes) });
        }
    }
}
