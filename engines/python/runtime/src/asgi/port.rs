// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the thread of a loop has of the server.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use gangway_abi::{
    Level,
    host::{self, Place},
};
use gangway_python_shared::{codes::Code, log::log};
use pyo3::{
    call::PyCallArgs,
    exceptions::PyRuntimeError,
    intern,
    prelude::*,
    types::{PyDict, PyList},
};

use super::{
    call::Call,
    queue::{LoopEvent, LoopQueue},
    receiver::Receiver,
    roster::Roster,
    sender::Sender,
    serving::{Given, Request, Serving},
    socket::Socket,
    tasks::Tasks,
};
use crate::{
    app::{App, Found, Spec},
    forked, leave, release,
};

/// Requests and wake-ups that one pass of the loop takes: those who are at work get on in between.
const BATCH: usize = 32;

/// How long a turn takes events before others go on.
const TURN: Duration = Duration::from_millis(2);

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
    tasks: Tasks,
    /// The loop comes back to what it has left in the queue.
    is_more_due: AtomicBool,
    place: Place,
}

impl LoopPort {
    pub(super) fn new(py: Python<'_>, queue: Arc<LoopQueue>, spec: Spec, report: Report) -> Self {
        let place = spec.place;
        let (begin, roster) = (Mutex::new(Some((spec, report))), Arc::new(Roster::new(py)));
        let (tasks, is_more_due) = (Tasks::new(), AtomicBool::new(false));
        Self { queue, begin, app: OnceLock::new(), roster, tasks, is_more_due, place }
    }

    fn app(&self) -> PyResult<&Arc<App>> {
        self.app.get().ok_or_else(|| PyRuntimeError::new_err("the application has not been loaded"))
    }
}

/// One turn of the loop at its events.
struct LoopTurn<'py> {
    server: Bound<'py, PyAny>,
    event_loop: Bound<'py, PyAny>,
    application: Bound<'py, PyAny>,
    /// The loop runs, and makes its Tasks as asyncio does.
    is_plain: bool,
    /// Events have woken requests.
    has_woken: bool,
    /// Nothing is left.
    is_over: bool,
}

impl<'py> LoopTurn<'py> {
    fn new(server: Bound<'py, PyAny>) -> PyResult<Self> {
        let py = server.py();
        let event_loop = server.getattr(intern!(py, "loop"))?;
        // From 3.14 on there is an eager start that asyncio itself knows of everywhere.
        let is_plain = py.version_info() < (3, 14)
            && event_loop.call_method0(intern!(py, "is_running"))?.is_truthy()?
            && event_loop.call_method0(intern!(py, "get_task_factory"))?.is_none();
        let application = server.getattr(intern!(py, "application"))?;
        Ok(Self { server, event_loop, application, is_plain, has_woken: false, is_over: false })
    }

    fn call_soon(&self, arguments: impl PyCallArgs<'py>) -> PyResult<()> {
        self.event_loop.call_method1(intern!(self.server.py(), "call_soon"), arguments).map(drop)
    }
}

impl LoopPort {
    /// Takes events, until there are none or the time is over.
    fn take(&self, turn: &mut LoopTurn<'_>) -> PyResult<()> {
        let py = turn.server.py();
        let begun = Instant::now();
        let mut taken = Ok(());
        loop {
            release::drain(py);
            let events = self.queue.take(BATCH);
            if events.is_empty() {
                turn.is_over = true;
                return taken;
            }
            for event in events {
                // What fails here is a defect, or the machine has no memory: others have nothing to do with that.
                let done = self.take_one(turn, event);
                taken = taken.and(done);
            }
            if begun.elapsed() > TURN {
                // Those who are at work get on in between.
                return taken;
            }
        }
    }

    fn take_one(&self, turn: &mut LoopTurn<'_>, event: LoopEvent) -> PyResult<()> {
        let py = turn.server.py();
        match event {
            LoopEvent::New { request, head } => {
                let host = host::host().ok_or_else(|| PyRuntimeError::new_err("no host"))?;
                let call = Call::new(host, Arc::clone(self.app()?), request, head);
                let sockets = call.sockets();
                let call = Bound::new(py, call)?;
                let socket = sockets.map(|sockets| Py::new(py, Socket::new(call.clone().unbind(), sockets)));
                self.serve_request(turn, call, socket.transpose()?)
            }
            LoopEvent::Ready { request, what } => match self.roster.find(py, request.addr())? {
                Some(found) => {
                    turn.has_woken = true;
                    found.call_method1(intern!(py, "ready"), (what,)).map(drop)
                }
                None => Ok(()),
            },
            LoopEvent::Cancel { request } => {
                turn.server.call_method1(intern!(py, "cancel"), (request.addr(),)).map(drop)
            }
            LoopEvent::Stop => turn.server.call_method0(intern!(py, "stop")).map(drop),
        }
    }

