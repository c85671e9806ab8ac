// SPDX-License-Identifier: MIT OR Apache-2.0
//! One application: its specification as the front passes it, and its callable, loaded or not.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use gangway_abi::{
    Level,
    bytes::{borrow, options},
    ffi::{GW_APP_MULTIPROCESS, GW_APP_TEMPLATE, gw_app_spec, gw_request},
    host::{Place, log_bytes},
};
use gangway_python_shared::{codes::Code, log::log};
use pyo3::{
    prelude::*,
    types::{PyList, PyString},
};

use crate::{
    asgi_options::LoopOptions,
    cold::{Cold, with_traceback},
    environ::Environs,
    errors_stream::log_lines,
    failure::{Explained, LoadFailure},
    files,
    gil::Guarded,
    leave::end_child,
    template,
    text::{file_name, optional_file_name},
};

/// What the front found out about the application.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    module: String,
    callable: String,
    pub(crate) root: Option<PathBuf>,
    venv: Option<PathBuf>,
    pub(crate) program: Option<Vec<u8>>,
    pub(crate) variables: Vec<(Vec<u8>, Vec<u8>)>,
    debug: bool,
    multithread: bool,
    multiprocess: bool,
    /// Threads for what blocks.
    pub(crate) threads: u32,
    /// For an application on an event loop.
    pub(crate) asgi: Option<LoopOptions>,
    /// The process is to be forked.
    pub(crate) is_template: bool,
    /// There is no application: requests bring the handlers that they have.
    has_handlers: bool,
    /// What handlers begin with, in order: names with values.
    pub(crate) words: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it is said whether it can run.
    pub(crate) place: Place,
}

impl Spec {
    /// # Safety
    /// `raw` is a specification as the front makes it.
    pub(crate) unsafe fn read(raw: &gw_app_spec) -> Result<Self, String> {
        // SAFETY: the caller guarantees the fields of the specification.
        let (name, target, interface) =
            unsafe { (borrow(raw.name), borrow(raw.target), borrow(raw.interface_name)) };
        let target = String::from_utf8_lossy(target);
        let has_handlers = interface == b"handlers";
        let (module, callable) = match target.rsplit_once(':') {
            Some(parts) => parts,
            None if has_handlers => (&*target, ""),
            None => return Err("the target names no callable".into()),
        };
        let mut spec = Self {
            name: String::from_utf8_lossy(name).into_owned(),
            module: module.to_owned(),
            callable: callable.to_owned(),
            root: None,
            venv: None,
            program: None,
            variables: Vec::new(),
            debug: false,
            multithread: raw.threads > 1,
            multiprocess: raw.flags & GW_APP_MULTIPROCESS != 0,
            threads: raw.threads.max(1),
            asgi: None,
            is_template: raw.flags & GW_APP_TEMPLATE != 0,
            has_handlers,
            words: Vec::new(),
            // SAFETY: the specification is the host's, of which the front makes a copy; an application that was unloaded loads nothing.
            place: unsafe { Place::of(raw) },
        };
        // SAFETY: the caller guarantees the fields of the specification.
        if unsafe { borrow(raw.interface_name) } == b"asgi" {
            spec.asgi = Some(LoopOptions::new());
        }
        // SAFETY: the caller guarantees the options.
        for (key, value) in unsafe { options(raw) } {
            match key {
                b"root" => spec.root = Some(OsStr::from_bytes(value).into()),
                b"venv" => spec.venv = Some(OsStr::from_bytes(value).into()),
                b"program" => spec.program = Some(value.to_vec()),
                b"debug" => spec.debug = value == b"on",
                b"path" | b"import" | b"handler" => spec.words.push((key.to_vec(), value.to_vec())),
                b"env" => {
                    let at = value.iter().position(|byte| *byte == b'=').ok_or("env= has no value")?;
                    spec.variables.push((value[..at].to_vec(), value[at + 1..].to_vec()));
                }
                _ if spec.asgi.as_mut().is_some_and(|asgi| asgi.set(key, value)) => {}
                _ => {
                    return Err(format!(
                        "the front passed an unknown option {}",
                        String::from_utf8_lossy(key)
                    ));
                }
            }
        }
        Ok(spec)
    }

    /// Whether it stands for handlers of phases and not for an application.
    pub(crate) fn has_handlers(&self) -> bool {
        self.has_handlers
    }

    /// The module's name or the file's path.
    pub(crate) fn module(&self) -> &str {
        &self.module
    }

