// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place where a panic stops.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    error::PANIC,
    log::{self, Level},
};

/// Runs what a server or an engine calls. A panic becomes a log line and `fallback`; it never unwinds into C.
pub fn fence<R>(entry: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("no message");
            log::coded(
                Level::Error,
                PANIC,
                format_args!("caught a panic in {entry}: {text}; please report it"),
            );
            // A payload whose drop panics must not get past the fence either.
            std::mem::forget(payload);
            fallback
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_fallback() {
        assert_eq!(fence("test", 7, || panic!("caught on purpose")), 7);
        assert_eq!(fence("test", 7, || 8), 8);
    }
}