    fn serve_request<'py>(
        &self,
        turn: &LoopTurn<'py>,
        call: Bound<'py, Call>,
        socket: Option<Py<Socket>>,
    ) -> PyResult<()> {
        let (py, server, key) = (call.py(), &turn.server, call.get().key);
        if turn.application.is_none() {
            return server.call_method1(intern!(py, "hold"), (call, socket)).map(drop);
        }
        let (request, receive, send) = match socket {
            None => {
                let sender = Bound::new(py, Sender::new(Arc::clone(&self.roster), call.clone().unbind()))?;
                let receiver = Bound::new(py, Receiver::new(sender.clone().unbind()))?;
                self.roster.know(py, key, sender.as_any())?;
                (Request::Http(sender.clone().unbind()), receiver.into_any(), sender.into_any())
            }
            Some(socket) => {
                let socket = server.call_method1(intern!(py, "socket"), (&call, socket))?;
                self.roster.know(py, key, &socket)?;
                let (receive, send) =
                    (socket.getattr(intern!(py, "receive"))?, socket.getattr(intern!(py, "send"))?);
                (Request::Socket(socket.unbind()), receive, send)
            }
        };
        let state = server.getattr(intern!(py, "state"))?.cast_into::<PyDict>()?.copy()?;
        let scope = match call.get().scope(py, state) {
            Ok(scope) => scope.into_any().unbind(),
            Err(error) => return request.fail(py, Some(error)),
        };
        let (application, receive, send) =
            (turn.application.clone().unbind(), receive.unbind(), send.unbind());
        let given = Given { application, scope, receive, send, event_loop: None };
        let begun = if turn.is_plain {
            self.tasks.begin(server, &turn.event_loop, given, &request)
        } else {
            spawn(turn, given, &request)
        };
        // Its client would wait for ever.
        let begun = begun.or_else(|error| request.fail(py, Some(error)));
        if forked::is_child() {
            // It waits in its first step.
            server.call_method0(intern!(py, "leave_loop"))?;
        }
        begun
    }
}

/// Has the loop make a Task in its own way, which may be that of the application.
fn spawn(turn: &LoopTurn<'_>, given: Given, request: &Request) -> PyResult<()> {
    let py = turn.server.py();
    let serving = Bound::new(py, Serving::idle())?;
    let event_loop = Some(turn.event_loop.clone().unbind());
    serving.get().take(py, Given { event_loop, ..given }, request.clone_ref(py))?;
    let task = turn.server.call_method1(intern!(py, "spawn"), (serving,))?;
    request.set_task(py, Some(&task))?;
    turn.server.call_method1(intern!(py, "keep"), (task,)).map(drop)
}

#[pymethods]
impl LoopPort {
    #[getter]
    fn requests<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.roster.requests(py)
    }

    /// Whom the loop belongs to.
    fn attach(&self, server: &Bound<'_, PyAny>) -> PyResult<()> {
        self.roster.attach(server)
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

    /// Has the loop take what has come, for a while. It is not woken before it has found nothing: until then it comes again.
    fn drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let server = this.roster.server(py)?;
        if forked::is_child() {
            // The descriptor is its parent's, too, and a thread that it has not may have had the lock.
            server.call_method0(intern!(py, "leave_loop"))?;
            return Err(forked::refusal());
        }
        let mut turn = LoopTurn::new(server)?;
        this.roster.gather(true);
        let taken = this.take(&mut turn);
        if turn.has_woken {
            // They run before this does.
            let gather = slf.getattr(intern!(py, "gather"))?;
            turn.call_soon((gather, false))?;
        } else {
            this.roster.gather(false);
        }
        if !turn.is_over && !this.is_more_due.swap(true, Ordering::Relaxed) {
            // Once in a pass of the loop, however often it finds something.
            turn.call_soon((slf.getattr(intern!(py, "drain_more"))?,))?;
        }
        taken
    }

    fn drain_more(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().is_more_due.store(false, Ordering::Relaxed);
        Self::drain(slf)
    }

    /// Has the application serve a request.
    fn begin(&self, call: Bound<'_, Call>, socket: Option<Py<Socket>>) -> PyResult<()> {
        let turn = LoopTurn::new(self.roster.server(call.py())?)?;
        self.serve_request(&turn, call, socket)
    }

    /// From now on what requests send is told to the server later; or it is told what it has not been told.
    fn gather(&self, is_on: bool) {
        if !forked::is_child() {
            self.roster.gather(is_on);
        }
    }

    /// No more events are taken.
    pub(super) fn close(&self, py: Python<'_>) {
        self.gather(false);
        self.queue.refuse_rest();
        if let Err(error) = self.tasks.close(py) {
            error.write_unraisable(py, None);
        }
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
