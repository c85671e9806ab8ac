// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interpreter: its start on the host's engine thread, its end, and the cold paths that are written in Python.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    sync::atomic::{AtomicBool, Ordering},
};

use gangway_abi::Level;
use gangway_python_shared::{codes::Code, log::log};
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyModule},
};

use crate::{
    children,
    cold::Cold,
    errors_stream::{self, LogStream},
    file_wrapper::FileWrapper,
    forked, leave, locale, release, spawn,
    symbols::symbol,
};

/// A file of Python code, by its path in this folder.
macro_rules! code {
    ($file:literal) => {
        match std::ffi::CStr::from_bytes_with_nul(
            concat!(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $file)), "\0").as_bytes(),
        ) {
            Ok(text) => text,
            Err(_) => panic!("Python code holds a NUL"),
        }
    };
}

pub(crate) use code;

const BOOTSTRAP: &CStr = code!("bootstrap.py");
const PROCESSES: &CStr = code!("processes.py");

/// Whether it was this engine that started the interpreter.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Whether the interpreter has ended. It cannot be started twice in a process.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Starts the interpreter, if it does not run yet. `argument` becomes `sys.argv[0]`. In a process that is to be forked the
/// engine has no thread of its own.
pub(crate) fn start(program: Option<&[u8]>, argument: &[u8], has_thread: bool) -> Result<(), String> {
    if ENDED.load(Ordering::Acquire) {
        return Err(
            "Python has already ended in this server process and cannot be started twice; restart the \
                    server"
                .to_owned(),
        );
    }
    // SAFETY: may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } == 0 {
        children::watch();
        initialize(program)?;
        STARTED.store(true, Ordering::Release);
        let prepared = Python::attach(|py| prepare(py, argument).map_err(|error| error.to_string()));
        prepared.map_err(|error| format!("the Python interpreter could not be prepared: {error}"))?;
        if has_thread {
            release::start().map_err(|error| format!("cannot start a thread: {error}"))?;
        }
    }
    if Python::attach(|py| !Cold::is_kept(py)) {
        if STARTED.load(Ordering::Acquire) {
            return Err("the Python interpreter could not be prepared; an earlier line says why".to_owned());
        }
        return Err(
            "another module of this server already runs a Python interpreter; remove that module".to_owned()
        );
    }
    Ok(())
}

/// Ends the interpreter: threading's shutdown and the exit handlers run, on this thread.
pub(crate) fn end() {
    if ENDED.swap(true, Ordering::AcqRel) {
        return;
    }
    release::stop();
    // SAFETY: the interpreter runs; this thread started it, so it gets its main thread state back and finalizes
    // with it. No other thread runs Python code of ours any more.
    let status = unsafe {
        ffi::PyGILState_Ensure();
        ffi::Py_FinalizeEx()
    };
    errors_stream::flush();
    if status != 0 {
        log(
            Level::Warn,
            Code::ShutdownFailed,
            format_args!("Python reported an error while it flushed its buffers at the end of the process"),
        );
    }
}

fn initialize(program: Option<&[u8]>) -> Result<(), String> {
    let utf8_mode = locale::choose();
    let set_program_name = symbol(c"Py_SetProgramName");
    if set_program_name.is_none()
        && let Some(create) = symbol(c"PyInitConfig_Create")
    {
        // SAFETY: the symbol is of the libpython that the front has opened and has this type there.
        return unsafe { initialize_by_config(create, program, utf8_mode) };
    }
    if utf8_mode && let Some(flag) = symbol(c"Py_UTF8Mode") {
        // SAFETY: Py_UTF8Mode is an int that may be set before the start.
        unsafe { *flag.cast::<c_int>() = 1 };
    }
    if let (Some(function), Some(program)) = (set_program_name, program) {
        // The interpreter keeps the pointer.
        let name = Box::leak(wide(program, locale::has_utf8_names(utf8_mode)).into_boxed_slice());
        // SAFETY: the symbol has this type in every version that has it; the string is NUL-terminated and is never
        // freed.
        unsafe {
            let function =
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const libc::wchar_t)>(function);
            function(name.as_ptr());
        }
    }
    // SAFETY: the interpreter does not run yet. 0: no signal handlers, for signals are the server's.
    unsafe { ffi::Py_InitializeEx(0) };
    // SAFETY: the start left this thread with the lock.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(())
}

/// The default is that of an isolated interpreter; these make it what `python3` is.
const AS_PYTHON3: [(&CStr, i64); 5] = [
    (c"isolated", 0),
    (c"use_environment", 1),
    (c"user_site_directory", 1),
    (c"configure_locale", 1),
    (c"install_signal_handlers", 0),
];

