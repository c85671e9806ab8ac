// SPDX-License-Identifier: MIT OR Apache-2.0
//! The coroutine of a request: it calls the application, and says to the request how that has ended.

use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{
        PyAttributeError, PyGeneratorExit, PyKeyboardInterrupt, PyRuntimeError, PyStopIteration,
        PySystemExit, PyValueError,
    },
    intern,
    prelude::*,
};

use super::{
    coroutine::{self, Stepped},
    sender::Sender,
};
use crate::{gil::Guarded, leave};

/// Who is told how the application has ended.
pub(super) enum Request {
    Http(Py<Sender>),
    /// A WebSocket of requests.py.
    Socket(Py<PyAny>),
}

impl Request {
    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Http(sender) => Self::Http(sender.clone_ref(py)),
            Self::Socket(socket) => Self::Socket(socket.clone_ref(py)),
        }
    }

    pub(super) fn set_task(&self, py: Python<'_>, task: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match self {
            Self::Http(sender) => sender.get().set_task(py, task),
            Self::Socket(socket) => socket.setattr(py, intern!(py, "task"), task),
        }
    }

    /// It has returned, or raised.
    pub(super) fn fail(&self, py: Python<'_>, error: Option<PyErr>) -> PyResult<()> {
        let error = error.map(|error| error.into_value(py).into_bound(py).into_any());
        match self {
            Self::Http(sender) => sender.get().fail(py, error),
            Self::Socket(socket) => {
                if error.is_none() && socket.getattr(py, intern!(py, "ended"))?.is_truthy(py)? {
                    return Ok(());
                }
                socket.call_method1(py, intern!(py, "fail"), (error,)).map(drop)
            }
        }
    }
}

/// What an application is called with.
pub(super) struct Given {
    pub(super) application: Py<PyAny>,
    pub(super) scope: Py<PyAny>,
    pub(super) receive: Py<PyAny>,
    pub(super) send: Py<PyAny>,
    /// The loop, if the Task is not known before it begins.
    pub(super) event_loop: Option<Py<PyAny>>,
}

/// Where it stands.
enum Step {
    /// It has no request.
    Idle,
    Fresh(Given),
    /// The application waits.
    Waiting,
    /// The application waits for this, which the Task has not been told yet.
    Yielding(Py<PyAny>),
    Running,
    /// Nobody has been told of the end yet that has been come to.
    Ended,
    Over,
}

struct Parts {
    step: Step,
    /// The coroutine of the application.
    inner: Option<Py<PyAny>>,
    request: Option<Request>,
}

/// How it goes on.
enum Resume<'py> {
    Send(Bound<'py, PyAny>),
    Throw(PyErr),
}

/// What a Task runs. It has no result, and raises nothing.
#[pyclass(frozen)]
pub(super) struct Serving(Guarded<Parts>);

impl Serving {
    pub(super) fn idle() -> Self {
        Self(Guarded::new(Parts { step: Step::Idle, inner: None, request: None }))
    }

    /// Takes a request.
    pub(super) fn take(&self, py: Python<'_>, given: Given, request: Request) -> PyResult<()> {
        let mut parts = self.0.get_mut(py)?;
        parts.step = Step::Fresh(given);
        parts.request = Some(request);
        Ok(())
    }

