// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request on its way through the phases, for the package: texts, numbers and tables of the server, bytes in and out. What
//! they are called and what is made of them is the package's.

use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use gangway_abi::{
    Level,
    bytes::{borrow, lend},
    ffi::{
        GW_AGAIN, GW_CANCELLED, GW_FLUSH, GW_INVALID, GW_MISUSE, GW_NOWAIT, GW_OK, gw_bytes, gw_status,
        gw_transaction,
    },
    host::{self, Filters, Transactions},
};
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList, PyString},
};

use super::stay::{OuterStay, Stay};
use crate::{
    body::Body,
    forked,
    gil::Guarded,
    text::{native, utf8, with_latin1, with_utf8},
};

/// A request, while a phase of it runs.
#[pyclass(frozen, module = "mod_python._server", name = "Transaction")]
#[derive(Debug)]
pub(crate) struct Transaction {
    calls: Transactions,
    pub(super) stay: Stay,
    /// Of one beside another one: that, and the run of it that this is good for.
    pub(super) beside: Option<(Py<Self>, u64)>,
    body: Guarded<Body>,
    /// What was written in this run of a phase may wait at the server.
    pub(super) may_wait: AtomicBool,
}

/// A raw pointer on its way into a call without the interpreter's lock.
#[derive(Clone, Copy)]
struct Visiting(*mut gw_transaction);

// SAFETY: the pointer is only handed to the host, on the same thread.
unsafe impl Send for Visiting {}

impl Visiting {
    const fn transaction(self) -> *mut gw_transaction {
        self.0
    }
}

/// What the host answered, as an exception.
pub(super) fn outcome(status: gw_status, what: &str) -> PyResult<()> {
    match status {
        GW_OK => Ok(()),
        GW_INVALID => Err(PyValueError::new_err(format!("the server refuses {what}"))),
        GW_CANCELLED => Err(PyOSError::new_err("Write failed, client closed connection.")),
        GW_MISUSE => Err(PyRuntimeError::new_err(format!(
            "{what} is for the thread that runs the handler of the request, and not inside of another call of it"
        ))),
        _ => Err(PyOSError::new_err(format!("{what} has failed; the server's error log says why"))),
    }
}

/// The server's module is older than this engine.
fn too_old(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("this server's module does not have {what}; it is older than the engine"))
}

impl Transaction {
    /// One that no phase runs for yet; `None` where the server has no such calls.
    pub(super) fn new() -> Option<Self> {
        let calls = host::host()?.transactions?;
        let mut body = Body::default();
        body.begin(None);
        let (body, may_wait) = (Guarded::new(body), AtomicBool::new(false));
        Some(Self { calls, stay: Stay::default(), beside: None, body, may_wait })
    }

    /// A server, which stays until the process ends.
    pub(super) fn of_server(raw: *mut gw_transaction) -> Option<Self> {
        Some(Self { stay: Stay::beside(raw), ..Self::new()? })
    }

    /// A phase begins on this thread. Answers what [`Self::end`] is to be given.
    pub(super) fn begin(&self, py: Python<'_>, raw: *mut gw_transaction) -> OuterStay {
        self.may_wait.store(false, Ordering::Relaxed);
        self.stay.begin(py, raw)
    }

    /// A phase has ended; the one around it goes on, if there is one.
    pub(super) fn end(&self, py: Python<'_>, outer: &OuterStay) {
        self.stay.end(py, outer);
    }

    pub(super) fn lent(&self, py: Python<'_>) -> PyResult<*mut gw_transaction> {
        if forked::is_child() {
            return Err(forked::refusal());
        }
        let raw = self.stay.raw(py);
        let is_over = self.beside.as_ref().is_some_and(|(of, stay)| of.get().stay.number(py) != *stay);
        if raw.is_null() || is_over {
            return Err(PyValueError::new_err(
                "this object belongs to a request that no handler runs for any more",
            ));
        }
        Ok(raw)
    }

    pub(super) fn filters(&self) -> PyResult<Filters> {
        self.calls.filters.ok_or_else(|| too_old("filters"))
    }