/// PEP 741, for versions that have no Py_SetProgramName any more.
///
/// # Safety
/// `create` is PyInitConfig_Create of the libpython that is open.
unsafe fn initialize_by_config(
    create: *mut c_void,
    program: Option<&[u8]>,
    utf8_mode: bool,
) -> Result<(), String> {
    type Config = *mut c_void;
    let function =
        |name: &CStr| symbol(name).ok_or_else(|| format!("libpython has no {}", name.to_string_lossy()));
    // SAFETY: the symbols have these types in every version that has PyInitConfig_Create (PEP 741); the strings are
    // NUL-terminated, and the configuration is freed once.
    unsafe {
        let create = std::mem::transmute::<*mut c_void, extern "C" fn() -> Config>(create);
        let set_int = std::mem::transmute::<*mut c_void, extern "C" fn(Config, *const c_char, i64) -> c_int>(
            function(c"PyInitConfig_SetInt")?,
        );
        let set_str = std::mem::transmute::<
            *mut c_void,
            extern "C" fn(Config, *const c_char, *const c_char) -> c_int,
        >(function(c"PyInitConfig_SetStr")?);
        let initialize = std::mem::transmute::<*mut c_void, extern "C" fn(Config) -> c_int>(function(
            c"Py_InitializeFromInitConfig",
        )?);
        let get_error = std::mem::transmute::<*mut c_void, extern "C" fn(Config, *mut *const c_char) -> c_int>(
            function(c"PyInitConfig_GetError")?,
        );
        let free = std::mem::transmute::<*mut c_void, extern "C" fn(Config)>(function(c"PyInitConfig_Free")?);
        let config = create();
        if config.is_null() {
            return Err("Python did not start: out of memory".to_owned());
        }
        let mut status = set_int(config, c"utf8_mode".as_ptr(), i64::from(utf8_mode));
        for (name, value) in AS_PYTHON3 {
            status |= set_int(config, name.as_ptr(), value);
        }
        if let Some(program) = program.and_then(|program| CString::new(program).ok()) {
            status |= set_str(config, c"program_name".as_ptr(), program.as_ptr());
        }
        if status == 0 {
            status = initialize(config);
        }
        let mut text = std::ptr::null();
        let outcome = if status != 0 && get_error(config, &raw mut text) != 0 && !text.is_null() {
            Err(format!("Python did not start: {}", CStr::from_ptr(text).to_string_lossy()))
        } else if status != 0 {
            Err("Python did not start".to_owned())
        } else {
            Ok(())
        };
        free(config);
        outcome?;
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

/// A path as the interpreter takes it; bytes that are not UTF-8 as PEP 383 has them. In another encoding that is so for all that are not
/// ASCII: characters that it does not have would end the process.
fn wide(path: &[u8], is_utf8: bool) -> Vec<libc::wchar_t> {
    let mut text = Vec::with_capacity(path.len() + 1);
    let escaped = |byte: &u8| 0xdc00 + libc::wchar_t::from(*byte);
    if is_utf8 {
        for chunk in path.utf8_chunks() {
            text.extend(chunk.valid().chars().map(|char| char as libc::wchar_t));
            text.extend(chunk.invalid().iter().map(escaped));
        }
    } else {
        let each = |byte: &u8| if byte.is_ascii() { libc::wchar_t::from(*byte) } else { escaped(byte) };
        text.extend(path.iter().map(each));
    }
    text.push(0);
    text
}

fn prepare(py: Python<'_>, argument: &[u8]) -> PyResult<()> {
    let module = PyModule::from_code(py, BOOTSTRAP, c"<gangway>", c"_gangway")?;
    let stderr = Py::new(py, LogStream::stderr())?.into_any();
    let stdout = Py::new(py, LogStream::stdout())?;
    let argument = std::ffi::OsStr::new(std::str::from_utf8(argument).unwrap_or("gangway"));
    module.call_method1("prepare", (argument, stdout, &stderr))?;
    let processes = PyModule::from_code(py, PROCESSES, c"<gangway>", c"_gangway_processes")?;
    let warn = wrap_pyfunction!(warn, &processes)?;
    let leave_server = wrap_pyfunction!(leave::leave_server, &processes)?;
    let launch = wrap_pyfunction!(spawn::fork_exec, &processes)?;
    let note_inheritable = wrap_pyfunction!(children::note_inheritable, &processes)?;
    let is_expected = wrap_pyfunction!(forked::is_expected, &processes)?;
    processes.call_method1("prepare", (warn, leave_server, launch, note_inheritable, is_expected))?;
    let cold = Cold {
        timeout: module.getattr("RequestTimeout")?.unbind(),
        file_wrapper: py.get_type::<FileWrapper>().into_any().unbind(),
        module: module.unbind(),
        processes: processes.unbind(),
        stderr,
    };
    cold.keep(py)
}

/// Logs that a signal handler was ignored.
#[pyfunction]
fn warn(text: &str) {
    log(Level::Warn, Code::SignalIgnored, format_args!("{text}"));
}

/// Sets a variable in the process and, if the interpreter runs, in `os.environ`.
pub(crate) fn set_variable(name: &[u8], value: &[u8]) -> Result<(), String> {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    // SAFETY: may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Python::attach(|py| {
            let environ = py.import("os")?.getattr(intern!(py, "environb"))?;
            environ.set_item(PyBytes::new(py, name), PyBytes::new(py, value))
        })
        .map_err(|error: PyErr| format!("cannot set a variable in os.environ: {error}"));
    }
    // SAFETY: this happens while the worker starts, on the engine thread. The server's other threads read their
    // environment before, if ever.
    unsafe { std::env::set_var(OsStr::from_bytes(name), OsStr::from_bytes(value)) };
    Ok(())
}
