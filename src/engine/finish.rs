// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a request: by the engine's call, or for it when handle() has returned.

use std::{
    ptr,
    sync::{Arc, atomic::Ordering},
};

use crate::exchange::{Exchange, Outcome, Stop};

/// finish() of an engine, and the engine's reference to an asynchronous request, for the caller to drop when it
/// does not use `exchange` any more.
pub(super) fn finish(exchange: &Exchange, outcome: Outcome) -> (Result<(), Stop>, Option<Arc<Exchange>>) {
    let result = exchange.finish(outcome);
    if result == Err(Stop::Misuse) || !exchange.give_up() {
        return (result, None);
    }
    exchange.running.store(false, Ordering::Release);
    // SAFETY: the reference that handle_async made; `give_up` is true once.
    (result, Some(unsafe { Arc::from_raw(ptr::from_ref(exchange)) }))
}
