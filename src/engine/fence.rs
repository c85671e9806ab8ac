// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place where a panic stops.

use gangway_abi::fence::catch;

use crate::{
    error::PANIC,
    log::{self, Level},
};

/// Runs what a server or an engine calls. A panic becomes a log line and `fallback`; it never unwinds into C.
pub fn fence<R>(entry: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    catch(body).unwrap_or_else(|text| {
        let line = format_args!("caught a panic in {entry}: {text}; please report it");
        log::coded(Level::Error, PANIC, line);
        fallback
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "what a panic carries is leaked on purpose")]
    fn a_panic_becomes_the_fallback() {
        assert_eq!(fence("test", 7, || panic!("caught on purpose")), 7);
        assert_eq!(fence("test", 7, || 8), 8);
    }
}