    /// Its first step. A Task that is told of it goes on from there: see [`Self::tell`].
    pub(super) fn begin<'py>(&self, py: Python<'py>) -> PyResult<Stepped<'py>> {
        self.go_on(py, Resume::Send(py.None().into_bound(py)))
    }

    /// The next step of its Task is to wait for that.
    pub(super) fn tell(&self, py: Python<'_>, awaited: Py<PyAny>) -> PyResult<()> {
        self.0.get_mut(py)?.step = Step::Yielding(awaited);
        Ok(())
    }

    /// The next step of its Task is its end.
    pub(super) fn tell_end(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get_mut(py)?.step = Step::Ended;
        Ok(())
    }

    /// Another request may follow. Not while it runs.
    pub(super) fn rest(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get_mut(py)?.step = Step::Idle;
        Ok(())
    }

    fn go_on<'py>(&self, py: Python<'py>, turn: Resume<'py>) -> PyResult<Stepped<'py>> {
        let (step, inner) = {
            let mut parts = self.0.get_mut(py)?;
            let inner = parts.inner.as_ref().map(|inner| inner.bind(py).clone());
            (std::mem::replace(&mut parts.step, Step::Running), inner)
        };
        let stepped = match (step, turn) {
            (Step::Fresh(given), Resume::Send(_)) => self.call(py, given),
            (Step::Fresh(_), Resume::Throw(error)) => Err(error),
            (Step::Waiting, Resume::Send(value)) => coroutine::send(&waiting(inner)?, &value),
            (Step::Waiting, Resume::Throw(error)) => coroutine::throw(&waiting(inner)?, error),
            (Step::Yielding(awaited), Resume::Send(_)) => Ok(Stepped::Waits(awaited.into_bound(py))),
            (Step::Yielding(awaited), Resume::Throw(error)) => {
                // Its Task has been cancelled before it was told what is waited for, which is cancelled in its place, as a Task does it.
                let awaited = awaited.into_bound(py);
                if is_cancelled_with(&awaited, &error) {
                    Ok(Stepped::Waits(awaited))
                } else {
                    coroutine::throw(&waiting(inner)?, error)
                }
            }
            (Step::Ended, _) => {
                self.0.get_mut(py)?.step = Step::Over;
                return Ok(Stepped::Ends);
            }
            (Step::Running, _) => return Err(PyValueError::new_err("coroutine already executing")),
            (Step::Idle, _) => {
                self.0.get_mut(py)?.step = Step::Idle;
                return Err(PyRuntimeError::new_err("this Task waits for a request"));
            }
            (Step::Over, _) => {
                self.0.get_mut(py)?.step = Step::Over;
                return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
            }
        };
        match stepped {
            Ok(Stepped::Waits(awaited)) => {
                self.0.get_mut(py)?.step = Step::Waiting;
                Ok(Stepped::Waits(awaited))
            }
            Ok(Stepped::Ends) => self.end(py, None),
            Err(error) => self.end(py, Some(error)),
        }
    }

    /// Calls the application, up to its first wait.
    fn call<'py>(&self, py: Python<'py>, given: Given) -> PyResult<Stepped<'py>> {
        if let Some(event_loop) = &given.event_loop {
            self.name_task(py, event_loop)?;
        }
        let awaitable = given.application.bind(py).call1((given.scope, given.receive, given.send))?;
        let inner = coroutine::of(awaitable)?;
        self.0.get_mut(py)?.inner = Some(inner.clone().unbind());
        coroutine::send(&inner, &py.None().into_bound(py))
    }

    /// Has the request know the Task that runs this. Who does not name the loop asks for the process, too, before 3.12.
    fn name_task(&self, py: Python<'_>, event_loop: &Py<PyAny>) -> PyResult<()> {
        let request = self.0.get(py)?.request.as_ref().map(|request| request.clone_ref(py));
        let task = py.import("asyncio")?.call_method1("current_task", (event_loop,))?;
        request.map_or(Ok(()), |request| request.set_task(py, Some(&task)))
    }

    fn end<'py>(&self, py: Python<'py>, error: Option<PyErr>) -> PyResult<Stepped<'py>> {
        leave::end_child(py, error.as_ref());
        let (inner, request) = {
            let mut parts = self.0.get_mut(py)?;
            parts.step = Step::Over;
            (parts.inner.take(), parts.request.take())
        };
        drop(inner);
        let error = error.map(|error| {
            let exits =
                error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py);
            if !exits {
                return error;
            }
            let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
            PyRuntimeError::new_err(format!("the application raised {name}"))
        });
        if let Some(request) = request {
            request.fail(py, error)?;
        }
        Ok(Stepped::Ends)
    }
}

