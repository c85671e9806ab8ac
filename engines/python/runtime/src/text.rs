// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes of Python strings without copies where there is a way.

use std::{ffi::c_char, os::unix::ffi::OsStrExt, path::Path, ptr, slice};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    ffi,
    prelude::*,
    types::{PyBytes, PyString},
};

unsafe extern "C" {
    // In the stable ABI from 3.10, but exported with this signature by every version from 3.3 on.
    fn PyUnicode_AsUTF8AndSize(text: *mut ffi::PyObject, size: *mut ffi::Py_ssize_t) -> *const c_char;
}

/// The UTF-8 that the string itself holds; `None` (with no exception set) if it has lone surrogates.
pub(crate) fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    let mut size = 0;
    // SAFETY: the object is a str and the interpreter's lock is held; the bytes belong to the string and live as
    // long as it does.
    unsafe {
        let data = PyUnicode_AsUTF8AndSize(text.as_ptr(), &raw mut size);
        if data.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(slice::from_raw_parts(data.cast::<u8>(), usize::try_from(size).ok()?))
    }
}

/// Calls `each` with the string in UTF-8; lone surrogates as backslash escapes.
pub(crate) fn with_utf8<R>(text: &Bound<'_, PyString>, each: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Some(bytes) = utf8(text) {
        return Ok(each(bytes));
    }
    let bytes = text.call_method1("encode", ("utf-8", "backslashreplace"))?.cast_into::<PyBytes>()?;
    Ok(each(bytes.as_bytes()))
}

/// Calls `each` with the bytes of a native string of PEP 3333: one byte per character.
pub(crate) fn with_latin1<R>(
    text: &Bound<'_, PyAny>,
    what: &str,
    each: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    let Ok(text) = text.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("{what} must be str, not {}", type_name(text))));
    };
    if let Some(bytes) = utf8(text).filter(|bytes| bytes.is_ascii()) {
        return each(bytes);
    }
    // SAFETY: the object is a str and the interpreter's lock is held; the result is new bytes, or null.
    let bytes =
        unsafe { Bound::from_owned_ptr_or_opt(text.py(), ffi::PyUnicode_AsLatin1String(text.as_ptr())) };
    let Some(bytes) = bytes else {
        // SAFETY: the interpreter's lock is held.
        unsafe { ffi::PyErr_Clear() };
        let shown = text.repr()?;
        return Err(PyValueError::new_err(format!(
            "{what} {shown} holds a character that latin-1 does not have; encode it (PEP 3333, Unicode Issues)"
        )));
    };
    each(bytes.cast_into::<PyBytes>()?.as_bytes())
}

/// `str` of one character per byte.
pub(crate) fn native<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).map_err(|_| PyValueError::new_err("value too long"))?;
    // SAFETY: the pointer and the size are those of a slice; null errors means "strict", and latin-1 never fails.
    unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), size, ptr::null()),
        )
    }
}

/// The name of a file, or words that hold such names, as `os.fsdecode` has it: whatever the locale is, Python's own functions for files find it.
pub(crate) fn file_name<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).map_err(|_| PyValueError::new_err("value too long"))?;
    // SAFETY: the pointer and the size are those of a slice; the result is a new str, or null with an exception.
    unsafe {
        Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_DecodeFSDefaultAndSize(bytes.as_ptr().cast(), size))
    }
}

/// That of a path; None for none.
pub(crate) fn optional_file_name<'py>(
    py: Python<'py>,
    path: Option<&Path>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    path.map(|path| file_name(py, path.as_os_str().as_bytes())).transpose()
}

/// The name of an object's type, for messages.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}

/// UTF-8, with a replacement for what is none.
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the pointer and the size are those of a slice; "replace" is a handler that every interpreter has.
    unsafe {
        let text = ffi::PyUnicode_DecodeUTF8(bytes.as_ptr().cast(), size, c"replace".as_ptr());
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}