    /// An attempt to import the application, or a module of it, which stands in that folder. The host is told which files it is made of.
    pub(crate) fn attempt<R>(
        &self,
        py: Python<'_>,
        (module, root): (&str, Option<&Path>),
        import: impl FnOnce() -> PyResult<R>,
    ) -> Result<R, Box<LoadFailure>> {
        let begun = SystemTime::now();
        files::take_question(py);
        let before = Cold::get(py).function(py, "known_modules").and_then(|function| function.call0());
        let attempted = before.map(|before| (import(), before));
        end_child(py, attempted.as_ref().map_or_else(Some, |(imported, _)| imported.as_ref().err()));
        match attempted {
            Ok((Ok(imported), before)) => {
                files::report(py, module, root, &before);
                Ok(imported)
            }
            Ok((Err(error), before)) => {
                Err(Box::new(self.explain(py, (module, root), &error, &before, begun)))
            }
            Err(error) => Err(Box::new(LoadFailure::new(error.to_string(), Explained::default(), begun))),
        }
    }

    /// Why that cannot be loaded. Logs the traceback and one line with cause and cure.
    fn explain(
        &self,
        py: Python<'_>,
        (module, root): (&str, Option<&Path>),
        error: &PyErr,
        before: &Bound<'_, PyAny>,
        begun: SystemTime,
    ) -> LoadFailure {
        let cold = Cold::get(py);
        let explained = cold
            .function(py, "explain")
            .and_then(|explain| {
                let (root, venv) =
                    (optional_file_name(py, root)?, optional_file_name(py, self.venv.as_deref())?);
                let module = file_name(py, module.as_bytes())?;
                explain.call1((with_traceback(py, error), module, root, venv, before))
            })
            .and_then(|result| result.extract::<(String, Bound<'_, PyList>, Vec<OsString>, Vec<String>)>());
        let Ok((cause, lines, files, imported)) = explained else {
            let text = format_args!("cannot load {:?}: {error}", self.name);
            log(Level::Error, Code::ImportFailed, text);
            return LoadFailure::new(error.to_string(), Explained::default(), begun);
        };
        files::report_failed(&files);
        let code = match error.get_type(py).name().map(|name| name.to_string()).as_deref() {
            Ok("NameClash") => Code::NameClash,
            Ok("NoCallable") => Code::NoCallable,
            _ => Code::ImportFailed,
        };
        if code == Code::ImportFailed {
            log_lines(std::ptr::null_mut(), &lines);
        }
        log(Level::Error, code, format_args!("cannot load {:?}: {cause}", self.name));
        let lines = lines.iter().filter_map(|line| line.cast::<PyString>().ok().map(|line| line.to_string()));
        LoadFailure::new(cause, Explained { lines: lines.collect(), files, imported }, begun)
    }
}

/// One application in this process.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) debug: bool,
    spec: Spec,
    state: Guarded<State>,
    /// Called with the callable of each attempt; what it raises fails the attempt.
    starter: Option<Py<PyAny>>,
    pub(crate) environs: Guarded<Environs>,
}

#[derive(Debug)]
enum State {
    Ready(Py<PyAny>),
    Failed(LoadFailure),
    /// A thread is trying again.
    Retrying,
}

/// What a request finds.
pub(crate) enum Found<'py> {
    Ready(Bound<'py, PyAny>),
    /// The lines of the page for debug=on: cause and traceback.
    Failed(String, Vec<String>),
}

impl App {
    /// Loads the application. A failing import is no error here, for it can heal, but in a process that is to be forked.
    pub(crate) fn load(py: Python<'_>, spec: Spec, starter: Option<Py<PyAny>>) -> Result<Self, String> {
        let cold = Cold::get(py);
        let text = |error: PyErr| format!("the application could not be prepared: {error}");
        if let Some(root) = &spec.root {
            let clash = cold
                .function(py, "add_root")
                .and_then(|function| function.call1((file_name(py, root.as_os_str().as_bytes())?,)));
            if let Some(clash) = clash.and_then(|clash| clash.extract::<Option<String>>()).map_err(text)? {
                return Err(clash);
            }
        }
        let environs = Environs::new(
            py,
            spec.multithread,
            spec.multiprocess,
            cold.stderr.bind(py),
            cold.file_wrapper.bind(py),
        );
        let app = Self {
            name: spec.name.clone(),
            debug: spec.debug,
            state: Guarded::new(State::Retrying),
            starter,
            environs: Guarded::new(environs.map_err(text)?),
            spec,
        };
        if app.spec.is_template {
            template::tell_faults(py);
        }
        let state = app.attempt(py);
        if app.spec.is_template {
            if let State::Failed(failure) = &state {
                return Err(failure.cause.clone());
            }
            template::loaded(py, &app.name);
        }
        *app.state.get_mut(py).map_err(text)? = state;
        Ok(app)
    }

