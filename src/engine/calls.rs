// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every call of an engine passes.

use gangway_abi::{
    bytes::{borrow, checked, fields},
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
    // SAFETY: the caller promises NULL or a request that is not gone yet.
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

/// Whether a file can have such a part.
pub(super) fn is_within_a_file(offset: u64, length: u64) -> bool {
    offset.checked_add(length).is_some_and(|end| i64::try_from(end).is_ok())
}

/// Bytes as an engine gives them. `wrong` says what NULL of some length breaks: "write() with NULL data".
///
/// # Safety
/// `data` is NULL or readable for as long as the answer is used.
pub(super) unsafe fn readable<'a>(
    exchange: &Exchange,
    wrong: &str,
    data: *const u8,
    length: usize,
) -> Result<&'a [u8], Stop> {
    // SAFETY: the caller promises bytes that are readable for as long; NULL is looked for.
    unsafe { checked(data, length) }.ok_or_else(|| exchange.misuse(&format!("{wrong} of some length")))
}

/// A line as an engine gives it; `None` for NULL of some length.
///
/// # Safety
/// `text` is NULL or readable for the call.
pub(super) unsafe fn log_text(level: u32, text: *const u8, length: usize) -> Option<(Level, String)> {
    // SAFETY: the caller promises bytes that are readable for the call; NULL is looked for.
    let text = unsafe { checked(text, length) }?;
    Some((Level::from_abi(level), log::escape(text.trim_ascii_end())))
}

/// Names and values of headers as an engine gives them, none of which points to NULL.
///
/// # Safety
/// `headers` is NULL or an array of so many that stays unchanged for as long as the answer is used.
pub(super) unsafe fn headers_of<'a>(
    exchange: &Exchange,
    entry: &str,
    headers: *const abi::gw_field,
    count: usize,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a>, Stop> {
    if headers.is_null() && count > 0 {
        return Err(exchange.misuse(&format!("{entry} with a NULL header list of some length")));
    }
    // SAFETY: the caller promises an array of so many, and it is not NULL unless that is none.
    let headers = unsafe { fields(headers, count) };
    let is_broken = |text: &abi::gw_bytes| text.ptr.is_null() && text.len > 0;
    if headers.iter().any(|field| is_broken(&field.name) || is_broken(&field.value)) {
        return Err(exchange.refuse("response refused: a header points to NULL"));
    }
    // SAFETY: the caller promises names and values that stay unchanged for as long; none of them is NULL with a length.
    Ok(headers.iter().map(|field| unsafe { (borrow(field.name), borrow(field.value)) }))
}
