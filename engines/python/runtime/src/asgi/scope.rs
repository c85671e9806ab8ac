// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a request is, as an application sees it (ASGI, HTTP connection scope), made of its meta-variables and header fields.

use std::mem::offset_of;

use gangway_abi::{
    bytes::{borrow, fields},
    ffi::{GW_REQUEST_INTERIM, GW_REQUEST_TRAILERS, gw_field, gw_request_head},
};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyList, PyString},
};

use super::{seen_fields, tls::TlsFacts};
use crate::{gil::Guarded, text::text};

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
    tls: TlsFacts<'a>,
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
            _ => return self.tls.slot(name),
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
    // SAFETY: the caller guarantees the head.
    let subprotocols = unsafe { read(head, &mut facts, &headers) }?;
    let is_socket = kind == Kind::Socket;
    let (scope, asgi) = blank(py, kind)?;
    scope.set_item(intern!(py, "asgi"), asgi)?;
    scope.set_item(intern!(py, "http_version"), http_version(py, facts.protocol))?;
    let extensions = PyDict::new(py);
    if is_socket {
        let scheme = if facts.scheme == b"https" { intern!(py, "wss") } else { intern!(py, "ws") };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        scope.set_item(intern!(py, "subprotocols"), words(py, &subprotocols)?)?;
        extensions.set_item(intern!(py, "websocket.http.response"), PyDict::new(py))?;
    } else {
        scope.set_item(intern!(py, "method"), upper(py, facts.method)?)?;
        scope.set_item(intern!(py, "scheme"), usual(py, facts.scheme)?)?;
        add_extensions(&extensions, head, &facts)?;
    }
    if let Some(tls) = facts.tls.extension(py)? {
        extensions.set_item(intern!(py, "tls"), tls)?;
    }
    scope.set_item(intern!(py, "root_path"), usual(py, facts.script_name)?)?;
    // As root_path and what follows it, which is what applications expect of it since 2023.
    scope.set_item(intern!(py, "path"), joined(py, facts.script_name, facts.path_info)?)?;
    scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, raw_path(facts.request_uri)))?;
    scope.set_item(intern!(py, "query_string"), PyBytes::new(py, facts.query))?;
    scope.set_item(intern!(py, "headers"), headers)?;
    scope.set_item(intern!(py, "client"), peer(py, facts.remote_addr, facts.remote_port)?)?;
    scope.set_item(intern!(py, "server"), server(py, &facts, local_port(head))?)?;
    scope.set_item(intern!(py, "state"), state)?;
    scope.set_item(intern!(py, "extensions"), extensions)?;
    Ok(scope)
}

/// A scope with all its keys, without most values, and what it says of ASGI: to copy a dictionary costs less than to fill one.
fn blank(py: Python<'_>, kind: Kind) -> PyResult<(Bound<'_, PyDict>, Bound<'_, PyDict>)> {
    static BLANKS: [PyOnceLock<(Py<PyDict>, Py<PyDict>)>; 2] = [const { PyOnceLock::new() }; 2];
    let make = || {
        let (scope, asgi) = (PyDict::new(py), PyDict::new(py));
        asgi.set_item("version", "3.0")?;
        asgi.set_item("spec_version", SPEC_VERSION)?;
        scope.set_item("type", if kind == Kind::Socket { "websocket" } else { "http" })?;
        let own: &[&str] =
            if kind == Kind::Socket { &["scheme", "subprotocols"] } else { &["method", "scheme"] };
        for key in ["asgi", "http_version"].iter().chain(own).chain(&COMMON) {
            scope.set_item(PyString::intern(py, key), py.None())?;
        }
        Ok::<_, PyErr>((scope.unbind(), asgi.unbind()))
    };
    let (scope, asgi) = BLANKS[usize::from(kind == Kind::Socket)].get_or_try_init(py, make)?;
    Ok((scope.bind(py).copy()?, asgi.bind(py).copy()?))
}

/// What follows in every scope.
const COMMON: [&str; 9] =
    ["root_path", "path", "raw_path", "query_string", "headers", "client", "server", "state", "extensions"];

/// In capitals, as most are.
fn upper<'py>(py: Python<'py>, method: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if method.iter().any(u8::is_ascii_lowercase) {
        text(py, &method.to_ascii_uppercase())
    } else {
        usual(py, method)
    }
}

/// A text that is mostly one of few.
fn usual<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    Ok(match bytes {
        b"" => intern!(py, ""),
        b"GET" => intern!(py, "GET"),
        b"POST" => intern!(py, "POST"),
        b"HEAD" => intern!(py, "HEAD"),
        b"http" => intern!(py, "http"),
        b"https" => intern!(py, "https"),
        other => return text(py, other),
    }
    .clone())
}

fn joined<'py>(py: Python<'py>, first: &[u8], second: &[u8]) -> PyResult<Bound<'py, PyString>> {
    if first.is_empty() { text(py, second) } else { text(py, &[first, second].concat()) }
}

/// The parts of lists with commas.
fn words<'py>(py: Python<'py>, lists: &[&[u8]]) -> PyResult<Bound<'py, PyList>> {
    let words = lists.iter().flat_map(|list| list.split(|byte| *byte == b','));
    let words = words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    PyList::new(py, words.map(|word| text(py, word)).collect::<PyResult<Vec<_>>>()?)
}

