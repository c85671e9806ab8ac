// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environ dictionary (PEP 3333, "environ Variables").
//!
//! Requests of one kind of client have the same variables in the same order, and most of their values are the
//! same too. So the dictionary of a request is a copy of a template with those names, in which the values that
//! differ are replaced.

use gangway_abi::{
    bytes::{borrow, fields},
    ffi::{gw_field, gw_request_head},
};
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyDict, PyString},
};

use crate::{request_objects::RequestObjects, text::native};

/// Templates that are kept. Clients choose the names of their headers, so there must be a bound.
const TEMPLATES: usize = 12;

/// A usual variable. Its name is interned, as the names in an application's code are; names that clients make up
/// are not, for interned strings may stay for ever.
struct Known {
    name: &'static [u8],
    /// Whether the last value is kept. Never what may hold a secret or what every client has its own value of.
    keep: bool,
}

const KEEP: bool = true;
const ASK: bool = false;

const fn known(name: &'static [u8], keep: bool) -> Known {
    Known { name, keep }
}

const KNOWN: &[Known] = &[
    known(b"AUTH_TYPE", KEEP),
    known(b"CONTENT_LENGTH", ASK),
    known(b"CONTENT_TYPE", KEEP),
    known(b"CONTEXT_DOCUMENT_ROOT", KEEP),
    known(b"CONTEXT_PREFIX", KEEP),
    known(b"DOCUMENT_ROOT", KEEP),
    known(b"GATEWAY_INTERFACE", KEEP),
    known(b"HTTPS", KEEP),
    known(b"HTTP_ACCEPT", KEEP),
    known(b"HTTP_ACCEPT_ENCODING", KEEP),
    known(b"HTTP_ACCEPT_LANGUAGE", KEEP),
    known(b"HTTP_AUTHORIZATION", ASK),
    known(b"HTTP_CACHE_CONTROL", ASK),
    known(b"HTTP_CONNECTION", KEEP),
    known(b"HTTP_COOKIE", ASK),
    known(b"HTTP_HOST", KEEP),
    known(b"HTTP_IF_MODIFIED_SINCE", ASK),
    known(b"HTTP_IF_NONE_MATCH", ASK),
    known(b"HTTP_ORIGIN", ASK),
    known(b"HTTP_PRAGMA", ASK),
    known(b"HTTP_RANGE", ASK),
    known(b"HTTP_REFERER", ASK),
    known(b"HTTP_SEC_FETCH_DEST", ASK),
    known(b"HTTP_SEC_FETCH_MODE", ASK),
    known(b"HTTP_SEC_FETCH_SITE", ASK),
    known(b"HTTP_UPGRADE_INSECURE_REQUESTS", ASK),
    known(b"HTTP_USER_AGENT", KEEP),
    known(b"HTTP_X_FORWARDED_FOR", ASK),
    known(b"HTTP_X_FORWARDED_HOST", ASK),
    known(b"HTTP_X_FORWARDED_PROTO", ASK),
    known(b"HTTP_X_REAL_IP", ASK),
    known(b"HTTP_X_REQUESTED_WITH", ASK),
    known(b"HTTP_X_REQUEST_ID", ASK),
    known(b"PATH_INFO", KEEP),
    known(b"PATH_TRANSLATED", KEEP),
    known(b"QUERY_STRING", ASK),
    known(b"REMOTE_ADDR", KEEP),
    known(b"REMOTE_PORT", ASK),
    known(b"REMOTE_USER", ASK),
    known(b"REQUEST_METHOD", KEEP),
    known(b"REQUEST_SCHEME", KEEP),
    known(b"REQUEST_URI", ASK),
    known(b"SCRIPT_FILENAME", KEEP),
    known(b"SCRIPT_NAME", KEEP),
    known(b"SERVER_ADDR", KEEP),
    known(b"SERVER_ADMIN", KEEP),
    known(b"SERVER_NAME", KEEP),
    known(b"SERVER_PORT", KEEP),
    known(b"SERVER_PROTOCOL", KEEP),
    known(b"SERVER_SIGNATURE", KEEP),
    known(b"SERVER_SOFTWARE", KEEP),
];

const _: () = {
    let mut at = 1;
    while at < KNOWN.len() {
        assert!(is_before(KNOWN[at - 1].name, KNOWN[at].name), "the binary search needs a sorted table");
        at += 1;
    }
};

