// SPDX-License-Identifier: MIT OR Apache-2.0
//! The encodings of the interpreter as `python3` would choose them: PEP 538 and PEP 540. An embedded interpreter does
//! neither by itself.

use std::{
    env,
    ffi::{CStr, OsStr},
    os::unix::ffi::OsStrExt,
};

use pyo3::ffi;

/// Since this version UTF-8 mode is on unless it is switched off (PEP 686).
const ALWAYS_UTF8: (u32, u32) = (3, 15);

/// Sets the locale of character types from the environment, as the start of the interpreter would do in any case, and
/// answers whether UTF-8 mode is on. Before the interpreter starts.
///
/// What counts is which locale there is afterwards: one that the machine does not have is C.
pub(crate) fn choose() -> bool {
    // SAFETY: the engine thread, while the worker starts; the string is "".
    unsafe { libc::setlocale(libc::LC_CTYPE, c"".as_ptr()) };
    let locale = current();
    let utf8 = match variable("PYTHONUTF8").as_deref() {
        Some(b"1") => true,
        Some(b"0") => false,
        _ => version() >= ALWAYS_UTF8 || locale == b"C" || locale == b"POSIX",
    };
    if locale == b"C" {
        coerce();
    }
    utf8
}

/// Whether names of files are UTF-8 for the interpreter, once the locale is chosen.
pub(crate) fn has_utf8_names(utf8_mode: bool) -> bool {
    // SAFETY: the answer is a C string, valid until the locale changes, and no other thread changes it while the worker starts.
    utf8_mode || unsafe { CStr::from_ptr(libc::nl_langinfo(libc::CODESET)) } == c"UTF-8"
}

/// PEP 538: C.UTF-8 instead of C, for this process and, by the environment, for those that it starts.
fn coerce() {
    if variable("PYTHONCOERCECLOCALE").as_deref() == Some(b"0") || variable("LC_ALL").is_some() {
        return;
    }
    for target in [c"C.UTF-8", c"C.utf8", c"UTF-8"] {
        // SAFETY: the name ends with NUL; the worker starts, and no other thread asks for the locale yet.
        if unsafe { libc::setlocale(libc::LC_CTYPE, target.as_ptr()) }.is_null() {
            continue;
        }
        // SAFETY: the worker starts, and its other threads have read their environment.
        unsafe { env::set_var("LC_CTYPE", OsStr::from_bytes(target.to_bytes())) };
        return;
    }
}

/// The locale of character types.
fn current() -> Vec<u8> {
    // SAFETY: null asks; the answer is null or a C string, valid until the next call.
    unsafe {
        let name = libc::setlocale(libc::LC_CTYPE, std::ptr::null());
        if name.is_null() { Vec::new() } else { CStr::from_ptr(name).to_bytes().to_vec() }
    }
}

/// An empty one counts as none, for C libraries and for Python.
fn variable(name: &str) -> Option<Vec<u8>> {
    env::var_os(name).map(|value| value.as_bytes().to_vec()).filter(|value| !value.is_empty())
}

fn version() -> (u32, u32) {
    // SAFETY: may be called before the start; a C string that lives as long as the library.
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }.to_string_lossy();
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
