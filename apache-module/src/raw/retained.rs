// SPDX-License-Identifier: MIT OR Apache-2.0
//! What outlives the module: httpd unloads it before it reads its configuration anew, and loads it again. Only numbers stay.

use std::ffi::CStr;

use gangway::sys::LeftOpen;

use super::sys;

/// Another layout of [`Retained`] has another name.
const KEY: &CStr = c"gangway-managed-1";

/// In httpd's memory, which begins with zeros.
#[repr(C)]
struct Retained {
    /// httpd has come to serve requests before: what follows is a restart.
    has_started: u64,
    /// The numbers are those of something that was left.
    is_left: u64,
    left: [u64; 3],
}

/// The place, made at its first use.
fn retained() -> *mut Retained {
    // SAFETY: httpd calls `post_config` and the end of a configuration on the one thread that the parent has. The place has the size
    // and the alignment that it is made with, and lives as long as the process.
    unsafe {
        let found = sys::ap_retained_data_get(KEY.as_ptr());
        let place = if found.is_null() {
            sys::ap_retained_data_create(KEY.as_ptr(), size_of::<Retained>())
        } else {
            found
        };
        place.cast()
    }
}

/// Notes that httpd serves requests from now on. Answers whether it has done so before.
pub(crate) fn note_start() -> bool {
    // SAFETY: the place lives, and nobody else uses it: see `retained`.
    unsafe { std::mem::replace(&mut (*retained()).has_started, 1) != 0 }
}

/// What was left by the module before it was unloaded, once.
pub(crate) fn take_left() -> Option<LeftOpen> {
    // SAFETY: the place lives, and nobody else uses it: see `retained`.
    let (is_left, numbers) = unsafe {
        let place = &mut *retained();
        (std::mem::replace(&mut place.is_left, 0) != 0, place.left)
    };
    is_left.then(|| LeftOpen::from_numbers(numbers))
}

/// Leaves something for the module that is loaded next.
pub(crate) fn leave(left: LeftOpen) {
    // SAFETY: the place lives, and nobody else uses it: see `retained`.
    unsafe {
        let place = &mut *retained();
        (place.is_left, place.left) = (1, left.to_numbers());
    }
}
