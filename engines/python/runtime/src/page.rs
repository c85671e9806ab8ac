// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages that the engine itself answers with.

use gangway_abi::{
    bytes::lend,
    ffi::{GW_OK, gw_field},
};
use pyo3::{
    prelude::*,
    types::{PyList, PyString},
};

use crate::{exchange::Exchange, text::with_utf8};

/// 500 for an application that is not loaded. The caller finishes the request.
pub(crate) fn not_loaded(py: Python<'_>, exchange: &Exchange, name: &str) {
    let text = format!(
        "500 Internal Server Error\n\nThe application {name:?} could not be loaded. The server's error log says why.\n"
    );
    send(py, exchange, "text/plain; charset=utf-8", text.as_bytes());
}

/// 500 with the traceback, for debug=on. The caller finishes the request.
pub(crate) fn debug(
    py: Python<'_>,
    exchange: &Exchange,
    name: &str,
    cause: &str,
    lines: Option<&Bound<'_, PyList>>,
) {
    let mut text = String::from("<!doctype html>\n<title>500 Internal Server Error</title>\n<h1>");
    escape(name, &mut text);
    text.push_str(" failed</h1>\n<p>");
    escape(cause, &mut text);
    text.push_str("</p>\n");
    if let Some(lines) = lines {
        text.push_str("<pre>");
        for line in lines.iter() {
            if let Ok(line) = line.cast::<PyString>() {
                let _escaped = with_utf8(line, |line| escape(&String::from_utf8_lossy(line), &mut text));
                text.push('\n');
            }
        }
        text.push_str("</pre>\n");
    }
    text.push_str("<p>This page is shown because of debug=on.</p>\n");
    send(py, exchange, "text/html; charset=utf-8", text.as_bytes());
}

fn send(py: Python<'_>, exchange: &Exchange, kind: &str, body: &[u8]) {
    let length = body.len().to_string();
    let field = |name: &'static [u8], value| gw_field { name: lend(name), value: lend(value) };
    let fields = [
        field(b"Content-Type", kind.as_bytes()),
        field(b"Content-Length", length.as_bytes()),
        field(b"Cache-Control", b"no-store"),
    ];
    let Ok(request) = exchange.request(py) else { return };
    let reason = lend(b"Internal Server Error");
    // SAFETY: the request is alive and its head has not been sent; everything is borrowed for the call.
    if unsafe { (exchange.host.start)(request, 500, reason, fields.as_ptr(), fields.len()) } != GW_OK {
        return;
    }
    let _gone = exchange.call(py, |host, request, flags| {
        // SAFETY: the body is borrowed for the call; the request is alive.
        unsafe { (host.write)(request, body.as_ptr(), body.len(), flags) }
    });
}

fn escape(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}
