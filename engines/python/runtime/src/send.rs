// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives the head and the blocks of a response to the host.

use gangway_abi::ffi::{GW_CANCELLED, GW_FLUSH, GW_INVALID, GW_OK, gw_status};
use gangway_python_shared::codes::Code;
use pyo3::{prelude::*, types::PyBytes};

use crate::{exchange::Exchange, release};

/// From this size on the host sends the bytes of the object itself. Below, a copy is cheaper than the way back
/// of the reference.
const OWNED: usize = 16 * 1024;

/// Why a response cannot go on.
#[derive(Debug)]
pub(crate) enum SendFailure {
    /// The application, or a rule that it broke, raised.
    Raised(PyErr),
    /// The application broke a rule outside of its own code.
    Fault(Code, String),
    /// All that Content-Length allows is sent: the response is complete.
    Full,
    /// The client left or the deadline passed.
    Gone,
    /// The host refused and has logged why.
    Refused,
}

impl From<PyErr> for SendFailure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// Sends a block, with the head before it if it is the first. Empty blocks are skipped.
pub(crate) fn send_block(
    py: Python<'_>,
    exchange: &Exchange,
    block: &Bound<'_, PyBytes>,
    flush: bool,
) -> Result<(), SendFailure> {
    let data = block.as_bytes();
    if data.is_empty() {
        return Ok(());
    }
    send_head(py, exchange)?;
    if !exchange.response.get(py)?.head.permits_body() {
        return Ok(());
    }
    let flush = if flush { GW_FLUSH } else { 0 };
    let (address, length) = (data.as_ptr() as usize, data.len());
    if length < OWNED {
        return outcome(exchange.call(py, |host, request, flags| {
            // SAFETY: `block` keeps the bytes alive for the call and bytes objects never change; the request is alive.
            unsafe { (host.write)(request, address as *const u8, length, flags | flush) }
        })?);
    }
    let context = release::lend(block);
    let context_address = context as usize;
    let status = exchange.call(py, |host, request, flags| {
        let context = context_address as *mut std::ffi::c_void;
        // SAFETY: the lent reference keeps the bytes alive until the host releases it; bytes objects never change.
        unsafe {
            (host.write_owned)(
                request,
                address as *const u8,
                length,
                Some(release::release),
                context,
                flags | flush,
            )
        }
    });
    // What came back meanwhile goes before the application makes more: a long download stays flat even where the thread
    // that frees is late.
    release::drain(py);
    if !matches!(status, Ok(GW_OK | GW_INVALID)) {
        // SAFETY: with every other answer, and without a call, the host has not taken the borrow.
        unsafe { release::reclaim(py, context) };
    }
    outcome(status?)
}

/// Sends the part of a file that begins at `offset`.
pub(crate) fn send_file(
    py: Python<'_>,
    exchange: &Exchange,
    descriptor: i32,
    offset: u64,
    length: u64,
) -> Result<(), SendFailure> {
    send_head(py, exchange)?;
    if length == 0 || !exchange.response.get(py)?.head.permits_body() {
        return Ok(());
    }
    outcome(exchange.call(py, |host, request, flags| {
        // SAFETY: the descriptor is open for the call, and the host makes its own of it; the request is alive.
        unsafe { (host.send_file)(request, descriptor, offset, length, flags) }
    })?)
}

/// Gives the host the head, once.
pub(crate) fn send_head(py: Python<'_>, exchange: &Exchange) -> Result<(), SendFailure> {
    let mut response = exchange.response.get_mut(py)?;
    if response.head_sent {
        return Ok(());
    }
    if !response.started {
        return Err(SendFailure::Fault(
            Code::NoStart,
            "it gave a response without calling start_response; call start_response(status, headers) first"
                .to_owned(),
        ));
    }
    let request = exchange.request(py)?;
    let status = response.head.status();
    let (reason, fields) = response.head.parts();
    // SAFETY: the parts are borrowed from the head, which does not change during the call; the request is alive and
    // this is its thread. start() does not wait.
    let answer = unsafe { (exchange.host.start)(request, status, reason, fields.as_ptr(), fields.len()) };
    match answer {
        GW_OK => {
            response.head_sent = true;
            Ok(())
        }
        GW_INVALID => Err(SendFailure::Fault(
            Code::HeadRefused,
            "the server refused its response head; the line before says why".to_owned(),
        )),
        other => outcome(other),
    }
}

fn outcome(status: gw_status) -> Result<(), SendFailure> {
    match status {
        GW_OK => Ok(()),
        GW_CANCELLED => Err(SendFailure::Gone),
        GW_INVALID => Err(SendFailure::Full),
        _ => Err(SendFailure::Refused),
    }
}
