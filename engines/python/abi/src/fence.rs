// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place where a panic stops: nothing may unwind across the C ABI.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    codes::Code,
    host::{self, Level},
};

/// Runs `body`, the whole of the ABI function `entry`. A panic is logged and answered with `fallback`.
///
/// What the panicked body had in hand is dropped by the unwinding; callers keep no half-changed state outside
/// of it.
pub fn fence<R>(entry: &'static str, fallback: R, body: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(panic) => {
            report(entry, &*panic);
            // Dropping a payload may panic as well; forgetting it leaks a few bytes after a defect.
            std::mem::forget(panic);
            fallback
        }
    }
}

fn report(entry: &str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    host::log(
        Level::Error,
        Code::Panic,
        format_args!("defect in the Python engine: {entry}() panicked: {text}; please report it"),
    );
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
