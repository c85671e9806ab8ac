// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every call of an engine passes.

use gangway_abi::{
    bytes::fields,
    ffi::{self as abi, GW_ERROR, GW_MISUSE},
};

use super::{answers::status, fence::fence};
use crate::{
    error::ENGINE_MISUSE,
    exchange::{Exchange, Stop, Wait},
    log::{self, Level},
};

pub(super) fn wait(flags: u32) -> Wait {
    if flags & abi::GW_NOWAIT == 0 { Wait::Yes } else { Wait::No }
}

/// Every call of an engine about a request passes here: fence, NULL check, answer.
///
/// # Safety
/// `request` is NULL or one that the engine got from handle() and that is not gone yet.
pub(super) unsafe fn call(
    entry: &'static str,
    request: *mut abi::gw_request,
    body: impl FnOnce(&Exchange) -> Result<(), Stop>,
) -> abi::gw_status {
    // SAFETY: the caller's promise.
    unsafe { call_or(GW_ERROR, entry, request, body) }
}

/// As [`call`], with the answer after a panic.
///
/// # Safety
/// As [`call`].
pub(super) unsafe fn call_or(
    panicked: abi::gw_status,
    entry: &'static str,
    request: *mut abi::gw_request,
    body: impl FnOnce(&Exchange) -> Result<(), Stop>,
) -> abi::gw_status {
    fence(entry, panicked, || {
        // SAFETY: a gw_request is the address of an Exchange that its handle() call keeps alive (app.rs).
        if let Some(exchange) = unsafe { request.cast::<Exchange>().as_ref() } {
            return status(body(exchange));
        }
        log::coded(Level::Error, ENGINE_MISUSE, format_args!("an engine called {entry}() without a request"));
        GW_MISUSE
    })
}

/// Headers as an engine gives them, none of which points to NULL.
///
/// # Safety
/// `headers` is NULL or an array of so many that stays unchanged for as long as the answer is used.
pub(super) unsafe fn headers_of<'a>(
    exchange: &Exchange,
    entry: &str,
    headers: *const abi::gw_field,
    count: usize,
) -> Result<&'a [abi::gw_field], Stop> {
    if headers.is_null() && count > 0 {
        return Err(exchange.misuse(&format!("{entry} with a NULL header list of some length")));
    }
    // SAFETY: the caller's promise.
    let headers = unsafe { fields(headers, count) };
    let is_broken = |text: &abi::gw_bytes| text.ptr.is_null() && text.len > 0;
    if headers.iter().any(|field| is_broken(&field.name) || is_broken(&field.value)) {
        return Err(exchange.refuse("response refused: a header points to NULL"));
    }
    Ok(headers)
}
