// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a panic stops: nothing may unwind across the C ABI.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `body`; a panic becomes its message. Each side of the ABI makes its own log line of it.
///
/// What the panicked body had in hand is dropped by the unwinding; callers keep no half-changed state outside
/// of it.
///
/// # Errors
/// What the panic said.
pub fn catch<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = message(&*payload).to_owned();
        // A payload whose drop panics must not get past the fence either; forgetting it leaks a few bytes.
        std::mem::forget(payload);
        text
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::catch;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch(|| 3), Ok(3));
        assert_eq!(catch::<()>(|| panic!("caught on purpose")), Err("caught on purpose".to_owned()));
        assert_eq!(catch::<()>(|| panic!("caught {}", 1)), Err("caught 1".to_owned()));
        assert_eq!(catch::<()>(|| std::panic::panic_any(7)), Err("no message".to_owned()));
    }
}