const fn is_before(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
        if *a != *b {
            return *a < *b;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len() < right.len()
}

/// A value longer than this is not kept.
const LONGEST_KEPT: usize = 1024;

/// What an application's environ holds besides the variables of the request.
#[derive(Debug)]
pub(crate) struct Environs {
    constants: Py<PyDict>,
    templates: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    variables: Vec<Variable>,
    dict: Py<PyDict>,
    https: bool,
}

#[derive(Debug)]
struct Variable {
    name: Box<[u8]>,
    key: Py<PyString>,
    /// The value in the template, if it is kept.
    value: Option<Box<[u8]>>,
    /// The engine has a value of its own for this key.
    own: bool,
}

impl Environs {
    /// `wsgi.multithread` and `wsgi.multiprocess` as the specification says; the streams and classes of the
    /// interpreter.
    pub(crate) fn new(
        py: Python<'_>,
        multithread: bool,
        multiprocess: bool,
        errors: &Bound<'_, PyAny>,
        file_wrapper: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let constants = PyDict::new(py);
        constants.set_item(intern!(py, "wsgi.version"), (1, 0))?;
        constants.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "http"))?;
        constants.set_item(intern!(py, "wsgi.input"), py.None())?;
        constants.set_item(intern!(py, "wsgi.errors"), errors)?;
        constants.set_item(intern!(py, "wsgi.multithread"), multithread)?;
        constants.set_item(intern!(py, "wsgi.multiprocess"), multiprocess)?;
        constants.set_item(intern!(py, "wsgi.run_once"), false)?;
        constants.set_item(intern!(py, "wsgi.input_terminated"), true)?;
        constants.set_item(intern!(py, "wsgi.file_wrapper"), file_wrapper)?;
        constants.set_item(intern!(py, "gangway.disconnected"), py.None())?;
        Ok(Self { constants: constants.unbind(), templates: Vec::new() })
    }

    /// The environ of one request: a new dictionary that belongs to the application.
    ///
    /// # Safety
    /// `head` is that of a live request.
    pub(crate) unsafe fn build<'py>(
        &mut self,
        py: Python<'py>,
        head: &gw_request_head,
        objects: &RequestObjects,
    ) -> PyResult<Bound<'py, PyDict>> {
        // SAFETY: the caller guarantees the head, whose variables live as long as the request.
        let variables = unsafe { fields(head.variables, head.variable_count) };
        let template = match self.templates.iter().position(|template| template.fits(variables)) {
            Some(0) => &self.templates[0],
            Some(at) => {
                // The next request is likely to be of the same kind.
                self.templates.swap(at, at - 1);
                &self.templates[at - 1]
            }
            None => {
                self.templates.truncate(TEMPLATES - 1);
                self.templates.push(Template::new(py, self.constants.bind(py), variables)?);
                self.templates
                    .last()
                    .ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("no template"))?
            }
        };
        let environ = template.instance(py, variables)?;
        set(&environ, intern!(py, "wsgi.input"), objects.input.bind(py))?;
        set(&environ, intern!(py, "gangway.disconnected"), objects.disconnected.bind(py))?;
        Ok(environ)
    }
}

impl Template {
    fn new(py: Python<'_>, constants: &Bound<'_, PyDict>, fields: &[gw_field]) -> PyResult<Self> {
        let dict = PyDict::new(py);
        let mut variables = Vec::with_capacity(fields.len());
        let mut https = false;
        for field in fields {
            // SAFETY: the caller's fields are those of a live request.
            let (name, value) = unsafe { (borrow(field.name), borrow(field.value)) };
            let known = KNOWN.binary_search_by_key(&name, |known| known.name).ok().map(|at| &KNOWN[at]);
            let key = match known.and_then(|known| str::from_utf8(known.name).ok()) {
                Some(name) => PyString::intern(py, name),
                None => native(py, name)?.cast_into()?,
            };
            let kept = value.len() <= LONGEST_KEPT && known.is_some_and(|known| known.keep);
            if kept {
                dict.set_item(&key, native(py, value)?)?;
            } else {
                dict.set_item(&key, py.None())?;
            }
            if name == b"HTTPS" {
                https = is_on(value);
            }
            let own = constants.contains(&key)?;
            let value = kept.then(|| value.into());
            variables.push(Variable { name: name.into(), key: key.unbind(), value, own });
        }
        dict.update(constants.as_mapping())?;
        if https {
            dict.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
        }
        Ok(Self { variables, dict: dict.unbind(), https })
    }

    fn fits(&self, fields: &[gw_field]) -> bool {
        self.variables.len() == fields.len()
            && self.variables.iter().zip(fields).all(|(variable, field)| {
                // SAFETY: the fields are those of a live request.
                *variable.name == *unsafe { borrow(field.name) }
            })
    }

    fn instance<'py>(&self, py: Python<'py>, fields: &[gw_field]) -> PyResult<Bound<'py, PyDict>> {
        // SAFETY: the template is a dict and the interpreter's lock is held; the copy is new, or null.
        let environ = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(self.dict.as_ptr()))? };
        // SAFETY: the copy of a dict is a dict.
        let environ = unsafe { environ.cast_into_unchecked::<PyDict>() };
        for (variable, field) in self.variables.iter().zip(fields) {
            // SAFETY: the fields are those of a live request.
            let value = unsafe { borrow(field.value) };
            if variable.own || variable.value.as_deref() == Some(value) {
                continue;
            }
            set(&environ, variable.key.bind(py), &native(py, value)?)?;
            if *variable.name == *b"HTTPS" && is_on(value) != self.https {
                let scheme = if is_on(value) { intern!(py, "https") } else { intern!(py, "http") };
                set(&environ, intern!(py, "wsgi.url_scheme"), scheme)?;
            }
        }
        Ok(environ)
    }
}

/// PEP 3333, "URL Reconstruction": the scheme follows the variable HTTPS.
fn is_on(value: &[u8]) -> bool {
    value == b"1" || value.eq_ignore_ascii_case(b"on")
}

/// `dict[key] = value` without a conversion of either.
fn set(dict: &Bound<'_, PyDict>, key: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: all three are live objects and the interpreter's lock is held.
    match unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(dict.py())),
    }
}
