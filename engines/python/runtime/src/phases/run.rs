// SPDX-License-Identifier: MIT OR Apache-2.0
//! One phase of a request: into the package and back, and what is kept of the request between two of its phases.

use std::{
    ffi::{OsStr, c_void},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use gangway_abi::{
    Level,
    ffi::{gw_phase, gw_transaction},
};
use gangway_python_shared::codes::Code;
use pyo3::{prelude::*, types::PyString};

use super::{direct::Dispatch, package, places::Places, stay::OuterStay, transaction::Transaction};
use crate::{
    app::Spec,
    cold::Cold,
    errors_stream::{self, Before},
    failure::LoadFailure,
    gil::Guarded,
    leave::end_child,
    release,
    request::{Context, Entered},
    template,
    text::{file_name, native},
    threads,
};

/// The handlers of this process: all of its sites use them.
#[derive(Debug)]
pub(crate) struct Handlers {
    dispatch: Dispatch,
    places: Places,
    /// The class of places.
    place: Py<PyAny>,
}

impl Handlers {
    /// Loads the package, and what the process begins with.
    ///
    /// A module of those that cannot be loaded stops nothing, but one of a handler in a process that is to be forked.
    pub(crate) fn load(py: Python<'_>, spec: &Spec) -> Result<Self, String> {
        if spec.is_template {
            template::tell_faults(py);
        }
        let loaded = Self::begin(py, spec).map_err(|error| {
            format!("the package mod_python cannot be loaded: {}", Cold::get(py).one_line(py, &error))
        })?;
        for (_, handler) in spec.words.iter().filter(|(name, _)| name == HANDLER) {
            if let Err(failure) = load_handler(py, spec, handler)
                && spec.is_template
            {
                return Err(failure.cause);
            }
        }
        if spec.is_template {
            template::loaded(py, &spec.name);
        }
        Ok(loaded)
    }

    fn begin(py: Python<'_>, spec: &Spec) -> PyResult<Self> {
        package::install(py)?;
        let begin = py.import("mod_python._process")?.getattr("begin")?;
        for (name, value) in spec.words.iter().filter(|(name, _)| name != HANDLER) {
            begin.call1((native(py, name)?, file_name(py, value)?))?;
        }
        let place = py.import("mod_python._phases")?.getattr("Place")?.unbind();
        Ok(Self { dispatch: Dispatch::find(py)?, places: Places::default(), place })
    }
}

/// The word for a handler that the process is for.
const HANDLER: &[u8] = b"handler";

/// Loads the module of a handler.
///
/// # Errors
/// Why that cannot be, which has been logged.
fn load_handler(py: Python<'_>, spec: &Spec, handler: &[u8]) -> Result<(), Box<LoadFailure>> {
    let mut lines = handler.split(|byte| *byte == b'\n').skip(1);
    let root = lines.next().filter(|root| !root.is_empty()).map(|root| Path::new(OsStr::from_bytes(root)));
    let word = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let module = word.split("::").next().unwrap_or_default();
    spec.attempt(py, (module, root), || {
        let load = py.import("mod_python._process")?.getattr("load_handler")?;
        load.call1((file_name(py, handler)?,)).map(drop)
    })
}

/// What is kept of a request between its phases.
struct Kept {
    transaction: Py<Transaction>,
    /// The package's own object for it, which handlers get.
    request: Guarded<Option<Py<PyAny>>>,
}

/// What [`forget`] was given, until a thread has the interpreter's lock anyway.
static FORGOTTEN: Mutex<Vec<Kept>> = Mutex::new(Vec::new());
/// Whether there may be something, for whoever has no use for the lock otherwise.
static IS_PENDING: AtomicBool = AtomicBool::new(false);

/// The end of a request. Never waits.
///
/// # Safety
/// `state` is what [`run`] has left for the request, which nobody uses any more.
pub(crate) unsafe fn forget(state: *mut c_void) {
    if state.is_null() {
        return;
    }
    // SAFETY: the caller's promise: made in `run`, and given back once.
    let kept = unsafe { *Box::from_raw(state.cast::<Kept>()) };
    FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    IS_PENDING.store(true, Ordering::Release);
}

/// So many that have been forgotten are no reason to give their room back.
const USUAL: usize = 64;

/// Drops what was forgotten.
pub(crate) fn drain(py: Python<'_>) {
    if !IS_PENDING.load(Ordering::Acquire) {
        return;
    }
    IS_PENDING.store(false, Ordering::Release);
    let forgotten = || FORGOTTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = std::mem::take(&mut *forgotten());
    // Outside of the lock: the end of an object may run code of the application.
    for Kept { transaction, request } in all.drain(..) {
        if let Some(request) = request.into_inner() {
            request.drop_ref(py);
        }
        transaction.drop_ref(py);
    }
    // Its room is for the next ones, unless they were many.
    let mut list = forgotten();
    if list.capacity() == 0 && all.capacity() <= USUAL {
        *list = all;
    }
}

/// Ends a phase on every way out. It may have begun inside of another one of the same request.
struct InPhase<'a, 'py> {
    py: Python<'py>,
    before: Before,
    outer: OuterStay,
    transaction: &'a Transaction,
}

impl Drop for InPhase<'_, '_> {
    fn drop(&mut self) {
        self.transaction.end(self.py, &self.outer);
        errors_stream::end_transaction(self.before);
    }
}

/// Runs the handlers of a phase. `None`: they could not be run, and the log says why.
///
/// # Safety
/// `transaction` and `phase` are those of a run_phase() call that lasts for this one.
pub(crate) unsafe fn run(
    handlers: &Handlers,
    transaction: *mut gw_transaction,
    phase: &gw_phase,
) -> Option<i32> {
    // Inside of another phase, or of a request, this thread has its thread state already, and gave up the lock for the call.
    let _entered = Entered(threads::enter());
    Python::attach(|py| {
        release::drain(py);
        drain(py);
        // SAFETY: gangway.h: the place holds NULL or what this function has left in it, and nobody else uses that meanwhile.
        let kept = unsafe { kept(py, phase) }?;
        let begun = kept.transaction.clone_ref(py);
        let running = InPhase {
            py,
            before: errors_stream::begin_transaction(transaction),
            outer: begun.get().begin(py, transaction),
            transaction: begun.get(),
        };
        let _context = Context::enter(py);
        // SAFETY: the caller's promise: all of the phase is borrowed for the call.
        let result = unsafe { call(py, handlers, kept, phase) };
        end_child(py, result.as_ref().err());
        let answer = result.map_err(|error| tell(py, &error)).ok();
        drop(running);
        release::drain(py);
        answer
    })
}

/// What is kept of the request, made in its first phase.
///
/// # Safety
/// `phase.state` holds NULL or what this function has left there.
unsafe fn kept<'p>(py: Python<'_>, phase: &'p gw_phase) -> Option<&'p Kept> {
    // SAFETY: the caller promises that the place holds nothing, or what this function has put there.
    unsafe {
        let place = phase.state.as_mut()?;
        if place.is_null() {
            let transaction = Py::new(py, Transaction::new()?).map_err(|error| tell(py, &error)).ok()?;
            *place = Box::into_raw(Box::new(Kept { transaction, request: Guarded::default() })).cast();
        }
        place.cast::<Kept>().as_ref()
    }
}

/// # Safety
/// What `phase` points to is borrowed for the call.
unsafe fn call(py: Python<'_>, handlers: &Handlers, kept: &Kept, phase: &gw_phase) -> PyResult<i32> {
    // SAFETY: all that the phase points to is borrowed for this call, as the caller promises.
    let place = unsafe { handlers.places.find(handlers.place.bind(py), phase)? };
    // A filter may run inside of the request's first phase, and its object is the same.
    let known = kept.request.get(py)?.as_ref().map(|known| known.clone_ref(py));
    let is_new = known.is_none();
    let request = match known {
        Some(known) => known,
        None => {
            let made = handlers.dispatch.make(py, &kept.transaction)?;
            *kept.request.get_mut(py)? = Some(made.clone_ref(py));
            made
        }
    };
    handlers.dispatch.run(request.bind(py), &place, is_new)
}

/// An exception that the package has let through: SystemExit and its kin, or a defect of its own.
fn tell(py: Python<'_>, error: &PyErr) {
    let cold = Cold::get(py);
    if let Some(lines) = cold.lines(py, error) {
        for (index, line) in lines.iter().enumerate() {
            let level = if index == 0 { Level::Error } else { Level::Further };
            if let Ok(line) = line.cast::<PyString>() {
                let _logged = crate::text::with_utf8(line, |line| {
                    errors_stream::log_here(errors_stream::current(), level, line);
                });
            }
        }
    }
    let text = format!("{} the handlers could not be run: {}", Code::RequestFailed, cold.one_line(py, error));
    errors_stream::log_here(errors_stream::current(), Level::Error, text.as_bytes());
}
