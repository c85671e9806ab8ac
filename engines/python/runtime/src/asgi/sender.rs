// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an application gets as `send` for a response. What most responses are made of is done here, the rest by the Http of requests.py,
//! which knows the messages of all others and is made for a request that has some.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use gangway_abi::ffi::GW_READY_GONE;
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyRuntimeError, PyStopIteration},
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyString, PyTuple},
};

use super::{call::Call, coroutine, roster::Roster};
use crate::{gil::Guarded, text::utf8};

/// Nothing has been sent.
const FRESH: u8 = 0;
/// A head without anything special.
const STARTED: u8 = 1;
/// requests.py has the rest.
const ELSEWHERE: u8 = 2;

/// `send`, of one request, and how far its response is.
#[pyclass(frozen)]
pub(super) struct Sender {
    roster: Arc<Roster>,
    call: Py<Call>,
    /// The Http of requests.py, if there is one.
    http: Guarded<Option<Py<PyAny>>>,
    /// What runs the application, if it is known.
    task: Guarded<Option<Py<PyAny>>>,
    phase: AtomicU8,
    /// A response has begun. An Http knows that itself.
    started: AtomicBool,
    /// The server has no more of the request. An Http knows that itself.
    ended: AtomicBool,
}

impl Sender {
    pub(super) fn new(roster: Arc<Roster>, call: Py<Call>) -> Self {
        let (http, task) = (Guarded::new(None), Guarded::new(None));
        let (started, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { roster, call, http, task, phase: AtomicU8::new(FRESH), started, ended }
    }

    fn known_http<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.http.get(py)?.as_ref().map(|http| http.bind(py).clone()))
    }

    /// The Http of this request, which knows what has happened here.
    pub(super) fn http<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(http) = self.known_http(py)? {
            return Ok(http);
        }
        let http = self.roster.http(py, &self.call)?;
        let task = self.task.get(py)?.as_ref().map(|task| task.clone_ref(py));
        http.setattr(intern!(py, "task"), task)?;
        if self.started.load(Ordering::Relaxed) {
            http.setattr(intern!(py, "started"), true)?;
        }
        if self.ended.load(Ordering::Relaxed) {
            http.setattr(intern!(py, "sent"), true)?;
            http.setattr(intern!(py, "ended"), true)?;
        } else {
            self.roster.know(py, self.call.get().key, &http)?;
        }
        *self.http.get_mut(py)? = Some(http.clone().unbind());
        Ok(http)
    }

    pub(super) fn set_task(&self, py: Python<'_>, task: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(http) = self.known_http(py)? {
            http.setattr(intern!(py, "task"), task)?;
        }
        *self.task.get_mut(py)? = task.map(|task| task.clone().unbind());
        Ok(())
    }

    fn is_ended(&self, py: Python<'_>) -> PyResult<bool> {
        match self.known_http(py)? {
            Some(http) => http.getattr(intern!(py, "ended"))?.is_truthy(),
            None => Ok(self.ended.load(Ordering::Relaxed)),
        }
    }

    /// Does what a message says. Answers false for one that is not for here, without effect.
    fn has_sent(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        let is_sent = match message.cast::<PyDict>() {
            Ok(message) => self.send(py, message)?,
            Err(_) => false,
        };
        if !is_sent {
            self.phase.store(ELSEWHERE, Ordering::Relaxed);
        }
        Ok(is_sent)
    }

    fn send(&self, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<bool> {
        let Some(kind) = message.get_item(intern!(py, "type"))? else { return Ok(false) };
        let Ok(kind) = kind.cast::<PyString>() else { return Ok(false) };
        if self.call.get().request().is_err() {
            return Ok(false);
        }
        match (self.phase.load(Ordering::Relaxed), utf8(kind)) {
            (FRESH, Some(b"http.response.start")) => self.start(py, message),
            (STARTED, Some(b"http.response.body")) => self.write(py, message),
            _ => Ok(false),
        }
    }

    fn start(&self, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<bool> {
        if is_set(message, intern!(py, "trailers"))? {
            return Ok(false);
        }
        let Some(status) = message.get_item(intern!(py, "status"))? else { return Ok(false) };
        let headers = match message.get_item(intern!(py, "headers"))? {
            Some(headers) => headers,
            None => PyTuple::empty(py).into_any(),
        };
        self.call.get().start(status.extract()?, &headers)?;
        if let Some(http) = self.known_http(py)? {
            http.setattr(intern!(py, "started"), true)?;
        }
        self.phase.store(STARTED, Ordering::Relaxed);
        self.started.store(true, Ordering::Relaxed);
        Ok(true)
    }

    fn write(&self, py: Python<'_>, message: &Bound<'_, PyDict>) -> PyResult<bool> {
        let has_more = is_set(message, intern!(py, "more_body"))?;
        let body = match message.get_item(intern!(py, "body"))? {
            Some(body) => body,
            None => PyBytes::new(py, b"").into_any(),
        };
        if !body.is_exact_instance_of::<PyBytes>() {
            return Ok(false);
        }
        if !self.roster.gathers() {
            self.roster.server(py)?.call_method0(intern!(py, "gather"))?;
        }
        if !self.call.get().write(py, &body, has_more)? {
            return Ok(false);
        }
        if !has_more {
            self.end(py)?;
        }
        Ok(true)
    }

    /// As the Http ends.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let (http, call) = (self.known_http(py)?, self.call.get());
        self.phase.store(ELSEWHERE, Ordering::Relaxed);
        self.ended.store(true, Ordering::Relaxed);
        if let Some(http) = &http {
            http.setattr(intern!(py, "sent"), true)?;
            http.setattr(intern!(py, "ended"), true)?;
        }
        self.roster.forget(py, call.key)?;
        call.finish(true);
        // Whoever waits for the client is told.
        match http {
            Some(http) if http.getattr(intern!(py, "waiters"))?.is_truthy()? => {
                http.call_method0(intern!(py, "wake")).map(drop)
            }
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl Sender {
    /// What asyncio.iscoroutinefunction() looks at.
    #[classattr]
    fn _is_coroutine(py: Python<'_>) -> Option<Py<PyAny>> {
        coroutine::asyncio_mark(py)
    }

    /// What inspect.iscoroutinefunction() looks at, from 3.12 on.
    #[classattr]
    fn _is_coroutine_marker(py: Python<'_>) -> Option<Py<PyAny>> {
        coroutine::inspect_mark(py)
    }

    fn __call__(slf: Bound<'_, Self>, message: Py<PyAny>) -> Sending {
        Sending { sender: slf.unbind(), step: SendingStep::Asked(message) }
    }

    #[getter]
    fn call(&self, py: Python<'_>) -> Py<Call> {
        self.call.clone_ref(py)
    }

    #[getter]
    fn get_task<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.task.get(py)?.as_ref().map(|task| task.bind(py).clone()))
    }

    #[setter(task)]
    fn replace_task(&self, task: &Bound<'_, PyAny>) -> PyResult<()> {
        self.set_task(task.py(), Some(task))
    }

    /// GW_READY_* for it. Who waits for something has an Http, as has whoever is given up later because its client has left.
    pub(super) fn ready(&self, py: Python<'_>, what: u32) -> PyResult<()> {
        if what & GW_READY_GONE != 0 || self.known_http(py)?.is_some() {
            self.http(py)?.call_method1(intern!(py, "ready"), (what,))?;
        }
        Ok(())
    }

    /// The application has returned, perhaps without a whole response, or has raised.
    pub(super) fn fail(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if error.is_none() && self.is_ended(py)? {
            return Ok(());
        }
        self.http(py)?.call_method1(intern!(py, "fail"), (error,)).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector has the interpreter's lock, and nothing of the interpreter is called.
        let py = unsafe { Python::assume_attached() };
        for part in [&self.http, &self.task] {
            if let Ok(part) = part.get(py)
                && let Some(object) = &*part
            {
                visit.call(object)?;
            }
        }
        Ok(())
    }
}

/// A coroutine: one message on its way. Nothing is sent before it is awaited.
#[pyclass]
pub(super) struct Sending {
    sender: Py<Sender>,
    step: SendingStep,
}

enum SendingStep {
    Asked(Py<PyAny>),
    /// The coroutine of requests.py.
    Elsewhere(Py<PyAny>),
    Over,
}

impl Sending {
    /// Goes on. Answers what it waits for, or nothing when it has ended.
    fn go_on<'py>(
        slf: &Bound<'py, Self>,
        value: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        // Nothing of it stays borrowed while other code runs.
        let (step, sender) = {
            let mut this = slf.try_borrow_mut()?;
            let step = match &this.step {
                SendingStep::Elsewhere(rest) => SendingStep::Elsewhere(rest.clone_ref(py)),
                _ => std::mem::replace(&mut this.step, SendingStep::Over),
            };
            (step, this.sender.clone_ref(py))
        };
        let rest = match step {
            SendingStep::Asked(message) => {
                if sender.get().has_sent(py, message.bind(py))? {
                    return Ok(None);
                }
                let rest = sender.get().http(py)?.call_method1(intern!(py, "send"), (message,))?;
                slf.try_borrow_mut()?.step = SendingStep::Elsewhere(rest.clone().unbind());
                rest
            }
            SendingStep::Elsewhere(rest) => rest.into_bound(py),
            SendingStep::Over => {
                return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
            }
        };
        rest.call_method1(intern!(py, "send"), (value,)).map(Some)
    }

    /// The coroutine of requests.py, if it goes on there; otherwise it is over.
    fn stop<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut this = slf.try_borrow_mut()?;
        if let SendingStep::Elsewhere(rest) = &this.step {
            return Ok(Some(rest.bind(slf.py()).clone()));
        }
        this.step = SendingStep::Over;
        Ok(None)
    }
}

#[pymethods]
impl Sending {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::go_on(slf, None)
    }

    fn send<'py>(slf: &Bound<'py, Self>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Self::go_on(slf, Some(value))?.ok_or_else(|| PyStopIteration::new_err(()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw<'py>(
        slf: &Bound<'py, Self>,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match (Self::stop(slf)?, value, traceback) {
            (Some(rest), None, None) => rest.call_method1(intern!(slf.py(), "throw"), (kind,)),
            (Some(rest), value, traceback) => {
                rest.call_method1(intern!(slf.py(), "throw"), (kind, value, traceback))
            }
            (None, value, _) => Err(PyErr::from_value(value.unwrap_or(kind))),
        }
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        match Self::stop(slf)? {
            Some(rest) => rest.call_method0(intern!(slf.py(), "close")).map(drop),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.sender)?;
        match &self.step {
            SendingStep::Asked(object) | SendingStep::Elsewhere(object) => visit.call(object),
            SendingStep::Over => Ok(()),
        }
    }
}

/// Whether a message says so.
fn is_set(message: &Bound<'_, PyDict>, name: &Bound<'_, PyString>) -> PyResult<bool> {
    message.get_item(name)?.map_or(Ok(false), |value| value.is_truthy())
}