    /// A call that may wait, without the interpreter's lock. On another thread than that of the phase, which could end meanwhile, it is not
    /// made at all.
    pub(super) fn wait(
        &self,
        py: Python<'_>,
        call: impl Fn(&Transactions, *mut gw_transaction) -> gw_status + Send,
    ) -> PyResult<gw_status> {
        let (calls, raw) = (self.calls, Visiting(self.lent(py)?));
        if !self.beside.as_ref().map_or(self, |(of, _)| of.get()).stay.is_here(py) {
            return Ok(GW_MISUSE);
        }
        Ok(py.detach(move || call(&calls, raw.transaction())))
    }
}

/// Collects what the host gives.
unsafe extern "C" fn take(context: *mut c_void, name: gw_bytes, value: gw_bytes) {
    // SAFETY: the context is the list of the caller, who waits for the call; the bytes are borrowed for it.
    unsafe {
        let list = &mut *context.cast::<Vec<(Vec<u8>, Vec<u8>)>>();
        list.push((borrow(name).to_vec(), borrow(value).to_vec()));
    }
}

#[pymethods]
impl Transaction {
    /// A text of the server; None where it has none. Each byte is a character.
    fn text<'py>(&self, py: Python<'py>, fact: u32) -> PyResult<Option<Bound<'py, PyAny>>> {
        let raw = self.lent(py)?;
        let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        // SAFETY: the transaction is live while a phase of it runs; the list outlives the call.
        let status = unsafe { (self.calls.text)(raw, fact, Some(take), (&raw mut list).cast()) };
        outcome(status, "this value")?;
        list.first().map(|(_, value)| native(py, value)).transpose()
    }

    fn set_text(&self, py: Python<'_>, fact: u32, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.let_go(py)?;
        let set = |value: *const gw_bytes| {
            let raw = self.lent(py)?;
            // SAFETY: the transaction is live while a phase of it runs; the value is NULL or borrowed for the call.
            outcome(unsafe { (self.calls.set_text)(raw, fact, value) }, "this value")
        };
        match value {
            None => set(ptr::null()),
            Some(value) => with_bytes(value, |bytes| {
                let value = lend(bytes);
                set(&raw const value)
            }),
        }
    }

    fn number(&self, py: Python<'_>, number: u32) -> PyResult<i64> {
        self.let_go_for(py, number)?;
        let (raw, mut value) = (self.lent(py)?, 0);
        // SAFETY: the transaction is live while a phase of it runs; the place outlives the call.
        outcome(unsafe { (self.calls.number)(raw, number, &raw mut value) }, "this number")?;
        Ok(value)
    }

    fn set_number(&self, py: Python<'_>, number: u32, value: i64) -> PyResult<()> {
        self.let_go(py)?;
        let raw = self.lent(py)?;
        // SAFETY: the transaction is live while a phase of it runs.
        outcome(unsafe { (self.calls.set_number)(raw, number, value) }, "this number")
    }

    /// The entries of a table, or the values of one name.
    fn entries<'py>(
        &self,
        py: Python<'py>,
        table: u32,
        name: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let context: *mut c_void = (&raw mut list).cast();
        let ask = |name: *const gw_bytes| {
            let raw = self.lent(py)?;
            // SAFETY: the transaction is live while a phase of it runs; the list outlives the call, the name is NULL or borrowed
            // for it.
            outcome(unsafe { (self.calls.table)(raw, table, name, Some(take), context) }, "this table")
        };
        match name {
            None => ask(ptr::null())?,
            Some(name) => with_bytes(name, |bytes| {
                let name = lend(bytes);
                ask(&raw const name)
            })?,
        }
        let found = PyList::empty(py);
        for (key, value) in &list {
            let value = native(py, value)?;
            match name {
                Some(_) => found.append(value)?,
                None => found.append((native(py, key)?, value))?,
            }
        }
        Ok(found)
    }

    fn change(
        &self,
        py: Python<'_>,
        table: u32,
        change: u32,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.let_go(py)?;
        with_bytes(name, |name| {
            with_bytes(value, |value| {
                let raw = self.lent(py)?;
                // SAFETY: the transaction is live while a phase of it runs; name and value are borrowed for the call.
                let status =
                    unsafe { (self.calls.change_table)(raw, table, change, lend(name), lend(value)) };
                outcome(status, "this entry of a table")
            })
        })
    }

    /// Body bytes: as many, or all with a negative number.
    fn read<'py>(&self, py: Python<'py>, size: isize) -> PyResult<Bound<'py, PyBytes>> {
        self.lent(py)?;
        self.body.get_mut(py)?.read(py, self, usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// What has come of it, at most so many bytes; waits for some. None are the end.
    fn read_some<'py>(&self, py: Python<'py>, size: isize) -> PyResult<Bound<'py, PyBytes>> {
        self.lent(py)?;
        self.body.get_mut(py)?.read_some(py, self, usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// A line of the body, or the beginning of one.
    fn read_line<'py>(&self, py: Python<'py>, size: isize) -> PyResult<Bound<'py, PyBytes>> {
        self.lent(py)?;
        self.body.get_mut(py)?.read_line(py, self, usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Sends bytes, or a string as it is in UTF-8. Waits for a client that reads slowly.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>, flush: bool) -> PyResult<()> {
        let bytes = match data.cast::<PyBytes>() {
            Ok(bytes) => bytes.as_bytes(),
            Err(_) => utf8(data.cast()?).ok_or_else(|| PyValueError::new_err("text with lone surrogates"))?,
        };
        let flags = if flush { GW_FLUSH } else { 0 };
        let (address, length) = (bytes.as_ptr() as usize, bytes.len());
        if self.calls.writes_at_once {
            let raw = self.lent(py)?;
            // SAFETY: `data` keeps the bytes alive for the call; the transaction is live while a phase of it runs, which does not end while
            // this thread has the interpreter's lock.
            let status = unsafe { (self.calls.write)(raw, bytes.as_ptr(), length, flags | GW_NOWAIT) };
            if status != GW_AGAIN {
                return outcome(status, "writing");
            }
        }
        let status = self.wait(py, move |calls, raw| {
            // SAFETY: `data` keeps the bytes alive for the call, and neither bytes nor strings change; the transaction is live.
            unsafe { (calls.write)(raw, address as *const u8, length, flags) }
        })?;
        self.may_wait.store(true, Ordering::Relaxed);
        outcome(status, "writing")
    }

    /// Sends a part of a file.
    fn send_file(
        &self,
        py: Python<'_>,
        descriptor: i32,
        offset: u64,
        length: u64,
        flush: bool,
    ) -> PyResult<()> {
        let flags = if flush { GW_FLUSH } else { 0 };
        let status = self.wait(py, move |calls, raw| {
            // SAFETY: the transaction is live; the host makes its own of the descriptor.
            unsafe { (calls.send_file)(raw, descriptor, offset, length, flags) }
        })?;
        outcome(status, "sending a file")
    }

    fn set_length(&self, py: Python<'_>, length: u64) -> PyResult<()> {
        self.let_go(py)?;
        let raw = self.lent(py)?;
        // SAFETY: the transaction is live while a phase of it runs.
        outcome(unsafe { (self.calls.set_length)(raw, length) }, "this length")
    }

    fn meets_conditions(&self, py: Python<'_>) -> PyResult<i32> {
        self.let_go(py)?;
        let (raw, mut answer) = (self.lent(py)?, 0);
        // SAFETY: the transaction is live while a phase of it runs; the place outlives the call.
        outcome(unsafe { (self.calls.meets_conditions)(raw, &raw mut answer) }, "this question")?;
        Ok(answer)
    }

    /// Another path of the server answers.
    fn redirect(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<()> {
        let target = with_bytes(target, |bytes| Ok(bytes.to_vec()))?;
        let status = self.wait(py, |calls, raw| {
            // SAFETY: the target outlives the call; the transaction is live.
            unsafe { (calls.redirect)(raw, lend(&target)) }
        })?;
        outcome(status, "a redirect")
    }

    /// Has a handler run in a later phase.
    fn add_handler(
        &self,
        py: Python<'_>,
        phase: u32,
        name: &Bound<'_, PyAny>,
        directory: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let add = self.calls.add_handler.ok_or_else(|| too_old("handlers that are added"))?;
        self.let_go(py)?;
        with_bytes(name, |name| {
            with_bytes(directory, |directory| {
                let raw = self.lent(py)?;
                // SAFETY: the transaction is live while a phase of it runs; the bytes are borrowed for the call.
                outcome(unsafe { add(raw, phase, lend(name), lend(directory)) }, "this handler")
            })
        })
    }

    /// Has the phase at the end of the request run.
    fn await_cleanup(&self, py: Python<'_>) -> PyResult<()> {
        let wait = self.calls.await_cleanup.ok_or_else(|| too_old("clean-ups"))?;
        self.let_go(py)?;
        let raw = self.lent(py)?;
        // SAFETY: the transaction is live while a phase of it runs.
        outcome(unsafe { wait(raw) }, "a clean-up")
    }

    fn filter_read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.read_piece(py, size)
    }

    fn filter_write(&self, py: Python<'_>, data: &Bound<'_, PyBytes>, flush: bool) -> PyResult<()> {
        self.pass_bytes(py, data, flush)
    }

    fn filter_close(&self, py: Python<'_>) -> PyResult<()> {
        self.end_pieces(py)
    }

    fn filter_pass(&self, py: Python<'_>, always: bool) -> PyResult<()> {
        self.pass_rest(py, always)
    }

    fn add_filter(
        &self,
        py: Python<'_>,
        phase: u32,
        name: &Bound<'_, PyAny>,
        handler: &Bound<'_, PyAny>,
        directory: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.add_one(py, phase, [name, handler, directory])
    }

    /// Another request beside this one, for as long as this phase runs; None where there is none.
    fn related(slf: &Bound<'_, Self>, which: u32) -> PyResult<Option<Self>> {
        let (py, this) = (slf.py(), slf.get());
        let ask = this.calls.related.ok_or_else(|| too_old("requests beside a request"))?;
        this.let_go(py)?;
        let (raw, mut other) = (this.lent(py)?, ptr::null_mut());
        // SAFETY: the transaction is live while a phase of it runs; the place outlives the call.
        outcome(unsafe { ask(raw, which, &raw mut other) }, "this request")?;
        if other.is_null() {
            return Ok(None);
        }
        // That of one beside another one is good for as long as the first one's.
        let of = match &this.beside {
            Some((of, stay)) => (of.clone_ref(py), *stay),
            None => (slf.clone().unbind(), this.stay.number(py)),
        };
        let made = Self::new().ok_or_else(|| too_old("requests beside a request"))?;
        Ok(Some(Self { stay: Stay::beside(other), beside: Some(of), ..made }))
    }

    /// What the server finds by a name; None where it finds nothing.
    fn look_up<'py>(
        &self,
        py: Python<'py>,
        what: u32,
        name: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let ask = self.calls.look_up.ok_or_else(|| too_old("what is looked up"))?;
        let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let context: *mut c_void = (&raw mut list).cast();
        with_bytes(name, |name| {
            let raw = self.lent(py)?;
            // SAFETY: the transaction is live while a phase of it runs; the list outlives the call, the name is borrowed for it.
            outcome(unsafe { ask(raw, what, lend(name), Some(take), context) }, "this question")
        })?;
        list.first().map(|(_, value)| native(py, value)).transpose()
    }

    /// A line of the log with the request's context.
    fn log(&self, py: Python<'_>, level: u32, text: &Bound<'_, PyString>) -> PyResult<()> {
        let raw = self.lent(py)?;
        with_utf8(text, |bytes| {
            // SAFETY: the transaction is live while a phase of it runs; the bytes are borrowed for the call.
            unsafe { (self.calls.log)(raw, level, bytes.as_ptr(), bytes.len()) };
        })
    }
}

/// The bytes of bytes, or of a string with one byte for each character.
pub(super) fn with_bytes<R>(
    value: &Bound<'_, PyAny>,
    each: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => each(bytes.as_bytes()),
        Err(_) => with_latin1(value, "a value", each),
    }
}

/// A line of the log outside of any request.
#[pyfunction]
pub(super) fn log_process(level: u32, text: &str) {
    host::log(Level::from_abi(level), format_args!("{text}"));
}
