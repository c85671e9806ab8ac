// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the thread of a loop has of the server.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use gangway_abi::{
    Level,
    host::{self, Place},
};
use gangway_python_shared::{codes::Code, log::log};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyList, PyTuple},
};

use super::{
    call::Call,
    queue::{LoopEvent, LoopQueue},
    roster::Roster,
    sender::Sender,
    socket::Socket,
};
use crate::{
    app::{App, Found, Spec},
    forked, leave, release,
};

/// Requests and wake-ups that one pass of the loop takes: those who are at work get on in between.
const BATCH: usize = 32;

const NEW: u8 = 1;
const READY: u8 = 2;
const CANCEL: u8 = 3;
const STOP: u8 = 4;

/// Who waits for the first attempt to load an application: it may be told why there will be none.
pub(super) type Report = mpsc::Sender<Result<(), String>>;

/// The queue of events, and the application, which is loaded on the loop's thread.
#[pyclass(frozen)]
pub(super) struct LoopPort {
    queue: Arc<LoopQueue>,
    /// Until the first attempt to load it, with whom that is told to.
    begin: Mutex<Option<(Spec, Report)>>,
    app: OnceLock<Arc<App>>,
    roster: Arc<Roster>,
    place: Place,
}

impl LoopPort {
    pub(super) fn new(py: Python<'_>, queue: Arc<LoopQueue>, spec: Spec, report: Report) -> Self {
        let place = spec.place;
        let (begin, roster) = (Mutex::new(Some((spec, report))), Arc::new(Roster::new(py)));
        Self { queue, begin, app: OnceLock::new(), roster, place }
    }

    fn app(&self) -> PyResult<&Arc<App>> {
        self.app.get().ok_or_else(|| PyRuntimeError::new_err("the application has not been loaded"))
    }
}

#[pymethods]
impl LoopPort {
    #[getter]
    fn requests<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.roster.requests(py)
    }

    /// What a request sends its response with.
    fn sender(&self, call: Py<Call>, http: Py<PyAny>) -> Sender {
        Sender::new(Arc::clone(&self.roster), call, http)
    }

    #[getter]
    fn gathers(&self) -> bool {
        self.roster.gathers()
    }

    /// Loads the application and has `starter` called with it. Answers what can be called, or None when it failed, which has
    /// been logged.
    fn load<'py>(&self, py: Python<'py>, starter: Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let begin = self.begin.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (spec, report) = begin.ok_or_else(|| PyRuntimeError::new_err("loaded twice"))?;
        match App::load(py, spec, Some(starter)) {
            Ok(app) => {
                let app = self.app.get_or_init(|| Arc::new(app));
                let ready = app.ready(py);
                // The error is that nobody waits any more.
                let _told = report.send(Ok(()));
                ready
            }
            Err(reason) => {
                let _told = report.send(Err(reason.clone()));
                Err(PyRuntimeError::new_err(reason))
            }
        }
    }

    /// Tries to load the application again, if it has failed and its files have changed.
    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        self.app()?.refresh(py)
    }

    /// What can be called; else the request is answered.
    fn find<'py>(&self, py: Python<'py>, call: &Bound<'py, Call>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.app()?.found(py, call.get().request()?)? {
            Found::Ready(callable) => Ok(Some(callable)),
            Found::Failed(cause, lines) => {
                call.get().not_loaded(py, &cause, &PyList::new(py, lines)?)?;
                Ok(None)
            }
        }
    }

    fn fileno(&self) -> i32 {
        self.queue.fileno()
    }

    /// What is readable when busy WebSockets are; None where the loop does not read from them.
    fn sockets_fileno(&self) -> Option<i32> {
        self.place.sockets_descriptor()
    }

    /// Reads from busy WebSockets, which gives events.
    fn read_sockets(&self) -> PyResult<()> {
        if forked::is_child() {
            return Err(forked::refusal());
        }
        self.queue.awake();
        self.place.read_sockets();
        Ok(())
    }

    /// From now on the loop takes events, or stands still for a while.
    fn serve(&self, serves: bool) {
        self.queue.serve(serves);
    }

    /// Whether the loop is to end. Requests that have come stay where they are: the application is not there yet.
    fn is_to_stop(&self) -> bool {
        !forked::is_child() && self.queue.is_to_stop()
    }

    /// Some events, each of a kind, a key and a value. While there are some the loop has to come again: it is not woken.
    fn drain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        if forked::is_child() {
            // The descriptor is its parent's, too, and a thread that it has not may have had the lock.
            return Err(forked::refusal());
        }
        release::drain(py);
        let events = self.queue.take(BATCH);
        let list = PyList::empty(py);
        for event in events {
            let event = match event {
                LoopEvent::New { request, head } => {
                    let host = host::host().ok_or_else(|| PyRuntimeError::new_err("no host"))?;
                    let call = Call::new(host, Arc::clone(self.app()?), request, head);
                    let sockets = call.sockets();
                    let call = Bound::new(py, call)?;
                    let socket = sockets.map(|sockets| Socket::new(call.clone().unbind(), sockets));
                    (NEW, request.addr(), (call, socket)).into_pyobject(py)?
                }
                LoopEvent::Ready { request, what } => (READY, request.addr(), what).into_pyobject(py)?,
                LoopEvent::Cancel { request } => (CANCEL, request.addr(), py.None()).into_pyobject(py)?,
                LoopEvent::Stop => (STOP, 0usize, py.None()).into_pyobject(py)?,
            };
            list.append::<Bound<'py, PyTuple>>(event)?;
        }
        Ok(list)
    }

    /// From now on what requests send is told to the server later; or it is told what it has not been told.
    fn gather(&self, is_on: bool) {
        if !forked::is_child() {
            self.roster.gather(is_on);
        }
    }

    /// No more events are taken.
    pub(super) fn close(&self) {
        self.gather(false);
        self.queue.refuse_rest();
    }

    /// In a child that the application has forked: ends it.
    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn end_child(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) {
        leave::end_child(py, error.map(PyErr::from_value).as_ref());
    }

    #[expect(clippy::unused_self, reason = "a method for Python")]
    fn warn(&self, text: &str) {
        log(Level::Warn, Code::LifespanFailed, format_args!("{text}"));
    }
}