fn waiting(inner: Option<Bound<'_, PyAny>>) -> PyResult<Bound<'_, PyAny>> {
    inner.ok_or_else(|| PyRuntimeError::new_err("this coroutine has not begun"))
}

/// Cancels what is waited for, with the message of an error. Answers whether it could be.
fn is_cancelled_with(awaited: &Bound<'_, PyAny>, error: &PyErr) -> bool {
    let Ok(cancel) = awaited.getattr("cancel") else { return false };
    let arguments = error.value(awaited.py()).getattr("args");
    let message = arguments.and_then(|arguments| arguments.get_item(0));
    let cancelled = match message {
        Ok(message) => cancel.call1((message,)),
        Err(_) => cancel.call0(),
    };
    cancelled.and_then(|cancelled| cancelled.is_truthy()).unwrap_or(false)
}

#[pymethods]
impl Serving {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match self.begin(py)? {
            Stepped::Waits(awaited) => Some(awaited),
            Stepped::Ends => None,
        })
    }

    fn send<'py>(&self, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        or_stop(self.go_on(py, Resume::Send(value))?)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw<'py>(
        &self,
        kind: Bound<'py, PyAny>,
        value: Option<Bound<'py, PyAny>>,
        traceback: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = kind.py();
        let error = match (value, kind.cast::<pyo3::types::PyType>()) {
            (Some(value), _) if value.is_instance_of::<pyo3::exceptions::PyBaseException>() => value,
            (None, Ok(kind)) => kind.call0()?,
            (Some(value), Ok(kind)) => kind.call1((value,))?,
            _ => kind,
        };
        if let Some(traceback) = traceback {
            error.setattr(intern!(py, "__traceback__"), traceback)?;
        }
        or_stop(self.go_on(py, Resume::Throw(PyErr::from_value(error)))?)
    }

    /// Ends it where it waits.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let (inner, request) = {
            let mut parts = self.0.get_mut(py)?;
            if matches!(parts.step, Step::Running) {
                return Err(PyValueError::new_err("coroutine already executing"));
            }
            parts.step = Step::Over;
            (parts.inner.take(), parts.request.take())
        };
        let closed = inner.map(|inner| inner.call_method0(py, intern!(py, "close")));
        if let Some(request) = request {
            request.fail(py, Some(PyGeneratorExit::new_err(())))?;
        }
        closed.transpose().map(drop)
    }

    /// What tools ask a coroutine for: its frame, its code, its name. They are the application's.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let inner = match (name, self.0.get(py)?.inner.as_ref()) {
            (
                "cr_frame" | "cr_code" | "cr_await" | "cr_running" | "cr_suspended" | "cr_origin"
                | "__name__" | "__qualname__",
                Some(inner),
            ) => Some(inner.bind(py).clone()),
            _ => None,
        };
        match inner {
            Some(inner) => inner.getattr(name),
            None => Err(PyAttributeError::new_err(format!("a coroutine of a request has no {name:?} now"))),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector runs with the interpreter's lock held.
        let py = unsafe { Python::assume_attached() };
        let Ok(parts) = self.0.get(py) else { return Ok(()) };
        if let Some(inner) = &parts.inner {
            visit.call(inner)?;
        }
        match &parts.request {
            Some(Request::Http(sender)) => visit.call(sender)?,
            Some(Request::Socket(socket)) => visit.call(socket)?,
            None => {}
        }
        match &parts.step {
            Step::Fresh(given) => {
                visit.call(&given.application)?;
                visit.call(&given.scope)?;
                visit.call(&given.receive)?;
                visit.call(&given.send)
            }
            Step::Yielding(awaited) => visit.call(awaited),
            _ => Ok(()),
        }
    }
}

fn or_stop(stepped: Stepped<'_>) -> PyResult<Bound<'_, PyAny>> {
    match stepped {
        Stepped::Waits(awaited) => Ok(awaited),
        Stepped::Ends => Err(PyStopIteration::new_err(())),
    }
}
