// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Tasks that requests run in. A Task is real: `current_task()`, timeouts, task groups and what is built on them need that. It runs up
//! to its first wait at once, without a pass of the loop.
//!
//! To make one costs more than most of what a short request does. So where the application never waits, its Task is kept for the next
//! request: it is entered as asyncio enters a Task, and as long as nothing waits its own first step, which the loop would call, is not
//! taken. As soon as the application waits the step is taken, in which the coroutine says what is waited for: from then on it
//! is a Task like all others, and the next request has another one. One of which anybody has kept something is not used again: the Task
//! itself, its coroutine, its context, a weak reference, a callback, a context variable, its name, a cancellation.

use std::{ffi::CStr, mem};

use libc::c_int;
use pyo3::{
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PySet},
};

use super::{
    coroutine::Stepped,
    serving::{Given, Request, Serving},
};
use crate::{gil::Guarded, symbols::symbol};

/// When so many requests in succession have waited the next ones are not expected to end before they do.
const WAITED: u8 = 2;

/// What a loop has for its requests.
pub(super) struct Tasks {
    spare: Guarded<Option<Spare>>,
    waited: Guarded<u8>,
}

/// A Task that has not taken its first step.
struct Spare {
    task: Py<PyAny>,
    serving: Py<Serving>,
    /// Its first step, and the context in which that is to be called.
    step: Py<PyAny>,
    context: Py<PyAny>,
    /// How it is told from one of which somebody has kept something, if it can be used again.
    marks: Option<Marks>,
}

/// What a Task has that nobody but us has.
struct Marks {
    /// By which asyncio.all_tasks() finds it while it runs.
    known: Py<PyAny>,
    name: Py<PyAny>,
}

/// The references that there are to a Task that nobody else has: ours and that of its first step. To its coroutine and to its context
/// there are ours and the Task's.
const OWN: isize = 2;

/// Functions of asyncio and of the interpreter.
struct Asyncio {
    /// The Task that each loop runs.
    current: Py<PyDict>,
    /// The kind of Task that all of this is known of: an application may have put another one in its place.
    kind: Py<PyAny>,
    /// The WeakSet that asyncio.all_tasks() looks at, and the weak references in it.
    all: Py<PyAny>,
    known: Py<PySet>,
    weak_reference: Py<PyAny>,
    count_weak_references: Py<PyAny>,
    context_enter: ContextFunction,
    context_exit: ContextFunction,
}

type ContextFunction = unsafe extern "C" fn(*mut ffi::PyObject) -> c_int;

impl Asyncio {
    /// None where a Task cannot be kept: on a Python that has not what is needed for it.
    fn get(py: Python<'_>) -> Option<&Self> {
        static FOUND: PyOnceLock<Option<Asyncio>> = PyOnceLock::new();
        FOUND.get_or_init(py, || Self::find(py).ok().flatten()).as_ref()
    }

    fn find(py: Python<'_>) -> PyResult<Option<Self>> {
        let version = py.version_info();
        let (Some(context_enter), Some(context_exit)) =
            (context(c"PyContext_Enter"), context(c"PyContext_Exit"))
        else {
            return Ok(None);
        };
        // From 3.14 on Tasks know each other.
        if (version.major, version.minor) >= (3, 14) {
            return Ok(None);
        }
        let own = py.import("_asyncio")?;
        let all = py.import("asyncio.tasks")?.getattr(if version.minor >= 12 {
            "_scheduled_tasks"
        } else {
            "_all_tasks"
        })?;
        let weak = py.import("_weakref")?;
        Ok(Some(Self {
            current: own.getattr("_current_tasks")?.cast_into::<PyDict>()?.unbind(),
            kind: own.getattr("Task")?.unbind(),
            known: all.getattr("data")?.cast_into::<PySet>()?.unbind(),
            all: all.unbind(),
            weak_reference: weak.getattr("ref")?.unbind(),
            count_weak_references: weak.getattr("getweakrefcount")?.unbind(),
            context_enter,
            context_exit,
        }))
    }
}

