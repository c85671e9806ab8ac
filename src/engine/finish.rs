// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a request: by the engine's call, or for it when handle() has returned.

use std::sync::{Arc, atomic::Ordering};

use gangway_abi::ffi::gw_request;

use crate::exchange::{Exchange, Outcome, Stop};

/// finish() of an engine, and whether the engine held a reference to this request, which is asynchronous then: the caller
/// ends it with [`release`] when it does not use `exchange` any more.
pub(super) fn finish(exchange: &Exchange, outcome: Outcome) -> (Result<(), Stop>, bool) {
    let result = exchange.finish(outcome);
    if result == Err(Stop::Misuse) || !exchange.give_up() {
        return (result, false);
    }
    exchange.running.store(false, Ordering::Release);
    (result, true)
}

/// A request as an asynchronous engine has it: a reference of its own.
pub(super) fn lend(exchange: &Arc<Exchange>) -> *mut gw_request {
    Arc::into_raw(Arc::clone(exchange)).cast_mut().cast()
}

/// Ends the reference of an asynchronous engine.
///
/// # Safety
/// `request` came from [`lend`], [`finish`] has said that it ends, and no reference made of the pointer is used after this.
pub(super) unsafe fn release(request: *mut gw_request) {
    // SAFETY: lend() made the pointer with Arc::into_raw; finish() says once for a request that it ends.
    drop(unsafe { Arc::from_raw(request.cast_const().cast::<Exchange>()) });
}
