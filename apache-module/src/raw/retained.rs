// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the module leaves for the one that httpd loads next.

use std::ffi::CStr;

use gangway::sys::LeftOpen;

use gangway_httpd::retained::{Retained, with_retained};

#[repr(C)]
struct LeftManaged {
    /// httpd has come to serve requests before: what follows is a restart.
    has_started: u64,
    /// The numbers are those of something that was left.
    is_left: u64,
    left: [u64; 3],
}

// SAFETY: numbers, of which zeros are some.
unsafe impl Retained for LeftManaged {
    const KEY: &'static CStr = c"gangway-managed-1";
}

fn with<R>(body: impl FnOnce(&mut LeftManaged) -> R) -> R {
    // SAFETY: httpd calls `post_config` and the end of a configuration on the one thread that the parent has, and nothing below comes back
    // here.
    unsafe { with_retained(body) }
}

/// Notes that httpd serves requests from now on. Answers whether it has done so before.
pub(crate) fn note_start() -> bool {
    with(|place| std::mem::replace(&mut place.has_started, 1) != 0)
}

/// What was left by the module before it was unloaded, once.
pub(crate) fn take_left() -> Option<LeftOpen> {
    let (is_left, numbers) = with(|place| (std::mem::replace(&mut place.is_left, 0) != 0, place.left));
    is_left.then(|| LeftOpen::from_numbers(numbers))
}

/// Leaves something for the module that is loaded next.
pub(crate) fn leave(left: LeftOpen) {
    with(|place| (place.is_left, place.left) = (1, left.to_numbers()));
}