fn context(name: &CStr) -> Option<ContextFunction> {
    // SAFETY: both functions have had this type since 3.7.1.
    symbol(name).map(|address| unsafe { mem::transmute::<*mut libc::c_void, ContextFunction>(address) })
}

impl Tasks {
    pub(super) fn new() -> Self {
        Self { spare: Guarded::new(None), waited: Guarded::new(0) }
    }

    /// Has a Task of the loop serve a request, up to its first wait. LOOP, which is running and has no factory of Tasks.
    pub(super) fn begin(
        &self,
        server: &Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
        given: Given,
        request: &Request,
    ) -> PyResult<()> {
        let py = server.py();
        let spare = self.spare.get_mut(py)?.take();
        let spare = spare.map_or_else(|| Spare::make(server), Ok)?;
        spare.serving.get().take(py, given, request.clone_ref(py))?;
        request.set_task(py, Some(spare.task.bind(py)))?;
        if spare.marks.is_none() || self.waited(py) >= WAITED {
            if is_inside_task(event_loop)? {
                return spare.leave_to_loop(server);
            }
            spare.go(server)?;
            self.note(py, !spare.task.call_method0(py, intern!(py, "done"))?.is_truthy(py)?);
            return Ok(());
        }
        let stepped = match spare.enter(event_loop)? {
            Some(entered) => {
                let stepped = spare.serving.get().begin(py);
                drop(entered);
                stepped?
            }
            // Another one is entered: the loop runs inside of one of its Tasks.
            None => return spare.leave_to_loop(server),
        };
        match stepped {
            Stepped::Ends => {
                self.note(py, false);
                request.set_task(py, None)?;
                self.end(py, spare)
            }
            Stepped::Waits(awaited) => {
                self.note(py, true);
                spare.serving.get().tell(py, awaited.unbind())?;
                spare.go(server)
            }
        }
    }

    fn waited(&self, py: Python<'_>) -> u8 {
        self.waited.get(py).map_or(WAITED, |waited| *waited)
    }

    fn note(&self, py: Python<'_>, has_waited: bool) {
        if let Ok(mut waited) = self.waited.get_mut(py) {
            *waited = if has_waited { waited.saturating_add(1) } else { 0 };
        }
    }

    /// A Task without a request: it is kept, or ends.
    fn end(&self, py: Python<'_>, spare: Spare) -> PyResult<()> {
        // First of all, for other threads find it there.
        spare.forget(py)?;
        if spare.is_untouched(py)? {
            spare.serving.get().rest(py)?;
            *self.spare.get_mut(py)? = Some(spare);
            return Ok(());
        }
        spare.end(py)
    }

    /// No request follows.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let spare = self.spare.get_mut(py)?.take();
        spare.map_or(Ok(()), |spare| spare.end(py))
    }
}