    /// The callable, if it is loaded.
    pub(crate) fn ready<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match &*self.state.get(py)? {
            State::Ready(callable) => Some(callable.bind(py).clone()),
            State::Failed(_) | State::Retrying => None,
        })
    }

    /// The callable, after another attempt to load it if a file has changed since the last one failed.
    pub(crate) fn find<'py>(&self, py: Python<'py>, request: *mut gw_request) -> PyResult<Found<'py>> {
        if let State::Ready(callable) = &*self.state.get(py)? {
            return Ok(Found::Ready(callable.bind(py).clone()));
        }
        self.refresh(py)?;
        self.found(py, request)
    }

    /// Tries to load it again, if a file has changed since the last attempt failed.
    pub(crate) fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state.get_mut(py)?;
        if let State::Failed(failure) = &mut *state
            && failure.is_outdated(Instant::now())
        {
            // Other threads find Retrying meanwhile: an import gives up the interpreter's lock now and then.
            let failed = std::mem::replace(&mut *state, State::Retrying);
            drop(state);
            self.retry(py, failed);
        }
        Ok(())
    }

    /// The callable, or why it is not there, which is logged.
    pub(crate) fn found<'py>(&self, py: Python<'py>, request: *mut gw_request) -> PyResult<Found<'py>> {
        Ok(match &mut *self.state.get_mut(py)? {
            State::Ready(callable) => Found::Ready(callable.bind(py).clone()),
            State::Failed(failure) => {
                if failure.may_log(Instant::now()) {
                    let text = format!(
                        "{} application {:?} is not loaded: {}",
                        Code::NotLoaded,
                        self.name,
                        failure.cause
                    );
                    // SAFETY: the request is the one that this thread is inside handle() for.
                    unsafe { log_bytes(request, Level::Error, text.as_bytes()) };
                }
                Found::Failed(failure.cause.clone(), failure.lines.clone())
            }
            State::Retrying => {
                Found::Failed("it is being loaded again at this moment".to_owned(), Vec::new())
            }
        })
    }

    fn retry(&self, py: Python<'_>, failed: State) {
        let mut next = Next { app: self, py, state: Some(failed) };
        if let Some(State::Failed(failure)) = &next.state {
            let forget = Cold::get(py).function(py, "forget");
            let _forgotten = forget.and_then(|forget| forget.call1((failure.imported.clone(),)));
        }
        let state = self.attempt(py);
        if matches!(state, State::Ready(_)) {
            let text =
                format_args!("application {:?} is loaded now, after its files have changed", self.name);
            log(Level::Notice, Code::LoadedAfterAll, text);
        }
        next.state = Some(state);
    }

    /// An attempt to load it, of which the host is told.
    fn attempt(&self, py: Python<'_>) -> State {
        let state = self.load_once(py);
        self.spec.place.say(match &state {
            State::Failed(failure) => &failure.cause,
            State::Ready(_) | State::Retrying => "",
        });
        state
    }

    fn load_once(&self, py: Python<'_>) -> State {
        match self.spec.attempt(py, (&self.spec.module, self.spec.root.as_deref()), || self.import(py)) {
            Ok(callable) => State::Ready(callable.unbind()),
            Err(failure) => State::Failed(*failure),
        }
    }

    fn import<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let cold = Cold::get(py);
        let load = if self.spec.module.starts_with('/') { "load_file" } else { "load_module" };
        let module = cold.function(py, load)?.call1((file_name(py, self.spec.module.as_bytes())?,))?;
        let kind = if self.spec.asgi.is_some() { "ASGI" } else { "WSGI" };
        let callable = cold.function(py, "find_callable")?.call1((module, &self.spec.callable, kind))?;
        match &self.starter {
            Some(starter) => starter.bind(py).call1((callable,)),
            None => Ok(callable),
        }
    }
}

/// The state after a retry: the old one comes back if there is no new one, be it for a panic.
struct Next<'a, 'py> {
    app: &'a App,
    py: Python<'py>,
    state: Option<State>,
}

impl Drop for Next<'_, '_> {
    fn drop(&mut self) {
        if let (Ok(mut state), Some(next)) = (self.app.state.get_mut(self.py), self.state.take()) {
            *state = next;
        }
    }
}
