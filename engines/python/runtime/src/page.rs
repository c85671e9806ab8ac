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

/// A status and its reason phrase.
type Status = (u16, &'static [u8]);

const INTERNAL_ERROR: Status = (500, b"Internal Server Error");
const TEXT: &str = "text/plain; charset=utf-8";

/// A whole answer.
pub(crate) struct Page {
    pub(crate) status: Status,
    kind: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Page {
    /// Its header fields, for a call.
    pub(crate) fn with_fields<R>(&self, call: impl FnOnce(&[gw_field]) -> R) -> R {
        let length = self.body.len().to_string();
        let field = |name: &'static [u8], value| gw_field { name: lend(name), value: lend(value) };
        let fields = [
            field(b"Content-Type", self.kind.as_bytes()),
            field(b"Content-Length", length.as_bytes()),
            field(b"Cache-Control", b"no-store"),
            // Only for those who may come again; it is the last, so that it can be left out.
            field(b"Retry-After", b"1"),
        ];
        call(if self.status.0 == 503 {
            &fields
        } else {
            fields.split_last().map_or(&[], |(_, others)| others)
        })
    }
}

/// 500 for an application that is not loaded. The caller finishes the request.
pub(crate) fn not_loaded(py: Python<'_>, exchange: &Exchange, name: &str) {
    send(py, exchange, &not_loaded_page(name));
}

pub(crate) fn not_loaded_page(name: &str) -> Page {
    let text = format!(
        "500 Internal Server Error\n\nThe application {name:?} could not be loaded. The server's error log says why.\n"
    );
    Page { status: INTERNAL_ERROR, kind: TEXT, body: text.into_bytes() }
}

/// 503: the request needs memory that is not there now. The caller finishes the request.
pub(crate) fn no_memory(py: Python<'_>, exchange: &Exchange) {
    let status = (503, b"Service Unavailable".as_slice());
    send(py, exchange, &Page { status, kind: TEXT, body: b"503 Service Unavailable\n".to_vec() });
}

/// 500 with the traceback, for debug=on. The caller finishes the request.
pub(crate) fn debug(
    py: Python<'_>,
    exchange: &Exchange,
    name: &str,
    cause: &str,
    lines: Option<&Bound<'_, PyList>>,
) {
    send(py, exchange, &debug_page(name, cause, lines));
}

pub(crate) fn debug_page(name: &str, cause: &str, lines: Option<&Bound<'_, PyList>>) -> Page {
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
    Page { status: INTERNAL_ERROR, kind: "text/html; charset=utf-8", body: text.into_bytes() }
}

fn send(py: Python<'_>, exchange: &Exchange, page: &Page) {
    let Ok(request) = exchange.request(py) else { return };
    let (status, reason) = page.status;
    // SAFETY: the request is alive and its head has not been sent; everything is borrowed for the call.
    let started = page.with_fields(|fields| unsafe {
        (exchange.host.start)(request, status, lend(reason), fields.as_ptr(), fields.len())
    });
    if started != GW_OK {
        return;
    }
    let _gone = exchange.call(py, |host, request, flags| {
        // SAFETY: the body is borrowed for the call; the request is alive.
        unsafe { (host.write)(request, page.body.as_ptr(), page.body.len(), flags) }
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