impl Spare {
    fn make(server: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = server.py();
        let serving = Bound::new(py, Serving::idle())?;
        let made = server.call_method1(intern!(py, "prepare"), (&serving,))?;
        let (task, step, context): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) = made.extract()?;
        drop(made);
        let marks = match Asyncio::get(py) {
            Some(asyncio) if context.len()? == 0 && task.get_type().is(asyncio.kind.bind(py)) => {
                Some(Marks::make(asyncio, &task)?)
            }
            _ => None,
        };
        let (task, serving, step, context) =
            (task.unbind(), serving.unbind(), step.unbind(), context.unbind());
        let spare = Self { task, serving, step, context, marks };
        spare.forget(py)?;
        Ok(spare)
    }

    /// asyncio.all_tasks() finds it from now on.
    fn know(&self, py: Python<'_>) -> PyResult<()> {
        match (Asyncio::get(py), &self.marks) {
            (Some(asyncio), Some(marks)) => asyncio.known.bind(py).add(&marks.known),
            _ => Ok(()),
        }
    }

    /// It does not any more.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        match (Asyncio::get(py), &self.marks) {
            (Some(asyncio), Some(marks)) => asyncio.known.bind(py).discard(&marks.known).map(drop),
            _ => Ok(()),
        }
    }

    /// Makes it the current Task, in its context, as asyncio does that. None where another one is entered.
    fn enter<'a, 'py>(&'a self, event_loop: &Bound<'py, PyAny>) -> PyResult<Option<CurrentTask<'a, 'py>>>
    where
        'py: 'a,
    {
        let py = event_loop.py();
        let Some(asyncio) = Asyncio::get(py) else { return Ok(None) };
        self.know(py)?;
        if is_inside_task(event_loop)? {
            return Ok(None);
        }
        asyncio.current.bind(py).set_item(event_loop, &self.task)?;
        let mut entered = CurrentTask { asyncio, event_loop: event_loop.clone(), context: None };
        // SAFETY: the object is a context, and the interpreter's lock is held.
        if unsafe { (asyncio.context_enter)(self.context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        entered.context = Some(&self.context);
        Ok(Some(entered))
    }

    /// Takes its first step, as the loop would do it. What it has then is asyncio's.
    fn go(&self, server: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = server.py();
        self.know(py)?;
        self.context.call_method1(py, intern!(py, "run"), (&self.step,))?;
        server.call_method1(intern!(py, "keep"), (&self.task,)).map(drop)
    }

    /// Has the loop take that step.
    fn leave_to_loop(&self, server: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = server.py();
        server.call_method1(intern!(py, "postpone"), (&self.task, &self.step, &self.context)).map(drop)
    }

    /// Takes its first step, which is its last.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.serving.get().tell_end(py)?;
        self.context.call_method1(py, intern!(py, "run"), (&self.step,)).map(drop)
    }

    /// Whether nobody has kept anything of it, nor changed it.
    fn is_untouched(&self, py: Python<'_>) -> PyResult<bool> {
        let (Some(asyncio), Some(marks)) = (Asyncio::get(py), &self.marks) else { return Ok(false) };
        let (task, context) = (self.task.bind(py), self.context.bind(py));
        Ok(references(task) == OWN
            && references(self.serving.bind(py)) == OWN
            && references(context) == OWN
            && context.len()? == 0
            && asyncio.count_weak_references.bind(py).call1((task,))?.extract::<usize>()? == 1
            && task.getattr(intern!(py, "_callbacks"))?.is_none()
            && task.call_method0(intern!(py, "get_name"))?.is(&marks.name)
            && !task.getattr(intern!(py, "_must_cancel"))?.is_truthy()?)
    }
}

impl Marks {
    /// Those of a Task that has just been made.
    fn make(asyncio: &Asyncio, task: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = task.py();
        let all = asyncio.all.bind(py);
        all.call_method1(intern!(py, "discard"), (task,))?;
        let remove = all.getattr(intern!(py, "_remove"))?;
        Ok(Self {
            known: asyncio.weak_reference.bind(py).call1((task, remove))?.unbind(),
            name: task.call_method0(intern!(py, "get_name"))?.unbind(),
        })
    }
}

/// Whether the loop runs inside of one of its Tasks, which asyncio itself has no way to do.
fn is_inside_task(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = event_loop.py();
    let Some(asyncio) = Asyncio::get(py) else { return Ok(false) };
    let current = asyncio.current.bind(py).get_item(event_loop)?;
    Ok(current.is_some_and(|task| !task.is_none()))
}

/// How many references there are to an object.
fn references<T>(object: &Bound<'_, T>) -> isize {
    // SAFETY: the object is alive, and the interpreter's lock is held.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// A Task that is the current one, until this is dropped.
struct CurrentTask<'a, 'py> {
    asyncio: &'a Asyncio,
    event_loop: Bound<'py, PyAny>,
    /// Its context, if that has been entered.
    context: Option<&'a Py<PyAny>>,
}

impl Drop for CurrentTask<'_, '_> {
    fn drop(&mut self) {
        let py = self.event_loop.py();
        if let Some(context) = self.context {
            // SAFETY: this thread has entered it, and has left what it entered after that; the interpreter's lock is held.
            if unsafe { (self.asyncio.context_exit)(context.as_ptr()) } != 0 {
                PyErr::fetch(py).write_unraisable(py, None);
            }
        }
        if let Err(error) = self.asyncio.current.bind(py).del_item(&self.event_loop) {
            error.write_unraisable(py, None);
        }
    }
}
