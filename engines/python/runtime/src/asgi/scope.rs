// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request is, as an application sees it (ASGI, HTTP connection scope), made of its meta-variables.

use gangway_abi::{
    bytes::{borrow, fields},
    ffi::gw_request_head,
};
use pyo3::{
    ffi, intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString},
};

/// The version of the parts of the specification for HTTP and WebSocket.
const SPEC_VERSION: &str = "2.5";

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Socket,
}

/// The variables that the scope is made of; values are empty where there is none.
#[derive(Default)]
struct Facts<'a> {
    method: &'a [u8],
    protocol: &'a [u8],
    scheme: &'a [u8],
    script_name: &'a [u8],
    path_info: &'a [u8],
    query: &'a [u8],
    request_uri: &'a [u8],
    remote_addr: &'a [u8],
    remote_port: &'a [u8],
    server_addr: &'a [u8],
    server_name: &'a [u8],
    server_port: &'a [u8],
}

impl<'a> Facts<'a> {
    fn slot(&mut self, name: &[u8]) -> Option<&mut &'a [u8]> {
        Some(match name {
            b"REQUEST_METHOD" => &mut self.method,
            b"SERVER_PROTOCOL" => &mut self.protocol,
            b"REQUEST_SCHEME" => &mut self.scheme,
            b"SCRIPT_NAME" => &mut self.script_name,
            b"PATH_INFO" => &mut self.path_info,
            b"QUERY_STRING" => &mut self.query,
            b"REQUEST_URI" => &mut self.request_uri,
            b"REMOTE_ADDR" => &mut self.remote_addr,
            b"REMOTE_PORT" => &mut self.remote_port,
            b"SERVER_ADDR" => &mut self.server_addr,
            b"SERVER_NAME" => &mut self.server_name,
            b"SERVER_PORT" => &mut self.server_port,
            _ => return None,
        })
    }
}

/// Makes the scope.
///
/// # Safety
/// `head` is that of a request that has not been finished.
pub(super) unsafe fn scope<'py>(
    py: Python<'py>,
    kind: Kind,
    head: &gw_request_head,
    state: Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut facts = Facts::default();
    let headers = PyList::empty(py);
    let mut subprotocols: &[u8] = b"";
    // SAFETY: the caller guarantees the head, whose variables live as long.
    for variable in unsafe { fields(head.variables, head.variable_count) } {
        // SAFETY: names and values live as long as the head, which the caller guarantees.
        let (name, value) = unsafe { (borrow(variable.name), borrow(variable.value)) };
        if let Some(slot) = facts.slot(name) {
            *slot = value;
        } else if let Some(field) = field_name(name) {
            if name == b"HTTP_SEC_WEBSOCKET_PROTOCOL" {
                subprotocols = value;
            }
            headers.append((PyBytes::new(py, &field), PyBytes::new(py, value)))?;
        }
    }
    let scope = PyDict::new(py);
    let is_socket = kind == Kind::Socket;
    let name = if is_socket { intern!(py, "websocket") } else { intern!(py, "http") };
    scope.set_item(intern!(py, "type"), name)?;
    let asgi = PyDict::new(py);
    asgi.set_item(intern!(py, "version"), intern!(py, "3.0"))?;
    asgi.set_item(intern!(py, "spec_version"), SPEC_VERSION)?;
    scope.set_item(intern!(py, "asgi"), asgi)?;
    scope.set_item(intern!(py, "http_version"), http_version(facts.protocol))?;
    let extensions = PyDict::new(py);
    if is_socket {
        let scheme = if facts.scheme == b"https" { intern!(py, "wss") } else { intern!(py, "ws") };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        scope.set_item(intern!(py, "subprotocols"), words(py, subprotocols)?)?;
        extensions.set_item(intern!(py, "websocket.http.response"), PyDict::new(py))?;
    } else {
        scope.set_item(intern!(py, "method"), text(py, &facts.method.to_ascii_uppercase())?)?;
        scope.set_item(intern!(py, "scheme"), text(py, facts.scheme)?)?;
    }
    scope.set_item(intern!(py, "root_path"), text(py, facts.script_name)?)?;
    // As root_path and what follows it, which is what applications expect of it since 2023.
    scope.set_item(intern!(py, "path"), text(py, &[facts.script_name, facts.path_info].concat())?)?;
    scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, raw_path(facts.request_uri)))?;
    scope.set_item(intern!(py, "query_string"), PyBytes::new(py, facts.query))?;
    scope.set_item(intern!(py, "headers"), headers)?;
    scope.set_item(intern!(py, "client"), peer(py, facts.remote_addr, facts.remote_port)?)?;
    let host = if facts.server_addr.is_empty() { facts.server_name } else { facts.server_addr };
    scope.set_item(intern!(py, "server"), peer(py, host, facts.server_port)?)?;
    scope.set_item(intern!(py, "state"), state)?;
    scope.set_item(intern!(py, "extensions"), extensions)?;
    Ok(scope)
}

/// The parts of a list with commas.
fn words<'py>(py: Python<'py>, list: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let words = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    PyList::new(py, words.map(|word| text(py, word)).collect::<PyResult<Vec<_>>>()?)
}

/// The name of the header field that a variable holds: in lower case, as the specification wants it.
fn field_name(variable: &[u8]) -> Option<Vec<u8>> {
    match variable {
        b"CONTENT_TYPE" => return Some(b"content-type".to_vec()),
        b"CONTENT_LENGTH" => return Some(b"content-length".to_vec()),
        _ => {}
    }
    let name = variable.strip_prefix(b"HTTP_")?;
    Some(name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect())
}

fn http_version(protocol: &[u8]) -> &'static str {
    match protocol {
        b"HTTP/1.0" => "1.0",
        b"HTTP/2" | b"HTTP/2.0" => "2",
        b"HTTP/3" | b"HTTP/3.0" => "3",
        _ => "1.1",
    }
}

/// The path as the client sent it, without the query, and without what stands before it in the absolute form.
fn raw_path(uri: &[u8]) -> &[u8] {
    let path = uri.split(|byte| *byte == b'?').next().unwrap_or_default();
    if path.starts_with(b"/") {
        return path;
    }
    let Some(authority) = path.windows(3).position(|window| window == b"://") else { return path };
    let rest = &path[authority + 3..];
    rest.iter().position(|byte| *byte == b'/').map_or(b"/", |at| &rest[at..])
}

/// An address and its port; None for a client of a socket in the file system, which has none.
fn peer<'py>(
    py: Python<'py>,
    host: &[u8],
    port: &[u8],
) -> PyResult<Option<(Bound<'py, PyString>, Option<u16>)>> {
    let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
    if host.is_empty() || host.starts_with(b"unix:") {
        return Ok(None);
    }
    Ok(Some((text(py, host)?, port)))
}

/// UTF-8, with a replacement for what is none.
pub(super) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let size = ffi::Py_ssize_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the pointer and the size are those of a slice; "replace" is a handler that every interpreter has.
    unsafe {
        let text = ffi::PyUnicode_DecodeUTF8(bytes.as_ptr().cast(), size, c"replace".as_ptr());
        Ok(Bound::from_owned_ptr_or_err(py, text)?.cast_into_unchecked())
    }
}
