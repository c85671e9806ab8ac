// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a panic of the engine stops, with the line that says so.

use gangway_abi::{Level, fence::catch};

use crate::{codes::Code, log::log};

/// Runs `body`, the whole of the ABI function `entry`. A panic is logged and answered with `fallback`.
pub fn fence<R>(entry: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    catch(body).unwrap_or_else(|text| {
        log(
            Level::Error,
            Code::Panic,
            format_args!("defect in the Python engine: {entry}() panicked: {text}; please report it"),
        );
        fallback
    })
}

#[cfg(test)]
mod tests {
    use super::fence;

    #[test]
    fn a_panic_becomes_the_fallback() {
        assert_eq!(fence("test", -1, || panic!("on purpose")), -1);
        assert_eq!(fence("test", -1, || 3), 3);
    }
}