/// Reads what is said of a request. Answers the lists of its subprotocols.
///
/// # Safety
/// As [`scope`].
unsafe fn read<'a>(
    head: &'a gw_request_head,
    facts: &mut Facts<'a>,
    headers: &Bound<'_, PyList>,
) -> PyResult<Vec<&'a [u8]>> {
    let py = headers.py();
    let mut subprotocols: Vec<&[u8]> = Vec::new();
    // SAFETY: the caller guarantees the head.
    let raw = unsafe { raw_fields(head) };
    for field in raw.unwrap_or_default() {
        // SAFETY: names and values live as long as the head, which the caller guarantees.
        let (name, value) = unsafe { (borrow(field.name), borrow(field.value)) };
        if name == b"sec-websocket-protocol" {
            subprotocols.push(value);
        }
        headers.append(seen_fields::pair(py, name, value)?)?;
    }
    // SAFETY: the caller guarantees the head, whose variables live as long.
    for variable in unsafe { fields(head.variables, head.variable_count) } {
        // SAFETY: names and values live as long as the head, which the caller guarantees.
        let (name, value) = unsafe { (borrow(variable.name), borrow(variable.value)) };
        if let Some(slot) = facts.slot(name) {
            *slot = value;
        } else if raw.is_none()
            && let Some(field) = field_name(name)
        {
            if name == b"HTTP_SEC_WEBSOCKET_PROTOCOL" {
                subprotocols.push(value);
            }
            headers.append((PyBytes::new(py, &field), PyBytes::new(py, value)))?;
        }
    }
    Ok(subprotocols)
}

/// The header fields as they came, where the host has them.
///
/// # Safety
/// As [`scope`].
unsafe fn raw_fields(head: &gw_request_head) -> Option<&[gw_field]> {
    let has_them = head.struct_size >= offset_of!(gw_request_head, reserved2) && !head.fields.is_null();
    // SAFETY: gangway.h: so many fields, which live as long as the head.
    has_them.then(|| unsafe { fields(head.fields, head.field_count) })
}

/// The port that the client has connected to; 0 when it is not known.
fn local_port(head: &gw_request_head) -> u32 {
    if head.struct_size >= offset_of!(gw_request_head, reserved2) { head.local_port } else { 0 }
}

/// What is true of this request and of what carries its response.
fn add_extensions(all: &Bound<'_, PyDict>, head: &gw_request_head, facts: &Facts<'_>) -> PyResult<()> {
    let py = all.py();
    all.set_item(intern!(py, "http.response.pathsend"), PyDict::new(py))?;
    if facts.scheme != b"https" {
        // Under TLS the bytes are copied.
        all.set_item(intern!(py, "http.response.zerocopysend"), PyDict::new(py))?;
    }
    if head.flags & GW_REQUEST_INTERIM != 0 {
        all.set_item(intern!(py, "http.response.early_hint"), PyDict::new(py))?;
    }
    if head.flags & GW_REQUEST_TRAILERS != 0 {
        all.set_item(intern!(py, "http.response.trailers"), PyDict::new(py))?;
    }
    Ok(())
}

/// The address and port that the client has connected to, or the path of the socket. Most requests come by the same.
fn server<'py>(py: Python<'py>, facts: &Facts<'_>, local_port: u32) -> PyResult<Bound<'py, PyAny>> {
    type Last = (Vec<u8>, Vec<u8>, u32, Py<PyAny>);
    static LAST: Guarded<Option<Last>> = Guarded::new(None);
    let host = if facts.server_addr.is_empty() { facts.server_name } else { facts.server_addr };
    if let Some((_, _, _, server)) = LAST
        .get(py)?
        .as_ref()
        .filter(|last| last.0 == host && last.1 == facts.server_port && last.2 == local_port)
    {
        return Ok(server.bind(py).clone());
    }
    let server = server_of(py, host, facts.server_port, local_port)?.into_pyobject(py)?;
    *LAST.get_mut(py)? = Some((host.into(), facts.server_port.into(), local_port, server.clone().unbind()));
    Ok(server)
}

fn server_of<'py>(
    py: Python<'py>,
    host: &[u8],
    port: &[u8],
    local_port: u32,
) -> PyResult<Option<(Bound<'py, PyString>, Option<u16>)>> {
    if let Some(path) = host.strip_prefix(b"unix:") {
        return Ok(Some((text(py, path)?, None)));
    }
    let address = peer(py, host, port)?;
    Ok(match u16::try_from(local_port) {
        Ok(port @ 1..) => address.map(|(host, _)| (host, Some(port))),
        _ => address,
    })
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

fn http_version<'py>(py: Python<'py>, protocol: &[u8]) -> &'py Bound<'py, PyString> {
    match protocol {
        b"HTTP/1.0" => intern!(py, "1.0"),
        b"HTTP/2" | b"HTTP/2.0" => intern!(py, "2"),
        b"HTTP/3" | b"HTTP/3.0" => intern!(py, "3"),
        _ => intern!(py, "1.1"),
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
